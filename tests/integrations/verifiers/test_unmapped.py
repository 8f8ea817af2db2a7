"""rawmm to verifiers and back: fields that verifiers does not have are kept or refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifiers.v1 import types as vf
from verifiers.v1.graph import MessageNode as VerifiersNode
from verifiers.v1.semantic import ParentLink
from verifiers.v1.serve.delta import dump, pack, unpack
from verifiers.v1.trace import WireTrace

import rawmm
from rawmm.errors import ContractError, ProcessedPayloadError, RawMMError
from rawmm.integrations.verifiers import from_verifiers, to_verifiers
from rawmm.rules import PER_SAMPLED
from rawmm.testing import strategies
from tests import builders
from tests.integrations.verifiers import objects
from tests.integrations.verifiers.objects import equal, wire
from tests.integrations.verifiers.rollout import wire_trace
from tests.unit.images.pictures import url_of

ARRAY = rawmm.EncodedArray(dtype="uint8", shape=[2, 1], data=b"\x01\x02")
ITEM = builders.item(
    payload={"image_grid_thw": [[1, 8, 8]], "odd": None, "float": 0.123456789},
    raw_image_id="a07e50973f7c1376.png",
)
SIDECAR = rawmm.MultiModalData(
    mm_hashes={"image": ["a07e50973f7c13761a4022033440544e"]},
    mm_placeholders={"image": [rawmm.PlaceholderRange(offset=4, length=2)]},
    mm_items={"image": [ITEM]},
)


def image_message(detail: str | None = "low") -> rawmm.UserMessage:
    source = rawmm.ImageUrlSource(url="file:///images/a07e50973f7c1376.png", detail=detail)
    return rawmm.UserMessage(
        content=[rawmm.TextContentPart(text="?"), rawmm.ImageUrlContentPart(image_url=source)]
    )


def full_trace() -> rawmm.Trace:
    """Text, image and reply, with all that verifiers has no field for."""
    nodes = [
        rawmm.MessageNode(
            message=rawmm.SystemMessage(content="see"),
            token_ids=[1, 2, 3],
            mask=[False] * 3,
        ),
        rawmm.MessageNode(
            parent=0,
            timestamp=12.5,
            message=image_message(),
            token_ids=[4, 5, 5, 6],
            mask=[False] * 4,
            multi_modal_data=SIDECAR,
        ),
        rawmm.MessageNode(
            parent=1,
            timestamp=13.5,
            message=rawmm.AssistantMessage(content="a cat"),
            sampled=True,
            token_ids=[7, 8],
            mask=[False, True],
            logprobs=[-0.123456789],
            finish_reason="stop",
            usage=rawmm.Usage(prompt_tokens=7, completion_tokens=1, cost=0.5),
            kept_tokens=ARRAY,
            sampling_mask=ARRAY,
        ),
    ]
    return rawmm.Trace(
        nodes=nodes,
        task={"type": "t", "data": {}, "curriculum": {"level": 3}},
        agent={"config": {}},
        info={"note": 1},
        extra={"rollout_of": None, "lineage": ["a", {"b": 2}]},
    )


# --- the oracle: what a document says once verifiers has read it

NODE: dict[str, Any] = {
    "semantic_parents": [],
    "advantages": None,
    "reference_logprobs": None,
    "trainer_logprobs": None,
    "entropies": None,
    "loss_weights": None,
    "routed_experts": None,
    "sampling_mask": None,
    **({"weight_versions": None, "top_logprobs": None} if objects.DEV else {}),
}
TOOL: dict[str, Any] = {
    "type": "function",
    "namespace": None,
    "description": "",
    "parameters": {},
    "strict": None,
}
CALL = {"type": "function", "namespace": None}
MESSAGE: dict[str, dict[str, Any]] = {
    "assistant": {
        "content": None,
        "reasoning_content": None,
        "tool_calls": None,
        "provider_state": None,
    },
    "tool": {"name": None},
}
NOT_IN_VERIFIERS = (
    "finish_reason",
    "usage",
    "multi_modal_data",
    "kept_tokens",
    *(() if objects.DEV else ("weight_versions", "top_logprobs")),
)


def read_message(message: dict[str, Any]) -> dict[str, Any]:
    read = {**MESSAGE.get(message["role"], {}), **message}
    if read.get("tool_calls"):
        read["tool_calls"] = [{**CALL, **call} for call in read["tool_calls"]]
    return read


def read_node(node: dict[str, Any]) -> dict[str, Any]:
    read = {**NODE, **node, "message": read_message(node["message"])}
    for name in NOT_IN_VERIFIERS:
        if read.get(name, 0) is None:
            del read[name]
    if tools := [{**TOOL, **tool} for tool in read.pop("tools", [])]:
        read["tools"] = tools
    return read


def read_trace(document: dict[str, Any], trace: Any) -> dict[str, Any]:
    """`trace` is verifiers' own, whose token counts are taken."""
    constant = wire(wire_trace())
    for name in ("id", "verifiers", "task", "agent", "nodes"):
        del constant[name]
    del constant["timing"]["start"]
    counts = {name: value for name, value in wire(trace).items() if name.startswith("num_")}
    nodes = [read_node(node) for node in document["nodes"]]
    return {**constant, **document, **counts, "nodes": nodes}


