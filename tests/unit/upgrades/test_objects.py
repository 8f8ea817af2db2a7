"""Python objects in every field of every old form give a valid value or an error of rawmm."""

from __future__ import annotations

import array
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import pathlib
import types
import uuid
from collections import (
    ChainMap,
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    defaultdict,
    deque,
)
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pydantic
import pytest

from rawmm import MessageNode, MMRefs, MultiModalData, RawMMError, RawMMItem, RawMMRef, to_builtins
from rawmm.model.types import GenerateFeatures
from rawmm.upgrades import upgrade
from tests.builders import FINGERPRINT
from tests.cases import each
from tests.unit.upgrades.forms import (
    SHA,
    URL,
    bare_grid,
    envelope,
    node,
    sidecar,
    without_version,
)  # fmt: skip
from tests.zoo import BatchFeature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REF_V2 = f"mmraw:v2:demo:qwen_vl:{FINGERPRINT}:image:{SHA[:32]}:a.png:e30"

FORMS: dict[str, tuple[Any, Any]] = {
    "descriptor_only": (bare_grid(), RawMMItem),
    "uri": (without_version(raw_image_uri="file:///images/a.png"), RawMMItem),
    "inline": (without_version(raw_image_data=URL), RawMMItem),
    "envelope_v1": (envelope(raw_image_id="a.png"), RawMMItem),
    "sidecar": (sidecar(bare_grid(), hashes=["a07e50973f7c1376" * 2]), MultiModalData),
    "node": (node(sidecar(without_version(raw_image_data=URL), hashes=[SHA[:32]])), MessageNode),
    "descriptor_and_uris": (
        [sidecar(envelope(), hashes=[SHA[:32]]), ["file:///images/a.png"]],
        MMRefs,
    ),
    "inline_urls": ([["file:///images/a.png", 0, 4]], MMRefs),
    "image_refs": ([[[envelope(raw_image_id="a.png"), SHA, "file:///images/a.png", 0, 4]]], MMRefs),
    "references": ([REF_V2], list[RawMMRef]),
    "features": (
        {
            "mm_hashes": {"image": [SHA[:32]]},
            "mm_placeholders": {"image": [{"offset": 0, "length": 4}]},
            "kwargs_data": {"image": [REF_V2]},
        },
        GenerateFeatures,
    ),
}


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Whole(int):
    def __repr__(self) -> str:
        return "another"


class Word(str, enum.Enum):  # noqa: UP042  (its str() is another than a StrEnum's)
    GRID = "image"


class StrWord(enum.StrEnum):
    GRID = "image"


class Number(enum.IntEnum):
    FOUR = 4


class Plain(enum.Enum):
    IMAGE = "image"


class Getter:
    """Has `__getitem__`, which msgspec takes for a mapping."""

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)


class Hostile:
    """Every access raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("a secret")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("a secret")

    def __hash__(self) -> int:
        raise RuntimeError("a secret")

    def __bool__(self) -> bool:
        raise RuntimeError("a secret")


class HostileMapping(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("a secret")

    def get(self, *_: Any) -> Any:
        raise RuntimeError("a secret")


class Pair(NamedTuple):
    one: Any
    two: Any


@dataclasses.dataclass
class Record:
    pixel_values: Any


class Model(pydantic.BaseModel):
    pixel_values: list[float]


class Struct(msgspec.Struct):
    pixel_values: Any


def generator() -> Iterator[int]:
    yield 1


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


NOT_JSON: dict[str, Callable[[], Any]] = {
    "array": lambda: np.zeros((4, 3)), "vector": lambda: np.zeros(3), "no dimension": lambda: np.array(1.0),
    "array of objects": lambda: np.array([{}, None], dtype=object), "bytes": lambda: b"x",
    "bytearray": lambda: bytearray(b"x"), "memoryview": lambda: memoryview(b"x"),
    "array.array": lambda: array.array("f", [1.0]), "set": lambda: {"a"},
    "frozenset": lambda: frozenset({"a"}), "keys": {"a": 1}.keys,
    "generator": generator, "iterator": lambda: iter([1]), "map": lambda: map(str, [1]),
    "zip": lambda: zip([1], [2], strict=True), "Decimal": lambda: decimal.Decimal("1.5"),
    "Fraction": lambda: fractions.Fraction(1, 2), "complex": lambda: 1j,
    "datetime": lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "date": lambda: dt.date(2026, 1, 1),
    "timedelta": lambda: dt.timedelta(1), "UUID": lambda: uuid.UUID(int=1),
    "path": lambda: pathlib.PurePosixPath("/a"), "object": object, "class": lambda: dict,
    "function": lambda: len, "module": lambda: types, "Enum": lambda: Plain.IMAGE,
    "Ellipsis": lambda: ..., "NotImplemented": lambda: NotImplemented, "file": lambda: io.BytesIO(b"x"),
    "Getter": Getter, "Hostile": Hostile, "exception": lambda: ValueError("x"), "slice": lambda: slice(1),
    "UNSET": lambda: msgspec.UNSET, "Raw": lambda: msgspec.Raw(b"{}"),
    "Ext": lambda: msgspec.msgpack.Ext(5, b"x"), "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"), "surrogate": lambda: "\ud800", "UserString": lambda: UserString("x"),
    "cycle": cycle, "deep": lambda: deep(5_000), "numpy datetime": lambda: np.datetime64("2026-01-01"),
    "numpy text": lambda: np.array(["a"]), "key of a number": lambda: {1: "a"},
    "key of a tuple": lambda: {("a",): 1}, "key of bytes": lambda: {b"a": 1},
    "Record": lambda: Record(np.zeros(2)), "Model": lambda: Model(pixel_values=[0.5]),
    "Struct": lambda: Struct(np.zeros(2)), "BatchFeature": lambda: BatchFeature(pixel_values=np.zeros(2)),
    "mapping of an array": lambda: types.MappingProxyType({"pixel_values": np.zeros(2)}),
    "list of an array": lambda: UserList([np.zeros(2)]), "tuple of a set": lambda: Pair({1}, {2}), "ChainMap": lambda: ChainMap({"a": {1}}), "numpy.float32": lambda: np.float32(0.1),
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a document but itself."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at `path`."""
    if not path:
        return new
    key, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replaced(value[key], tuple(rest), new)
    return copy


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NOT_JSON)
def test_value_that_is_not_json_is_refused_at_every_field(name: str, form: str) -> None:
    document, kind = FORMS[form]
    for path in ((), *places(document)):
        value = replaced(document, path, NOT_JSON[name]())
        for as_kind in (kind, None):
            with pytest.raises(RawMMError) as caught:
                upgrade(value, as_kind)
            error = caught.value
            assert "secret" not in str(error)
            assert error.__cause__ is None
            assert error.__context__ is None or isinstance(error.__context__, RawMMError)
            assert error.path.startswith("$")


