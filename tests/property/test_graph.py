"""Random rollouts: the tokens of a branch are the rendering of its messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    AssistantMessage,
    MultiModalData,
    PackedFlags,
    PackedTokenIds,
    PlaceholderRange,
    Response,
    ToolMessage,
    Trace,
    TurnTokens,
    UserMessage,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    to_builtins,
    validate,
)
from rawmm.graph import PendingTurn, branches, leaves, message_hash, prepare_turn
from rawmm.graph.hashing import as_message
from tests import fake_renderer

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = ["", "go on", "look at this", "again"]
REPLIES = ["click", "type the word", "done"]


@st.composite
def observations(draw: st.DrawFn, urls: list[str]) -> dict[str, Any]:
    """A user or tool message: text, or parts of text and images in any order and number."""
    role = draw(st.sampled_from(["user", "user", "tool"]))
    more = {"tool_call_id": "c"} if role == "tool" else {}
    text = st.sampled_from(TEXTS)
    part = text.map(lambda of: {"type": "text", "text": of}) | st.sampled_from(urls).map(
        lambda url: {"type": "image_url", "image_url": {"url": url}}
    )
    content = draw(text | st.lists(part, max_size=3))
    return {"role": role, "content": content, **more}


def collapsed(prompt: fake_renderer.Rendered) -> fake_renderer.Rendered:
    """The prompt of a renderer that writes one token per image."""
    out = fake_renderer.Rendered(hashes=prompt.hashes, items=prompt.items)
    at = 0
    for span in prompt.ranges:
        keep(prompt, out, at, span.offset + 1)
        out.ranges.append(PlaceholderRange(offset=len(out.token_ids) - 1, length=1))
        at = span.offset + span.length
    keep(prompt, out, at, len(prompt.token_ids))
    return out


def keep(prompt: fake_renderer.Rendered, out: fake_renderer.Rendered, start: int, end: int) -> None:
    out.token_ids += prompt.token_ids[start:end]
    out.message_indices += prompt.message_indices[start:end]
    out.is_content += prompt.is_content[start:end]


@dataclass
class Model:
    """The expected graph: parent and message of each node, in order.

    A prompt message has one node under its parent; every reply is a new node.
    """

    nodes: list[tuple[int | None, str]] = field(default_factory=list)

    def child(self, parent: int | None, message: str) -> int | None:
        same = [i for i, node in enumerate(self.nodes) if node == (parent, message)]
        return same[-1] if same else None

    def prefix(self, prompt: list[str], path: list[int]) -> list[int]:
        """The nodes of the longest prefix, continuing those of `path`."""
        out = list(path)
        for message in prompt[len(path) :]:
            child = self.child(out[-1] if out else None, message)
            if child is None:
                break
            out.append(child)
        return out

    def add(self, prompt: list[str], path: list[int], reply: str) -> None:
        path = self.prefix(prompt, path)
        for message in [*prompt[len(path) :], reply]:
            self.nodes.append((path[-1] if path else None, message))
            path.append(len(self.nodes) - 1)


@dataclass
class Rollout:
    """A worker, and the expected graph."""

    data: st.DataObject
    urls: list[str]
    expands: bool
    trace: Trace = field(default_factory=lambda: Trace(nodes=[]))
    history: list[Any] = field(default_factory=list)
    model: Model = field(default_factory=Model)

    def draw(self, strategy: st.SearchStrategy[Any]) -> Any:
        return self.data.draw(strategy)

    def observe(self) -> None:
        step = self.draw(st.sampled_from(["go on", "go on", "go on", "fork", "compact", "again"]))
        if step == "fork" and self.history:
            self.history = self.history[: self.draw(st.integers(0, len(self.history) - 1))]
        elif step == "compact" and self.history:
            self.history = [{"role": "system", "content": "a summary"}, *self.history[-1:]]
        if step != "again" or not self.history:
            new = self.draw(st.lists(observations(self.urls), min_size=1, max_size=2))
            self.history = [*self.history, *new]

    def prepare(self) -> PendingTurn:
        # Harnesses send dicts or structs.
        typed = self.draw(st.booleans())
        prompt = [as_message(one) if typed else one for one in self.history]
        if self.draw(st.booleans()):  # as after decoding packed streams
            for node in self.trace.nodes:
                node.token_ids = PackedTokenIds.pack(node.token_ids)
                node.mask = PackedFlags.pack(node.mask)
        before = encode_msgpack(self.trace)
        turn = prepare_turn(self.trace, prompt)
        assert encode_msgpack(self.trace) == before
        assert turn.prefix_node_ids == self.model.prefix(list(map(message_hash, turn.prompt)), [])
        prefix = fake_renderer.render(turn.prompt[: turn.tail_start])
        assert turn.previous_multi_modal_data() == prefix.multi_modal_data
        assert turn.path_len == len(prefix.token_ids) - 2
        previous = turn.previous_token_ids()
        if previous is not None:
            assert [*previous[0], *previous[1]] == prefix.token_ids[:-2]
        return turn

    def answer(self, turn: PendingTurn) -> None:
        previous = turn.previous_token_ids()
        bridged = previous is not None and self.draw(st.booleans())
        if bridged:
            assert previous is not None
            prompt = fake_renderer.bridge(previous, turn.tail, turn.previous_multi_modal_data())
        else:
            prompt = fake_renderer.render(turn.prompt)
        tokens: dict[str, Any] = {"bridged": bridged}
        rendered = prompt
        if self.expands:
            rendered = collapsed(prompt)
            ranges = [(one.offset, one.length) for one in prompt.ranges]
            tokens |= {
                "renderer_prompt_ids": rendered.token_ids,
                "is_content": rendered.is_content,
                "mm_placeholders": ranges,
            }
            if self.draw(st.booleans()):
                tokens["multi_modal_data"] = rendered.multi_modal_data
        tokens["message_spans"] = (
            turn.prompt_message_spans(rendered) if bridged else rendered.spans(len(turn.prompt))
        )
        text = self.draw(st.sampled_from(REPLIES))
        node_id = turn.commit(fake_renderer.response(text, prompt, **tokens))
        self.history = [*turn.prompt, AssistantMessage(content=text)]
        *hashes, reply = map(message_hash, self.history)
        self.model.add(hashes, turn.prefix_node_ids, reply)
        assert node_id == len(self.model.nodes) - 1

    def check(self) -> None:
        trace = self.trace
        validate(trace)
        found = [(node.parent, message_hash(node.message)) for node in trace.nodes]
        assert found == self.model.nodes
        for node in trace.nodes:
            # Only its own tokens and media.
            own = fake_renderer.Rendered()
            own.add_message(node.message, 0)
            assert node.token_ids == own.token_ids
            sidecar = node.multi_modal_data or MultiModalData()
            assert sidecar.mm_hashes.get("image", []) == own.hashes
            assert sidecar.mm_items.get("image", []) == own.items
            assert node.sampled == any(node.mask)
        assert [branch.node_ids[-1] for branch in branches(trace)] == leaves(trace)
        for branch in branches(trace):
            whole = fake_renderer.render(branch.messages)
            assert branch.token_ids == whole.token_ids[:-2]
            assert branch.multi_modal_data == whole.multi_modal_data
            sampled = [lp for lp, own in zip(branch.logprobs, branch.mask, strict=True) if own]
            assert set(sampled) == {-0.25}
            kinds = branch.mm_token_type_ids or [0] * len(whole.token_ids[:-2])
            covered = [
                at for one in whole.ranges for at in range(one.offset, one.offset + one.length)
            ]
            assert [at for at, kind in enumerate(kinds) if kind] == covered


@pytest.mark.parametrize("tokens", ["as rendered", "expanded by the engine"])
@given(st.data())
def test_branch_equals_rendered_messages(urls: list[str], tokens: str, data: st.DataObject) -> None:
    rollout = Rollout(data, urls, expands=tokens == "expanded by the engine")
    waiting: list[PendingTurn] = []
    for _ in range(data.draw(st.integers(1, 6))):
        rollout.observe()
        waiting.append(rollout.prepare())
        # Two concurrent turns: the first commits after the second was prepared.
        if len(waiting) < 2 and data.draw(st.sampled_from([False, False, True])):
            continue
        for turn in waiting:
            rollout.answer(turn)
            rollout.check()
        waiting = []
    survives_the_wire(rollout)


def survives_the_wire(rollout: Rollout) -> None:
    trace, wire = rollout.trace, encode_msgpack(rollout.trace)
    for received in (decode_msgpack(wire, Trace), decode_json(encode_json(trace), Trace)):
        assert received == trace
        assert encode_msgpack(received) == wire
        for own, again in zip(branches(trace), branches(received), strict=True):
            assert own.multi_modal_data == again.multi_modal_data
            assert own.token_ids == again.token_ids
        for branch in branches(trace):
            turn = prepare_turn(received, branch.messages)
            hashes = list(map(message_hash, branch.messages))
            assert turn.prefix_node_ids == rollout.model.prefix(hashes, [])


@given(st.data())
def test_rollout_continues_after_round_trip(urls: list[str], data: st.DataObject) -> None:
    rollout = Rollout(data, urls, expands=False)
    for _ in range(data.draw(st.integers(1, 4))):
        rollout.observe()
        rollout.answer(rollout.prepare())
        rollout.trace = decode_msgpack(encode_msgpack(rollout.trace), Trace)
        rollout.check()


def test_trace_size_is_linear_in_turns(urls: list[str]) -> None:
    """The size of a turn does not depend on the length of the conversation."""
    trace = Trace(nodes=[])
    history: list[Any] = []
    sizes = []
    for _ in range(40):
        content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        history.append({"role": "user", "content": content})
        turn = prepare_turn(trace, history)
        prompt = fake_renderer.render(turn.prompt)
        turn.commit(fake_renderer.response("ok", prompt, message_spans=prompt.spans(len(history))))
        history.append({"role": "assistant", "content": "ok"})
        sizes.append(len(encode_msgpack(trace)))
    steps = [after - before for before, after in pairwise(sizes)]
    # Offsets and parents take more digits as they grow.
    assert max(steps) - min(steps) < 60


@st.composite
def attributions(draw: st.DrawFn, tokens: int, messages: int) -> Sequence[tuple[int, int] | None]:
    """Spans of any kind inside the prompt: missing, empty, overlapping, in any order."""
    edges = st.integers(0, tokens)
    span = st.none() | st.tuples(edges, edges).map(lambda one: (min(one), max(one)))
    return draw(st.lists(span, max_size=messages + 1))


@given(st.data())
def test_tokens_survive_any_attribution(data: st.DataObject) -> None:
    """With any spans, a path holds the turn's tokens once and in order."""
    trace = Trace(nodes=[])
    history: list[Any] = []
    ids: list[int] = []
    for _ in range(data.draw(st.integers(1, 4))):
        kinds = st.sampled_from(
            [UserMessage(content="a"), ToolMessage(tool_call_id="c", content="b")]
        )
        history = [*history, *data.draw(st.lists(kinds, max_size=3))]
        ids = [*ids, *data.draw(st.lists(st.integers(100, 103), max_size=5))]
        completion = data.draw(st.lists(st.integers(100, 103), min_size=1, max_size=3))
        reply = AssistantMessage(content="".join(map(str, completion)))
        tokens = TurnTokens(
            prompt_ids=ids,
            completion_ids=completion,
            completion_logprobs=[-1.0] * len(completion),
            message_spans=data.draw(st.none() | attributions(len(ids), len(history))),
            is_content=data.draw(st.none() | st.just([True] * len(ids))),
        )
        node_id = prepare_turn(trace, history).commit(Response(message=reply, tokens=tokens))
        branch = next(one for one in branches(trace) if one.node_ids[-1] == node_id)
        assert branch.messages == [*history, reply]
        assert branch.token_ids == [*ids, *completion]
        assert branch.nodes[-1].mask[-len(completion) :] == [True] * len(completion)
        validate(trace)
        history, ids = [*history, reply], [*ids, *completion]
    assert to_builtins(decode_msgpack(encode_msgpack(trace), Trace)) == to_builtins(trace)
