"""Open objects keep unknown fields wherever they occur in a value."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import weakref
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
import numpy as np
import pydantic
import pytest

from rawmm import (
    EncodedArray,
    Episode,
    MessageNode,
    Tool,
    Trace,
    UserMessage,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    to_builtins,
    validate,
)
from rawmm.model.types import TYPES
from rawmm.values.extras import merge_extras
from tests.builders import refused
from tests.property.oracle import without_defaults

USER: dict[str, Any] = {"message": {"role": "user", "content": "x"}}
TOOL: dict[str, Any] = {"name": "zoom"}


def node(*tools: Any) -> dict[str, Any]:
    return USER | {"tools": [*tools]}


PLACES: dict[str, tuple[Any, Any, str]] = {
    "a trace": (Trace, lambda more: {"nodes": [USER], **more}, "$"),
    "a tool": (Tool, lambda more: TOOL | more, "$"),
    "a tool of a node": (MessageNode, lambda more: node(TOOL, TOOL | more), "$.tools[1]"),
    "an optional node": (MessageNode | None, lambda more: node(TOOL | more), "$.tools[0]"),
    "a list of nodes": (
        list[MessageNode],
        lambda more: [USER, USER | {"parent": 0}, node(TOOL | more)],
        "$[2].tools[0]",
    ),
    "a node of a trace": (
        Trace,
        lambda more: {"nodes": [USER, node(TOOL, TOOL | more)]},
        "$.nodes[1].tools[1]",
    ),
    "a dict of lists of traces": (
        dict[str, list[Trace]],
        lambda more: {"a": [{"nodes": []}, {"nodes": [node(TOOL | more)]}], "b": []},
        "$.a[1].nodes[0].tools[0]",
    ),
    "a node": (MessageNode, lambda more: USER | more, "$"),
    "a node among others": (
        Trace,
        lambda more: {"nodes": [USER, USER | {"parent": 0, "tools": [TOOL]} | more]},
        "$.nodes[1]",
    ),
    "an episode": (Episode, lambda more: {"traces": [{"nodes": [USER]}], **more}, "$"),
    "a node of an episode": (
        Episode,
        lambda more: {"traces": [{"nodes": [USER]}, {"nodes": [USER | more]}]},
        "$.traces[1].nodes[0]",
    ),
    "a list of traces": (list[Trace], lambda more: [{"nodes": []}, {"nodes": [], **more}], "$[1]"),
}
EXTRA: list[dict[str, Any]] = [
    {"zeta": {"a": [1.5, None]}, "future": "é", "": True},
    # Internal field names are ordinary keys in data.
    {"__extra__": {"a": 1}},
    {"__extra__": None},
    {"__extra__": {}, "extra": 2, "__known__": []},
]

SHADOWED: dict[Any, str] = {Episode: "traces", MessageNode: "message", Tool: "name", Trace: "nodes"}
WRONG: dict[Any, str] = {
    Episode: "traces",
    MessageNode: "sampled",
    Tool: "strict",
    Trace: "mm_token_type_id_map",
}
"""A field of each open type that does not accept text."""
everywhere = pytest.mark.parametrize("place", PLACES)


def below(value: Any, path: str) -> Any:
    """The open struct at one of the paths of `PLACES`."""
    for step in path.replace("[", ".").replace("]", "").split(".")[1:]:
        if step.isdigit():
            value = value[int(step)]
        else:
            value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


def test_schema_decides_which_objects_are_open() -> None:
    assert {name for name, kind in TYPES.items() if kind.__open__} == {
        "Episode",
        "MessageNode",
        "Tool",
        "Trace",
    }


@everywhere
@pytest.mark.parametrize("extra", EXTRA, ids=str)
class TestUnknownFieldsAreKept:
    def test_unknown_fields_are_kept_by_every_entry_point(
        self, place: str, extra: dict[str, Any]
    ) -> None:
        kind, make, path = PLACES[place]
        document = make(extra)
        before = copy.deepcopy(document)
        for value in (
            decode_json(json.dumps(document), kind),
            decode_msgpack(msgspec.msgpack.encode(document), kind),
            convert(document, kind),
        ):
            assert below(value, path).extra == extra
            assert list(below(value, path).extra) == list(extra)
            assert without_defaults(json.loads(encode_json(value)), document) == document
            packed = msgspec.msgpack.decode(encode_msgpack(value))
            assert without_defaults(packed, document) == document
            assert without_defaults(to_builtins(value), document) == document
        assert document == before

    def test_unknown_fields_are_kept_by_copies_and_pickles(
        self, place: str, extra: dict[str, Any]
    ) -> None:
        kind, make, _ = PLACES[place]
        value = convert(make(extra), kind)
        assert decode_json(encode_json(value), kind) == value
        assert decode_msgpack(encode_msgpack(value), kind) == value
        assert convert(to_builtins(value), kind) == value
        assert copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value
        assert value != convert(make(extra | {"other": 1}), kind)
        assert list(iter_errors(value, kind)) == []
        assert list(iter_errors(make(extra), kind)) == []


@everywhere
class TestErrors:
    @pytest.mark.parametrize(
        ("extra", "code", "below"),
        [
            ({"odd": {"a": [object()]}}, "not_json", ".odd.a[0]"),
            ({"odd": {1, 2}}, "not_json", ".odd"),
            ({"odd": np.zeros(2, ">f4")}, "array_payload", ".odd"),
            ({"odd": bytearray(2)}, "array_payload", ".odd"),
            ({"Pixel_Values": [[0.5]]}, "processed_payload", ".Pixel_Values"),
            ({"pixel_values": np.zeros(2)}, "processed_payload", ".pixel_values"),
            ({"odd": {"a": {"image_embeds": b"x"}}}, "processed_payload", ".odd.a.image_embeds"),
            ({"odd": "\ud800"}, "not_json", ".odd"),
            ({"\ud800": 1}, "not_json", ""),
            ({1: 2}, "not_json", ""),
        ],
    )
    def test_value_that_no_format_can_encode_is_refused(
        self, place: str, extra: dict[Any, Any], code: str, below: str
    ) -> None:
        kind, make, path = PLACES[place]
        error = refused(lambda: convert(make(extra), kind))
        assert (error.code, error.path) == (code, path + below)
        errors = [(error.code, error.path) for error in iter_errors(make(extra), kind)]
        assert errors == [(code, path + below)]

    @pytest.mark.parametrize(
        ("extra", "code", "under"),
        [
            (5, "wrong_type", ".extra"),
            ([], "wrong_type", ".extra"),
            ("shadow", "duplicate_key", ""),
            ({"odd": [object()]}, "not_json", ".odd[0]"),
            ({"odd": [{"input_values": [1]}]}, "processed_payload", ".odd[0].input_values"),
            ({1: 2}, "not_json", ""),
        ],
    )
    def test_invalid_extra_assigned_after_construction_is_refused(
        self, place: str, extra: Any, code: str, under: str
    ) -> None:
        kind, make, path = PLACES[place]
        value = convert(make({}), kind)
        one = below(value, path)
        if extra == "shadow":
            name = SHADOWED[type(one)]
            extra, under = {name: getattr(one, name)}, f".{name}"
        one.extra = extra
        for check in (encode_json, encode_msgpack, to_builtins, lambda v: validate(v, kind)):
            error = refused(lambda check=check: check(value))
            assert (error.code, error.path) == (code, path + under)
        error = refused(lambda: encode_json((value,)))
        assert (error.code, error.path) == (code, f"$[0]{path[1:]}{under}")
        errors = [(error.code, error.path) for error in iter_errors(value, kind)]
        assert errors[0] == (code, path + under)
        assert len(errors) == 1
        one.extra = {"late": 1}
        assert json.loads(encode_json(one))["late"] == 1
        one.extra = None
        assert encode_json(value) == encode_json(convert(make({}), kind))

    def test_known_field_of_wrong_type_beside_unknown_ones_is_refused(self, place: str) -> None:
        kind, make, path = PLACES[place]
        name = WRONG[type(below(convert(make({}), kind), path))]
        document = make({"future": 1, name: "yes"})
        for call in (
            lambda: decode_json(json.dumps(document), kind),
            lambda: decode_msgpack(msgspec.msgpack.encode(document), kind),
            lambda: convert(document, kind),
        ):
            error = refused(call)
            assert (error.code, error.path) == ("wrong_type", f"{path}.{name}")

    def test_value_that_only_messagepack_can_encode_is_refused_in_json(self, place: str) -> None:
        kind, make, path = PLACES[place]
        document = make({"blob": [b"x"], "score": math.inf})
        value = decode_msgpack(msgspec.msgpack.encode(document), kind)
        assert below(value, path).extra == {"blob": [b"x"], "score": math.inf}
        packed = msgspec.msgpack.decode(encode_msgpack(value))
        assert without_defaults(packed, document) == document
        assert without_defaults(to_builtins(value), document) == document
        error = refused(lambda: encode_json(value))
        assert (error.code, error.path) == ("array_payload", f"{path}.blob[0]")
        del below(value, path).extra["blob"]
        error = refused(lambda: encode_json({"k": [value]}))
        assert (error.code, error.path) == ("not_json", f"$.k[0]{path[1:]}.score")


@everywhere
class TestArrays:
    """Arrays in unknown fields: bytes in MessagePack and Python, base64 in JSON."""

    ENCODED: ClassVar[dict[str, Any]] = {
        "__nd__": True, "dtype": "float32", "shape": [1, 2], "data": b"\0\0\0\x3f\0\0\x80\xbf",
    }  # fmt: skip

    def test_live_array_becomes_an_encoded_one(self, place: str) -> None:
        kind, make, path = PLACES[place]
        live = np.array([[0.5, -1.0]], np.float32)
        document = make({"spans": {"a": [live, np.float32(0.5)]}})
        assert list(iter_errors(document, kind)) == []
        value = convert(document, kind)
        assert below(value, path).extra == {"spans": {"a": [self.ENCODED, 0.5]}}
        assert below(document, path)["spans"]["a"][0] is live

    def test_encoded_array_round_trips_through_both_formats(self, place: str) -> None:
        kind, make, path = PLACES[place]
        document = make({"spans": self.ENCODED, "more": [self.ENCODED]})
        value = decode_msgpack(msgspec.msgpack.encode(document), kind)
        text = encode_json(value)
        assert below(json.loads(text), path)["spans"]["data"] == "AAAAPwAAgL8="
        assert decode_json(text, kind) == value
        packed = msgspec.msgpack.decode(encode_msgpack(decode_json(text, kind)))
        assert without_defaults(packed, document) == document

    def test_struct_or_live_array_that_is_assigned_is_written(self, place: str) -> None:
        kind, make, path = PLACES[place]
        value = convert(make({}), kind)
        array = {key: item for key, item in self.ENCODED.items() if key != "__nd__"}
        live = np.array([[0.5, -1.0]], np.float32)
        below(value, path).extra = {"a": EncodedArray(**array), "b": live}
        back = decode_json(encode_json(value), kind)
        assert below(back, path).extra == {"a": self.ENCODED, "b": self.ENCODED}
        assert decode_msgpack(encode_msgpack(value), kind) == back

    @pytest.mark.parametrize("change", [{"data": "AAAA"}, {"data": "A"}, {"shape": [3]}, {"x": 1}])
    def test_object_that_is_no_array_is_kept_unchanged(
        self, place: str, change: dict[str, Any]
    ) -> None:
        kind, make, path = PLACES[place]
        odd = self.ENCODED | {"data": "AAAAPwAAgL8="} | change
        value = decode_json(json.dumps(make({"odd": odd})), kind)
        assert below(json.loads(encode_json(value)), path)["odd"] == odd


@everywhere
def test_nothing_is_copied_without_unknown_fields(place: str) -> None:
    kind, make, _ = PLACES[place]
    value = convert(make({}), kind)
    assert merge_extras(value) is value


class TestConstruction:
    @pytest.mark.parametrize(("kind", "known"), [(Trace, {"nodes": []}), (Tool, TOOL)])
    def test_unknown_arguments_become_extra_fields(self, kind: Any, known: dict[str, Any]) -> None:
        value = kind(**known, future=1)
        assert value == kind(**known, extra={"future": 1}) == convert(known | {"future": 1}, kind)
        assert kind(**known).extra is None
        assert kind(**known, extra=None) == kind(**known, extra={}) == kind(**known)
        both = kind(**known, a=1, extra={"b": 2})
        assert both.extra == {"a": 1, "b": 2}

    def test_extra_with_known_fields_is_refused(self) -> None:
        error = refused(lambda: Tool(**TOOL, extra=5))
        assert (error.code, error.path) == ("wrong_type", "$.extra")
        for clash in ({"name": "y"}, {"strict": True}):
            error = refused(lambda clash=clash: Tool(**TOOL, extra=clash))
            assert (error.code, error.path) == ("duplicate_key", f"$.{next(iter(clash))}")
        error = refused(lambda: Tool(**TOOL, future=1, extra={"future": 2}))
        assert (error.code, error.path) == ("duplicate_key", "$.future")
        error = refused(lambda: Trace(nodes=[], extra={"nodes": []}))
        assert (error.code, error.path) == ("duplicate_key", "$.nodes")

    def test_internal_name_is_refused_in_closed_objects(self) -> None:
        error = refused(lambda: UserMessage(content="x", __extra__={}))
        assert (error.code, error.path) == ("unknown_field", "$.__extra__")

    def test_invalid_extra_value_is_refused(self) -> None:
        for make in (
            lambda odd: Tool(**TOOL, format={"a": odd}),
            lambda odd: Tool(**TOOL, extra={"format": {"a": odd}}),
        ):
            error = refused(lambda make=make: make(np.zeros(2, ">f4")))
            assert (error.code, error.path) == ("array_payload", "$.format.a")
        error = refused(lambda: MessageNode(**USER, tools=[TOOL, TOOL | {"format": object()}]))
        assert (error.code, error.path) == ("not_json", "$.tools[1].format")

    def test_node_accepts_tools_in_every_form(self) -> None:
        class Model(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="allow")
            name: str

        @dataclasses.dataclass
        class Declared:
            name: str
            format: dict[str, Any]

        @dataclasses.dataclass
        class Node:
            message: dict[str, Any]
            tools: tuple[Any, ...]

        extra = {"format": {"type": "text"}}
        tools = (Model(**TOOL, **extra), Declared(**TOOL, **extra), TOOL | extra)
        wanted = [Tool(**TOOL, extra=extra)] * 3
        assert MessageNode(**USER, tools=tools).tools == wanted
        given = Node(USER["message"], tools)
        assert convert(given).tools == wanted
        assert convert({"nodes": (given,), "id": 1}, Trace).nodes[0].tools == wanted
        # A struct beside a container that msgspec does not support.
        mixed = {"message": USER["message"], "tools": [wanted[0], tools[0]]}
        assert convert(mixed).tools == wanted[:2]

    def test_other_container_classes_are_accepted(self) -> None:
        documents = tuple(
            MappingProxyType({"nodes": [], "__extra__": odd}) for odd in ({"a": 1}, {})
        )
        traces = convert(documents, list[Trace])
        assert [one.extra for one in traces] == [{"__extra__": {"a": 1}}, {"__extra__": {}}]
        by_name = convert(MappingProxyType({"a": documents[0]}), dict[str, Trace])
        assert by_name == {"a": traces[0]}
        assert json.loads(encode_json(tuple(traces))) == [dict(one) for one in documents]
        for kind in (dict[str, Trace], list[Trace], Trace, Trace | None):
            assert refused(lambda kind=kind: convert("x", kind)).code == "wrong_type"
            assert refused(lambda kind=kind: convert(5, kind)).code == "wrong_type"

    @pytest.mark.parametrize("odd", [{"a": 1}, {}, [], 1, None])
    def test_constructor_keeps_a_property_with_the_internal_name(self, odd: Any) -> None:
        assert Trace(nodes=[], __extra__=odd).extra == {"__extra__": odd}
        both = Trace(nodes=[], extra={"a": 1}, __extra__=odd)
        assert both.extra == {"a": 1, "__extra__": odd}
        assert refused(lambda: Trace(nodes=[], extra=[], __extra__=odd)).code == "wrong_type"

    def test_parameters_must_be_json_in_both_formats(self) -> None:
        error = refused(lambda: Tool(**TOOL, parameters={"a": math.nan}))
        assert (error.code, error.path) == ("not_json", "$.parameters.a")
        both = {"name": 5, "parameters": {"a": math.nan}, "future": math.nan}
        assert [error.path for error in iter_errors(both, Tool)] == ["$.name", "$.parameters.a"]
        data = msgspec.msgpack.encode(node(TOOL | {"parameters": {"a": b"x"}, "future": 1}))
        assert refused(lambda: decode_msgpack(data)).path == "$.tools[0].parameters.a"

    def test_nodes_are_required_in_documents_but_not_in_the_constructor(self) -> None:
        assert Trace().nodes == []
        assert refused(lambda: decode_json(b"{}", Trace)).code == "missing_field"

    def test_traces_can_be_weakly_referenced(self) -> None:
        trace = Trace()
        held = weakref.ref(trace)
        assert held() is trace
        del trace
        assert held() is None


class TestTrace:
    def test_free_fields_round_trip_in_messagepack(self) -> None:
        data = msgspec.msgpack.encode({"nodes": [], "blob": b"x", "info": {"score": math.inf}})
        trace = decode_msgpack(data, Trace)
        assert msgspec.msgpack.decode(encode_msgpack(trace)) == msgspec.msgpack.decode(data)
        trace.extra = None
        assert refused(lambda: encode_json([trace])).path == "$[0].info.score"

    def test_messagepack_value_beside_an_error_is_not_reported(self) -> None:
        free = {"blob": b"x", "info": {"score": math.inf, "raw": b"x"}}
        document = {"nodes": [USER | {"parent": 7}, {"message": 5}], **free}
        errors = [(error.code, error.path) for error in iter_errors(document, Trace)]
        assert errors == [
            ("wrong_type", "$.nodes[1].message"),
            ("parent_order", "$.nodes[0].parent"),
        ]
        trace = convert({"nodes": [USER], **free}, Trace)
        trace.nodes[0].token_ids = [1]
        assert refused(lambda: encode_msgpack(trace)).path == "$.nodes[0].mask"

    def test_graph_rules_apply_in_a_trace_with_extra_fields(self) -> None:
        bad = {"future": 1, "nodes": [USER | {"parent": 7}]}
        error = refused(lambda: decode_json(json.dumps(bad), Trace))
        assert (error.code, error.path) == ("parent_order", "$.nodes[0].parent")
        nodes = [node(TOOL | {"future": 1}), USER | {"parent": 1}]
        error = refused(lambda: decode_json(json.dumps(nodes), list[MessageNode]))
        assert (error.code, error.path) == ("parent_order", "$[1].parent")

    def test_trace_in_lists_and_dicts_keeps_its_extra_fields(self) -> None:
        trace = convert({"nodes": [USER], "future": 1}, Trace)
        assert refused(lambda: encode_json({"a": {1: trace}})).path == "$.a"
        written = json.loads(encode_json({"a": [trace, 1], "b": "x"}))
        assert written["a"][0]["future"] == 1
        assert (written["a"][1], written["b"]) == (1, "x")


def test_base64_is_accepted_in_messagepack_with_and_without_unknown_fields() -> None:
    """The plain data of a JSON document, encoded as MessagePack, matches the schema, too."""
    array = {"__nd__": True, "dtype": "uint8", "shape": [1], "data": "AA=="}
    tokens = {"token_ids": [1], "mask": [True], "routed_experts": array, "kept_tokens": array}
    wanted = EncodedArray(dtype="uint8", shape=[1], data=bytes(1))
    for document in (USER | tokens, node(TOOL | {"future": 1}) | tokens):
        value = decode_msgpack(msgspec.msgpack.encode(document))
        assert (value.routed_experts, value.kept_tokens) == (wanted, wanted)