def held(node: dict[str, Any]) -> dict[str, Any]:
    """A node with the token ids and numbers that 0.4.1.dev86 can hold."""
    if not objects.DEV:
        return node
    node = rawmm.to_builtins(rawmm.convert(node, rawmm.MessageNode), packed=False)
    streams = [node.get(name) or [] for name in (*PER_SAMPLED, "token_ids")]
    for stream in (*streams, *(node.get("loss_weights") or {}).values()):
        for index, number in enumerate(stream):
            if isinstance(number, float):
                stream[index] = max(-3e38, min(3e38, number))
            else:
                stream[index] = number % 2**31
    return node


def rounded(node: dict[str, Any]) -> dict[str, Any]:
    """A node with numbers as verifiers has them."""
    if not objects.DEV:
        return node
    streams = {name: node[name] for name in PER_SAMPLED if node.get(name)}
    weights = node.get("loss_weights")
    for of in (streams, weights or {}):
        of.update({name: np.float32(numbers).tolist() for name, numbers in of.items()})
    return node | streams


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A rawmm trace that verifiers can hold, as plain data: fields absent, fields unknown."""
    nodes = [held(node) for node in draw(strategies.documents("Trace"))["nodes"]]
    full = wire(WireTrace(**draw(objects.envelopes(len(nodes)))))
    if "image_url" in json.dumps([node["message"] for node in nodes]):
        full["mm_token_type_id_map"] = {}  # an image would need tokens of its type
    optional = sorted(full.keys() - {"task", "agent", "nodes"})
    absent = set(draw(st.lists(st.sampled_from(optional), unique=True)))
    document = {key: value for key, value in full.items() if key not in absent}
    for key, value in draw(st.dictionaries(objects.TEXT, objects.JSON, max_size=2)).items():
        document[f"new_{key}"] = value
        if draw(st.booleans()):
            document["task"][f"new_{key}"] = value
        if "timing" in document and draw(st.booleans()):
            document["timing"]["agent"][f"new_{key}"] = value
    return {**document, "nodes": nodes}


def in_memory(trace: Any) -> Any:
    return trace


def over_the_wire(trace: Any) -> Any:
    return WireTrace.model_validate(unpack(pack(dump(trace))))


def over_a_plain_dump(trace: Any) -> Any:
    data = msgpack.packb(trace.model_dump(mode="python"))
    return WireTrace.model_validate(msgpack.unpackb(data))


def over_a_record(trace: Any) -> Any:
    return WireTrace.model_validate_json(json.dumps(trace.to_record(None)))


@given(documents(), st.sampled_from([in_memory, over_the_wire, over_a_plain_dump]))
def test_rawmm_trace_round_trips(document: dict[str, Any], hop: Any) -> None:
    struct = rawmm.convert(document, rawmm.Trace)
    trace = to_verifiers(struct)
    back = from_verifiers(hop(trace))
    expected = rawmm.convert(read_trace(document, trace), rawmm.Trace)
    assert back == expected
    # verifiers has streams as lists only.
    assert equal(rawmm.to_builtins(back), rawmm.to_builtins(expected, packed=False))
    # A second time nothing is filled in.
    assert from_verifiers(to_verifiers(back)) == back
    assert rawmm.convert(document, rawmm.Trace) == struct


@given(documents())
def test_rawmm_trace_round_trips_through_a_record(document: dict[str, Any]) -> None:
    trace = to_verifiers(rawmm.convert(document, rawmm.Trace))
    expected = read_trace(document, trace)
    for node in expected["nodes"]:
        # verifiers keeps tensors off the disk, by its own choice.
        node["routed_experts"] = None
        if "ids" in (node["sampling_mask"] or ()):
            node["sampling_mask"] = None
        if objects.DEV:
            node["top_logprobs"] = None
    assert from_verifiers(over_a_record(trace)) == rawmm.convert(expected, rawmm.Trace)


@given(strategies.instances(rawmm.Trace), st.sampled_from([(), ("task", "agent")]))
def test_any_trace_round_trips_or_is_refused(struct: rawmm.Trace, given: tuple[str, ...]) -> None:
    full = wire(wire_trace())
    document = rawmm.to_builtins(struct) | {name: full[name] for name in given}
    struct = rawmm.convert(document, rawmm.Trace)
    try:
        trace = to_verifiers(struct)
    except ContractError:
        return
    assert from_verifiers(trace) == rawmm.convert(read_trace(document, trace), rawmm.Trace)


@given(strategies.documents("MessageNode"))
def test_single_node_round_trips_or_is_refused(document: dict[str, Any]) -> None:
    document = held(document)
    known = VerifiersNode.model_fields
    typed = rawmm.MessageNode.__known__
    left = [
        name
        for name, value in document.items()
        if name not in known and (value is not None or name not in typed)
    ]
    one_array = "__nd__" in (document.get("sampling_mask") or ())
    detail = '"detail"' in json.dumps(document["message"])
    node = rawmm.convert(document, rawmm.MessageNode)
    if left or one_array or detail or "timestamp" not in document:
        with pytest.raises(ContractError) as caught:
            to_verifiers(node)
        assert caught.value.code in {"unknown_field", "missing_field"}
    else:
        back = from_verifiers(to_verifiers(node))
        assert back == rawmm.convert(rounded(read_node(document)), rawmm.MessageNode)


@given(strategies.documents("Message"), strategies.documents("Tool"))
def test_single_message_or_tool_round_trips(message: dict[str, Any], tool: dict[str, Any]) -> None:
    for part in message.get("content") or ():
        if isinstance(part, dict):
            part.get("image_url", {}).pop("detail", None)
    struct = rawmm.convert(message, rawmm.Message)
    assert from_verifiers(to_verifiers(struct)) == rawmm.convert(
        read_message(message), rawmm.Message
    )
    assert from_verifiers(to_verifiers(rawmm.convert(tool, rawmm.Tool))) == rawmm.convert(
        {**TOOL, **tool}, rawmm.Tool
    )


# --- what rides where


def test_fields_unknown_to_verifiers_are_kept_in_info() -> None:
    trace = to_verifiers(full_trace())
    assert trace.nodes[2].sampling_mask is None
    unmapped = trace.info["rawmm"]
    assert json.loads(json.dumps(unmapped)) == unmapped
    assert unmapped["version"] == 1
    assert [path for path, _ in unmapped["fields"]] == [
        ["task", "curriculum"],
        ["rollout_of"],
        ["lineage"],
    ]
    assert {one["node"]: [path for path, _ in one["fields"]] for one in unmapped["nodes"]} == {
        1: [["message", "content", 1, "image_url", "detail"], ["multi_modal_data"]],
        2: [["finish_reason"], ["usage"], ["sampling_mask"], ["kept_tokens"]],
    }
    assert [path for path, _ in unmapped["generated"]] == [
        ["id"],
        ["verifiers"],
        ["timing", "start"],
        ["nodes", 0, "timestamp"],
    ]
    back = from_verifiers(trace)
    assert back.info == {"note": 1}
    assert back.nodes[1] == rawmm.convert(
        read_node(rawmm.to_builtins(full_trace().nodes[1])), rawmm.MessageNode
    )
    assert back.nodes[2].kept_tokens == ARRAY
    assert trace.info["rawmm"] == unmapped


def test_unknown_fields_of_nodes_come_back() -> None:
    struct = with_fields()
    struct.nodes[2].extra = {
        "new": {"a": [1, None]},
        "none": None,
        "array": rawmm.to_builtins(ARRAY),
    }
    for hop in (in_memory, over_the_wire, over_a_plain_dump):
        back = from_verifiers(hop(to_verifiers(struct)))
        assert back.nodes[2].extra == struct.nodes[2].extra


def test_info_is_unchanged_if_verifiers_has_every_field() -> None:
    struct = from_verifiers(wire_trace(nodes=[VerifiersNode(message=vf.UserMessage(content="x"))]))
    assert to_verifiers(struct).info == {}


def test_read_only_field_of_verifiers_is_kept_in_info() -> None:
    struct = with_fields(state={"artifacts": {}})
    trace = to_verifiers(struct)
    assert "state" not in trace.model_dump()
    assert from_verifiers(over_the_wire(trace)).extra["state"] == {"artifacts": {}}


def test_token_counts_are_those_of_verifiers() -> None:
    struct = from_verifiers(wire_trace())
    struct.num_total_tokens = 99
    assert from_verifiers(to_verifiers(struct)).num_total_tokens == 0


def test_values_set_in_the_meantime_are_not_overwritten() -> None:
    trace = to_verifiers(full_trace())
    trace.id, trace.timing.start, trace.nodes[0].timestamp = "mine", 5.0, 6.0
    back = from_verifiers(trace)
    assert (back.id, back.timing["start"], back.nodes[0].timestamp) == ("mine", 5.0, 6.0)
    assert back.verifiers is None


def test_converted_trace_can_be_extended_in_verifiers() -> None:
    trace = to_verifiers(full_trace())
    trace.nodes[2].advantages = [0.5]
    trace.nodes[2].logprobs = [-1.0]
    trace.nodes[1].semantic_parents = [ParentLink(node=0, type="x")]
    trace.record_reward("right", 1.0)
    trace.info["judge"] = {"score": 1}
    trace.nodes.append(VerifiersNode(parent=2, message=vf.UserMessage(content="on")))
    back = from_verifiers(trace)
    assert back.nodes[1].multi_modal_data == SIDECAR
    assert back.nodes[2].advantages == [0.5]
    assert back.nodes[2].finish_reason == "stop"
    assert len(back.nodes) == 4
    assert back.info == {"note": 1, "judge": {"score": 1}}


def change_text(trace: Any) -> None:
    trace.nodes[1].message.content[0].text = "!"


def change_image(trace: Any) -> None:
    trace.nodes[1].message.content[1].image_url.url = "file:///images/b07e50973f7c1376.png"


def drop_image(trace: Any) -> None:
    del trace.nodes[1].message.content[1]


def change_token(trace: Any) -> None:
    trace.nodes[1].token_ids[0] = 9


def change_a_token_above(trace: Any) -> None:
    trace.nodes[0].token_ids[0] = 9


def drop_the_first(trace: Any) -> None:
    del trace.nodes[0]
    trace.nodes[0].parent, trace.nodes[1].parent = None, 0


def drop_the_middle(trace: Any) -> None:
    del trace.nodes[1]
    trace.nodes[1].parent = 0


def swap(trace: Any) -> None:
    trace.nodes[0], trace.nodes[1] = trace.nodes[1], trace.nodes[0]


def hang_elsewhere(trace: Any) -> None:
    trace.nodes[1].parent = None


@pytest.mark.parametrize(
    ("change", "node"),
    [
        (change_text, 1),
        (change_image, 1),
        (drop_image, 1),
        (change_token, 1),
        (change_a_token_above, 1),
        (drop_the_first, 1),
        (drop_the_middle, 1),
        (swap, 1),
        (hang_elsewhere, 1),
        (lambda trace: trace.nodes.pop(), 2),
        (lambda trace: trace.nodes.clear(), 1),
    ],
)
def test_unmapped_fields_of_other_nodes_are_an_error(change: Any, node: int) -> None:
    trace = to_verifiers(full_trace())
    change(trace)
    for hop in (in_memory, over_the_wire, over_a_record):
        with pytest.raises(ContractError) as caught:
            from_verifiers(hop(trace))
        assert (caught.value.code, caught.value.path) == ("hash_mismatch", f"$.nodes[{node}]")
    del trace.info["rawmm"]["nodes"]
    trace.nodes.clear()
    assert from_verifiers(trace).task["curriculum"] == {"level": 3}


def altered(**changes: Any) -> Any:
    trace = to_verifiers(full_trace())
    trace.info["rawmm"] = {**trace.info["rawmm"], **changes}
    return trace


def test_any_value_under_the_key_gives_a_typed_error() -> None:
    """Every value there replaced by odd ones, one at a time."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> Any:
        yield path
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*path, key))

    trace = to_verifiers(full_trace())
    unmapped = trace.info["rawmm"]
    outcomes: set[Any] = set()
    for path in [path for path in places(unmapped) if path]:
        for odd in (None, "odd", -1, {"__nd__": 1}):
            trace.info["rawmm"] = parent = copy.deepcopy(unmapped)
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = odd
            try:
                outcomes.add("rawmm" in from_verifiers(trace).info)
            except RawMMError as error:
                outcomes.add(error.code)
    assert {False, "wrong_type", "hash_mismatch", "bad_value"} <= outcomes
    assert True not in outcomes


