"""Odd objects to pass to entry points, each with the JSON value that it is equivalent to.

`REFUSED` objects have no JSON value and must be refused.
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


class OddObject(NamedTuple):
    """One odd object.

    Attributes:
        make: creates a new instance.
        json_value: the equivalent JSON value.
        stream: the equivalent list in a per-token stream.
    """

    make: Callable[[], Any]
    json_value: Any = REFUSED
    stream: Any = REFUSED


class Word(str):
    """A str subclass with its own text, hash and equality."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


class Key(str, enum.Enum):  # noqa: UP042  (its str() must differ from its value)
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
    """Like the result of transformers' image processors: a UserDict with attribute access."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None


class Subscriptable:
    """An object that only msgspec treats as a mapping."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)


class Hostile:
    """An object whose every method raises."""

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
    """An object with a forged ``__class__`` and nothing else of that class."""

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
"""Classes to forge."""

MOCKED: Final = (dict, list, tuple, str, bytes, Mapping, Model, rawmm.Trace, rawmm.MessageNode)
"""Classes to mock. A mock with a spec forges its ``__class__``."""


class DuckArray:
    """An array by its protocol alone, such as a tensor of a library that is not imported."""

    shape = (2, 2)
    dtype = "float32"

    def __array__(self, *_: Any) -> Any:
        return np.zeros((2, 2))

    def __getitem__(self, key: object) -> Any:
        raise IndexError

    def tolist(self) -> list[list[float]]:
        return [[0.0, 0.0], [0.0, 0.0]]


class Tensor:
    """The interface of `torch.tensor([1, 0])`."""

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
    """Has keys() and subscription, but is not a mapping."""

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


TEXT_CODE: Any = "w" if sys.version_info >= (3, 13) else "u"  # "u" is deprecated


class _Referent:
    pass


_REFERENT = _Referent()

