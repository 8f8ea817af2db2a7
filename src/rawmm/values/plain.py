"""Python objects seen as JSON: what they are made of, and how they are made plain.

msgspec takes anything with ``__getitem__`` for a mapping, reads the fields it knows and never
sees the rest. So it is only ever given `dict`, `list`, `tuple`, `str`, `int`, `float`, `bool`,
`bytes`, None and the structs of the contract. `is_plain` tells whether a value consists of
these; `to_plain` makes it so, or refuses it.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import islice
from math import hypot
from operator import is_
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec

from rawmm.errors import RawMMError, contract_error, shown, shown_name, shown_text
from rawmm.model.base import Extra, OneOf, wire_fields
from rawmm.model.types import Contract, PackedStream

Path = tuple[str | int, ...]

SCALARS: Final[frozenset[type[Any]]] = frozenset({str, int, float, bool, type(None)})
LEAVES: Final[frozenset[type[Any]]] = SCALARS | {bytes}
"""Types of plain values that hold nothing."""
MAX_INT: Final = 2**53 - 1
"""Integers beyond this are rounded by readers whose numbers are doubles."""

_ARRAY_PROTOCOLS: Final = (
    "__array__",
    "__array_interface__",
    "__array_struct__",
    "__cuda_array_interface__",
    "__dlpack__",
    "__arrow_c_array__",
)
_RECORD_DEPTH: Final = 256
_NUMBERS: Final = frozenset({int, float, bool})
_NUMERIC_KINDS: Final = "biuf"
"""Kinds of numpy's data types whose elements are numbers or flags."""
_BYTE_FORMATS: Final = ("B", "b", "c")
"""Formats of memory that is bytes rather than numbers."""
_UNREADABLE: Final = object()
_SCALAR_BASES: Final = (str, int, float)
_NO_SEQUENCES: Final = (str, bytes, bytearray, memoryview, array, AbstractSet)
_MAX_ITEMS: Final = 10_000_000
"""Elements that are read from a sequence other than a list: a `range` takes no room itself."""


def is_array(value: object) -> bool:
    """Whether `value` is an array, tensor, image object or buffer, by protocol alone.

    Nothing is imported for it: numpy, torch and PIL objects all have one of the protocols.
    """
    kind = type(value)
    if kind in SCALARS or kind is dict or kind is list or kind is tuple:
        return False
    if issubclass(kind, Contract):  # numpy can read some, which are objects all the same
        return False
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return True
    if any(hasattr(kind, name) for name in _ARRAY_PROTOCOLS):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except Exception:  # noqa: BLE001  (the object's own code; what fails is a buffer all the same)
        return True
    return True


def array_values(value: object) -> list[Any] | None:
    """The elements of a one-dimensional array of numbers or flags, as Python numbers.

    Arrays of numpy and whatever else has ``shape`` and ``tolist`` (torch, jax, pandas),
    `array.array`, and typed memory are read. Per-token streams take them by value.

    Returns:
        None for anything else: another number of dimensions, other elements, bytes.
    """
    if not is_array(value) or issubclass(type(value), (bytes, bytearray)):
        return None
    try:
        values = _elements(value)
    except Exception:  # noqa: BLE001  (the array's own code: meta tensors, closed memory)
        return None
    if type(values) is not list or not _NUMBERS.issuperset(map(type, values)):
        return None
    return values


def _elements(value: Any) -> Any:
    if type(value) is array:
        return None if value.typecode in "uw" else value.tolist()
    if type(value) is memoryview:
        return None if value.ndim != 1 or value.format in _BYTE_FORMATS else value.tolist()
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if len(value.shape) != 1 or (isinstance(kind, str) and kind not in _NUMERIC_KINDS):
        return None
    return value.tolist()


