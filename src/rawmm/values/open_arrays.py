"""Arrays in the free values of open objects: unknown fields, and fields of any JSON.

They have the form of an `EncodedArray`, with bytes in MessagePack and in Python, and base64 in
JSON. Live arrays become such objects.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

import msgspec

from rawmm.model.base import own_fields
from rawmm.model.types import MAX_DEPTH, EncodedArray
from rawmm.values.views import NUMBERS, SCALARS, base_value, scalar_of_array

if TYPE_CHECKING:
    from collections.abc import Mapping


def array_data(pairs: Mapping[Any, Any]) -> bytes | None:
    """The bytes of an encoded array; None if `pairs` is not one.

    Base64 counts if JSON would have exactly this text for the bytes.
    """
    if pairs.keys() != EncodedArray.__known__:
        return None
    try:
        fields = {key: base_value(value) for key, value in pairs.items()}
        data = msgspec.convert(fields, EncodedArray).data
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
        return None
    given = fields["data"]
    if type(given) is str and b2a_base64(data, newline=False) != given.encode():
        return None
    return data


def encoded_array(value: Any) -> dict[str, Any] | float | None:
    """A live array as an encoded one: numpy's, or one with the same attributes.

    Returns:
        A number for a scalar of numpy; None for anything else.
    """
    if type(number := scalar_of_array(value)) in NUMBERS:
        return number  # type: ignore[no-any-return]
    try:
        pairs = {
            "__nd__": True,
            "dtype": str(value.dtype),
            "shape": [int(length) for length in value.shape],
            "data": value.tobytes(),
        }
    except Exception:  # noqa: BLE001  (not an array, or one whose own code fails)
        return None
    return None if array_data(pairs) is None else pairs


def with_array_bytes(value: Any) -> Any:
    """A plain value with bytes in its encoded arrays, and no structs of them.

    Parts without encoded arrays are shared. The value may share or contain itself.
    """
    return _Copier().copied(value, 0)


class _Copier:
    """One call of `with_array_bytes`."""

    def __init__(self) -> None:
        # Keeps each source alive beside its copy, as its id may be reused otherwise.
        self._done: dict[int, tuple[Any, Any]] = {}

    def copied(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if issubclass(kind, EncodedArray):
            return own_fields(value)
        if (kind is not dict and kind is not list) or depth > MAX_DEPTH:
            return value  # deeper values are refused
        if id(value) not in self._done:
            self._done[id(value)] = value, value
            self._done[id(value)] = value, self._container(value, depth)
        return self._done[id(value)][1]

    def _container(self, value: Any, depth: int) -> Any:
        if type(value) is dict:
            if (data := array_data(value)) is not None:
                return {**value, "data": data}
            copy: Any = {key: self.copied(child, depth + 1) for key, child in value.items()}
            return copy if any(copy[key] is not value[key] for key in value) else value
        if SCALARS.issuperset(map(type, value)):
            return value
        copy = [self.copied(child, depth + 1) for child in value]
        return copy if any(a is not b for a, b in zip(copy, value, strict=True)) else value
