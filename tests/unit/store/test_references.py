"""The images that a record names, in any form and any Python object."""

from __future__ import annotations

import array
import dataclasses
import datetime as dt
import enum
import io
import json
from collections import ChainMap, UserDict, UserList, UserString, defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar
from unittest import mock

import msgspec
import numpy as np
import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    FileUrl,
    HttpUrl,
    PlainSerializer,
    PostgresDsn,
    PrivateAttr,
    RootModel,
    SerializeAsAny,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
    model_validator,
)
from pydantic import dataclasses as pydantic_dataclasses
from pydantic_core import MultiHostUrl, Url, core_schema
from typing_extensions import TypedDict

import rawmm
from rawmm.errors import ContractError, ProcessedPayloadError
from rawmm.store.references import Referenced, each_record, locators
from rawmm.store.text_forms import decoded_forms
from rawmm.store.written_forms import written_forms
from tests.builders import json_base64
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable

SHA = "2e7c616c370f1c87c9311bc410fcf43b0123456789abcdef0123456789abcdef"
NAME = f"{SHA}.png"
OLD = f"{SHA[:16]}.jpg"
OTHER = f"{'b' * 64}.png"
WIRE = Path(__file__).resolve().parents[2] / "data" / "wire"


def named(record: Any) -> set[str]:
    referenced = Referenced([NAME, OLD, OTHER])
    referenced.add(record)
    return referenced.names


@dataclasses.dataclass
class Plain:
    where: Any


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    where: Any


class Struct(msgspec.Struct):
    where: Any


@pytest.mark.parametrize(
    "text",
    [
        NAME,
        OLD,
        SHA,
        SHA[:32],
        SHA[:16],
        SHA.upper(),
        f"file:///images/{NAME}",
        f"file:///images/{NAME}?x",
        f"s3://bucket/a/{NAME}",
        f"see file:///images/{NAME}, please",
        f"file:///run%2f{NAME}",  # a digit before the hash, once it is escaped
        f"file:///images/{SHA[:8]}%33{SHA[9:16]}.jpg",
        f"image{NAME}",
        f"abc{NAME}",
        f"{NAME}.bak",
        json.dumps({"raw_image_uri": f"file:///images/{NAME}"}),
        json.dumps(json.dumps([NAME])),
        f"mmraw:v2:run:qwen_vl:f:image:{SHA[:32]}:{NAME}:e30",
        f"it was mmraw:{json_base64({'raw_image_id': NAME})}, and so on",
        f"it was mmraw:v3:{json_base64({'raw_uri': NAME})}=",
        f"it was mmraw:v7:{json_base64({'raw_uri': NAME})}",
        f"mmfile:v1:demo:f:image:{SHA[:32]}",
    ],
)
def test_any_possible_name_keeps_its_image(text: str) -> None:
    wanted = {NAME, OLD}
    for record in (
        text,
        [text],
        {"any": {"key": (1, [None, text])}},
        {text: 1},
        {"bytes": text.encode()},
        [1, 2, text, 3],
        ["x", text],
        {"x", text},
        Plain([text]),
        Model(where={"a": text}),
        Model(where=1, more=[text]),
        Struct({1: [text]}),
        Path(text),
    ):
        assert named(record) == wanted, record


@pytest.mark.parametrize(
    "text",
    [
        "",
        SHA[:15],
        SHA[1:],
        "b" * 15,
        f"mmraw {SHA[:15]}",
        "image.png",
    ],
)
def test_text_without_a_name_keeps_no_image(text: str) -> None:
    assert named([text, {text: text}]) == set()


def test_each_named_image_is_kept() -> None:
    assert named([OTHER]) == {OTHER}
    assert named([OTHER, SHA]) == {OTHER, NAME, OLD}
    assert named(["ab" * 8]) == set()
    assert named(["a" + "b" * 16]) == {OTHER}


def test_cyclic_and_shared_objects_are_visited_once() -> None:
    part = {"url": NAME}
    record: list[Any] = [part, part]
    record.append(record)
    assert named(record) == {NAME, OLD}