def base_value(value: Any) -> Any:
    """A `str`, `int` or `float` of a subclass by its base value; others as they are.

    An enumeration's member is its value, whatever its ``__str__`` says.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(kind, float) else value


def as_mapping(value: object) -> Mapping[Any, Any] | None:
    """`value` as key and value pairs, one level deep; None where it has none.

    Structs come under their wire names, without the fields that are absent. An object whose own
    code fails while it is read has none.
    """
    kind = type(value)
    if kind is dict:
        return value  # type: ignore[return-value]  # it is one
    if kind in LEAVES or kind is list or kind is tuple:
        return None
    if issubclass(kind, Contract):
        struct: Any = value
        return None if kind.__struct_config__.array_like else dict(wire_fields(struct))
    try:
        return _pairs(value, kind)
    except Exception:  # noqa: BLE001  (the object's own code)
        return None


def _pairs(value: Any, kind: type[Any]) -> Mapping[Any, Any] | None:
    if issubclass(kind, dict):
        return _held_pairs(value)
    if issubclass(kind, Mapping):
        pairs = {key: value[key] for key in _as_many_as_it_says(value)}
        return pairs if len(pairs) == len(value) else None
    if issubclass(kind, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(kind, "model_fields") and callable(getattr(kind, "model_dump", None)):
        dumped: Any = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _held_pairs(value: dict[Any, Any]) -> dict[Any, Any] | None:
    """What a dict of a subclass holds; None if its `items` says something else."""
    held = dict(dict.items(value))
    told = list(islice(value.items(), len(held) + 1))
    same = len(told) == len(held) == len(value)
    same = same and all(held.get(key, held) is item for key, item in told)
    return dict(told) if same else None  # in its own order


def _held_items(value: Any, kind: type[Any]) -> list[Any] | None:
    """What a list or tuple of a subclass holds; None if its iterator says something else."""
    held = list(list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value))
    told = list(islice(value, len(held) + 1))
    same = len(told) == len(held) == len(value) and all(map(is_, told, held))
    return held if same else None


def _as_many_as_it_says(value: Any) -> list[Any]:
    """What a mapping or sequence of another library yields, if that ends where its length says.

    Raises:
        ValueError: it does not, or its length is beyond what is read.
    """
    length = len(value)
    if length <= _MAX_ITEMS and len(found := list(islice(value, length + 1))) == length:
        return found
    raise ValueError


def as_sequence(value: object) -> Sequence[Any] | None:
    """`value` as a sequence of values; None for text, bytes, sets and all else.

    Array-like structs are sequences of their fields.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return value  # type: ignore[return-value]  # it is one
    if issubclass(kind, _NO_SEQUENCES):
        return None
    if issubclass(kind, PackedStream):
        return value  # type: ignore[return-value]  # registered as one
    if issubclass(kind, Contract):
        struct: Any = value
        array_like = kind.__struct_config__.array_like
        return [field for _, field in wire_fields(struct)] if array_like else None
    if not issubclass(kind, Sequence):
        return None
    try:
        if issubclass(kind, (list, tuple)):
            return _held_items(value, kind)
        return _as_many_as_it_says(value)
    except Exception:  # noqa: BLE001  (the object's own code)
        return None


