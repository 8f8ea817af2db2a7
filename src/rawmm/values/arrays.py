"""Encoded arrays: checks that the bytes fill the shape. Arrays of other libraries as lists."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.errors import Path, RawMMError

_MAX_BYTES: Final = 1 << 62
"""No array is larger. Larger products are not computed."""
_MAX_SHOWN: Final = 16


def as_lists(value: Any) -> Any:
    """An array, or a list of arrays at any depth, as lists."""
    if is_a(value, list | tuple):
        return [as_lists(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def size_error(dtype: str, shape: Sequence[int], data: bytes, path: Path) -> RawMMError | None:
    """The error of an array at `path` whose bytes do not fill its shape; None if they do."""
    wanted = _byte_count(dtype, shape)
    if len(data) == wanted:
        return None
    size = f"more than {_MAX_BYTES} bytes" if wanted is None else counted(wanted, "byte")
    return contract_error(
        "array_size",
        (*path, "data"),
        expected=f"{size} for {dtype} of shape {shown_shape(shape)}",
        got=counted(len(data), "byte"),
    )


def _byte_count(dtype: str, shape: Sequence[int]) -> int | None:
    """The size of an array in bytes; None above `_MAX_BYTES`."""
    if 0 in shape:
        return 0
    total = 1 if dtype == "bool" else int("".join(filter(str.isdigit, dtype))) // 8
    for length in shape:
        total *= length
        if total > _MAX_BYTES:
            return None
    return total


def shown_shape(shape: Sequence[int]) -> str:
    """A shape for an error message."""
    text = "x".join(map(str, shape[:_MAX_SHOWN])) or "scalar"
    return text if len(shape) <= _MAX_SHOWN and len(text) <= 64 else f"{len(shape)} dimensions"


def raw(data: Any) -> bytes:
    """The bytes of an array. In JSON they are base64."""
    return binascii.a2b_base64(data) if is_a(data, str) else bytes(data)
