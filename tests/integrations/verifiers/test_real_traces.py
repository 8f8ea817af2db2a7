"""Traces that verifiers itself built, over its own wire, without and with our conversion."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from verifiers.v1.serve.delta import DeltaStreamer, EpisodeAssembly, pack, unpack
from verifiers.v1.trace import WireTrace

import rawmm
from rawmm.integrations.verifiers import from_verifiers, to_verifiers
from rawmm.store.references import Referenced
from tests.integrations.verifiers.objects import equal, plain, same, wire
from tests.integrations.verifiers.rollout import finished_trace


@pytest.fixture
def trace() -> Any:
    return finished_trace()


def test_rollout_has_all_that_can_be_lost(trace: Any) -> None:
    urls = [
        part.image_url.url
        for node in trace.nodes
        if isinstance(node.message.content, list)
        for part in node.message.content
        if part.type == "image_url"
    ]
    assert len(urls) == 4
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    assert trace.num_branches == 2
    assert trace.nodes[0].tools[0].model_extra == {"cache_control": {"type": "ephemeral"}}
    assert any(node.semantic_parents for node in trace.nodes)
    sampled = [node for node in trace.nodes if node.sampled]
    assert all(node.routed_experts is not None for node in trace.nodes)
    assert all(node.sampling_mask is not None and len(node.logprobs) for node in sampled)
    assert any(node.message.tool_calls for node in sampled)
    assert trace.mm_token_type_id_map


def test_dump_decodes_validates_and_loads_back_without_this_module(trace: Any) -> None:
    data = msgpack.packb(trace.model_dump(mode="python"))
    struct = rawmm.decode_msgpack(data, rawmm.Trace)
    rawmm.validate(struct)
    again = rawmm.encode_msgpack(struct)
    assert equal(msgpack.unpackb(again), msgpack.unpackb(data))
    assert same(WireTrace.model_validate(msgpack.unpackb(again)), trace)
    assert from_verifiers(trace) == struct
    assert same(to_verifiers(struct), trace)


def test_views_of_a_trace_are_the_same_after_the_way_through(trace: Any) -> None:
    again = to_verifiers(from_verifiers(trace))
    assert again.num_branches == trace.num_branches
    for one, other in zip(again.branches, trace.branches, strict=True):
        assert plain(one.token_ids) == plain(other.token_ids)
        assert plain(one.sampled_mask) == plain(other.sampled_mask)
        assert plain(one.logprobs) == plain(other.logprobs)
        assert (one.routed_experts == other.routed_experts).all()
        assert (one.sampling_mask.ids == other.sampling_mask.ids).all()
        assert one.trainable == other.trainable
    assert again.transcript == trace.transcript
    assert again.reward == trace.reward


def test_record_decodes_and_loads_back(trace: Any) -> None:
    record = json.dumps(trace.to_record())
    struct = rawmm.decode_json(record, rawmm.Trace)
    rawmm.validate(struct)
    assert json.loads(rawmm.encode_json(struct)) == json.loads(record)
    again = to_verifiers(struct)
    back = from_verifiers(again)
    assert [node.logprobs for node in back.nodes] == [node.logprobs for node in struct.nodes]
    again.info.pop("rawmm", None)  # the digits that float32 rounds
    assert again.to_record() == trace.to_record()


def test_streamed_trace_decodes(trace: Any) -> None:
    """The env server sends deltas; what the client assembles of them is a trace, too."""
    sent: list[Any] = []
    streamer = DeltaStreamer(lambda: [trace], sent.append)
    assembly = EpisodeAssembly()
    for _, delta, _ in streamer.diff():
        assembly.apply(unpack(pack(delta)))
    (assembled,) = assembly.traces.values()
    assembled.pop("pending")
    struct = rawmm.decode_msgpack(msgpack.packb(assembled), rawmm.Trace)
    assert struct == from_verifiers(trace)


def test_nodes_and_messages_of_a_trace_convert_alone(trace: Any) -> None:
    for node in trace.nodes:
        assert same(to_verifiers(from_verifiers(node)), node)
        assert same(to_verifiers(from_verifiers(node.message)), node.message)
    # The nodes of a branch name parents that are not in the list.
    branch = trace.branches[1].nodes
    assert [wire(node) for node in to_verifiers(from_verifiers(branch))] == [
        wire(node) for node in branch
    ]


def test_collector_finds_images_of_a_live_trace(trace: Any) -> None:
    names = [f"{digit * 64}.png" for digit in "abc"]
    trace.info["shown"] = f"file:///images/{names[0]}"
    trace.nodes[1].message.content = f"see {names[1]}"
    referenced = Referenced(names)
    referenced.add([trace])
    assert referenced.names == set(names[:2])
