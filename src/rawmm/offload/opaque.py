"""Recognize the values of Python that are neither JSON nor containers that the walk reads.

Bytes and pictures of Pillow can be images. Iterators, views of dicts, tables and objects of unknown
classes can hold images that nothing here finds.
"""

from __future__ import annotations

import array
import os
import sys
import uuid
from contextlib import suppress
from enum import Enum
from numbers import Number
from typing import Any, Final

from rawmm.real_class import is_a

_FIRST: Final = 36
"""Bytes by which an image file is recognized."""
_SHORTEST: Final = 16
"""Bytes of the shortest string that can be an image."""
_READERS: Final = (
    *("__iter__", "__next__", "__getitem__", "__aiter__", "__anext__", "__await__"),
    *("__dataframe__", "__arrow_c_array__", "__arrow_c_stream__"),
)
"""Methods of what yields other values."""
_LEAVES: Final = (Number, Enum, uuid.UUID, os.PathLike, type)
"""Classes of values that have attributes, but no others in them."""
_NUMERIC: Final = frozenset("biufcmM?")
"""Kinds of numpy types that hold numbers, and times."""


def is_picture(value: object) -> bool:
    """Whether a value is a picture of Pillow. Does not import Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and is_a(value, module.Image)


def is_binary(value: object) -> bool:
    """Whether a value is bytes."""
    return is_a(value, bytes | bytearray | memoryview)


def first_bytes(value: Any) -> bytes:
    """The first bytes of a value that has bytes in memory, as an array of them; else none."""
    with suppress(Exception):  # a released view, or no buffer
        view = memoryview(value)
        if view.itemsize == 1 and view.ndim == 1:
            return bytes(view[:_FIRST])
    return b""


def may_yield_values(value: Any) -> bool:
    """Whether a value that is not a container of a known kind may yield values that are images."""
    kind = type(value)
    if is_a(value, range | type):
        return False
    if is_a(value, array.array):
        return value.typecode in "uw"
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and is_a(value, numpy.ndarray | numpy.generic):
        dtype = value.dtype
        is_short = dtype.kind in "US" and dtype.itemsize < _SHORTEST * (
            4 if dtype.kind == "U" else 1
        )
        return dtype.kind not in _NUMERIC and not is_short
    if torch is not None and is_a(value, getattr(torch, "Tensor", ())):
        return False
    return any(hasattr(kind, name) for name in _READERS)


def has_attributes(value: Any) -> bool:
    """Whether a value of an unknown class has attributes, which may be images."""
    if is_a(value, _LEAVES):
        return False
    if any(getattr(base, "__slots__", ()) for base in type(value).__mro__):
        return True
    with suppress(Exception):  # the object's own code
        return bool(object.__getattribute__(value, "__dict__"))
    return False
