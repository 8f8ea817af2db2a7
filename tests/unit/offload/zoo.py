"""Objects that a caller may pass by mistake; some are valid for one entry point."""

from __future__ import annotations

import array
import collections
import decimal
import enum
import fractions
import io
import itertools
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

import rawmm
from tests.unit.images.pictures import picture, url_of

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE: Final = picture(size=(64, 64))


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    """A container that misreports its contents."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"

    def __getitem__(self, _: object) -> str:
        return "x"


class Raw(bytearray):
    """A container that misreports its contents."""

    def __bytes__(self) -> bytes:
        return b"other bytes"

    def __len__(self) -> int:
        return -1  # noqa: PLE0303


class Index:
    def __index__(self) -> int:
        return 64


class Failing:
    """Every access raises."""

    def __index__(self) -> int:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError

    def __fspath__(self) -> str:
        raise TypeError("no path")

    def __repr__(self) -> str:
        raise RuntimeError


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"/images"


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _released() -> memoryview:
    view = memoryview(PICTURE)
    view.release()
    return view


def _interleaved() -> memoryview:
    twice = bytearray(len(PICTURE) * 2)
    twice[::2] = PICTURE
    return memoryview(twice)[::2]


MAKERS: Final[dict[str, Callable[[], Any]]] = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "64": lambda: 64,
    "a huge integer": lambda: 1 << 20_000,
    "1.5": lambda: 1.5,
    "NaN": lambda: float("nan"),
    "complex": lambda: 1j,
    "an enum": lambda: Number.ONE,
    "Decimal": lambda: decimal.Decimal(64),
    "Fraction": lambda: fractions.Fraction(64, 1),
    "an object with __index__": Index,
    "an empty string": lambda: "",
    "a string": lambda: "text",
    "a string that lies": lambda: Text(url_of()),
    "a long string": lambda: "x" * 100_000,
    "many slashes": lambda: "/a" * 100_000,
    "a lone surrogate": lambda: "\ud800",
    "a surrogate in a URL": lambda: "file:///\ud800.png",
    "NUL": lambda: "a\0b",
    "NUL in a URL": lambda: "file:///a%00b",
    "a broken URL": lambda: "file://[x/a.png",
    "a data URL": url_of,
    "the head of a data URL": lambda: "data:image/png;base64,",
    "a web URL": lambda: "https://host/a.png",
    "a family": lambda: "qwen_vl",
    "bytes": lambda: b"bytes",
    "no bytes": lambda: b"",
    "an image's bytes": lambda: PICTURE,
    "a bytearray that lies": lambda: Raw(PICTURE),
    "a view": lambda: memoryview(PICTURE),
    "a view with gaps": _interleaved,
    "a view of floats": lambda: memoryview(array.array("d", [1.0])),
    "a view that is released": _released,
    "an array.array": lambda: array.array("B", PICTURE),
    "a numpy integer": lambda: np.int64(64),
    "a numpy float": lambda: np.float32(64),
    "a numpy string": lambda: np.str_("text"),
    "a numpy array": lambda: np.zeros((4, 3)),
    "a numpy array of bytes": lambda: np.frombuffer(PICTURE, np.uint8),
    "a numpy array of objects": lambda: np.array([None, "x"], dtype=object),
    "a Pillow image": lambda: Image.new("RGB", (4, 4)),
    "a path": lambda: Path("/nonexistent/a.png"),
    "a path of a URL": lambda: Path("s3://bucket/a.png"),
    "a path of bytes": BytesPath,
    "a path that fails": Failing,
    "a file": lambda: io.BytesIO(PICTURE),
    "a text file": lambda: io.StringIO("[]"),
    "a list": list,
    "a list of numbers": lambda: [1, 2],
    "a list that holds itself": _loop,
    "a tuple": tuple,
    "a dict": dict,
    "a set": lambda: {1, 2},
    "a frozen set": lambda: frozenset({"x"}),
    "a deque": lambda: collections.deque([1]),
    "a mapping": lambda: types.MappingProxyType({"a": 1}),
    "a UserDict": lambda: collections.UserDict({"pixel_values": np.zeros(3)}),
    "a generator": lambda: (one for one in range(0)),
    "an iterator": itertools.count,
    "a range": lambda: range(3),
    "a class": lambda: dict,
    "a function": lambda: len,
    "a module": lambda: types,
    "an object": object,
    "an exception": lambda: ValueError("x"),
    "a namespace": lambda: types.SimpleNamespace(read=3),
    "Limits": rawmm.Limits,
    "Ellipsis": lambda: ...,
}
"""Makes each anew, as some are used up by looking."""