def contains_struct(root: Any) -> bool:
    """Whether a struct stands in the dicts, lists and tuples of `root`.

    Each container is looked at once, with no recursion. An array that begins with a scalar is
    taken for one of scalars: tokens are not looked through.
    """
    stack = [root]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        kind = type(value)
        if issubclass(kind, Contract):
            return True
        if not issubclass(kind, (dict, list, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        if issubclass(kind, dict):  # what a subclass says of itself does not matter here
            stack.extend(item for item in dict.values(value) if type(item) not in SCALARS)
            continue
        items = iter(as_sequence(value) or ())
        first = next(items, None)
        if type(first) not in SCALARS:
            stack.append(first)
            stack.extend(items)
    return False


def is_plain(root: Any) -> bool:
    """Whether `root` consists of plain values and structs; see the module.

    False may also mean that it holds an integer beyond 2^53, which a number field would round.
    Each container is looked at once, with no recursion.
    """
    if type(root) in LEAVES:
        return type(root) is not int or -MAX_INT <= root <= MAX_INT
    stack = [root]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is dict:
            if not _TEXT.issuperset(map(type, value)):
                return False
            children: Any = value.values()
        elif kind is list or kind is tuple:
            first: Any = type(value[0]) if value else None
            if first is bool:
                continue  # msgspec takes nothing but flags beside one
            if first is int or first is float:
                if not only_small_numbers(value):
                    return False
                continue
            children = value
        elif issubclass(kind, Contract):
            continue
        else:
            return False
        if id(value) in seen:
            continue
        seen.add(id(value))
        kinds = set(map(type, children))
        if int in kinds and not all(
            type(child) is not int or -MAX_INT <= child <= MAX_INT for child in children
        ):
            return False
        if not kinds <= LEAVES:
            stack.extend(child for child in children if type(child) not in LEAVES)
    return True


_TEXT: Final = frozenset({str})


def only_small_numbers(values: Sequence[Any]) -> bool:
    """Whether a list holds nothing but numbers, all of them small.

    One addition per element in C tells a Decimal, a numpy scalar or a string among them, and the
    length of the vector that they are, a large number. msgspec refuses what else could hide.
    """
    try:
        return type(sum(values, 0.0)) is float and hypot(*values) <= MAX_INT
    except Exception:  # noqa: BLE001  (the element's own code)
        return False


def has_large_integer(document: dict[str, Any] | list[Any]) -> bool:
    """Whether an integer beyond 2^53 stands anywhere in what a decoder made."""
    stack: list[Any] = [document]
    while stack:
        value = stack.pop()
        items = value.values() if type(value) is dict else value
        kinds = set(map(type, items))
        if int in kinds and any(
            type(item) is int and not -MAX_INT <= item <= MAX_INT for item in items
        ):
            return True
        if not kinds <= LEAVES:
            stack.extend(item for item in items if type(item) in (dict, list))
    return False


def to_plain(value: Any, kind: Any = None, path: Path = (), *, open_structs: bool = False) -> Any:
    """`value` as dicts, lists, scalars and structs, made for a reader of `kind`.

    Mappings, sequences, models and dataclasses become dicts and lists, subclasses of scalars
    their base values. Where `kind` has a per-token stream, a one-dimensional array of numbers
    becomes a list. What is shared stays shared, so the work is linear.

    Args:
        value: anything.
        kind: a type of the contract, or a list, dict or optional of one; None if nothing is known.
        path: where `value` stands, for errors.
        open_structs: whether structs of the contract become dicts, too; else they stay the
            objects they are.

    Raises:
        ProcessedPayloadError: ``array_payload`` for an array, tensor, image or buffer,
            ``not_json`` for a set or any other object, ``not_json`` for a key that is no string.
        ContractError: ``too_deep`` beyond 256 levels or for a cycle; ``duplicate_key`` for keys
            with one base value; ``out_of_range`` for an integer in a number field that a double
            would round.
    """
    return _Walk(open_structs=open_structs).read(value, slot_of(kind), path)


class Slot(NamedTuple):
    """What a place takes, as far as it matters to making a value plain."""

    structs: tuple[type[Contract], ...] = ()
    """Structs that an object may become."""
    items: Any = None
    """Type of the elements, for a list."""
    values: Any = None
    """Type of the values, for a dict."""
    stream: bool = False
    """Whether one-dimensional arrays are taken by value."""
    binary: bool = False
    """Whether bytes are taken."""
    number: bool = False
    """Whether integers are read as doubles."""
    free: bool = False
    """Whether any JSON is taken. A scalar of numpy is none there, though some are floats."""


_OTHER: Final = Slot()


@cache
def slot_of(kind: Any) -> Slot:
    """The slot of a type."""
    if get_origin(kind) is Annotated:
        return slot_of(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _merged([slot_of(member) for member in get_args(kind)])
    if get_origin(kind) is list:
        return Slot(items=get_args(kind)[0], free=slot_of(get_args(kind)[0]).free)
    if get_origin(kind) is dict:
        return Slot(values=get_args(kind)[1], free=slot_of(get_args(kind)[1]).free)
    if kind is bytes:
        return Slot(binary=True)
    if kind is float:
        return Slot(number=True)
    if isinstance(kind, type) and issubclass(kind, Contract):
        return Slot(structs=(kind,), stream=issubclass(kind, PackedStream))
    if isinstance(kind, type) and issubclass(kind, OneOf):
        return Slot(structs=kind.members)
    return Slot(free=True) if kind is Any or kind is Extra else _OTHER


def _merged(slots: list[Slot]) -> Slot:
    return Slot(
        structs=tuple(kind for slot in slots for kind in slot.structs),
        items=next((slot.items for slot in slots if slot.items is not None), None),
        values=next((slot.values for slot in slots if slot.values is not None), None),
        stream=any(slot.stream for slot in slots),
        binary=any(slot.binary for slot in slots),
        number=any(slot.number for slot in slots),
        free=any(slot.free for slot in slots),
    )


@cache
def field_slots(kind: type[Contract]) -> dict[str, Slot]:
    """The slots of a struct class by wire name, in order."""
    return {field.encode_name: slot_of(field.type) for field in msgspec.structs.fields(kind)}


def _struct_for(structs: tuple[type[Contract], ...], pairs: Mapping[Any, Any]) -> Any:
    """The struct that an object will become; None if nothing tells."""
    if len(structs) < 2:
        return structs[0] if structs else None
    for kind in structs:
        config = kind.__struct_config__
        tag = base_value(pairs.get(config.tag_field)) if config.tag_field else None
        if type(tag) is str and tag == config.tag:  # other types have an equality of their own
            return kind
    untagged = [kind for kind in structs if not kind.__struct_config__.tag_field]
    if len(untagged) != len(structs):
        return None
    return max(untagged, key=lambda kind: sum(name in pairs for name in kind.__known__))


class _Walk:
    """One walk of `to_plain`."""

    def __init__(self, *, open_structs: bool) -> None:
        self._open_structs = open_structs
        # The source is kept beside its copy: an id is only its own while the object lives.
        self._done: dict[tuple[int, int], tuple[Any, Any]] = {}

    def read(self, value: Any, slot: Slot, path: Path, depth: int = 0) -> Any:
        kind = type(value)
        if issubclass(kind, _SCALAR_BASES) and not (slot.free and is_array(value)):
            return _scalar(value, slot, path)
        if value is None or kind is bytes:
            return value
        if issubclass(kind, Contract) and not self._open_structs:
            return value
        if slot.binary and issubclass(kind, (bytes, bytearray, memoryview)):
            return bytes(value)
        if slot.stream and (values := array_values(value)) is not None:
            return values
        if depth > _RECORD_DEPTH:
            raise _too_deep(path)
        key = id(value), id(slot)
        if key in self._done:
            done = self._done[key][1]
            if done is _UNREADABLE:
                raise _too_deep(path)
            return done
        self._done[key] = value, _UNREADABLE
        plain = self._container(value, slot, path, depth)
        self._done[key] = value, plain
        return plain

    def _container(self, value: Any, slot: Slot, path: Path, depth: int) -> Any:
        if error := foreign_error(value, path, stream=slot.stream):
            raise error
        if (pairs := as_mapping(value)) is not None:
            return self._mapping(pairs, slot, path, depth)
        items = as_sequence(value) or ()
        if slot.stream:
            element = slot_of(slot.items)
            return [_stream_element(item, element, (*path, i)) for i, item in enumerate(items)]
        array_like = next(
            (kind for kind in slot.structs if kind.__struct_config__.array_like), None
        )
        if array_like is not None:
            slots = list(field_slots(array_like).values())
            return [
                self.read(item, slots[i] if i < len(slots) else _OTHER, (*path, i), depth + 1)
                for i, item in enumerate(items)
            ]
        below = slot if slot.free else slot_of(slot.items)
        return [self.read(item, below, (*path, i), depth + 1) for i, item in enumerate(items)]

    def _mapping(
        self, pairs: Mapping[Any, Any], slot: Slot, path: Path, depth: int
    ) -> dict[str, Any]:
        struct = _struct_for(slot.structs, pairs)
        slots = {} if struct is None else field_slots(struct)
        other = slot_of(Any) if struct and struct.__open__ else slot_of(slot.values)
        if slot.free:
            other = slot
        plain: dict[str, Any] = {}
        for key, child in pairs.items():
            if not issubclass(type(key), str):
                raise key_error(key, path)
            name = base_value(key)
            if name in plain:
                raise contract_error(
                    "duplicate_key",
                    (*path, name),
                    expected="each key once",
                    got=f"{shown_text(name)} again",
                )
            plain[name] = self.read(child, slots.get(name, other), (*path, name), depth + 1)
        return plain


def _stream_element(value: Any, slot: Slot, path: Path) -> Any:
    if issubclass(type(value), _SCALAR_BASES):
        return _scalar(value, slot, path)
    if is_array(value) and type(number := _scalar_of_array(value)) in _NUMBERS:
        return number
    if value is None or type(value) in (bytes, dict, list, tuple):
        return value  # of a wrong type, which the reader says
    raise foreign_error(value, path) or not_json(value, path)


def _scalar_of_array(value: Any) -> Any:
    """The number that a scalar of numpy or a tensor without dimensions is."""
    try:
        return value.tolist() if value.shape == () else None
    except Exception:  # noqa: BLE001  (the object's own code)
        return None


def _scalar(value: Any, slot: Slot, path: Path) -> Any:
    plain = base_value(value)
    if slot.number and type(plain) is int and not holds_exactly(plain):
        raise rounded(plain, path)
    return plain


def holds_exactly(number: int) -> bool:
    """Whether a double holds the integer as it is."""
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def rounded(number: int, path: Path) -> RawMMError:
    """An integer in a number field that a double would change."""
    return contract_error(
        "out_of_range",
        path,
        expected="a number that a double can hold",
        got=shown(number),
        hint="it would be rounded",
    )


def foreign_error(value: Any, path: Path, *, stream: bool = False) -> RawMMError | None:
    """Why `value`, by itself, cannot be made plain; None if it can.

    Args:
        value: anything.
        path: where it stands.
        stream: whether it stands where a one-dimensional array would be taken.
    """
    if is_array(value):
        return contract_error(
            "array_payload",
            path,
            expected="a list or a one-dimensional array of numbers" if stream else "plain values",
            got=shown(value),
            hint=None
            if stream
            else "give plain Python numbers, lists and dicts; pixels have no place here",
        )
    scalar = value is None or issubclass(type(value), _SCALAR_BASES)
    if scalar or as_mapping(value) is not None or as_sequence(value) is not None:
        return None
    return not_json(value, path)


def not_json(value: Any, path: Path) -> RawMMError:
    """An object that JSON cannot say."""
    return contract_error("not_json", path, expected="a JSON value", got=shown(value))


def key_error(key: Any, path: Path) -> RawMMError:
    """A key that is no string; the path is that of its object."""
    return contract_error(
        "not_json",
        path,
        expected="an object with strings as keys",
        got=f"a key of type {shown_name(type(key).__name__)}",
    )


def _too_deep(path: Path) -> RawMMError:
    return contract_error(
        "too_deep", path, expected=f"at most {_RECORD_DEPTH} levels of nesting", got="more"
    )