@pytest.mark.parametrize(
    ("trace", "code", "path"),
    [
        (wire_trace(info={"rawmm": "mine"}), "wrong_type", "$.info.rawmm"),
        (wire_trace(info={"rawmm": {"a": 1}}), "wrong_type", "$.info.rawmm"),
        (wire_trace(info={"rawmm": None}), "wrong_type", "$.info.rawmm"),
        (altered(version=2), "unsupported_version", "$.info.rawmm.version"),
        (altered(version=True), "wrong_type", "$.info.rawmm"),
        (altered(fields=[[[], 1]]), "wrong_type", "$.info.rawmm"),
        (altered(fields=[[["gone", "x"], 1]]), "missing_field", "$.gone"),
        (altered(fields=[[["task", "type"], "u"]]), "duplicate_key", "$.task.type"),
        (
            altered(nodes=[{**to_verifiers(full_trace()).info["rawmm"]["nodes"][0], "node": -2}]),
            "hash_mismatch",
            "$.nodes[-2]",
        ),
    ],
)
def test_other_value_under_the_key_is_an_error(trace: Any, code: str, path: str) -> None:
    with pytest.raises(ContractError) as caught:
        from_verifiers(trace)
    assert (caught.value.code, caught.value.path) == (code, path)


# --- numbers that float32 rounds


