"""The same turns through verifiers' own graph and through ours give the same graph.

Rollouts are drawn with everything that a harness does: forks, compaction, re-tokenized replies,
replies the renderer does not attribute, relays without tokens, tools, images that the engine
expands, expert routing, sampling masks, and turns that overtake each other.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifiers.v1 import graph as vf_graph
from verifiers.v1 import types as vf
from verifiers.v1.trace import WireTrace

import rawmm
from rawmm.graph import branches, leaves, message_hash, prepare_turn
from rawmm.graph.index import index_of
from rawmm.integrations.verifiers import replay_view
from tests.integrations.verifiers.objects import DEV, plain

if DEV:
    from verifiers.v1.harnesses.hermes_agent.harness import HermesAgentHarness
    from verifiers.v1.harnesses.opencode.harness import OpenCodeHarness
    from verifiers.v1.harnesses.pi.harness import PiHarness

START, PAD, OPEN, CLOSE, REPLY, END, DRIFT = 6, 7, 20, 21, [50, 51], 99, 98
IMAGES = [f"data:image/png;base64,{base64.b64encode(bytes([i])).decode()}" for i in range(4)]


def text_ids(text: str) -> list[int]:
    return [100 + byte for byte in sha256(text.encode()).digest()[: 1 + len(text) % 3]]


@dataclass
class Rendered:
    ids: list[int] = field(default_factory=list)
    spans: list[tuple[int, int] | None] = field(default_factory=list)
    content: list[bool] = field(default_factory=list)

    def add(self, ids: list[int], *, content: bool) -> None:
        self.ids += ids
        self.content += [content] * len(ids)


def render(messages: list[Any], *, drift: set[int], unattributed: set[int]) -> Rendered:
    out = Rendered()
    for i, message in enumerate(messages):
        start = len(out.ids)
        if isinstance(message, vf.AssistantMessage):
            out.add(REPLY, content=False)
            out.add([*text_ids(message.content or ""), END], content=True)
            if i in drift:
                out.add([DRIFT], content=True)
        else:
            out.add([OPEN], content=False)
            parts = message.content if isinstance(message.content, list) else [message.content]
            for part in parts:
                text = part if isinstance(part, str) else getattr(part, "text", None)
                out.add([START, PAD] if text is None else text_ids(text), content=True)
            out.add([CLOSE], content=False)
        out.spans.append(None if i in unattributed else (start, len(out.ids)))
    out.add(REPLY, content=False)
    return out


def expanded(rendered: list[int], sizes: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
    ids: list[int] = []
    ranges: list[tuple[int, int]] = []
    for token in rendered:
        if token == PAD:
            size = sizes[len(ranges) % len(sizes)]
            ranges.append((len(ids), size))
            ids += [PAD] * size
        else:
            ids.append(token)
    return ids, ranges


texts = st.sampled_from(["", "a", "go", "look"])
contents = texts | st.lists(
    texts.map(lambda text: vf.TextContentPart(text=text))
    | st.sampled_from(IMAGES).map(
        lambda url: vf.ImageUrlContentPart(image_url=vf.ImageUrlSource(url=url))
    ),
    max_size=3,
)
tool_lists = st.sampled_from(
    [[], [vf.Tool(name="click")], [vf.Tool(name="click", description="more")]]
)


def same_array(ours: rawmm.EncodedArray | None, theirs: Any) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert (ours.dtype, ours.shape, ours.data) == (
            str(theirs.dtype),
            list(theirs.shape),
            theirs.tobytes(),
        )


def same_outputs(ours: rawmm.MessageNode, theirs: Any) -> None:
    spans = [(span.version, span.start, span.end) for span in ours.weight_versions or ()]
    assert spans == [(span.version, span.start, span.end) for span in theirs.weight_versions or ()]
    assert (ours.top_logprobs is None) == (theirs.top_logprobs is None)
    if ours.top_logprobs is not None:
        for name in ("ids", "logprobs", "counts"):
            same_array(getattr(ours.top_logprobs, name), getattr(theirs.top_logprobs, name))


def same_graph(ours: rawmm.Trace, theirs: Any) -> None:
    index = index_of(ours)
    assert len(ours.nodes) == len(theirs.nodes)
    for i, (own, other) in enumerate(zip(ours.nodes, theirs.nodes, strict=True)):
        for name in ("parent", "sampled", "token_ids", "mask", "is_content", "logprobs"):
            assert getattr(own, name) == plain(getattr(other, name)), (i, name)
        assert message_hash(own.message) == vf_graph.message_hash(other.message)
        assert [tool.name for tool in own.tools or []] == [tool.name for tool in other.tools]
        assert index.logical_ids(i) == plain(other.logical_ids)
        same_array(own.routed_experts, other.routed_experts)
        masks = own.sampling_mask, other.sampling_mask
        assert (masks[0] is None) == (masks[1] is None)
        if isinstance(masks[0], rawmm.SamplingMask):
            same_array(masks[0].ids, masks[1].ids)
            same_array(masks[0].counts, masks[1].counts)
        if DEV:
            same_outputs(own, other)
    assert leaves(ours) == vf_graph.leaves(theirs)
    for own_branch, branch in zip(branches(ours), theirs.branches, strict=True):
        assert own_branch.token_ids == plain(branch.token_ids)
        assert own_branch.mask == plain(branch.sampled_mask)
        assert own_branch.logprobs == plain(branch.logprobs)
        assert own_branch.mm_token_type_ids == plain(branch.mm_token_type_ids)
        assert own_branch.trainable == branch.trainable
    assert [tool["name"] for tool in ours.tools or []] == [tool.name for tool in theirs.tools]
    rawmm.validate(ours)


@st.composite
def replies(draw: st.DrawFn, prompt: list[Any], prefix_len: int, bridged_to: int | None) -> Any:
    """A response of the engine to a prompt."""
    text = draw(st.sampled_from(["ok", "done", "x", "", " \n"]))
    message = vf.AssistantMessage(content=text)
    if draw(st.sampled_from([False] * 6 + [True])):
        return vf.Response(id="r", created=0, model="m", message=message, finish_reason="stop")
    indices = range(len(prompt))
    assistants = [i for i in indices if isinstance(prompt[i], vf.AssistantMessage)]
    drift = set(draw(st.lists(st.sampled_from(assistants), max_size=1))) if assistants else set()
    choice = draw(st.sampled_from(["all", "replies", "bridge"]))
    unattributed = {
        "all": set(),
        "replies": set(assistants),
        "bridge": set(range(bridged_to or 0)),
    }[choice]
    rendered = render(prompt, drift=drift, unattributed=unattributed)
    completion = [*text_ids(text), END]
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    ids, ranges = expanded(rendered.ids, sizes)
    tokens: dict[str, Any] = {
        "prompt_ids": ids,
        "renderer_prompt_ids": rendered.ids,
        "mm_placeholders": ranges,
        "completion_ids": completion,
        "completion_logprobs": [-0.5] * len(completion),
        "message_spans": rendered.spans if draw(st.booleans()) else None,
        "is_content": rendered.content if draw(st.booleans()) else None,
        "mm_token_type_id_map": {PAD: 1},
    }
    if draw(st.booleans()):
        start = draw(st.integers(0, prefix_len))
        rows = len(ids) + len(completion) - start - draw(st.integers(0, 2))
        dtype = draw(st.sampled_from(["uint8", "uint16"]))
        data = np.arange(max(0, rows) * 2, dtype=dtype).tobytes()
        tokens["routed_experts"] = {
            "data": base64.b64encode(data).decode(),
            "shape": [max(0, rows), 2, 1],
            "start": start,
            "dtype": dtype,
        }
    if draw(st.booleans()):
        rows_of_ids = [list(range(i % 3)) for i in range(len(completion))]
        tokens["sampling_mask"] = vf.SamplingMask.from_sampling_mask(rows_of_ids)
    if DEV and draw(st.booleans()):
        size = len(completion)
        heads = [[token, token + 1][: i % 3] for i, token in enumerate(completion)]
        tokens["top_logprobs"] = vf.TopLogprobs.from_top_logprobs(
            heads, [[-0.3] * len(head) for head in heads]
        )
        tokens["weight_versions"] = [vf.WeightVersionSpan(version="7", start=0, end=size)]
    return vf.Response(
        id="r",
        created=0,
        model="m",
        message=message,
        finish_reason="stop",
        tokens=vf.TurnTokens.model_construct(**vf.TurnTokens(**tokens).__dict__),
    )


def new_wire_trace() -> Any:
    return WireTrace.model_validate(
        {
            "task": {"type": "t", "data": {"idx": 0, "prompt": "p"}},
            "agent": {"config": {"model": "m"}},
        }
    )


HARNESSES = [HermesAgentHarness, PiHarness, OpenCodeHarness] if DEV else []
DIALECTS = ["chat_completions", "anthropic_messages"] if DEV else [None]


def replayed(message: Any, text: str | None) -> Any:
    """A reply as a program sends it again, with other white space."""
    if (message.content or "").strip():
        return message.model_copy(update={"content": f"{message.content}{text or ''}"})
    return message.model_copy(update={"content": text})


@given(st.data())
def test_same_turns_give_the_same_graph(data: st.DataObject) -> None:
    ours, theirs = rawmm.Trace(nodes=[]), new_wire_trace()
    harness = data.draw(st.sampled_from([None, *HARNESSES]))
    if harness is not None:
        harness = harness(None)
        theirs._replay_view = harness.replay_view
    history: list[Any] = []
    waiting: list[tuple[Any, Any]] = []
    for _ in range(data.draw(st.integers(1, 7))):
        step = data.draw(st.sampled_from(["go on", "go on", "go on", "fork", "compact", "again"]))
        if step == "fork" and history:
            history = history[: data.draw(st.integers(0, len(history) - 1))]
        elif step == "compact":
            history = [vf.SystemMessage(content="summary"), *history[-1:]]
        if step != "again" or not history:
            new = data.draw(
                st.lists(
                    contents.map(lambda content: vf.UserMessage(content=content)),
                    min_size=1,
                    max_size=2,
                )
                | st.just([vf.ToolMessage(tool_call_id="c", content="out")])
            )
            history = [*history, *new]
        tools = data.draw(tool_lists)
        dialect = data.draw(st.sampled_from(DIALECTS))
        view = None if harness is None else replay_view(harness, dialect)
        mine = prepare_turn(ours, history, tools, replay_view=view)
        other = vf_graph.prepare_turn(theirs, history, tools, *([dialect] if DEV else []))
        assert mine.prefix_node_ids == other.prefix_node_ids
        assert mine.path_len == other.path_len
        assert mine.renderer_path_len == other.renderer_path_len
        assert mine.previous_renderer_token_ids() == other.previous_renderer_token_ids()
        if data.draw(st.sampled_from([False] * 5 + [True])):
            other.commit_prompt()
            mine.commit_prompt()
            same_graph(ours, theirs)
            continue
        waiting.append((mine, other))
        # Two turns in flight: the later prompt was prepared before the earlier was committed.
        if len(waiting) < 2 and data.draw(st.booleans()):
            continue
        for one, reference in waiting:
            response = data.draw(
                replies(reference.prompt, reference.path_len, len(reference.prefix_node_ids))
            )
            try:
                committed = reference.commit(response)
            except ValueError:
                before = rawmm.encode_msgpack(ours)
                with pytest.raises(rawmm.RawMMError):
                    one.commit(response)
                assert rawmm.encode_msgpack(ours) == before
                return
            assert one.commit(response) == committed
            same_graph(ours, theirs)
            again = data.draw(st.sampled_from([None, "", " ", "\n\n"]))
            history = [*reference.prompt, replayed(response.message, again)]
        waiting = []
