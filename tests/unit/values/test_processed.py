"""Processed keys: refused in descriptors, and in open objects where the value is numbers."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from rawmm import (
    PROCESSED_KEYS,
    AssistantMessage,
    Episode,
    MessageNode,
    ProcessedPayloadError,
    Tool,
    Trace,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    to_builtins,
    validate,
)
from rawmm.values.processed import holds_numbers, is_processed_key
from tests.cases import each
from tests.property.oracle import without_defaults

USER: Final[dict[str, Any]] = {"message": {"role": "user", "content": "x"}}
NUMBERS: Final[dict[str, Any]] = {
    "list": [0.5],
    "nested lists": [[], [["a"], [1]]],
    "flags": [True],
    "number in a mixed list": ["a", None, 1.5],
    "encoded array": {"__nd__": True, "dtype": "float32", "shape": [1], "data": "AAAAPw=="},
    "marked object": {"__nd__": 1},
    "unmarked array": {"dtype": "float32", "shape": [1], "data": "AAAAPw=="},
    "list of arrays": [{"__nd__": True}],
}
OTHER: Final[dict[str, Any]] = {
    "schema": {"type": "array", "items": {"type": "number"}, "minItems": 3},
    "texts": ["a", ["b"]],
    "number": 3,
    "text": "AAAA",
    "null": None,
    "empty": [],
    "empty lists": [[], []],
    "unmarked": {"__nd__": False},
}
PLACES: Final[dict[str, tuple[Any, Any, str]]] = {
    "node": (MessageNode, lambda more: USER | more, "$"),
    "below a node": (MessageNode, lambda more: USER | {"a": [{"b": more}]}, "$.a[0].b"),
    "node of a trace": (Trace, lambda more: {"nodes": [USER, USER | more]}, "$.nodes[1]"),
    "trace": (Trace, lambda more: {"nodes": [], **more}, "$"),
    "info": (Trace, lambda more: {"nodes": [], "info": more}, "$.info"),
    "task of an episode": (
        Episode,
        lambda more: {"traces": [], "task": {"data": more}},
        "$.task.data",
    ),
    "episode": (Episode, lambda more: {"traces": [], **more}, "$"),
    "tool": (Tool, lambda more: {"name": "x", **more}, "$"),
    "parameters": (
        Tool,
        lambda more: {"name": "x", "parameters": {"properties": more}},
        "$.parameters.properties",
    ),
    "provider state": (
        AssistantMessage,
        lambda more: {"role": "assistant", "provider_state": [{}, {"a": more}]},
        "$.provider_state[1].a",
    ),
}
SPELLINGS: Final = ("pixel_values", "Pixel_Values", "INPUTS_EMBEDS", "pixel_value\u017f")


class TestOpenObjects:
    @each("place", PLACES)
    @each("key", SPELLINGS)
    @each("value", NUMBERS)
    def test_key_with_numbers_is_refused_by_every_entry_point(
        self, place: str, key: str, value: str
    ) -> None:
        kind, make, path = PLACES[place]
        document = make({key: NUMBERS[value]})
        for call in (
            lambda: decode_json(json.dumps(document), kind),
            lambda: decode_msgpack(msgspec.msgpack.encode(document), kind),
            lambda: convert(document, kind),
            lambda: kind(**document),
            lambda: validate(document, kind),
        ):
            with pytest.raises(ProcessedPayloadError) as caught:
                call()
            assert caught.value.code == "processed_payload"
            assert caught.value.path in (f"{path}.{key}", f"{path}[{json.dumps(key)}]")
        assert [error.code for error in iter_errors(document, kind)] == ["processed_payload"]

    @each("place", PLACES)
    @each("key", SPELLINGS)
    @each("value", OTHER)
    def test_key_with_another_value_is_kept(self, place: str, key: str, value: str) -> None:
        kind, make, _ = PLACES[place]
        document = make({key: OTHER[value]})
        made = decode_json(json.dumps(document), kind)
        assert made == convert(document, kind) == kind(**document)
        assert made == decode_msgpack(msgspec.msgpack.encode(document), kind)
        assert without_defaults(json.loads(encode_json(made)), document) == document


@each("value", [b"x", np.zeros(2), np.zeros(0, np.uint8), [np.float32(1)]])
@each("place", ["node", "trace", "info", "episode", "tool", "below a node"])
def test_key_with_bytes_or_a_live_array_is_refused(place: str, value: Any) -> None:
    kind, make, path = PLACES[place]
    with pytest.raises(ProcessedPayloadError) as caught:
        convert(make({"Image_Embeds": value}), kind)
    assert (caught.value.code, caught.value.path) == ("processed_payload", f"{path}.Image_Embeds")


def test_key_that_is_assigned_is_refused_when_written() -> None:
    node = MessageNode(**USER, note="x")
    trace = Trace(nodes=[node])
    for change in ({"video_embeds": [[1]]}, {"note": {"video_embeds": np.ones(1)}}):
        node.extra = change
        for call in (encode_json, encode_msgpack, to_builtins, validate):
            with pytest.raises(ProcessedPayloadError) as caught:
                call(trace)
            assert caught.value.code == "processed_payload"
            assert caught.value.path.startswith("$.nodes[0].")


@each("key", sorted(PROCESSED_KEYS))
def test_case_does_not_matter(key: str) -> None:
    assert all(map(is_processed_key, (key, key.upper(), key.title(), key.swapcase())))


@pytest.mark.parametrize(
    "key", ["image_sizes", "image_grid_thw", "pixel_attention_mask", "pixel_value", "", "\u017f"]
)
def test_other_keys_are_not_processed(key: str) -> None:
    assert not is_processed_key(key)


def test_shared_and_cyclic_lists_are_visited_once() -> None:
    shared: list[Any] = []
    for _ in range(200):
        shared = [shared, shared]
    assert not holds_numbers(shared)
    cyclic: list[Any] = ["a"]
    cyclic.append(cyclic)
    assert not holds_numbers(cyclic)