EXACT = [-0.1, -2.000000001]


def trace_of_numbers(**streams: Any) -> rawmm.Trace:
    """A trace with a reply of two tokens and these streams."""
    node = rawmm.MessageNode(
        message=rawmm.AssistantMessage(content="a"),
        sampled=True,
        timestamp=1.0,
        token_ids=[1, 2],
        mask=[True, True],
        **streams,
    )
    full = wire(wire_trace())
    return rawmm.Trace(nodes=[node], task=full["task"], agent=full["agent"])


STREAMS: list[dict[str, Any]] = [
    {"logprobs": EXACT},
    {"advantages": EXACT},
    {"reference_logprobs": EXACT},
    {"trainer_logprobs": EXACT},
    {"entropies": EXACT},
    {"loss_weights": {"rl": EXACT, "ce": [0.5, 1.0]}},
]


@pytest.mark.parametrize("streams", STREAMS, ids=lambda streams: next(iter(streams)))
@pytest.mark.parametrize("hop", [in_memory, over_the_wire, over_a_plain_dump, over_a_record])
def test_rounded_numbers_come_back_exact(streams: dict[str, Any], hop: Any) -> None:
    ((name, given),) = streams.items()
    struct = trace_of_numbers(**streams)
    trace = to_verifiers(struct)
    kept = objects.plain(
        getattr(trace.nodes[0], name)
        if name != "loss_weights"
        else trace.nodes[0].loss_weights["rl"]
    )
    rounded = [float(np.float32(number)) for number in EXACT]
    assert kept == (rounded if objects.DEV else EXACT)
    assert getattr(from_verifiers(hop(trace)).nodes[0], name) == given
    assert rawmm.to_builtins(struct) == rawmm.to_builtins(trace_of_numbers(**streams))


