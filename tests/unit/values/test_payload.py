"""Processed payloads and arrays are refused at any depth, in any container, everywhere."""

from __future__ import annotations

import array
import collections
import ctypes
import dataclasses
import datetime as dt
import decimal
import enum
import json
import mmap
import types
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawmm import (
    PROCESSED_KEYS,
    AssistantMessage,
    ContractError,
    MessageNode,
    MMImageRef,
    MultiModalData,
    ProcessedPayloadError,
    RawMMError,
    RawMMItem,
    RawMMRef,
    UserMessage,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    raw_mm_item,
    to_builtins,
    validate,
)
from tests.builders import FINGERPRINT, item_document
from tests.cases import each

HASH = "a07e50973f7c13761a4022033440544e"


def item(payload: Any) -> RawMMItem:
    return raw_mm_item(
        modality="image", family="qwen_vl", layout_fingerprint=FINGERPRINT, payload=payload
    )


class OddMapping(Mapping[str, Any]):
    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Any:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class OddSequence(Sequence[Any]):
    def __init__(self, data: list[Any]) -> None:
        self.data = data

    def __getitem__(self, index: Any) -> Any:
        return self.data[index]

    def __len__(self) -> int:
        return len(self.data)


@dataclasses.dataclass
class Record:
    inner: Any


class Struct(msgspec.Struct):
    inner: Any


class Model(pydantic.BaseModel):
    inner: Any


@dataclasses.dataclass
class Pixels:
    pixel_values: list[float]


CONTAINERS = {
    "dict": lambda value: {"inner": value},
    "list": lambda value: [0, value],
    "tuple": lambda value: (value,),
    "mapping": lambda value: OddMapping({"inner": value}),
    "sequence": lambda value: OddSequence([value]),
    "proxy": lambda value: types.MappingProxyType({"inner": value}),
    "ordered": lambda value: collections.OrderedDict(inner=value),
    "deque": lambda value: collections.deque([value]),
    "dataclass": Record,
    "struct": Struct,
    "model": lambda value: Model(inner=value),
}
INDEX = {"list": "[1]", "tuple": "[0]", "sequence": "[0]", "deque": "[0]"}


@each("key", sorted(PROCESSED_KEYS))
@each("container", sorted(CONTAINERS))
@each("depth", [1, 2, 20])
def test_processed_key_in_any_container_is_refused(container: str, depth: int, key: str) -> None:
    value: Any = {key: 1}
    path = ""
    for _ in range(depth):
        value = CONTAINERS[container](value)
        path += INDEX.get(container, ".inner")
    with pytest.raises(ProcessedPayloadError) as caught:
        item({"a": value})
    assert caught.value.code == "processed_payload"
    assert caught.value.path == f"$.payload.a{path}.{key}"


def test_processed_field_of_a_record_is_refused() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        item({"a": [Pixels([0.5])]})
    assert caught.value.path == "$.payload.a[0].pixel_values"


class FakeTensor:
    """Recognized by its protocol, like torch tensors; torch is not imported."""

    def __dlpack__(self) -> None:
        raise AssertionError


def only(protocol: str) -> Any:
    """An object whose class has one array protocol and nothing else."""
    return type("Only", (), {protocol: None})()


class CudaArray:
    @property
    def __cuda_array_interface__(self) -> None:
        raise AssertionError


class Buffer(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int),)


ARRAYS = {
    "numpy": np.zeros(3),
    "numpy scalar": np.float64(1.5),
    "numpy int": np.int64(1),
    "numpy empty": np.zeros(0),
    "image": Image.new("RGB", (2, 2)),
    "dlpack": FakeTensor(),
    "cuda": CudaArray(),
    **{
        name: only(name)
        for name in ("__array__", "__array_interface__", "__array_struct__", "__arrow_c_array__")
    },
    "array": array.array("f", [1.0]),
    "bytes": b"x",
    "bytearray": bytearray(b"x"),
    "memoryview": memoryview(b"x"),
    "ctypes": Buffer(1),
    "mmap": mmap.mmap(-1, 1),
    "raw": msgspec.Raw(b"1"),
    "nd": {"__nd__": True, "dtype": "uint8", "shape": [1], "data": "AA=="},
    "nd truthy": {"__nd__": "yes"},
    "nd array": {"__nd__": np.ones(2)},
}


@each("name", sorted(ARRAYS))
@each("container", ["dict", "tuple", "mapping", "dataclass"])
def test_objects_with_an_array_protocol_are_refused(name: str, container: str) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        item({"a": CONTAINERS[container](ARRAYS[name])})
    assert caught.value.code == "array_payload"
    assert caught.value.path == f"$.payload.a{INDEX.get(container, '.inner')}"