ZOO: Final[dict[str, OddObject]] = {
    # Arrays and the results of processors.
    "ndarray 2d": OddObject(lambda: np.zeros((4, 3))),
    "ndarray ints": OddObject(lambda: np.array([1, 0]), stream=[1, 0]),
    "ndarray floats": OddObject(lambda: np.array([0.5, 1.0], np.float32), stream=[0.5, 1.0]),
    "ndarray flags": OddObject(lambda: np.array([True, False]), stream=[True, False]),
    "ndarray empty": OddObject(lambda: np.zeros(0), stream=[]),
    "ndarray scalar": OddObject(lambda: np.array(1.0)),
    "ndarray objects": OddObject(lambda: np.array([object(), 1], dtype=object)),
    "ndarray texts": OddObject(lambda: np.array(["a"])),
    "ndarray dates": OddObject(lambda: np.array(["2026-11-27"], "datetime64[ns]")),
    "ndarray complex": OddObject(lambda: np.array([1j])),
    "ndarray structured": OddObject(lambda: np.zeros(2, dtype=[("a", "i4")])),
    "masked array": OddObject(lambda: np.ma.array([1, 2], mask=[True, False])),
    "numpy int": OddObject(lambda: np.int64(1)),
    "numpy float32": OddObject(lambda: np.float32(0.5)),
    "numpy float64": OddObject(lambda: np.float64(0.5), json_value=0.5),
    "numpy flag": OddObject(lambda: np.bool_(True)),
    "numpy text": OddObject(lambda: np.str_("x"), json_value="x"),
    "tensor": OddObject(lambda: Tensor([1, 0]), stream=[1, 0]),
    "tensor without values": OddObject(lambda: MetaTensor([1, 0])),
    "duck array": OddObject(DuckArray),
    "array": OddObject(lambda: array.array("i", [1, 0]), stream=[1, 0]),
    "array of floats": OddObject(lambda: array.array("d", [0.5, 1.0]), stream=[0.5, 1.0]),
    "array of text": OddObject(lambda: array.array(TEXT_CODE, "ab")),
    "image": OddObject(lambda: Image.new("RGB", (2, 2))),
    "bytes": OddObject(lambda: b"\x89PNG\r\n"),
    "bytearray": OddObject(lambda: bytearray(b"\x89PNG")),
    "memoryview": OddObject(lambda: memoryview(b"\x89PNG")),
    "memoryview of ints": OddObject(lambda: memoryview(array.array("i", [1, 0])), stream=[1, 0]),
    "batch feature": OddObject(lambda: BatchFeature(pixel_values=np.zeros((2, 2)))),
    "batch feature of lists": OddObject(
        lambda: BatchFeature(pixel_values=[0.5]), json_value={"pixel_values": [0.5]}
    ),
    # Mappings.
    "UserDict": OddObject(lambda: collections.UserDict(a=1), json_value={"a": 1}),
    "empty UserDict": OddObject(collections.UserDict, json_value={}),
    "MappingProxy": OddObject(lambda: types.MappingProxyType({"a": 1}), json_value={"a": 1}),
    "MappingProxy of a set": OddObject(lambda: types.MappingProxyType({"a": {1}})),
    "OrderedDict": OddObject(lambda: collections.OrderedDict(a=1), json_value={"a": 1}),
    "defaultdict": OddObject(lambda: collections.defaultdict(int, a=1), json_value={"a": 1}),
    "Counter": OddObject(lambda: collections.Counter("a"), json_value={"a": 1}),
    "ChainMap": OddObject(lambda: collections.ChainMap({"a": 1}), json_value={"a": 1}),
    "dict subclass": OddObject(lambda: Fields(a=1), json_value={"a": 1}),
    "dict with an int key": OddObject(lambda: {1: 1}),
    "dict with an odd str key": OddObject(lambda: {Word("a"): 1}, json_value={"a": 1}),
    "dict with a smuggled key": OddObject(
        lambda: {Word("pixel_values"): [0.5]}, json_value={"pixel_values": [0.5]}
    ),
    "dict with an enum key": OddObject(lambda: {Key.GRID: 1}, json_value={"image_grid_thw": 1}),
    "dict with a bytes key": OddObject(lambda: {b"a": 1}),
    "dict with a None key": OddObject(lambda: {None: 1}),
    "dict with a surrogate key": OddObject(lambda: {"\ud800": 1}),
    "dataclass": OddObject(Record, json_value={"a": 1}),
    "dataclass of pixels": OddObject(PixelRecord),
    "pydantic model": OddObject(Model, json_value={"a": 1}),
    "pydantic model of pixels": OddObject(lambda: PixelModel(pixel_values=np.zeros((3, 3)))),
    "struct of another": OddObject(Struct, json_value={"a": 1}),
    "array-like struct of another": OddObject(ArrayStruct, json_value={"a": 1}),
    "namespace": OddObject(lambda: types.SimpleNamespace(a=1)),
    "keyed object": OddObject(Keyed),
    "subscriptable object": OddObject(Subscriptable),
    "hostile mapping": OddObject(HostileMapping),
    # Sequences and sets.
    "tuple": OddObject(lambda: (1, 0), json_value=[1, 0]),
    "named tuple": OddObject(lambda: Pair(1, 0), json_value=[1, 0]),
    "list subclass": OddObject(lambda: Numbers([1, 0]), json_value=[1, 0]),
    "UserList": OddObject(lambda: collections.UserList([1, 0]), json_value=[1, 0]),
    "deque": OddObject(lambda: collections.deque([1, 0]), json_value=[1, 0]),
    "range": OddObject(lambda: range(1, -1, -1), json_value=[1, 0]),
    "endless range": OddObject(lambda: range(10**15)),
    "set": OddObject(lambda: {1}),
    "frozenset": OddObject(lambda: frozenset({"a"})),
    "dict keys": OddObject({"a": 1}.keys),
    "dict values": OddObject({"a": 1}.values),
    "generator": OddObject(_generator),
    "iterator": OddObject(lambda: iter([1])),
    "map": OddObject(lambda: map(int, "12")),
    "hostile sequence": OddObject(HostileSequence),
    "list of a set": OddObject(lambda: [{1}]),
    "list of arrays": OddObject(lambda: [np.zeros(2)]),
    "list of numpy ints": OddObject(lambda: [np.int64(1), np.int64(0)], stream=[1, 0]),
    "list of numpy floats": OddObject(
        lambda: [np.float64(0.5), np.float64(1.0)], stream=[0.5, 1.0]
    ),
    "list of decimals": OddObject(lambda: [1.0, decimal.Decimal("0.5")]),
    "nested list": OddObject(lambda: [[1.0]], json_value=[[1.0]]),
    # Scalars.
    "str subclass": OddObject(lambda: Word("x"), json_value="x"),
    "str enum": OddObject(lambda: Key.GRID, json_value="image_grid_thw"),
    "StrEnum": OddObject(lambda: Text.X, json_value="x"),
    "enum": OddObject(lambda: Plain.RED),
    "IntEnum": OddObject(lambda: Level.ONE, json_value=1),
    "int subclass": OddObject(lambda: Count(1), json_value=1),
    "float subclass": OddObject(lambda: Ratio(0.5), json_value=0.5),
    "flag": OddObject(lambda: True, json_value=True),
    "large int": OddObject(lambda: 2**53 + 1, json_value=2**53 + 1),
    "huge int": OddObject(lambda: 10**400, json_value=10**400),
    "negative": OddObject(lambda: -1, json_value=-1),
    "fraction of an int": OddObject(lambda: 1.5, json_value=1.5),
    "nan": OddObject(lambda: float("nan")),
    "infinity": OddObject(lambda: float("-inf")),
    "complex": OddObject(lambda: 1j),
    "Decimal": OddObject(lambda: decimal.Decimal("0.1")),
    "Fraction": OddObject(lambda: fractions.Fraction(1, 2)),
    "datetime": OddObject(lambda: dt.datetime(2026, 11, 27, tzinfo=dt.UTC)),
    "date": OddObject(lambda: dt.date(2026, 11, 27)),
    "timedelta": OddObject(lambda: dt.timedelta(1)),
    "UUID": OddObject(lambda: uuid.UUID(int=1)),
    "path": OddObject(lambda: pathlib.Path("x")),
    "lone surrogate": OddObject(lambda: "\ud800"),
    "text": OddObject(lambda: "x", json_value="x"),
    "null": OddObject(lambda: None, json_value=None),
    # Others.
    "cyclic list": OddObject(_cycle_list),
    "cyclic dict": OddObject(_cycle_dict),
    "deep list": OddObject(lambda: _deep(lambda value: [value])),
    "deep dict": OddObject(lambda: _deep(lambda value: {"a": value})),
    "deep UserDict": OddObject(lambda: _deep(lambda value: collections.UserDict(a=value), 500)),
    "object": OddObject(object),
    "class": OddObject(lambda: dict),
    "function": OddObject(lambda: len),
    "module": OddObject(lambda: types),
    "Ellipsis": OddObject(lambda: ...),
    "UNSET": OddObject(lambda: msgspec.UNSET),
    "Ext": OddObject(lambda: msgspec.msgpack.Ext(1, b"x")),
    "Raw": OddObject(lambda: msgspec.Raw(b"1")),
    "file": OddObject(lambda: io.BytesIO(b"x")),
    "exception": OddObject(lambda: ValueError("x")),
    "weak reference": OddObject(lambda: weakref.proxy(_REFERENT)),
    "mock": OddObject(mock.MagicMock),
    "hostile object": OddObject(Hostile),
    **{f"forged {kind.__name__}": OddObject(partial(Forged, kind)) for kind in FORGED},
    **{
        f"mock of {kind.__name__}": OddObject(partial(mock.MagicMock, spec=kind)) for kind in MOCKED
    },
}
