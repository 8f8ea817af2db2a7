"""Objects of verifiers and of rawmm round-trip through each other unchanged."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifiers.v1 import types as vf
from verifiers.v1.configs.agent import AgentConfig
from verifiers.v1.graph import MessageNode as VerifiersNode
from verifiers.v1.state import State
from verifiers.v1.task import TaskData
from verifiers.v1.trace import AgentInfo, TraceTask, WireTrace
from verifiers.v1.trace import Trace as VerifiersTrace

import rawmm
from rawmm.integrations.verifiers import from_verifiers, to_verifiers
from tests.integrations.verifiers import objects
from tests.integrations.verifiers.objects import same, wire
from tests.integrations.verifiers.rollout import wire_trace


@given(objects.traces())
def test_verifiers_trace_round_trips(trace: Any) -> None:
    struct = from_verifiers(trace)
    rawmm.validate(struct)
    assert same(to_verifiers(struct), trace)


@given(objects.traces())
def test_verifiers_trace_round_trips_through_bytes(trace: Any) -> None:
    struct = from_verifiers(trace)
    packed = rawmm.decode_msgpack(rawmm.encode_msgpack(struct), rawmm.Trace)
    assert packed == struct
    assert same(to_verifiers(packed), trace)
    arrays = rawmm.decode_msgpack(rawmm.encode_msgpack(struct, packed=True), rawmm.Trace)
    assert arrays == struct
    assert same(to_verifiers(arrays), trace)
    text = rawmm.decode_json(rawmm.encode_json(struct), rawmm.Trace)
    assert text == struct
    assert same(to_verifiers(text), trace)


@given(objects.traces())
def test_record_of_verifiers_equals_from_verifiers(trace: Any) -> None:
    data = msgpack.packb(trace.model_dump(mode="python"), use_bin_type=True)
    assert rawmm.decode_msgpack(data, rawmm.Trace) == from_verifiers(trace)


@given(objects.traces(), st.sampled_from([None, 2, 4]))
def test_record_round_trips(trace: Any, decimals: int | None) -> None:
    record = json.loads(json.dumps(trace.to_record(decimals)))
    struct = rawmm.decode_json(json.dumps(record), rawmm.Trace)
    again = to_verifiers(struct)
    back = from_verifiers(again)
    assert [node.logprobs for node in back.nodes] == [node.logprobs for node in struct.nodes]
    again.info.pop("rawmm", None)  # the digits that float32 rounds
    reference = WireTrace.model_validate(record)
    assert again.to_record(None) == reference.to_record(None)
    assert same(again, reference)


@given(objects.nodes(), objects.MESSAGES, objects.TOOLS)
def test_nodes_messages_and_tools_come_back(node: Any, message: Any, tool: Any) -> None:
    for one in (node, message, tool):
        assert same(to_verifiers(from_verifiers(one)), one)
    for before, after in zip(
        [node, message], to_verifiers(from_verifiers((node, message))), strict=True
    ):
        assert same(before, after)


@given(objects.nodes())
def test_arrays_keep_dtype_shape_and_values(node: Any) -> None:
    back = to_verifiers(from_verifiers(node))
    pairs = [(node.routed_experts, back.routed_experts)]
    if node.sampling_mask is not None:
        pairs.append((node.sampling_mask.ids, back.sampling_mask.ids))
        pairs.append((node.sampling_mask.counts, back.sampling_mask.counts))
    for before, after in pairs:
        if before is None:
            assert after is None
        else:
            assert before.dtype == after.dtype
            assert before.shape == after.shape
            np.testing.assert_array_equal(before, after)


class MazeData(TaskData):
    gold: str = "left"
    where: Path = Path("/mazes/1")


class MazeState(State):
    steps: int = 0


def maze(trace_class: Any) -> Any:
    return trace_class(
        task=TraceTask(type="Maze", data=MazeData(where=Path("/mazes/7"))),
        agent=AgentInfo(config=AgentConfig(max_turns=3)),
        state=MazeState(steps=5),
        nodes=[VerifiersNode(message=vf.UserMessage(content="go"))],
    )


@pytest.mark.parametrize(
    "trace_class",
    [
        VerifiersTrace[MazeData, MazeState, AgentConfig],
        VerifiersTrace[TaskData, State, AgentConfig],  # the task's own fields are not declared
        VerifiersTrace,
    ],
)
def test_any_trace_parametrisation_is_accepted(trace_class: Any) -> None:
    trace = maze(trace_class)
    struct = from_verifiers(trace)
    assert struct.task["data"]["gold"] == "left"
    assert struct.task["data"]["where"] == "/mazes/7"
    typed = VerifiersTrace[MazeData, MazeState, AgentConfig]
    again = to_verifiers(struct, trace_class=typed)
    assert type(again) is typed
    assert again.task.data == trace.task.data
    assert wire(again) == wire(trace)
    assert wire(to_verifiers(struct)) == wire(trace)


class Mood(Enum):
    GOOD = 1


def test_values_that_verifiers_writes_as_scalars_become_scalars() -> None:
    odd = {
        "date": date(2026, 8, 1),
        "uuid": UUID(int=1),
        "mood": Mood.GOOD,
        "count": np.int64(3),
        "path": [(Path("/a"),)],
    }
    struct = from_verifiers(wire_trace(info=odd))
    assert struct.info == wire(wire_trace(info=odd))["info"]
    assert rawmm.decode_json(rawmm.encode_json(struct), rawmm.Trace) == struct


def test_runtime_only_state_is_not_converted() -> None:
    trace = maze(VerifiersTrace[MazeData, MazeState, AgentConfig])
    trace.nodes[0].renderer_token_ids = [1]
    struct = from_verifiers(trace)
    assert (struct.extra or {}).keys() <= {"dropped"}  # a field of 0.4.1.dev86
    assert "renderer_token_ids" not in rawmm.to_builtins(struct.nodes[0])
    assert to_verifiers(struct).nodes[0].renderer_token_ids is None


def test_non_json_numbers_round_trip_in_messagepack() -> None:
    trace = wire_trace()
    trace.metrics = {"a": float("nan"), "b": float("inf")}
    trace.info = {"blob": b"\xff", "pair": (1, 2)}
    struct = rawmm.decode_msgpack(rawmm.encode_msgpack(from_verifiers(trace)), rawmm.Trace)
    again = to_verifiers(struct)
    assert repr(again.metrics) == "{'a': nan, 'b': inf}"
    assert again.info == {"blob": b"\xff", "pair": [1, 2]}


def test_nothing_is_shared_with_what_was_converted() -> None:
    tool = vf.Tool(name="zoom", parameters={"p": {}}, cache={"ttl": 1})
    message = vf.AssistantMessage(provider_state=[{"a": [1]}])
    experts = np.zeros((1, 1), "uint8")
    streams = {"token_ids": [5], "mask": [False], "routed_experts": experts}
    node = VerifiersNode(message=message, tools=[tool], **streams)
    trace = wire_trace(info={"deep": [{"a": 1}]}, nodes=[node])
    before = wire(trace)
    struct = from_verifiers(trace)
    struct.info["deep"][0]["a"] = 2
    struct.nodes[0].tools[0].parameters["p"]["q"] = 1
    struct.nodes[0].tools[0].extra["cache"]["ttl"] = 2
    struct.nodes[0].message.provider_state[0]["a"].append(2)
    struct.nodes[0].token_ids[0] = 1
    struct.nodes[0].routed_experts.shape.append(1)
    assert wire(trace) == before
    struct = from_verifiers(trace)
    again = to_verifiers(struct)
    again.info["deep"][0]["a"] = 3
    again.nodes[0].tools[0].parameters["p"]["q"] = 1
    again.nodes[0].tools[0].model_extra["cache"]["ttl"] = 3
    again.nodes[0].message.provider_state[0]["a"].append(2)
    again.nodes[0].token_ids[0] = 1
    assert struct == from_verifiers(trace)


def test_tools_keep_what_a_provider_adds() -> None:
    tool = vf.Tool(name="zoom", input_schema={"type": "object"}, cache_control={"type": "x"})
    node = VerifiersNode(message=vf.UserMessage(content="go"), tools=[tool])
    struct = from_verifiers(node)
    assert struct.tools[0].extra == tool.model_extra
    assert same(to_verifiers(struct), node)
