"""Encoded arrays: whether their bytes fill their shape, and what elements the bytes are."""

from __future__ import annotations

import binascii
import struct
from math import prod
from string import ascii_letters
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted
from rawmm.validate.plain import MAX_INT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

# A byte that is no flag has to be seen, so flags are read as the numbers that they are.
_LAYOUTS: Final = {
    "bool": "B", "uint8": "B", "int32": "i", "int64": "q", "float32": "f", "float64": "d",
}  # fmt: skip


def size_error(dtype: str, shape: Sequence[int], data: bytes, path: Path) -> RawMMError | None:
    """Why the bytes of an array at `path` do not fill its shape; None if they do."""
    size = 1 if dtype == "bool" else int(dtype.lstrip(ascii_letters)) // 8
    wanted = prod(shape) * size
    if len(data) == wanted:
        return None
    return contract_error(
        "array_size",
        (*path, "data"),
        # The product of a shape may have a thousand digits.
        expected=f"{counted(wanted, 'byte') if wanted <= MAX_INT else 'more than 2^53 bytes'}"
        f" for {dtype} of shape {shown_shape(shape)}",
        got=counted(len(data), "byte"),
    )


def shown_shape(shape: Sequence[int]) -> str:
    """A shape as it may stand in a message."""
    text = "x".join(map(str, shape)) or "scalar"
    return text if len(text) <= 64 else f"{len(shape)} dimensions"


def raw(data: Any) -> bytes:
    """The bytes of an array's data, which are base64 where they came as text."""
    return binascii.a2b_base64(data) if isinstance(data, str) else bytes(data)


def elements(dtype: str, data: bytes) -> list[Any]:
    """What the bytes of a packed stream say, legal or not. They fill whole elements."""
    layout = _LAYOUTS[dtype]
    values = struct.unpack(f"<{len(data) // struct.calcsize(layout)}{layout}", data)
    return [bool(one) if one < 2 else one for one in values] if layout == "B" else list(values)