def rewrapped(value: Any, wrap: Callable[[Any], Any]) -> Any:
    """`value` with `wrap` applied to every part of it, from the leaves up."""
    if isinstance(value, dict):
        return wrap({key: rewrapped(child, wrap) for key, child in value.items()})
    if isinstance(value, list):
        return wrap([rewrapped(child, wrap) for child in value])
    return wrap(value)


def lazily(make: type[Any], kind: type[Any]) -> Callable[[Any], Any]:
    return lambda value: make(value) if type(value) is kind else value


EQUIVALENT: dict[str, Callable[[Any], Any]] = {
    "OrderedDict": lazily(OrderedDict, dict),
    "UserDict": lazily(UserDict, dict),
    "BatchFeature": lazily(BatchFeature, dict),
    "MappingProxyType": lazily(types.MappingProxyType, dict),
    "ChainMap": lazily(ChainMap, dict),
    "defaultdict": lambda value: defaultdict(list, value) if type(value) is dict else value,
    "HostileMapping": lazily(HostileMapping, dict),
    "tuple": lazily(tuple, list),
    "deque": lazily(deque, list),
    "UserList": lazily(UserList, list),
    "str subclass": lazily(Text, str),
    "int subclass": lazily(Whole, int),
    "str Enum": lambda v: Word(v) if type(v) is str and v == "image" else v,
    "StrEnum": lambda v: StrWord(v) if type(v) is str and v == "image" else v,
    "IntEnum": lambda v: Number(v) if type(v) is int and v == 4 else v,
    "Enum keys": lambda v: (
        {Word(key) if key == "image" else Text(key): child for key, child in v.items()}
        if type(v) is dict
        else v
    ),
}


@each("form", FORMS)
@each("name", EQUIVALENT)
def test_equal_documents_upgrade_equally(name: str, form: str) -> None:
    document, kind = FORMS[form]
    said = rewrapped(document, EQUIVALENT[name])
    if form == "inline_urls":  # needs a layout
        refusals = []
        for value in (document, said):
            with pytest.raises(RawMMError) as caught:
                upgrade(value, kind)
            refusals.append(str(caught.value))
        assert refusals[0] == refusals[1]
        return
    wanted: Any = upgrade(document, kind)
    result: Any = upgrade(said, kind)
    assert (result.form, result.notes) == (wanted.form, wanted.notes)
    assert plainly(to_builtins(result.value)) == plainly(to_builtins(wanted.value))


def plainly(value: Any) -> Any:
    """A value with the exact type of each part beside it."""
    if isinstance(value, dict):
        return {(type(key), key): plainly(child) for key, child in value.items()}
    if isinstance(value, list):
        return [plainly(child) for child in value]
    return type(value), value


@pytest.mark.parametrize(
    "stream", [np.array([9] * 40), np.array([9] * 40, dtype=np.int32), array.array("q", [9] * 40)]
)
def test_stream_of_tokens_may_be_an_array(stream: Any) -> None:
    old = node(sidecar(without_version(raw_image_uri="file:///images/a.png")))
    wanted = upgrade(old)
    assert upgrade({**old, "token_ids": stream}).value == wanted.value
    assert upgrade({**old, "token_ids": stream}, None).value == wanted.value


@pytest.mark.parametrize("field", ["mm_items", "mm_hashes", "mm_placeholders"])
@pytest.mark.parametrize(
    "new", [np.zeros(1), {"image"}, BatchFeature(pixel_values=np.zeros(2)), 7, "x"]
)
def test_invalid_assigned_value_is_refused(new: Any, field: str) -> None:
    data = upgrade(sidecar(envelope()), MultiModalData).value
    setattr(data, field, new)
    with pytest.raises(RawMMError) as caught:
        upgrade(data, MultiModalData)
    assert caught.value.path.startswith(f"$.{field}")
