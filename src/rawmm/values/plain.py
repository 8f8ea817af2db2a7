"""Python objects as plain values, the only ones that msgspec is given.

msgspec reads any object with ``__getitem__`` as a mapping and ignores its unknown keys. So it is
only given `dict`, `list`, `tuple`, `str`, `int`, `float`, `bool`, `bytes`, None and the structs of
the contract. `is_plain` checks for these; `to_plain` converts other values or refuses them.
"""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown
from rawmm.model.types import Contract
from rawmm.values.errors import (
    bad_key,
    duplicate_key,
    inexact_number,
    not_json,
    too_many_levels,
)
from rawmm.values.fields import NO_SLOT, OPEN_SLOT, Slot, field_slots, slot_of
from rawmm.values.open_arrays import encoded_array
from rawmm.values.views import (
    LEAVES,
    NUMBERS,
    SCALARS,
    array_values,
    as_mapping,
    as_sequence,
    base_value,
    is_array,
    scalar_of_array,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rawmm.errors import Path, RawMMError

MAX_INT: Final = 2**53 - 1
"""Readers whose numbers are doubles round larger integers."""
_MAX_LEVELS: Final = 256
_CYCLE: Final = object()
_SCALAR_BASES: Final = (str, int, float)
_TEXT: Final = frozenset({str})


def contains_struct(root: Any) -> bool:
    """Whether the dicts, lists and tuples of `root` contain a struct.

    Visits each container once, without recursion. Skips an array whose first element is a scalar,
    so token ids are not visited.
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
        if issubclass(kind, dict):  # a subclass may override `values`
            stack.extend(item for item in dict.values(value) if type(item) not in SCALARS)
            continue
        items = iter(as_sequence(value) or ())
        first = next(items, None)
        if type(first) not in SCALARS:
            stack.append(first)
            stack.extend(items)
    return False


def is_plain(root: Any) -> bool:
    """Whether `root` consists of plain values and structs; see `scan`."""
    return scan(root)[0]


def scan(root: Any) -> tuple[bool, bool]:
    """Whether `root` consists of plain values and structs, and whether it contains a struct.

    Not plain is also an integer beyond 2^53, which a number field would round. The second answer
    only counts if the first is true. Visits each container once, without recursion.
    """
    if type(root) in LEAVES:
        return type(root) is not int or -MAX_INT <= root <= MAX_INT, False
    stack = [root]
    seen: set[int] = set()
    has_struct = False
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is dict:
            if not _TEXT.issuperset(map(type, value)):
                return False, has_struct
            children: Any = value.values()
        elif kind is list or kind is tuple:
            first: Any = type(value[0]) if value else None
            if first is bool:
                continue  # msgspec refuses anything but flags in the same list
            if first is int or first is float:
                if not only_small_numbers(value):
                    return False, has_struct
                continue
            children = value
        elif issubclass(kind, Contract):
            has_struct = True
            continue
        else:
            return False, has_struct
        if id(value) in seen:
            continue
        seen.add(id(value))
        kinds = set(map(type, children))
        if int in kinds and not all(
            type(child) is not int or -MAX_INT <= child <= MAX_INT for child in children
        ):
            return False, has_struct
        if not kinds <= LEAVES:
            stack.extend(child for child in children if type(child) not in LEAVES)
    return True, has_struct


def only_small_numbers(values: Sequence[Any]) -> bool:
    """Whether a list holds only numbers, none beyond 2^53. Runs in C.

    The sum is not a float if a Decimal, a numpy scalar or a string is among them, and the length
    of the vector bounds each number. msgspec refuses everything else that passes.
    """
    try:
        return type(sum(values, 0.0)) is float and hypot(*values) <= MAX_INT
    except Exception:  # noqa: BLE001  (the element's own code)
        return False


def has_large_integer(document: dict[str, Any] | list[Any]) -> bool:
    """Whether a decoded document holds an integer beyond 2^53."""
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


def holds_exactly(number: int) -> bool:
    """Whether a double holds the integer without rounding."""
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def to_plain(value: Any, kind: Any = None, path: Path = (), *, open_structs: bool = False) -> Any:
    """`value` as dicts, lists, scalars and structs, for a reader of `kind`.

    Mappings, sequences, models and dataclasses become dicts and lists. Subclasses of scalars become
    their base values. Where `kind` has a per-token stream, a one-dimensional array of numbers
    becomes a list. In a free value of an open object, any array of numbers becomes an encoded one.
    Each shared object is converted once, so the time is linear.

    Args:
        value: any value.
        kind: a type of the contract, or a list, dict or optional of one; None if unknown.
        path: the path of `value`, for errors.
        open_structs: whether structs of the contract become dicts, too. By default they stay the
            same objects.

    Raises:
        ProcessedPayloadError: ``array_payload`` for an array, tensor, image or buffer; ``not_json``
            for a set or another object, or a key that is not a string.
        ContractError: ``too_deep`` beyond 256 levels or for a cycle; ``duplicate_key`` for keys
            with equal base values; ``out_of_range`` for an integer in a number field that a double
            would round.
    """
    return _Converter(open_structs=open_structs).convert(value, slot_of(kind), path)


class _Converter:
    """One call of `to_plain`."""

    def __init__(self, *, open_structs: bool) -> None:
        self._open_structs = open_structs
        # Keeps each source alive beside its copy, as its id may be reused otherwise.
        self._done: dict[tuple[int, int], tuple[Any, Any]] = {}

    def convert(self, value: Any, slot: Slot, path: Path, depth: int = 0) -> Any:
        kind = type(value)
        if (
            slot.arrays
            and kind is not bytes
            and is_array(value)
            and (array := encoded_array(value)) is not None
        ):
            return array
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
        if depth > _MAX_LEVELS:
            raise too_many_levels(_MAX_LEVELS, path)
        key = id(value), id(slot)
        if key in self._done:
            done = self._done[key][1]
            if done is _CYCLE:
                raise too_many_levels(_MAX_LEVELS, path)
            return done
        self._done[key] = value, _CYCLE
        plain = self._container(value, slot, path, depth)
        self._done[key] = value, plain
        return plain

    def _container(self, value: Any, slot: Slot, path: Path, depth: int) -> Any:
        if error := unconvertible(value, path, stream=slot.stream):
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
                self.convert(item, slots[i] if i < len(slots) else NO_SLOT, (*path, i), depth + 1)
                for i, item in enumerate(items)
            ]
        below = slot if slot.free else slot_of(slot.items)
        return [self.convert(item, below, (*path, i), depth + 1) for i, item in enumerate(items)]

    def _mapping(
        self, pairs: Mapping[Any, Any], slot: Slot, path: Path, depth: int
    ) -> dict[str, Any]:
        struct = _struct_for(slot.structs, pairs)
        slots = {} if struct is None else field_slots(struct)
        other = OPEN_SLOT if struct and struct.__open__ else slot_of(slot.values)
        if slot.free:
            other = slot
        plain: dict[str, Any] = {}
        for key, child in pairs.items():
            if not issubclass(type(key), str):
                raise bad_key(key, path)
            name = base_value(key)
            if name in plain:
                raise duplicate_key(name, (*path, name))
            plain[name] = self.convert(child, slots.get(name, other), (*path, name), depth + 1)
        return plain


def _struct_for(structs: tuple[type[Contract], ...], pairs: Mapping[Any, Any]) -> Any:
    """The struct that an object will become; None if that is unknown."""
    if len(structs) < 2:
        return structs[0] if structs else None
    for kind in structs:
        config = kind.__struct_config__
        tag = base_value(pairs.get(config.tag_field)) if config.tag_field else None
        if type(tag) is str and tag == config.tag:  # other types may override equality
            return kind
    untagged = [kind for kind in structs if not kind.__struct_config__.tag_field]
    if len(untagged) != len(structs):
        return None
    return max(untagged, key=lambda kind: sum(name in pairs for name in kind.__known__))


def _stream_element(value: Any, slot: Slot, path: Path) -> Any:
    if issubclass(type(value), _SCALAR_BASES):
        return _scalar(value, slot, path)
    if is_array(value) and type(number := scalar_of_array(value)) in NUMBERS:
        return number
    if value is None or type(value) in (bytes, dict, list, tuple):
        return value  # the reader refuses its type
    raise unconvertible(value, path) or not_json(value, path)


def _scalar(value: Any, slot: Slot, path: Path) -> Any:
    plain = base_value(value)
    if slot.number and type(plain) is int and not holds_exactly(plain):
        raise inexact_number(plain, path)
    return plain


def unconvertible(value: Any, path: Path, *, stream: bool = False) -> RawMMError | None:
    """Why `value` itself cannot be made plain, whatever it contains; None if it can.

    Args:
        value: any value.
        path: its path.
        stream: whether a one-dimensional array is accepted in its place.
    """
    if is_array(value):
        return contract_error(
            "array_payload",
            path,
            expected="a list or a one-dimensional array of numbers" if stream else "plain values",
            got=shown(value),
            hint=None
            if stream
            else "use plain Python numbers, lists and dicts; never store pixels here",
        )
    scalar = value is None or issubclass(type(value), _SCALAR_BASES)
    if scalar or as_mapping(value) is not None or as_sequence(value) is not None:
        return None
    return not_json(value, path)


def plain_copy(value: Any) -> Any:
    """A valid free value as dicts, lists and scalars of exactly these types."""
    if type(value) in LEAVES:
        return value
    if (pairs := as_mapping(value)) is not None:
        return {base_value(key): plain_copy(child) for key, child in pairs.items()}
    if (items := as_sequence(value)) is not None:
        return [plain_copy(child) for child in items]
    return base_value(value)
