"""A rollout through verifiers' own graph: its dialect, its prepare_turn, its commit."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np
from verifiers.v1 import graph
from verifiers.v1 import types as vf
from verifiers.v1.dialects import ChatDialect
from verifiers.v1.semantic import ACPInfo, SemanticEdge, SemanticEdgeSet
from verifiers.v1.trace import ModelCall, TimeSpan, WireTrace

from tests.unit.images.pictures import part, url_of

IMAGE = 151_655
GENERATE = 7
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "zoom",
            "parameters": {"type": "object"},
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
    }
]


def wire_trace(**fields: Any) -> Any:
    return WireTrace(
        **{
            "task": {"type": "Maze", "data": {"idx": 3, "gold": "left"}},
            "agent": {"config": {"max_turns": 9}},
            **fields,
        }
    )


def ask(text: str, seed: int | None = None) -> dict[str, Any]:
    """A user message of the chat API, with an inline image."""
    parts: list[Any] = [{"type": "text", "text": text}]
    if seed is not None:
        parts.append(part(url_of("PNG", seed)))
    return {"role": "user", "content": parts}


def tool_result(call: str, text: str, seed: int | None = None) -> dict[str, Any]:
    return {**ask(text, seed), "role": "tool", "tool_call_id": call}


def reply(text: str, call: str | None = None) -> dict[str, Any]:
    """An assistant message of the chat API."""
    function = {"name": "zoom", "arguments": '{"x": 1}'}
    calls = [{"id": call, "type": "function", "function": function}]
    return {"role": "assistant", "content": text} | ({"tool_calls": calls} if call else {})


def tokens_of(message: Any) -> list[int]:
    """Tokens of one message: its hash says which, four stand for an image."""
    digest = hashlib.sha256(graph.message_hash(message).encode()).digest()
    if isinstance(message, vf.AssistantMessage):
        return [GENERATE, *(100 + byte for byte in digest[:3])]
    images = sum(one.type == "image_url" for one in message.content if not isinstance(one, str))
    return [1, 100 + digest[0], *[IMAGE] * 4 * images, 2]


def respond(prompt: list[Any], answer: dict[str, Any]) -> vf.Response:
    """A train client's response, with spans, routing and masks."""
    dialect = ChatDialect()
    message: Any = dialect.parse_request({"messages": [answer]}).messages[0]
    prompt_ids: list[int] = []
    spans = []
    for one in prompt:
        start = len(prompt_ids)
        prompt_ids += tokens_of(one)
        spans.append((start, len(prompt_ids)))
    prompt_ids.append(GENERATE)
    completion = tokens_of(message)[1:]
    total = len(prompt_ids) + len(completion)
    experts = (np.arange(total * 2 * 2) % 251).astype(np.uint8)
    return vf.Response(
        id="r",
        created=0,
        model="m",
        message=message,
        finish_reason="tool_calls" if message.tool_calls else "stop",
        usage=vf.Usage(prompt_tokens=len(prompt_ids), completion_tokens=len(completion)),
        tokens=vf.TurnTokens(
            prompt_ids=prompt_ids,
            completion_ids=completion,
            completion_logprobs=[-0.123456789 * (i + 1) for i in range(len(completion))],
            message_spans=spans,
            is_content=[True] * len(prompt_ids),
            mm_token_type_id_map={IMAGE: 1},
            routed_experts={
                "data": base64.b64encode(experts.tobytes()).decode(),
                "shape": [total, 2, 2],
                "start": 0,
            },
            sampling_mask=vf.SamplingMask.from_sampling_mask(
                [[token, token + 1] for token in completion]
            ),
        ),
    )


def take_turn(trace: Any, body: dict[str, Any], answer: dict[str, Any]) -> Any:
    """One request as verifiers serves it; the turn as it was resolved before inference."""
    request = ChatDialect().parse_request(body)
    turn = graph.prepare_turn(trace, request.messages, request.tools)
    response = respond(request.messages, answer)
    node = turn.commit(response)
    trace.calls.append(
        ModelCall(
            node=node,
            finish_reason=response.finish_reason,
            usage=response.usage,
            time=TimeSpan(start=1.0, end=2.0),
            acp=ACPInfo(request_id=f"r{len(trace.calls)}"),
        )
    )
    return turn


def finished_trace() -> Any:
    """Four turns with inline images, a tool call, a fork, and a semantic edge across it."""
    trace = wire_trace()
    history = [{"role": "system", "content": "Find the way."}, ask("Where am I?", 0)]
    for index in range(3):
        answer = reply(f"step {index}", f"call{index}" if index < 2 else None)
        take_turn(trace, {"messages": history, "tools": TOOLS}, answer)
        history = [*history, answer]
        if index < 2:
            history.append(tool_result(f"call{index}", f"view {index}", index + 1))
    # The harness rewrote its history: the graph forks behind the system message.
    rewritten = [history[0], ask("So far: lost.", 4)]
    take_turn(trace, {"messages": rewritten, "tools": TOOLS}, reply("left"))
    edge = SemanticEdge(source_request_id="r2", target_request_id="r3", type="compaction")
    trace.add_semantic_edges(SemanticEdgeSet(edges=[edge]))
    trace.record_reward("right", 1.0, 0.5)
    trace.record_metric("steps", 4)
    trace.info["note"] = {"deep": [1, 2.5, None]}
    trace.stop("agent_completed")
    return trace