class Colour(enum.Enum):
    RED = "red"


NOT_JSON = {
    "set": {1},
    "frozenset": frozenset(),
    "nan": float("nan"),
    "infinity": float("inf"),
    "datetime": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "uuid": uuid.UUID(int=0),
    "decimal": decimal.Decimal(1),
    "complex": 1j,
    "object": object(),
    "enum": Colour.RED,
    "function": len,
    "surrogate": "\ud800",
    "surrogate key": {"\ud800": 1},
    "huge": 2**53,
    "int key": {1: 2},
    "none key": {None: 2},
    "two keys": {1: 2, "1": 3},
    "generator": iter(()),
}


@pytest.mark.parametrize("name", sorted(NOT_JSON))
def test_value_without_a_json_form_is_refused(name: str) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        item({"a": NOT_JSON[name]})
    assert caught.value.code == "not_json"
    assert caught.value.path == "$.payload.a"


def test_processed_key_of_the_payload_itself_is_refused() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        item({1: 2})
    assert (caught.value.code, caught.value.path) == ("not_json", "$.payload")


def test_other_containers_become_dicts_and_lists() -> None:
    made = item(OddMapping({"grid": (1, 2), "more": OddSequence([{"x": 1.5}])}))
    assert made.payload == {"grid": [1, 2], "more": [{"x": 1.5}]}
    assert type(made.payload) is dict
    assert decode_json(encode_json(made), RawMMItem) == made


def nested(depth: int, leaf: Any = 1) -> Any:
    value = leaf
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_limit_is_the_same_at_every_entry_point() -> None:
    good, bad = nested(64), nested(65)
    made = item(good)
    assert decode_json(encode_json(made), RawMMItem) == made
    assert list(iter_errors(to_builtins(made), RawMMItem)) == []
    document = to_builtins(made) | {"payload": bad}
    for refuse in (
        lambda: item(bad),
        lambda: decode_json(json.dumps(document), RawMMItem),
        lambda: decode_msgpack(msgspec.msgpack.encode(document), RawMMItem),
        lambda: convert(document, RawMMItem),
        lambda: validate(document),
    ):
        with pytest.raises(ContractError) as caught:
            refuse()
        assert caught.value.code == "too_deep"
        assert caught.value.path == "$.payload" + ".a" * 64


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deeply_nested_json_is_refused(opening: str, depth: int) -> None:
    text = '{"payload": ' + opening * depth
    with pytest.raises(ContractError) as caught:
        decode_json(text, RawMMItem)
    assert caught.value.code in ("too_deep", "malformed")
    closing = "]" if opening == "[" else "}"
    whole = '{"payload": ' + opening * depth + "1" + closing * depth + "}"
    with pytest.raises(RawMMError) as deep:
        decode_json(whole, RawMMItem)
    assert deep.value.code == "too_deep"


def test_deeply_nested_messagepack_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        decode_msgpack(b"\x81\xa7payload" + b"\x91" * 100_000 + b"\xc0", RawMMItem)
    assert caught.value.code == "too_deep"


def test_deeply_nested_object_is_refused_at_every_entry_point() -> None:
    value: Any = []
    for _ in range(10_000):
        value = [value]
    for refuse in (
        lambda: item({"a": value}),
        lambda: validate({"kind": "prime_raw_mm_item", "payload": value}),
        lambda: convert({"mm_items": {"image": [value]}}, MultiModalData),
        lambda: validate(value),
    ):
        with pytest.raises(RawMMError):
            refuse()
    made = item({})
    made.payload["a"] = value
    with pytest.raises(ContractError) as caught:
        encode_json(made)
    assert caught.value.code == "too_deep"


def test_cycle_is_refused() -> None:
    loop: dict[str, Any] = {"b": []}
    loop["b"].append(loop)
    with pytest.raises(ContractError) as caught:
        item({"a": loop})
    assert (caught.value.code, caught.value.path) == ("too_deep", "$.payload.a.b[0]")
    wide: list[Any] = []
    wide.extend([wide] * 50)
    assert len(list(iter_errors(fake(wide), RawMMItem))) == 50


def fake(value: Any) -> dict[str, Any]:
    return item_document(payload={"a": value})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [list, tuple])
def test_shared_containers_take_bounded_time(kind: Any) -> None:
    bomb: Any = [1]
    for _ in range(40):
        bomb = kind((bomb, bomb))
    with pytest.raises(ContractError) as caught:
        item({"a": bomb})
    assert caught.value.code == "too_large"


def test_wide_payload_is_accepted() -> None:
    made = item({"a": list(range(10_000))})
    assert decode_msgpack(encode_msgpack(made), RawMMItem) == made