def test_numbers_that_float32_holds_need_no_place() -> None:
    struct = trace_of_numbers(logprobs=[-0.5, -3.0], advantages=[1, 0])
    assert "rounded" not in json.dumps(to_verifiers(struct).info)


def test_numbers_set_in_the_meantime_are_not_overwritten() -> None:
    trace = to_verifiers(trace_of_numbers(logprobs=EXACT, advantages=EXACT))
    trace.nodes[0].advantages = [0.5, 0.25]
    (node,) = from_verifiers(trace).nodes
    assert (node.logprobs, node.advantages) == (EXACT, [0.5, 0.25])


def test_numbers_of_a_node_alone_are_rounded() -> None:
    (node,) = trace_of_numbers(logprobs=EXACT).nodes
    back = from_verifiers(to_verifiers(node))
    assert back.logprobs == ([float(np.float32(one)) for one in EXACT] if objects.DEV else EXACT)


@pytest.mark.parametrize(
    ("streams", "path"),
    [
        ({"logprobs": [-1.0, -1e300]}, "$.nodes[0].logprobs[1]"),
        ({"loss_weights": {"rl": [1e39, 1.0]}}, "$.nodes[0].loss_weights.rl[0]"),
    ],
)
def test_number_beyond_float32_is_refused_where_verifiers_cannot_hold_it(
    streams: dict[str, Any], path: str
) -> None:
    struct = trace_of_numbers(**streams)
    if not objects.DEV:
        (node,) = from_verifiers(to_verifiers(struct)).nodes
        assert {name: getattr(node, name) for name in streams} == streams
        return
    with pytest.raises(ContractError) as caught:
        to_verifiers(struct)
    assert (caught.value.code, caught.value.path) == ("bad_value", path)


