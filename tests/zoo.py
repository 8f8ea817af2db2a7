"""Objects that reach an entry point in place of what it wants, and what each of them says.

A meaning is the JSON value that an object stands for; `REFUSED` objects stand for none.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import os
import pathlib
import sys
import types
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from unittest import mock

import msgspec
import numpy as np
import pydantic
from PIL import Image

import rawmm


class _Refused:
    def __repr__(self) -> str:
        return "REFUSED"


REFUSED: Final = _Refused()


class Animal(NamedTuple):
    """One object of the zoo.

    Attributes:
        make: builds it anew.
        means: the JSON value that it says.
        stream: the list that it says where a per-token stream is wanted.
    """

    make: Callable[[], Any]
    means: Any = REFUSED
    stream: Any = REFUSED


class Word(str):
    """A subclass of str with another text and another hash."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


class Key(str, enum.Enum):  # noqa: UP042  (its str() is not its value, which is the point)
    GRID = "image_grid_thw"


class Plain(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    ONE = 1


class Text(enum.StrEnum):
    X = "x"


class Count(int):
    def __int__(self) -> int:
        return 99

    def __index__(self) -> int:
        return 99


class Ratio(float):
    def __float__(self) -> float:
        return 99.0


class Numbers(list[Any]):
    pass


class Fields(dict[str, Any]):
    pass


class Pair(NamedTuple):
    a: int
    b: int


@dataclasses.dataclass
class Record:
    a: int = 1


@dataclasses.dataclass
class PixelRecord:
    pixel_values: Any = dataclasses.field(default_factory=lambda: np.zeros((2, 2)))


class Model(pydantic.BaseModel):
    a: int = 1


class PixelModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    pixel_values: Any = None


class Struct(msgspec.Struct):
    a: int = 1


class ArrayStruct(msgspec.Struct, array_like=True):
    a: int = 1


class BatchFeature(collections.UserDict[str, Any]):
    """What image processors of transformers return: a UserDict with attribute access."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None


class Subscriptable:
    """msgspec alone takes it for a mapping."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)


class Hostile:
    """Fails whenever it is asked for something."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


class HostileSequence(Sequence[Any]):
    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


class Forged:
    """Says of itself that it is of another class, and has nothing of that class."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self._kind


FORGED: Final = (
    *(dict, list, tuple, set, str, bytes, memoryview, bool, int, float, type, np.ndarray),
    *(Mapping, os.PathLike, msgspec.Struct, Model, rawmm.Trace, rawmm.MessageNode),
    *(rawmm.UserMessage, rawmm.EncodedArray, rawmm.MultiModalData),
)
"""Classes that an object claims to be of."""

MOCKED: Final = (dict, list, tuple, str, bytes, Mapping, Model, rawmm.Trace, rawmm.MessageNode)
"""Specifications of mocks, which claim to be of the class that is their specification."""


class DuckArray:
    """An array by protocol alone, such as a tensor of a library that nobody imported."""

    shape = (2, 2)
    dtype = "float32"

    def __array__(self, *_: Any) -> Any:
        return np.zeros((2, 2))

    def __getitem__(self, key: object) -> Any:
        raise IndexError

    def tolist(self) -> list[list[float]]:
        return [[0.0, 0.0], [0.0, 0.0]]


class Tensor:
    """What `torch.tensor([1, 0])` shows of itself."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.shape = (len(values),)
        self.dtype = "torch.int64"

    def __array__(self, *_: Any) -> Any:
        return np.array(self.values)

    def __dlpack__(self, **_: Any) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        return len(self.values)

    def tolist(self) -> list[Any]:
        return list(self.values)


class MetaTensor(Tensor):
    def tolist(self) -> list[Any]:
        raise RuntimeError("meta")


class Keyed:
    """Has keys() and items, and is no mapping."""

    def keys(self) -> list[str]:
        return ["a"]

    def __getitem__(self, key: str) -> int:
        return 1


def _cycle_list() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _cycle_dict() -> dict[str, Any]:
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    return cycle


def _deep(container: Callable[[Any], Any], levels: int = 1_200) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = container(value)
    return value


def _generator() -> Iterator[int]:
    yield 1


TEXT_CODE: Any = "w" if sys.version_info >= (3, 13) else "u"  # the other one is deprecated


class _Referent:
    pass


_REFERENT = _Referent()
_FIVE = np.arange(2)

ZOO: Final[dict[str, Animal]] = {
    # Arrays and what processors return.
    "ndarray 2d": Animal(lambda: np.zeros((4, 3))),
    "ndarray ints": Animal(lambda: np.array([1, 0]), stream=[1, 0]),
    "ndarray floats": Animal(lambda: np.array([0.5, 1.0], np.float32), stream=[0.5, 1.0]),
    "ndarray flags": Animal(lambda: np.array([True, False]), stream=[True, False]),
    "ndarray empty": Animal(lambda: np.zeros(0), stream=[]),
    "ndarray scalar": Animal(lambda: np.array(1.0)),
    "ndarray objects": Animal(lambda: np.array([object(), 1], dtype=object)),
    "ndarray texts": Animal(lambda: np.array(["a"])),
    "ndarray dates": Animal(lambda: np.array(["2026-11-27"], "datetime64[ns]")),
    "ndarray complex": Animal(lambda: np.array([1j])),
    "ndarray structured": Animal(lambda: np.zeros(2, dtype=[("a", "i4")])),
    "masked array": Animal(lambda: np.ma.array([1, 2], mask=[True, False])),
    "numpy int": Animal(lambda: np.int64(1)),
    "numpy float32": Animal(lambda: np.float32(0.5)),
    "numpy float64": Animal(lambda: np.float64(0.5), means=0.5),
    "numpy flag": Animal(lambda: np.bool_(True)),
    "numpy text": Animal(lambda: np.str_("x"), means="x"),
    "tensor": Animal(lambda: Tensor([1, 0]), stream=[1, 0]),
    "tensor without values": Animal(lambda: MetaTensor([1, 0])),
    "duck array": Animal(DuckArray),
    "array": Animal(lambda: array.array("i", [1, 0]), stream=[1, 0]),
    "array of floats": Animal(lambda: array.array("d", [0.5, 1.0]), stream=[0.5, 1.0]),
    "array of text": Animal(lambda: array.array(TEXT_CODE, "ab")),
    "image": Animal(lambda: Image.new("RGB", (2, 2))),
    "bytes": Animal(lambda: b"\x89PNG\r\n"),
    "bytearray": Animal(lambda: bytearray(b"\x89PNG")),
    "memoryview": Animal(lambda: memoryview(b"\x89PNG")),
    "memoryview of ints": Animal(lambda: memoryview(array.array("i", [1, 0])), stream=[1, 0]),
    "batch feature": Animal(lambda: BatchFeature(pixel_values=np.zeros((2, 2)))),
    "batch feature of lists": Animal(
        lambda: BatchFeature(pixel_values=[0.5]), means={"pixel_values": [0.5]}
    ),
    # Mappings.
    "UserDict": Animal(lambda: collections.UserDict(a=1), means={"a": 1}),
    "empty UserDict": Animal(collections.UserDict, means={}),
    "MappingProxy": Animal(lambda: types.MappingProxyType({"a": 1}), means={"a": 1}),
    "MappingProxy of a set": Animal(lambda: types.MappingProxyType({"a": {1}})),
    "OrderedDict": Animal(lambda: collections.OrderedDict(a=1), means={"a": 1}),
    "defaultdict": Animal(lambda: collections.defaultdict(int, a=1), means={"a": 1}),
    "Counter": Animal(lambda: collections.Counter("a"), means={"a": 1}),
    "ChainMap": Animal(lambda: collections.ChainMap({"a": 1}), means={"a": 1}),
    "dict subclass": Animal(lambda: Fields(a=1), means={"a": 1}),
    "dict with an int key": Animal(lambda: {1: 1}),
    "dict with an odd str key": Animal(lambda: {Word("a"): 1}, means={"a": 1}),
    "dict with a smuggled key": Animal(
        lambda: {Word("pixel_values"): [0.5]}, means={"pixel_values": [0.5]}
    ),
    "dict with an enum key": Animal(lambda: {Key.GRID: 1}, means={"image_grid_thw": 1}),
    "dict with a bytes key": Animal(lambda: {b"a": 1}),
    "dict with a None key": Animal(lambda: {None: 1}),
    "dict with a surrogate key": Animal(lambda: {"\ud800": 1}),
    "dataclass": Animal(Record, means={"a": 1}),
    "dataclass of pixels": Animal(PixelRecord),
    "pydantic model": Animal(Model, means={"a": 1}),
    "pydantic model of pixels": Animal(lambda: PixelModel(pixel_values=np.zeros((3, 3)))),
    "struct of another": Animal(Struct, means={"a": 1}),
    "array-like struct of another": Animal(ArrayStruct, means={"a": 1}),
    "namespace": Animal(lambda: types.SimpleNamespace(a=1)),
    "keyed object": Animal(Keyed),
    "subscriptable object": Animal(Subscriptable),
    "hostile mapping": Animal(HostileMapping),
    # Sequences and sets.
    "tuple": Animal(lambda: (1, 0), means=[1, 0]),
    "named tuple": Animal(lambda: Pair(1, 0), means=[1, 0]),
    "list subclass": Animal(lambda: Numbers([1, 0]), means=[1, 0]),
    "UserList": Animal(lambda: collections.UserList([1, 0]), means=[1, 0]),
    "deque": Animal(lambda: collections.deque([1, 0]), means=[1, 0]),
    "range": Animal(lambda: range(1, -1, -1), means=[1, 0]),
    "endless range": Animal(lambda: range(10**15)),
    "set": Animal(lambda: {1}),
    "frozenset": Animal(lambda: frozenset({"a"})),
    "dict keys": Animal({"a": 1}.keys),
    "dict values": Animal({"a": 1}.values),
    "generator": Animal(_generator),
    "iterator": Animal(lambda: iter([1])),
    "map": Animal(lambda: map(int, "12")),
    "hostile sequence": Animal(HostileSequence),
    "list of a set": Animal(lambda: [{1}]),
    "list of arrays": Animal(lambda: [np.zeros(2)]),
    "list of numpy ints": Animal(lambda: [np.int64(1), np.int64(0)], stream=[1, 0]),
    "list of numpy floats": Animal(lambda: [np.float64(0.5), np.float64(1.0)], stream=[0.5, 1.0]),
    "list of decimals": Animal(lambda: [1.0, decimal.Decimal("0.5")]),
    "nested list": Animal(lambda: [[1.0]], means=[[1.0]]),
    # Scalars.
    "str subclass": Animal(lambda: Word("x"), means="x"),
    "str enum": Animal(lambda: Key.GRID, means="image_grid_thw"),
    "StrEnum": Animal(lambda: Text.X, means="x"),
    "enum": Animal(lambda: Plain.RED),
    "IntEnum": Animal(lambda: Level.ONE, means=1),
    "int subclass": Animal(lambda: Count(1), means=1),
    "float subclass": Animal(lambda: Ratio(0.5), means=0.5),
    "flag": Animal(lambda: True, means=True),
    "large int": Animal(lambda: 2**53 + 1, means=2**53 + 1),
    "huge int": Animal(lambda: 10**400, means=10**400),
    "negative": Animal(lambda: -1, means=-1),
    "fraction of an int": Animal(lambda: 1.5, means=1.5),
    "nan": Animal(lambda: float("nan")),
    "infinity": Animal(lambda: float("-inf")),
    "complex": Animal(lambda: 1j),
    "Decimal": Animal(lambda: decimal.Decimal("0.1")),
    "Fraction": Animal(lambda: fractions.Fraction(1, 2)),
    "datetime": Animal(lambda: dt.datetime(2026, 11, 27, tzinfo=dt.UTC)),
    "date": Animal(lambda: dt.date(2026, 11, 27)),
    "timedelta": Animal(lambda: dt.timedelta(1)),
    "UUID": Animal(lambda: uuid.UUID(int=1)),
    "path": Animal(lambda: pathlib.Path("x")),
    "lone surrogate": Animal(lambda: "\ud800"),
    "text": Animal(lambda: "x", means="x"),
    "null": Animal(lambda: None, means=None),
    # Others.
    "cyclic list": Animal(_cycle_list),
    "cyclic dict": Animal(_cycle_dict),
    "deep list": Animal(lambda: _deep(lambda value: [value])),
    "deep dict": Animal(lambda: _deep(lambda value: {"a": value})),
    "deep UserDict": Animal(lambda: _deep(lambda value: collections.UserDict(a=value), 500)),
    "object": Animal(object),
    "class": Animal(lambda: dict),
    "function": Animal(lambda: len),
    "module": Animal(lambda: types),
    "Ellipsis": Animal(lambda: ...),
    "UNSET": Animal(lambda: msgspec.UNSET),
    "Ext": Animal(lambda: msgspec.msgpack.Ext(1, b"x")),
    "Raw": Animal(lambda: msgspec.Raw(b"1")),
    "file": Animal(lambda: io.BytesIO(b"x")),
    "exception": Animal(lambda: ValueError("x")),
    "weak reference": Animal(lambda: weakref.proxy(_REFERENT)),
    "mock": Animal(mock.MagicMock),
    "hostile object": Animal(Hostile),
    **{f"forged {kind.__name__}": Animal(partial(Forged, kind)) for kind in FORGED},
    **{f"mock of {kind.__name__}": Animal(partial(mock.MagicMock, spec=kind)) for kind in MOCKED},
}