POISON = {"vision": [{"deep": {"pixel_values": [0.5]}}]}
CLEAN: dict[str, Any] = {
    "message": {"role": "user", "content": "x"},
    "multi_modal_data": {"mm_items": {"image": [fake(1)]}},
}


def poisoned() -> dict[str, Any]:
    node: dict[str, Any] = json.loads(json.dumps(CLEAN))
    node["multi_modal_data"]["mm_items"]["image"][0]["payload"] = POISON
    return node


PATH = "$.multi_modal_data.mm_items.image[0].payload.vision[0].deep.pixel_values"


class TestEntryPoints:
    def test_constructor_refuses(self) -> None:
        with pytest.raises(ProcessedPayloadError):
            MultiModalData(mm_items=poisoned()["multi_modal_data"]["mm_items"])
        with pytest.raises(ProcessedPayloadError):
            RawMMRef(
                family="f", fingerprint=FINGERPRINT, modality="image", mm_hash=HASH, payload=POISON
            )
        with pytest.raises(ProcessedPayloadError):
            MMImageRef(fake(1) | {"payload": POISON}, HASH, "file:///a.png", 0, 1)

    @pytest.mark.parametrize("wire", ["json", "msgpack"])
    def test_decoders_refuse(self, wire: str) -> None:
        decode: Any = decode_json if wire == "json" else decode_msgpack
        data = json.dumps(poisoned()) if wire == "json" else msgspec.msgpack.encode(poisoned())
        with pytest.raises(ProcessedPayloadError) as caught:
            decode(data)
        assert caught.value.path == PATH

    def test_plain_msgspec_decoder_refuses(self) -> None:
        """A consumer's msgspec decoder refuses as well, with a less precise path."""
        with pytest.raises(msgspec.ValidationError, match="pixel_values"):
            msgspec.json.decode(json.dumps(poisoned()), type=MessageNode)

    @pytest.mark.parametrize("encode", [encode_json, encode_msgpack, to_builtins])
    def test_encoders_refuse(self, encode: Any) -> None:
        node = convert(CLEAN)
        assert node.multi_modal_data is not None
        node.multi_modal_data.mm_items["image"][0].payload = POISON
        with pytest.raises(ProcessedPayloadError) as caught:
            encode(node)
        assert caught.value.path == PATH

    @pytest.mark.parametrize("value", [np.ones(2), b"x", float("nan"), {1: 2}, {1}, uuid.uuid4()])
    @pytest.mark.parametrize("encode", [encode_json, encode_msgpack])
    def test_json_encoder_refuses_non_json_values(self, encode: Any, value: Any) -> None:
        node = convert(CLEAN)
        assert node.multi_modal_data is not None
        node.multi_modal_data.mm_items["image"][0].payload["late"] = value
        with pytest.raises(ProcessedPayloadError) as caught:
            encode([node])
        assert caught.value.path.startswith("$[0].multi_modal_data.mm_items.image[0].payload.late")

    def test_convert_and_validate_refuse(self) -> None:
        for refuse in (convert, validate):
            with pytest.raises(ProcessedPayloadError) as caught:
                refuse(poisoned())
            assert caught.value.path == PATH

    @given(st.data())
    def test_escaped_processed_key_is_refused(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(PROCESSED_KEYS)))
        spelled = "".join(
            f"\\u{ord(char):04x}" if data.draw(st.booleans()) else char for char in key
        )
        text = json.dumps(poisoned()).replace("pixel_values", spelled)
        with pytest.raises(ProcessedPayloadError) as caught:
            decode_json(text)
        assert caught.value.code == "processed_payload"


def test_provider_state_is_free_json() -> None:
    """Providers choose the keys of their state, but arrays and processed data are refused."""
    state = [{"image_features": ["a"], "signature": "s"}]
    message = AssistantMessage(content="x", provider_state=state)
    assert json.loads(encode_json(message))["provider_state"] == state
    with pytest.raises(ProcessedPayloadError):
        AssistantMessage(provider_state=[{"x": np.ones(2)}])
    with pytest.raises(ProcessedPayloadError):
        AssistantMessage(provider_state=[{"image_features": [1]}])
    with pytest.raises(ProcessedPayloadError):
        UserMessage(content=[{"type": "text", "text": "x", "pixel_values": 1}])


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", [encode_json, encode_msgpack, to_builtins])
def test_shared_containers_are_encoded_in_bounded_time(entry_point: Any) -> None:
    bomb: Any = [1]
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(ContractError) as caught:
        entry_point({"a": bomb})
    assert caught.value.code == "too_large"