def test_token_that_int32_cannot_hold_is_refused() -> None:
    struct = trace_of_numbers()
    struct.nodes[0].token_ids = [1, 2**31]
    if not objects.DEV:
        assert from_verifiers(to_verifiers(struct)).nodes[0].token_ids == [1, 2**31]
        return
    for value, path in ((struct, "$.nodes[0]"), (struct.nodes[0], "$"), (struct.nodes, "$[0]")):
        with pytest.raises(ContractError) as caught:
            to_verifiers(value)
        assert (caught.value.code, caught.value.path) == ("bad_value", f"{path}.token_ids[1]")
        error: BaseException | None = caught.value
        while error is not None:
            assert isinstance(error, RawMMError)  # no error of numpy
            error = error.__context__


# --- what is refused


def with_fields(**fields: Any) -> rawmm.Trace:
    document = rawmm.to_builtins(full_trace())
    return rawmm.convert({**document, **fields}, rawmm.Trace)


NODE_WITH_TIME = {"timestamp": 1.0, "message": {"role": "user", "content": "x"}}


@pytest.mark.parametrize(
    ("struct", "code", "path"),
    [
        (rawmm.Trace(nodes=[]), "missing_field", "$.task"),
        (with_fields(agent={}), "missing_field", "$.agent.config"),
        (with_fields(agent={"config": {"knob": 1}}), "unknown_field", "$.agent.config.knob"),
        (with_fields(version="one"), "bad_value", "$.version"),
        (with_fields(version="1"), "bad_value", "$.version"),
        (with_fields(ok=1), "bad_value", "$.ok"),
        (with_fields(rewards={"a": {"score": "x"}}), "bad_value", "$.rewards.a.score"),
        (with_fields(info=None), "bad_value", "$.info"),
        (with_fields(info={"rawmm": 1}), "duplicate_key", "$.info.rawmm"),
        (with_fields(state="odd"), "bad_value", "$.state"),
        (
            with_fields(agent={"config": {"runtime": {"type": "docker", "knob": 1}}}),
            "unknown_field",
            "$.agent.config.runtime.knob",
        ),
        (
            with_fields(calls=[{"node": 0, "seed": 1}]),
            "unknown_field",
            "$.calls[0].seed",
        ),
        (
            with_fields(task={"type": "t", "data": {"prompt": [{"role": "who"}]}}),
            "bad_value",
            "$.task.data.prompt",
        ),
    ],
)
def test_trace_that_verifiers_cannot_hold_is_refused(
    struct: rawmm.Trace, code: str, path: str
) -> None:
    with pytest.raises(ContractError) as caught:
        to_verifiers(struct)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_unknown_field_that_records_would_change_is_refused() -> None:
    for value in ({"a": b"\xff"}, {"a": float("nan")}):
        with pytest.raises(ProcessedPayloadError) as caught:
            to_verifiers(with_fields(new=value))
        assert caught.value.path == "$.new.a"


