"""Objects that do not belong where they are put, and the attributes they can be assigned to."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import io
import pathlib
import types
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from rawmm import PlaceholderRange, TextContentPart, Trace, UserMessage
from rawmm.structs import Contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Real(float):
    pass


class Kind(str, enum.Enum):  # noqa: UP042  (not the same: its str() is the name)
    IMAGE = "image"


class Hostile:
    """Fails whenever it is asked for something."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError

    def __getitem__(self, key: object) -> Any:
        raise RuntimeError


class Subscriptable:
    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)

    def __len__(self) -> int:
        return 0


class Other(msgspec.Struct):
    image: int = 0


def cyclic() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def deep() -> dict[str, Any]:
    root: dict[str, Any] = {}
    at = root
    for _ in range(300):
        at["a"] = {}
        at = at["a"]
    return root


MAKERS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "false": lambda: False,
    "zero": lambda: 0,
    "one": lambda: 1,
    "negative": lambda: -1,
    "huge": lambda: 10**400,
    "beyond 2^53": lambda: 2**53 + 1,
    "float": lambda: 1.5,
    "whole float": lambda: 1.0,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "complex": lambda: 1j,
    "decimal": lambda: decimal.Decimal("1.5"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "text": lambda: "text",
    "empty text": lambda: "",
    "a surrogate": lambda: "\ud800",
    "a NUL": lambda: "a\0b",
    "a number as text": lambda: "0",
    "bytes": lambda: b"\x00\xff",
    "bytearray": lambda: bytearray(b"ab"),
    "memoryview": lambda: memoryview(b"abc"),
    "empty list": list,
    "list of numbers": lambda: [1, 2, 3],
    "list of floats": lambda: [0.5, float("nan")],
    "list of flags": lambda: [True, False],
    "list of texts": lambda: ["a", "b"],
    "list of dicts": lambda: [{"a": 1}],
    "list of none": lambda: [None],
    "list of lists": lambda: [[1], [2]],
    "list of the hostile": lambda: [Hostile()],
    "list of arrays": lambda: [np.zeros(2)],
    "tuple": lambda: (1, 2),
    "empty dict": dict,
    "dict": lambda: {"a": 1},
    "dict by modality": lambda: {"image": [1]},
    "dict of texts": lambda: {"image": "ab"},
    "dict of dicts": lambda: {"image": {"a": 1}},
    "dict with a number as key": lambda: {1: 2},
    "dict with None as key": lambda: {None: 1},
    "dict with a tuple as key": lambda: {(1, 2): 3},
    "a processed payload": lambda: {"pixel_values": [1.0]},
    "an encoded array": lambda: {"__nd__": True, "dtype": "int8", "shape": [1], "data": b"a"},
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset("ab"),
    "range": lambda: range(3),
    "generator": lambda: (i for i in range(3)),
    "iterator": lambda: iter([1]),
    "deque": lambda: collections.deque([1]),
    "user list": lambda: collections.UserList([1]),
    "user dict": lambda: collections.UserDict({"image": [1]}),
    "user string": lambda: collections.UserString("a"),
    "ordered dict": lambda: collections.OrderedDict(a=1),
    "default dict": lambda: collections.defaultdict(list),
    "mapping proxy": lambda: types.MappingProxyType({"image": [1]}),
    "namespace": lambda: types.SimpleNamespace(offset=1, length=1, image=[1]),
    "object": object,
    "type": lambda: dict,
    "function": lambda: len,
    "module": lambda: types,
    "exception": lambda: ValueError("x"),
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "path": lambda: pathlib.PurePosixPath("/a"),
    "date": lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "uuid": lambda: uuid.UUID(int=1),
    "buffered bytes": lambda: io.BytesIO(b"a"),
    "str subclass": lambda: Text("image"),
    "int subclass": lambda: Number(1),
    "float subclass": lambda: Real(0.5),
    "enum": lambda: Kind.IMAGE,
    "hostile": Hostile,
    "subscriptable": Subscriptable,
    "foreign struct": Other,
    "UNSET": lambda: msgspec.UNSET,
    "raw": lambda: msgspec.Raw(b"1"),
    "numpy ids": lambda: np.arange(3, dtype=np.int32),
    "numpy floats": lambda: np.array([0.5, -0.25], dtype=np.float32),
    "numpy flags": lambda: np.array([True, False]),
    "numpy grid": lambda: np.zeros((2, 3)),
    "numpy nothing": lambda: np.zeros(0),
    "numpy scalar": lambda: np.float64(1.5),
    "numpy integer": lambda: np.int64(1),
    "numpy objects": lambda: np.array([None, {}], dtype=object),
    "numpy texts": lambda: np.array(["a", "b"]),
    "array of ints": lambda: array.array("i", [1, 2]),
    "array of floats": lambda: array.array("d", [0.5]),
    "a struct": lambda: UserMessage(content="x"),
    "another struct": lambda: PlaceholderRange(offset=0, length=1),
    "a part": lambda: TextContentPart(text="x"),
    "a trace": lambda: Trace(nodes=[]),
    "list of structs": lambda: [UserMessage(content="x")],
    "cycle": cyclic,
    "deep": deep,
}
"""At least one of each kind of object, made anew for each case."""


def places(value: Any, path: str = "$") -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Every place in a value that can be assigned to: its path, and what assigns."""
    if isinstance(value, Contract):
        for name in value.__struct_fields__:
            yield f"{path}.{name}", lambda new, name=name: setattr(value, name, new)  # type: ignore[misc]
            yield from places(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key in value:
            yield f"{path}[{key!r}]", lambda new, key=key: value.__setitem__(key, new)  # type: ignore[misc]
            yield from places(value[key], f"{path}[{key!r}]")
    elif isinstance(value, list):
        for index in range(min(len(value), 2)):
            yield f"{path}[{index}]", lambda new, index=index: value.__setitem__(index, new)  # type: ignore[misc]
            yield from places(value[index], f"{path}[{index}]")
