"""Arithmetic of 32-bit floats, as torch does it: each result is rounded to the nearest float."""

from __future__ import annotations

import math
import struct
from typing import Final

_FLOAT: Final = struct.Struct("f")


def float32(value: float) -> float:
    """The nearest 32-bit float."""
    result: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    return result


def quotient(numerator: int, denominator: int) -> float:
    """The quotient of two integers as 32-bit floats; infinity for a positive one over zero.

    A 64-bit quotient of 32-bit floats, rounded to 32 bits, is the correctly rounded one (Figueroa
    1995), so that no other arithmetic is needed.
    """
    if not denominator:
        return math.inf
    return float32(float32(numerator) / float32(denominator))