@pytest.mark.parametrize(
    ("struct", "code", "path"),
    [
        (image_message(), "unknown_field", "$.content[1].image_url.detail"),
        (
            rawmm.MessageNode(message=rawmm.UserMessage(content="x")),
            "missing_field",
            "$.timestamp",
        ),
        *(
            (
                rawmm.convert({**NODE_WITH_TIME, name: value}, rawmm.MessageNode),
                "unknown_field",
                f"$.{name}",
            )
            for name, value in [
                ("finish_reason", "stop"),
                ("usage", {"prompt_tokens": 1, "completion_tokens": 1}),
                ("multi_modal_data", {}),
                ("kept_tokens", ARRAY),
                ("sampling_mask", ARRAY),
            ]
        ),
    ],
)
def test_single_value_with_unmapped_fields_is_refused_with_advice(
    struct: Any, code: str, path: str
) -> None:
    for value, at in ((struct, path), ([rawmm.Tool(name="a"), struct], f"$[1]{path[1:]}")):
        with pytest.raises(ContractError, match="convert the trace") as caught:
            to_verifiers(value)
        assert (caught.value.code, caught.value.path) == (code, at)


def test_other_types_are_refused_with_their_path() -> None:
    for convert, values in (
        (from_verifiers, [{"role": "user", "content": "x"}, rawmm.Tool(name="x"), None]),
        (to_verifiers, [{"role": "user", "content": "x"}, vf.Tool(name="x"), SIDECAR]),
    ):
        for value in values:
            with pytest.raises(ContractError) as caught:
                convert([value])
            assert (caught.value.code, caught.value.path) == ("wrong_type", "$[0]")


@pytest.mark.parametrize(
    ("info", "path"),
    [
        ({"a": {1, 2}}, "$.info.a"),
        ({"a": [object()]}, "$.info.a[0]"),
        ({"a": np.zeros(2, dtype=object)}, "$.info.a"),
    ],
)
def test_unencodable_value_is_refused(info: Any, path: str) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        from_verifiers(wire_trace(info=info))
    assert caught.value.path == path


def test_array_in_info_becomes_an_encoded_array() -> None:
    struct = from_verifiers(wire_trace(info={"a": np.array([7], dtype=np.uint8)}))
    assert struct.info == {"a": {"__nd__": True, "dtype": "uint8", "shape": [1], "data": b"\7"}}
    assert from_verifiers(to_verifiers(struct)) == struct


def test_cyclic_or_too_deep_value_is_refused() -> None:
    itself: dict[str, Any] = {}
    itself["a"] = [itself]
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    for value in (itself, deep):
        trace = wire_trace()
        trace.info["a"] = value
        for one in (trace, vf.AssistantMessage(provider_state=[{"a": value}])):
            with pytest.raises(ContractError) as caught:
                from_verifiers(one)
            assert caught.value.code == "too_deep"


def test_errors_of_a_node_have_its_path() -> None:
    broken = VerifiersNode(message=vf.UserMessage(content="x"), token_ids=[1], mask=[])
    with pytest.raises(ContractError) as caught:
        from_verifiers(wire_trace(nodes=[broken]))
    assert (caught.value.code, caught.value.path) == ("stream_length", "$.nodes[0].mask")


def test_message_that_has_no_hash_is_named() -> None:
    trace = to_verifiers(full_trace())
    trace.nodes[1].message.content[0].text = "\ud800"
    with pytest.raises(ProcessedPayloadError) as caught:
        from_verifiers(trace)
    assert caught.value.path == "$.nodes[1].message.content[0].text"


def test_no_image_is_in_an_error() -> None:
    url = url_of()
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    prompt = [{"role": "user", "content": [part]}]
    with pytest.raises(ContractError) as caught:
        to_verifiers(with_fields(task={"type": "t", "data": {"prompt": prompt}}))
    assert caught.value.path == "$.task.data.prompt[0].content[0].image_url.detail"
    with pytest.raises(ContractError) as caught:
        to_verifiers(with_fields(version=url))
    error: BaseException | None = caught.value
    while error is not None:
        assert url[40:60] not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
