"""Any Python object viewed as JSON: as an object, an array, a number array or a scalar.

A view reads one level and changes nothing. If the object's own code raises, or contradicts what the
object holds, there is no view of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from operator import is_
from typing import Any, Final

import msgspec
from msgspec import UNSET

from rawmm.errors import contract_error
from rawmm.model.base import wire_fields
from rawmm.model.types import Contract, PackedStream
from rawmm.real_class import is_a

SCALARS: Final[frozenset[type[Any]]] = frozenset({str, int, float, bool, type(None)})
LEAVES: Final[frozenset[type[Any]]] = SCALARS | {bytes}
"""Types of plain values that contain no others."""
NUMBERS: Final[frozenset[type[Any]]] = frozenset({int, float, bool})

_ARRAY_PROTOCOLS: Final = (
    "__array__",
    "__array_interface__",
    "__array_struct__",
    "__cuda_array_interface__",
    "__dlpack__",
    "__arrow_c_array__",
)
_NUMERIC_KINDS: Final = "biuf"
"""Kinds of numpy dtypes whose elements are numbers or flags."""
_BYTE_FORMATS: Final = ("B", "b", "c")
"""Memory formats that mean bytes rather than numbers."""
_NOT_SEQUENCES: Final = (str, bytes, bytearray, memoryview, array, AbstractSet)
_MAX_ITEMS: Final = 10_000_000
"""The most elements to read from a sequence that is not a list; a `range` needs no memory."""


def is_array(value: object) -> bool:
    """Whether `value` is an array, tensor, image object or buffer.

    Only protocols are checked, so numpy, torch and Pillow are never imported.
    """
    kind = type(value)
    if kind in SCALARS or kind is dict or kind is list or kind is tuple:
        return False
    if issubclass(kind, Contract):  # packed streams have an array interface, but are objects
        return False
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return True
    if any(hasattr(kind, name) for name in _ARRAY_PROTOCOLS):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except Exception:  # noqa: BLE001  (the object's own code; a buffer that fails is a buffer)
        return True
    return True


def array_values(value: object) -> list[Any] | None:
    """The elements of a one-dimensional array of numbers or flags, as Python numbers.

    Reads numpy arrays, other objects with ``shape`` and ``tolist`` (torch, jax, pandas),
    `array.array` and typed memory. Per-token streams accept these.

    Returns:
        None for anything else: other dimensions, other elements, bytes.
    """
    if not is_array(value) or issubclass(type(value), (bytes, bytearray)):
        return None
    try:
        values = _elements(value)
    except Exception:  # noqa: BLE001  (the array's own code: meta tensors, closed memory)
        return None
    if type(values) is not list or not NUMBERS.issuperset(map(type, values)):
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


def scalar_of_array(value: Any) -> Any:
    """The number in a numpy scalar or a tensor without dimensions; None for anything else."""
    try:
        return value.tolist() if value.shape == () else None
    except Exception:  # noqa: BLE001  (the object's own code)
        return None


def base_value(value: Any) -> Any:
    """A `str`, `int` or `float` subclass instance as its base type; other values unchanged.

    An enum member becomes its value, whatever its ``__str__`` returns.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(kind, float) else value


def utf8_size(text: str) -> int:
    """The size of `text` in UTF-8; -1 if it has a lone surrogate."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def is_text(value: str) -> bool:
    """Whether `value` can be encoded as UTF-8, that is, has no lone surrogate."""
    return utf8_size(value) >= 0


def field_of(value: Any, name: str) -> Any:
    """A field of an object or a mapping; None if it is absent.

    Raises:
        ContractError: the object raises when the field is read.
    """
    try:
        found = value.get(name) if is_a(value, Mapping) else getattr(value, name, None)
    except Exception:  # noqa: BLE001, S110  (another library's object may raise anything)
        pass
    else:
        return None if found is UNSET else found
    raise contract_error(
        "wrong_type", (name,), expected="a field that can be read", got="an exception"
    )


def as_mapping(value: object) -> Mapping[Any, Any] | None:
    """The keys and values of `value`, one level deep; None if it has none.

    Structs have their wire names, without absent fields.
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
        return _dict_pairs(value)
    if issubclass(kind, Mapping):
        pairs = {key: value[key] for key in _bounded_list(value)}
        return pairs if len(pairs) == len(value) else None
    if issubclass(kind, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(kind, "model_fields") and callable(getattr(kind, "model_dump", None)):
        dumped: Any = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields  # slow to import, and loaded by whoever made the class

        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _dict_pairs(value: dict[Any, Any]) -> dict[Any, Any] | None:
    """The contents of a `dict` subclass instance; None if its `items` disagrees with them."""
    held = dict(dict.items(value))
    listed = list(islice(value.items(), len(held) + 1))
    same = len(listed) == len(held) == len(value)
    same = same and all(held.get(key, held) is item for key, item in listed)
    return dict(listed) if same else None  # in the order of the subclass


def _list_items(value: Any, kind: type[Any]) -> list[Any] | None:
    """The contents of a list or tuple subclass instance; None if its iterator disagrees."""
    held = list(list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value))
    listed = list(islice(value, len(held) + 1))
    same = len(listed) == len(held) == len(value) and all(map(is_, listed, held))
    return held if same else None


def _bounded_list(value: Any) -> list[Any]:
    """The items of another library's mapping or sequence.

    Raises:
        ValueError: it yields more or fewer items than its length, or is too long to read.
    """
    length = len(value)
    if length <= _MAX_ITEMS and len(found := list(islice(value, length + 1))) == length:
        return found
    raise ValueError


def as_sequence(value: object) -> Sequence[Any] | None:
    """The elements of `value`; None for text, bytes, sets and other types.

    Array-like structs are sequences of their fields.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return value  # type: ignore[return-value]  # it is one
    if issubclass(kind, _NOT_SEQUENCES):
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
            return _list_items(value, kind)
        return _bounded_list(value)
    except Exception:  # noqa: BLE001  (the object's own code)
        return None