def test_name_below_100000_levels_is_found() -> None:
    record: Any = NAME
    for _ in range(100_000):
        record = [record]
    assert named(record) == {NAME, OLD}


def test_names_in_open_fields_of_structs_are_found() -> None:
    trace = rawmm.convert({"nodes": [], "info": {"a": 1}, "own": {"x": [NAME]}}, rawmm.Trace)
    assert named(trace) == {NAME, OLD}
    assert [(one.path, one.locator) for one in locators(trace)] == []
    trace = rawmm.convert({"nodes": [], "own": {"x": ["file:///a/b.png"]}}, rawmm.Trace)
    assert [(one.path, one.locator) for one in locators(trace)] == [
        (("own", "x", 0), "file:///a/b.png")
    ]


def test_values_without_text_keep_no_image() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert named([1, 1.5, None, True, moment, moment.date(), msgspec.UNSET, 1j]) == set()


@pytest.mark.parametrize("value", [object(), Plain, iter([NAME])])
def test_unreadable_object_is_an_error(value: Any) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named({"a": [value]})
    assert (caught.value.code, caught.value.path) == ("not_json", "$.a[0]")
    assert SHA not in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("mmraw:v9:abc", "unsupported_version"),
        ("mmraw:v3:%%%", "bad_base64"),
        ('mmraw:{"a":', "malformed"),
        ('mmraw:{"a":1,"a":2}', "duplicate_key"),
        ("mmraw:v2:a:b", "bad_format"),
        ('mmraw:{"a":' + "[" * 100_000, "too_deep"),
    ],
)
def test_reference_that_cannot_be_read_is_an_error(ref: str, code: str) -> None:
    for look in (named, lambda record: list(locators(record))):
        with pytest.raises(ContractError) as caught:
            look({"a": [1, ref]})
        assert caught.value.code == code
        assert caught.value.path.startswith("$.a[1]")


def test_reference_with_an_invalid_value_is_read() -> None:
    ref = f'mmraw:{{"raw_image_id":"{NAME}","pixel_values":[1]}}'
    assert named([ref]) == {NAME, OLD}
    assert [one.locator for one in locators([ref])] == [NAME]


def test_locators_are_ids_and_file_urls_with_their_places() -> None:
    ref = f"mmraw:v2:run:qwen_vl:{SHA[:32]}:image:{SHA[:32]}:{NAME}:e30"
    record = {
        "items": [{"raw_image_id": "cat.png", "raw_image_uri": "file:///a/c.png"}],
        "raw_image_id": {"not": "one", "raw_image_id": None},
        "file:///a/key.png": 1,
        "text": f"see {NAME}",
        "url": "https://host/x.png",
        "pairs": [["FILE:///a/b.png", 3]],
        "refs": [ref, None],
    }
    assert [(one.path, one.locator) for one in locators(record)] == [
        (("items", 0, "raw_image_id"), "cat.png"),
        (("items", 0, "raw_image_uri"), "file:///a/c.png"),
        (("file:///a/key.png",), "file:///a/key.png"),
        (("pairs", 0, 0), "FILE:///a/b.png"),
        (("refs", 0), NAME),
    ]


PRUNED = {"172006e47eb634dd.png"}
IMAGES = {"09015e08bbbc3037.png", "2afc26d7855ad16e.png", "a07e50973f7c1376.png"}
TRAINER = {"2e7c616c370f1c87.png", "d951b2faed1022f9.png"}
FLOW = {path.name for path in (WIRE / "flow-0.4.0" / "images").iterdir()}
NAMED_BY_SAMPLES = {
    "flow-0.4.0/inline.trace": set(),
    "flow-0.4.0/offloaded.trace": FLOW,
    "descriptor_only/nodes": IMAGES,
    "envelope_v1/nodes": IMAGES,
    "uri/nodes": IMAGES,
    "processed/nodes": IMAGES,
    "inline/nodes": IMAGES,  # by their hashes
    "released/nodes": set(),
    "pruned/item_uri": PRUNED,
    "trainer/mm_refs.descriptor_and_uris": TRAINER,
    "trainer/mm_refs.image_refs": TRAINER,
    "trainer/mm_refs.inline": set(),
    "trainer/mm_refs.descriptor_and_uris.fields": TRAINER,
    "trainer/mm_refs.image_refs.fields": TRAINER,
    "trainer/mm_refs.inline.fields": set(),
    "trainer/training_sample.descriptor_and_uris": TRAINER,
    "trainer/training_sample.image_refs": TRAINER,
    "trainer/training_sample.inline": set(),
    "trainer/refs": {"2e7c616c370f1c87.png"},
}
NAMED_BY_SAMPLES |= {f"flow_odd/{path.stem}": set() for path in WIRE.glob("flow_odd/*.json")}
SAMPLES = sorted(path for path in WIRE.glob("*/*") if path.suffix in {".json", ".msgpack"})


@each("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_sample_of_every_form_names_its_images(path: Path) -> None:
    data = path.read_bytes()
    value = msgspec.json.decode(data) if path.suffix == ".json" else msgspec.msgpack.decode(data)
    referenced = Referenced(IMAGES | TRAINER | PRUNED | FLOW)
    referenced.add(value)
    key = f"{path.parent.name}/{path.stem}"
    assert referenced.names == NAMED_BY_SAMPLES[key]
    exact = {one.locator.rpartition("/")[2] for one in locators(value)}
    assert exact == (set() if key == "inline/nodes" else NAMED_BY_SAMPLES[key])


# Objects: everything that they hold, or an error.

HEAD, TAIL = NAME[:30], NAME[30:]


class Halves:
    def __init__(self) -> None:
        self.head, self.tail = HEAD, TAIL


class WithProperty(Halves):
    @property
    def whole(self) -> str:
        return self.head + self.tail


class WithCachedProperty(Halves):
    @cached_property
    def whole(self) -> list[str]:
        return [self.head + self.tail]


class Derived(WithProperty):
    """A property of a base class."""


class ComputedModel(BaseModel):
    head: str = HEAD
    tail: str = TAIL

    @computed_field  # type: ignore[prop-decorator]
    @property
    def whole(self) -> str:
        return self.head + self.tail


class PrivateModel(BaseModel):
    _url: str = PrivateAttr(default=NAME)


class ComputedStruct(msgspec.Struct):
    head: str = HEAD
    tail: str = TAIL

    @property
    def whole(self) -> str:
        return self.head + self.tail


class StructWithDict(msgspec.Struct, dict=True):
    pass


class Slots:
    __slots__ = ("_url", "unset")

    def __init__(self) -> None:
        self._url = NAME


class MoreSlots(Slots):
    __slots__ = ("other",)


@dataclasses.dataclass
class Constant:
    number: int = 1
    url = NAME  # without an annotation it is no field


@dataclasses.dataclass(slots=True, frozen=True)
class FrozenSlots:
    url: str


class TextWithNote(str):  # noqa: SLOT000  (it has a dict)
    """A string that carries an attribute."""


class ListWithNote(list[Any]):
    """A list that carries an attribute."""


class DictThatShowsOthers(dict[str, Any]):
    """A dict whose class makes up items."""

    def items(self) -> Any:
        return [("url", NAME)]


class Color(enum.Enum):
    RED = NAME


class Reading(float):
    """A number that carries an attribute."""


class Pair(NamedTuple):
    left: int
    right: str


def with_attribute(value: Any, attribute: Any = NAME) -> Any:
    value.beside = attribute
    return value


HOLDERS: dict[str, Callable[[], Any]] = {
    "property": WithProperty,
    "cached property": WithCachedProperty,
    "property of a base": Derived,
    "computed field": ComputedModel,
    "private attribute of a model": PrivateModel,
    "property of a struct": ComputedStruct,
    "attribute beside the fields of a struct": lambda: with_attribute(StructWithDict()),
    "attribute beside the fields of a dataclass": lambda: with_attribute(Plain(1)),
    "constant of a dataclass": Constant,
    "frozen dataclass with slots": lambda: FrozenSlots(NAME),
    "slots": Slots,
    "slots of a base": MoreSlots,
    "namespace": lambda: SimpleNamespace(a=[NAME]),
    "attribute of a str": lambda: with_attribute(TextWithNote("x")),
    "attribute of a list": lambda: with_attribute(ListWithNote([1])),
    "elements of a list of a class of its own": lambda: ListWithNote([NAME]),
    "attribute of a number": lambda: with_attribute(Reading(1.0)),
    "made-up items": DictThatShowsOthers,
    "items behind made-up ones": lambda: DictThatShowsOthers({NAME: 1}),
    "enum": lambda: Color.RED,
    "named tuple": lambda: Pair(1, NAME),
    "UserDict": lambda: UserDict({"a": NAME}),
    "ChainMap": lambda: ChainMap({}, {NAME: 1}),
    "defaultdict": lambda: defaultdict(list, a=[NAME]),
    "deque": lambda: deque([1, NAME]),
    "values of a dict": {"a": NAME}.values,
    "keys of a dict": {NAME: 1}.keys,
    "proxy": lambda: MappingProxyType({"a": NAME}),
    "array of bytes": lambda: array.array("B", NAME.encode()),
    "numpy array of bytes": lambda: np.frombuffer(NAME.encode(), dtype=np.uint8),
    "part of a numpy array": lambda: np.frombuffer(("x" + "x".join(NAME)).encode(), np.uint8)[1::2],
    "numpy string": lambda: np.str_(NAME),
    "memoryview": lambda: memoryview(NAME.encode()),
}


@each("holder", HOLDERS)
def test_any_state_of_an_object_keeps_its_image(holder: str) -> None:
    assert named({"a": [HOLDERS[holder]()]}) == {NAME, OLD}


def test_looking_does_not_change_an_object() -> None:
    value = WithCachedProperty()
    named(value)
    assert vars(value) == {"head": HEAD, "tail": TAIL}
    filled: defaultdict[str, Any] = defaultdict(list)
    named(filled)
    assert filled == {}


def test_names_in_a_cycle_of_objects_are_found() -> None:
    one, other = SimpleNamespace(url=NAME), SimpleNamespace()
    one.other, other.one, other.itself = other, one, other
    assert named(other) == {NAME, OLD}


class Raises:
    @property
    def url(self) -> str:
        raise ValueError(SHA)


class Stream(io.BytesIO):
    """Python sees no content in it."""


class Endless:
    @property
    def more(self) -> Endless:
        return Endless()


def unreadable() -> dict[str, Any]:
    return {
        "generator": (each for each in [NAME]),
        "stream": Stream(NAME.encode()),
        "function": lambda: NAME,
        "partial": partial(str, NAME),
        "iterator": iter([NAME]),
        "exception": ValueError(NAME),
        "array of objects": np.array([NAME], dtype=object),
        "array of texts": np.array([NAME]),
        "records": np.zeros(2, dtype=[("a", "i4")]),
        "extension of MessagePack": msgspec.msgpack.Ext(5, NAME.encode()),
        "released memoryview": _released(),
    }


def _released() -> memoryview:
    view = memoryview(NAME.encode())
    view.release()
    return view


@pytest.mark.parametrize("kind", unreadable())
def test_object_with_hidden_state_is_an_error(kind: str) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named({"a": [1, unreadable()[kind]]})
    assert (caught.value.code, caught.value.path) == ("not_json", "$.a[1]")
    assert SHA[:16] not in str(caught.value)
    assert caught.value.__context__ is None


class RaisingModel(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def url(self) -> str:
        raise ValueError(SHA)


def test_property_that_raises_holds_nothing() -> None:
    assert named([with_attribute(Raises())]) == {NAME, OLD}


def test_raising_computed_field_is_an_error_without_its_message() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named([RaisingModel()])
    assert (caught.value.code, caught.value.path) == ("not_json", "$[0].url")
    assert caught.value.got == "a computed field that raises an error"
    assert SHA[:16] not in str(caught.value)
    assert caught.value.__context__ is None


class FieldWriter(BaseModel):
    digest: int = int(SHA, 16)

    @field_serializer("digest")
    def _name(self, digest: int) -> str:
        return f"file:///images/{digest:064x}.png"


class ModelWriter(BaseModel):
    digest: int = int(SHA, 16)

    @model_serializer
    def _named(self) -> dict[str, list[str]]:
        return {"images": [f"{self.digest:064x}.png"]}


class JsonWriter(BaseModel):
    digest: int = int(SHA, 16)

    @field_serializer("digest", when_used="json")
    def _name(self, digest: int) -> str:
        return f"{digest:064x}.png"


@pytest.mark.parametrize("model", [FieldWriter, ModelWriter, JsonWriter])
def test_serialized_form_of_a_model_is_read(model: type[BaseModel]) -> None:
    assert named([{"a": model()}]) == {NAME, OLD}


# Fields that functions write, however the functions are declared.

DIGEST = int(SHA, 16)


def as_name(digest: int) -> str:
    return f"{digest:064x}.png"


Digest = Annotated[int, PlainSerializer(as_name)]
Wrapped = Annotated[int, WrapSerializer(lambda digest, write: as_name(write(digest)))]
InJson = Annotated[int, PlainSerializer(as_name, when_used="json")]
T = TypeVar("T")


class OwnType:
    """A type that tells pydantic how it is written."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def __get_pydantic_core_schema__(self, *_: Any) -> Any:
        return core_schema.int_schema(serialization=self.writer)


class Shown:
    """An object whose text is made when it is written."""

    __slots__ = ("digest",)

    def __init__(self) -> None:
        self.digest = DIGEST

    def __str__(self) -> str:
        return as_name(self.digest)

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.to_string_ser_schema(when_used="always")
        )


class Holder(BaseModel, Generic[T]):
    where: T


class Row(TypedDict):
    digest: Digest


@dataclasses.dataclass
class PlainRow:
    digest: Digest = DIGEST


@pydantic_dataclasses.dataclass
class Typed:
    digest: Digest = DIGEST


@pydantic_dataclasses.dataclass(slots=True, frozen=True)
class Decorated:
    digest: int = DIGEST

    @field_serializer("digest")
    def _name(self, digest: int) -> str:
        return as_name(digest)


class Inherited(Typed):
    """A subclass of a dataclass that is not a dataclass itself."""


@dataclasses.dataclass
class PlainBelow(Typed):
    """A dataclass that pydantic compiles where it is the type of a field."""

    other: Digest = DIGEST
    digest: int = 0


class Root(RootModel[list[Digest]]):
    pass


class Extras(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Digest]


class HexBytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex")
    digest: bytes = bytes.fromhex(SHA)


class Computes(BaseModel):
    number: int = DIGEST

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> Digest:
        return self.number


class Dumps(BaseModel):
    digest: int = DIGEST

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"image": as_name(self.digest)}


class Validated(BaseModel):
    digest: Digest = DIGEST

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, value: Any, check: Any) -> Any:
        return check(value)


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)
    digest: Digest = DIGEST


class Base(BaseModel):
    digest: Digest = DIGEST


class Sub(Base):
    digest: int = DIGEST


class OtherFieldIsPlain(Base):
    other: int = 1


class Tree(BaseModel):
    below: list[Tree] = []
    rows: dict[str, Row] = {}


class BinaryBeside(BaseModel):
    """Bytes without a JSON form do not hide the values beside them."""

    raw: Annotated[int, PlainSerializer(lambda _: b"\xff\x00")] = 1
    odd: Annotated[int, PlainSerializer(lambda _: np.zeros(2))] = 1
    digest: InJson = DIGEST


def own_type(serialization: Any) -> Any:
    kind: Any = Annotated[int, OwnType(serialization)]
    return Holder.__class_getitem__(kind)(where=DIGEST)


WRITTEN: dict[str, Callable[[], Any]] = {
    "annotation": lambda: Holder[Digest](where=DIGEST),
    "wrapping annotation": lambda: Holder[Wrapped](where=DIGEST),
    "annotation for JSON": lambda: Holder[InJson](where=DIGEST),
    "elements": lambda: Holder[dict[str, list[Digest] | None]](where={"a": [DIGEST]}),
    "keys": lambda: Holder[dict[Digest, int]](where={DIGEST: 1}),
    "typed dict": lambda: Holder[Row](where={"digest": DIGEST}),
    "dataclass in a model": lambda: Holder[PlainRow](where=PlainRow()),
    "dataclass below one of pydantic": lambda: Holder[PlainBelow](where=PlainBelow()),
    "dataclass of pydantic": Typed,
    "decorated dataclass of pydantic": Decorated,
    "class below a dataclass of pydantic": Inherited,
    "dataclass of pydantic in a model": lambda: Holder[Any](where=Typed()),
    "as any": lambda: Holder[SerializeAsAny[BaseModel]](where=Base()),
    "root": lambda: Root([DIGEST]),
    "extra fields": lambda: Extras(more=DIGEST),
    "bytes as hex": HexBytes,
    "computed field": Computes,
    "method of its own": Dumps,
    "validated": Validated,
    "deferred": lambda: Deferred.model_construct(digest=DIGEST),
    "field of a base": OtherFieldIsPlain,
    "plain class in a field of its base": lambda: Holder[Base](where=Sub()),
    "tree": lambda: Tree(below=[Tree(rows={"a": {"digest": DIGEST}})]),
    "model that a function writes": lambda: Holder[
        Annotated[Model, PlainSerializer(lambda model: as_name(model.where))]
    ](where=Model(where=DIGEST)),
    "type with a function": lambda: own_type(
        core_schema.plain_serializer_function_ser_schema(as_name)
    ),
    "type with a format": lambda: own_type(
        core_schema.format_ser_schema("064x", when_used="always")
    ),
    "type as text": lambda: Holder[Shown](where=Shown()),
    "beside bytes": BinaryBeside,
}


@each("kind", WRITTEN)
def test_image_named_by_a_serializer_is_kept(kind: str) -> None:
    assert named([{"a": WRITTEN[kind]()}]) == {NAME, OLD}


@pytest.mark.parametrize(
    "value",
    [
        FileUrl(f"file:///images/{NAME}"),
        AnyUrl(f"s3://bucket/{NAME}"),
        HttpUrl(f"https://host/{NAME}"),
        PostgresDsn(f"postgres://a@host1:1,host2:2/{NAME}"),
        Url(f"file:///images/{NAME}"),
        MultiHostUrl(f"postgres://a@host1:1,host2:2/{NAME}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_url_of_pydantic_keeps_its_image(value: Any) -> None:
    assert named([value]) == {NAME, OLD}
    assert named([Model(where=value)]) == {NAME, OLD}
    assert named([Holder.__class_getitem__(type(value))(where=value)]) == {NAME, OLD}


@pytest.mark.parametrize(
    "value", [Model(where=1), Holder[Base](where=Base()), Holder[list[Typed]](where=[Typed()])]
)
def test_models_without_serializers_are_not_serialized(value: Any) -> None:
    assert list(written_forms(value)) == []


def test_objects_that_many_share_are_written_once() -> None:
    written: list[int] = []

    class Shared(BaseModel):
        left: Any = None
        right: Any = None
        number: Annotated[int, PlainSerializer(written.append)] = 1

    record = Shared()
    for _ in range(60):  # 2^60 objects, were it written as a tree
        record = Shared(left=record, right=record)
    named([record])
    assert len(written) == 61 * 2  # for Python and for JSON


@pytest.mark.parametrize("kind", [list, tuple, dict, set, str])
def test_mock_in_place_of_records_is_refused(kind: type) -> None:
    with pytest.raises(ContractError) as caught:
        each_record(mock.MagicMock(spec=kind))
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$")


class RaisingWriter(BaseModel):
    @model_serializer
    def _named(self) -> str:
        raise ValueError(SHA)


def not_decoded(_: Any) -> str:
    return b"\xff".decode()


class FailingWriter(BaseModel):
    where: Annotated[int, PlainSerializer(not_decoded, when_used="json")] = 1


@pytest.mark.parametrize("model", [RaisingWriter, FailingWriter])
def test_model_that_cannot_be_written_is_an_error(model: type[BaseModel]) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named([model()])
    assert (caught.value.code, caught.value.path) == ("not_json", "$[0]")
    assert SHA[:16] not in str(caught.value)
    assert caught.value.__context__ is None


def test_objects_without_end_are_an_error() -> None:
    with pytest.raises(ContractError) as caught:
        named([Endless()])
    assert caught.value.code == "too_large"


def test_times_of_messagepack_hold_no_text() -> None:
    assert named([msgspec.msgpack.Ext(-1, bytes(8))]) == set()


def test_invalid_messagepack_timestamp_is_an_error() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named([msgspec.msgpack.Ext(-1, NAME.encode())])
    assert caught.value.code == "not_json"


class Letters(Sequence[Any]):
    """As `UserString`: its elements are of its own class, made anew each time."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, index: Any) -> Any:
        return Letters(self.text[index])


class Children(UserDict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return Children(self.data)


@pytest.mark.slow
@pytest.mark.parametrize("value", [Letters(NAME), Children(a=NAME)], ids=["sequence", "mapping"])
def test_elements_without_end_are_an_error(value: Any) -> None:
    with pytest.raises(ContractError) as caught:
        named([value])
    assert caught.value.code == "too_large"


def test_text_of_a_user_string_is_read() -> None:
    assert named([UserString(NAME)]) == {NAME, OLD}


class Rows(UserList[Any]):
    pass


@pytest.mark.slow
def test_elements_that_a_class_keeps_have_no_limit() -> None:
    rows = Rows({"row": number} for number in range(120_000))
    rows.append([NAME])
    assert named([rows]) == {NAME, OLD}


# Texts: every layer of escapes, or an error.


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def quoted(text: str) -> str:
    return "".join(f"%{ord(char):02x}" for char in text)


@pytest.mark.parametrize(
    "text",
    [
        escaped(NAME),
        escaped(NAME).upper().replace("U00", "u00"),
        quoted(NAME),
        quoted(quoted(NAME)),
        escaped(escaped(NAME)),
        escaped(quoted(NAME)),
        quoted(escaped(NAME)),
        json.dumps(json.dumps(f'{{"a": "{escaped(NAME)}"}}')),
        f"data:{escaped(NAME)}",
        f"\\x {escaped(NAME)}",
        f"mmraw:{json_base64({'raw_uri': quoted(NAME)})}",
        json.dumps({"a": json.dumps({"b": f"mmraw:v3:{json_base64({'raw_uri': NAME})}"})}),
        f"{escaped('mmraw')}:{json_base64({'raw_image_id': NAME})}",
        f"see mmraw:{json_base64({'payload': f'mmraw:{json_base64([NAME])}'})}",
        f"see mmraw:v2:r:f:{SHA[:0]}0:image:0:x.png:{json_base64([NAME])}",
        "é" * 2000 + NAME,
        "x" * 2000 + NAME.upper(),
        "\ud800" * 2000 + NAME,
    ],
)
def test_name_in_layers_of_escapes_keeps_its_image(text: str) -> None:
    for record in ([text], {text: 1}, [text.encode("utf-8", "surrogatepass")]):
        assert named(record) == {NAME, OLD}


@pytest.mark.parametrize("escape", [escaped, quoted])
def test_too_many_layers_of_escapes_are_an_error(escape: Callable[[str], str]) -> None:
    text = "a"
    while len(text) < 100_000:
        text = (
            escape("\\" if escape is escaped else "%") + text[1:] if text != "a" else escape(text)
        )
        text = escape(text[0]) + text[1:]
    with pytest.raises(ContractError) as caught:
        named({"a": [text]})
    assert (caught.value.code, caught.value.path) == ("too_deep", "$.a[0]")


@pytest.mark.parametrize(
    "text",
    ["%25" * 20_000 + "61", "\\u005c" * 20_000 + "u0061", "\\" * 50_000, "mmraw:" * 20_000],
    ids=["percent", "backslash", "pairs", "references"],
)
def test_work_on_a_text_is_bounded_by_its_length(text: str) -> None:
    length = 0
    with suppress(ContractError):
        for form in decoded_forms(text):
            length += len(form)
    assert length <= 17 * len(text) + 4096
