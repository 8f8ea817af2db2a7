"""The nodes that a commit adds, their tokens and their other fields."""

from __future__ import annotations

import array
import time
from collections import UserList, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest

import rawmm
from rawmm import (
    AssistantMessage,
    MultiModalData,
    PlaceholderRange,
    Response,
    SystemMessage,
    Tool,
    ToolMessage,
    Trace,
    TurnTokens,
    Usage,
    UserMessage,
    to_builtins,
    validate,
)
from rawmm.graph import branches, leaves, prepare_turn
from tests.builders import item
from tests.unit.graph.turns import (
    PAD,
    TYPES,
    history_of,
    new_trace,
    play,
    reply,
    response,
    sidecar,
    url,
    user,
    with_images,
)


def tokens_of(trace: Trace) -> list[list[int]]:
    return [list(node.token_ids) for node in trace.nodes]


def parents_of(trace: Trace) -> list[int | None]:
    return [node.parent for node in trace.nodes]


class TestOneTurn:
    def test_each_message_gets_its_tokens_and_the_scaffold_before_them(self) -> None:
        trace = new_trace()
        before = time.time()
        prompt = [SystemMessage(content="s"), user("u")]
        node_id = play(
            trace,
            prompt,
            response([1, 2, 3, 4, 5, 6], message_spans=[(1, 3), (4, 5)], is_content=[True] * 6),
        )
        assert node_id == 2
        assert parents_of(trace) == [None, 0, 1]
        assert tokens_of(trace) == [[1, 2, 3], [4, 5], [6, 90, 91]]
        assert [node.mask for node in trace.nodes] == [
            [False] * 3,
            [False] * 2,
            [False, True, True],
        ]
        assert [node.is_content for node in trace.nodes] == [
            [True] * 3,
            [True] * 2,
            [False, True, True],
        ]
        assert [node.sampled for node in trace.nodes] == [False, False, True]
        assert [node.logprobs for node in trace.nodes] == [[], [], [-0.5, -0.5]]
        assert [node.message for node in trace.nodes] == [*prompt, reply()]
        assert all(before <= (node.timestamp or 0) <= time.time() for node in trace.nodes)

    def test_reply_gets_all_tokens_without_spans(self) -> None:
        trace = new_trace()
        play(trace, [user("a"), user("b")], response([1, 2, 3]))
        assert tokens_of(trace) == [[], [], [1, 2, 3, 90, 91]]
        assert trace.nodes[2].is_content == []

    def test_message_without_tokens_has_an_empty_node(self) -> None:
        trace = new_trace()
        spans = [(0, 2), None, (2, 3)]
        play(trace, [user("a"), user(""), user("b")], response([1, 2, 3], message_spans=spans))
        assert tokens_of(trace) == [[1, 2], [], [3], [90, 91]]

    def test_number_of_spans_may_differ_from_messages(self) -> None:
        for spans in ([(0, 1)], [(0, 1), None, (1, 2), (2, 3)]):
            trace = new_trace()
            play(trace, [user("a"), user("b")], response([1, 2], message_spans=spans))
            assert tokens_of(trace) == [[1], [], [2, 90, 91]]

    def test_empty_prompt_is_committed(self) -> None:
        trace = new_trace()
        assert play(trace, [], response([5])) == 0
        assert (tokens_of(trace), parents_of(trace)) == ([[5, 90, 91]], [None])

    def test_empty_completion_is_committed(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1, 2], [], message_spans=[(0, 1)]))
        assert trace.nodes[1].sampled
        assert (trace.nodes[1].token_ids, trace.nodes[1].mask) == ([2], [False])
        assert prepare_turn(trace, history_of(trace)).previous_token_ids() is None

    @pytest.mark.parametrize(
        ("spans", "tokens"),
        [
            # A template may put the result of the second tool before that of the first.
            ([(0, 1), (3, 5), (1, 3)], [[1], [2, 3, 4, 5], [], [6, 90, 91]]),
            ([(2, 5), (0, 2), None], [[1, 2, 3, 4, 5], [], [], [6, 90, 91]]),
            ([(0, 4), (2, 3), (4, 5)], [[1, 2, 3, 4], [], [5], [6, 90, 91]]),
        ],
    )
    def test_reordered_messages_keep_every_token_once(
        self, spans: Any, tokens: list[list[int]]
    ) -> None:
        trace = new_trace()
        prompt = [user("call"), *(ToolMessage(tool_call_id=c, content=c) for c in "ab")]
        ids = [1, 2, 3, 4, 5, 6]
        play(trace, prompt, response(ids, message_spans=spans))
        assert tokens_of(trace) == tokens
        assert branches(trace)[0].token_ids == [*ids, 90, 91]
        # Sending them again makes no new nodes, whether they are in the prefix or not.
        for late in (False, True):
            other = Trace(nodes=[])
            turn = prepare_turn(other, prompt)
            play(other, prompt, response(ids, message_spans=spans))
            if not late:
                turn = prepare_turn(other, prompt)
            turn.commit(response(ids, text="more", message_spans=spans))
            assert len(other.nodes) == len(prompt) + 2


class TestReply:
    def test_finish_reason_and_usage_are_kept(self) -> None:
        trace = new_trace()
        answer = response([1])
        answer.finish_reason = "length"
        answer.usage = Usage(prompt_tokens=1, completion_tokens=2, cost=0.5)
        play(trace, [user("a")], answer)
        assert trace.nodes[1].finish_reason == "length"
        assert trace.nodes[1].usage == Usage(prompt_tokens=1, completion_tokens=2, cost=0.5)
        assert trace.nodes[0].finish_reason is None
        assert trace.nodes[0].usage is None

    def test_null_fields_are_left_out(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1]))
        for node in to_builtins(trace)["nodes"]:
            assert set(node) == {
                "parent", "message", "sampled", "timestamp",
                "token_ids", "mask", "is_content", "logprobs",
            }  # fmt: skip

    def test_same_reply_again_is_another_node(self) -> None:
        trace = new_trace()
        first = play(trace, [user("a")], response([1], message_spans=[(0, 1)]))
        second = play(trace, [user("a")], response([1], message_spans=[(0, 1)]))
        assert (first, second, parents_of(trace)) == (1, 2, [None, 0, 0])
        assert prepare_turn(trace, [user("a"), reply()]).prefix_node_ids == [0, 2]


class TestNextTurn:
    def test_next_turn_continues_the_last_one(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1, 2], message_spans=[(0, 2)]))
        turn = prepare_turn(trace, [user("a"), reply(), user("b")])
        assert (turn.prefix_node_ids, turn.path_len, turn.tail_start) == ([0, 1], 4, 2)
        assert turn.tail == [user("b")]
        assert turn.previous_token_ids() == ([1, 2], [90, 91])
        assert turn.previous_renderer_token_ids() == ([1, 2], [90, 91])
        assert turn.renderer_path_len == 4
        turn.commit(response([1, 2, 90, 91, 3], message_spans=[None, None, (4, 5)], bridged=True))
        assert tokens_of(trace) == [[1, 2], [90, 91], [3], [90, 91]]
        assert parents_of(trace) == [None, 0, 1, 2]

    def test_prefix_without_a_reply_cannot_be_extended(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1], message_spans=[(0, 1)]))
        for prompt in ([], [user("new")], [user("a")], [user("a"), user("b")]):
            turn = prepare_turn(trace, prompt)
            assert turn.previous_token_ids() is None
            assert turn.previous_renderer_token_ids() is None

    def test_prefix_with_an_unsampled_reply_cannot_be_extended(self) -> None:
        """Records may mask tokens of a message that a prompt supplied."""
        trace = new_trace()
        play(trace, [user("a")], response([1]))
        trace.nodes[1].sampled = False
        assert prepare_turn(trace, [user("a"), reply()]).previous_token_ids() is None

    def test_reply_alone_cannot_be_extended(self) -> None:
        """A renderer extends a prompt that does not exist."""
        trace = new_trace()
        play(trace, [], response([]))
        assert prepare_turn(trace, [reply(), user("a")]).previous_token_ids() is None

    def test_next_turn_forks_where_the_tokens_differ(self) -> None:
        trace = new_trace()
        play(trace, [user("a"), user("b")], response([1, 2], message_spans=[(0, 1), (1, 2)]))
        play(
            trace,
            [user("a"), user("b")],
            response([1, 3], text="other", message_spans=[(0, 1), (1, 2)]),
        )
        assert parents_of(trace) == [None, 0, 1, 0, 3]
        assert tokens_of(trace) == [[1], [2], [90, 91], [3], [90, 91]]
        assert leaves(trace) == [2, 4]
        # The latest variant is tried first; the tokens decide.
        turn = prepare_turn(trace, [user("a"), user("b")])
        assert turn.prefix_node_ids == [0, 3]
        turn.commit(response([1, 2], text="third", message_spans=[(0, 1), (1, 2)]))
        assert parents_of(trace)[5:] == [1]

    def test_next_turn_forks_where_the_messages_differ(self) -> None:
        trace = with_images()
        play(
            trace,
            [user("look", url(0)), reply("else")],
            response(
                [1, PAD, PAD, 2, 55],
                message_spans=[(0, 4), (4, 5)],
                multi_modal_data=sidecar((0, 1, 2)),
            ),
        )
        assert parents_of(trace) == [None, 0, 1, 2, 0, 4]
        one, other = branches(trace)
        assert one.multi_modal_data == sidecar((0, 1, 2), (1, 7, 3))
        assert other.multi_modal_data == sidecar((0, 1, 2))

    def test_node_must_hold_exactly_the_tokens_of_a_span(self) -> None:
        """A node with fewer tokens than the message's span does not match."""
        trace = new_trace()
        stale = prepare_turn(trace, [user("a"), user("b")])
        play(trace, [user("a"), user("b")], response([1, 2], message_spans=[(0, 1), None]))
        stale.commit(response([1, 2], message_spans=[(0, 1), (1, 2)]))
        assert parents_of(trace) == [None, 0, 1, 0, 3]
        assert tokens_of(trace) == [[1], [], [2, 90, 91], [2], [90, 91]]


class TestSpansOfAnExtendedPrompt:
    """An extending renderer counts the new messages only; the graph counts all."""

    def spans(self, *indices: int, tail: int = 2) -> Any:
        trace = new_trace()
        play(trace, [user("a")], response([1, 2], message_spans=[(0, 2)]))
        prompt = [user("a"), reply(), *(user(str(i)) for i in range(tail))]
        turn = prepare_turn(trace, prompt)
        return turn.prompt_message_spans(SimpleNamespace(message_indices=[-1] * 4 + [*indices]))

    def test_spans_follow_the_prefix(self) -> None:
        assert self.spans(0, 0, 1, 1, 1, -1) == [None, None, (4, 6), (6, 9)]

    def test_scaffold_belongs_to_no_span(self) -> None:
        assert self.spans(-1, 0, -1, 1, -1, -1) == [None, None, (5, 6), (7, 8)]

    def test_span_is_from_first_to_last_token(self) -> None:
        assert self.spans(0, -1, 0, 1) == [None, None, (4, 7), (7, 8)]
        assert self.spans(1, 0, 0, 1) == [None, None, (5, 7), (4, 8)]

    def test_message_without_tokens_has_no_span(self) -> None:
        assert self.spans(1, 1) == [None, None, None, (4, 6)]
        assert self.spans() == [None, None, None, None]

    def test_indices_beyond_the_tail_are_ignored(self) -> None:
        assert self.spans(0, 5, tail=1) == [None, None, (4, 5)]

    def test_spans_index_the_renderers_tokens(self) -> None:
        """The engine has more tokens if it expanded media."""
        trace = new_trace()
        tokens: dict[str, Any] = {"mm_placeholders": [(0, 3)], "mm_token_type_id_map": TYPES}
        answer = response(
            [PAD, PAD, PAD, 2],
            renderer_prompt_ids=[PAD, 2],
            multi_modal_data=sidecar((0, 0, 1)),
            message_spans=[(0, 2)],
            **tokens,
        )
        play(trace, [user(url(0))], answer)
        turn = prepare_turn(trace, [user(url(0)), reply(), user("b")])
        attribution = SimpleNamespace(message_indices=(-1, -1, -1, -1, 0, 0, -1))
        assert turn.prompt_message_spans(attribution) == [None, None, (4, 6)]


class TestConcurrentTurns:
    def test_nodes_of_another_turn_are_reused(self) -> None:
        trace = new_trace()
        prompt = [user("a"), user("b")]
        spans = [(0, 1), (1, 2)]
        first, second = prepare_turn(trace, prompt), prepare_turn(trace, prompt)
        first.commit(response([1, 2], text="one", message_spans=spans))
        second.commit(response([1, 2], text="two", message_spans=spans))
        assert parents_of(trace) == [None, 0, 1, 1]
        assert (second.prefix_node_ids, second.path_len) == ([], 0)

    def test_longest_fitting_node_is_reused_without_spans(self) -> None:
        trace = new_trace()
        prompt = [user("a"), reply(), user("b")]
        stale = prepare_turn(trace, prompt)
        play(trace, [user("a")], response([1], [90], message_spans=[(0, 1)]))
        play(trace, [user("a")], response([1], [90, 91, 92], message_spans=[(0, 1)]))
        play(trace, [user("a")], response([1], [90, 91], message_spans=[(0, 1)]))
        # Three replies with equal messages; the next message begins at 3 or 4.
        for ids, found in (([1, 90, 91, 5], 3), ([1, 90, 91, 92, 5], 2)):
            spans = [(0, 1), None, (len(ids) - 1, len(ids))]
            node_id = stale.commit(response(ids, text=f"after {found}", message_spans=spans))
            assert parents_of(trace)[node_id - 1 :] == [found, node_id - 1]

    def test_reused_node_takes_no_token_of_the_next_message(self) -> None:
        """A reply that includes the user's first token matches, but is too long."""
        trace = new_trace()
        prompt = [user("a"), reply(), user("b")]
        stale = prepare_turn(trace, prompt)
        for completion in ([90], [90, 5]):
            play(trace, [user("a")], response([1], completion, message_spans=[(0, 1)]))
        stale.commit(response([1, 90, 5], text="x", message_spans=[(0, 1), None, (2, 3)]))
        assert parents_of(trace)[3:] == [1, 3]
        assert tokens_of(trace)[3:] == [[5], [90, 91]]

    def test_first_reused_node_takes_no_token_of_the_next_message(self) -> None:
        trace = new_trace()
        stale = prepare_turn(trace, [user("a"), user("b")])
        for ids in ([1, 5], [1]):
            play(trace, [user("a")], response(ids, message_spans=[(0, len(ids))]))
        stale.commit(response([1, 5], text="x", message_spans=[None, (1, 2)]))
        assert parents_of(trace)[4:] == [2, 4]

    def test_relay_reuses_the_latest_node(self) -> None:
        trace = new_trace()
        prompt = [user("a")]
        stale = prepare_turn(trace, prompt)
        play(trace, prompt, response([1], message_spans=[(0, 1)]))
        play(trace, prompt, response([2], message_spans=[(0, 1)]))
        assert stale.commit(response()) == 4
        assert parents_of(trace)[4] == 2


class TestRelays:
    """Turns without tokens match by message only."""

    def test_nodes_without_tokens_are_continued(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response())
        play(trace, [user("a"), reply(), user("b")], response())
        assert tokens_of(trace) == [[]] * 4
        assert parents_of(trace) == [None, 0, 1, 2]
        assert [node.sampled for node in trace.nodes] == [False, True] * 2
        turn = prepare_turn(trace, history_of(trace))
        assert turn.previous_token_ids() is None
        assert turn.path_len == 0

    def test_offloaded_images_need_no_sidecar_without_tokens(self) -> None:
        trace = new_trace()
        play(trace, [user("look", url(0))], response())
        validate(trace)
        assert trace.nodes[0].multi_modal_data is None

    def test_relay_continues_nodes_with_tokens(self) -> None:
        trace = with_images()
        play(trace, [*history_of(trace), user("b")], response())
        assert parents_of(trace)[4:] == [3, 4]
        validate(trace)

    def test_response_without_tokens_is_committed(self) -> None:
        trace = new_trace()
        prepare_turn(trace, [user("a")]).commit(SimpleNamespace(message=reply()))
        assert len(trace.nodes) == 2

    def test_tokens_after_a_relay_that_showed_images_fork(self) -> None:
        """Existing nodes cannot get descriptors, so the turn makes its own."""
        trace = new_trace()
        play(trace, [user("look", url(0))], response())
        prompt = [user("look", url(0)), reply(), user("b")]
        play(
            trace,
            prompt,
            response(
                [1, PAD, 2, 3, 4],
                message_spans=[(0, 3), (3, 4), (4, 5)],
                mm_token_type_id_map=TYPES,
                multi_modal_data=sidecar((0, 1, 1)),
            ),
        )
        assert parents_of(trace) == [None, 0, None, 2, 3, 4]
        assert branches(trace)[1].multi_modal_data == sidecar((0, 1, 1))
        validate(trace)
        turn = prepare_turn(trace, prompt)
        assert turn.prefix_node_ids == [2, 3, 4]

    def test_tokens_after_a_relay_of_text_continue_it(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response())
        play(
            trace,
            [user("a"), reply(), user("b")],
            response([1, 2], message_spans=[None, None, (0, 2)]),
        )
        assert parents_of(trace) == [None, 0, 1, 2]
        assert tokens_of(trace) == [[], [], [1, 2], [90, 91]]


class TestCommitPrompt:
    def test_messages_without_tokens_are_committed(self) -> None:
        trace = new_trace()
        prompt = [user("a"), user("b"), user("c")]
        prepare_turn(trace, prompt, [{"name": "click"}]).commit_prompt()
        assert (parents_of(trace), tokens_of(trace)) == ([None, 0, 1], [[], [], []])
        assert history_of(trace) == prompt
        assert trace.nodes[0].tools == [Tool(name="click")]
        assert trace.nodes[1].tools is None
        assert trace.tools == [{"name": "click"}]
        assert not trace.nodes[1].sampled
        validate(trace)

    def test_only_new_nodes_are_committed(self) -> None:
        trace = with_images()
        turn = prepare_turn(trace, [*history_of(trace), user("b")])
        turn.commit_prompt()
        assert parents_of(trace)[4:] == [3]
        # The same or another turn finds them.
        turn.commit_prompt()
        prepare_turn(trace, turn.prompt).commit_prompt()
        assert len(trace.nodes) == 5

    def test_next_turn_continues_it(self) -> None:
        trace = new_trace()
        prompt = [user("a"), user("b")]
        prepare_turn(trace, prompt).commit_prompt()
        play(trace, prompt, response([1, 2], message_spans=[(0, 1), (1, 2)]))
        assert branches(trace)[0].token_ids == [1, 2, 90, 91]
        assert parents_of(trace) == [None, 0, 1]

    def test_next_turn_with_images_forks(self) -> None:
        trace = new_trace()
        prompt = [user("a"), user(url(0))]
        prepare_turn(trace, prompt).commit_prompt()
        answer = response(
            [1, PAD], message_spans=[(0, 1), (1, 2)], multi_modal_data=sidecar((0, 1, 1))
        )
        play(trace, prompt, answer)
        assert parents_of(trace) == [None, 0, 0, 2]
        assert branches(trace)[1].multi_modal_data == sidecar((0, 1, 1))


class TestTools:
    CLICK = Tool(name="click")
    CLICK_MORE = Tool(name="click", description="more")

    def test_root_holds_them(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1]), tools=[self.CLICK])
        assert [node.tools for node in trace.nodes] == [[self.CLICK], None]
        assert branches(trace)[0].tools == [self.CLICK]
        assert trace.tools == [{"name": "click"}]

    def test_root_is_matched_by_tools(self) -> None:
        trace = new_trace()
        for tools in ([self.CLICK], [self.CLICK_MORE], [], None, [self.CLICK]):
            play(trace, [user("a")], response([1], message_spans=[(0, 1)]), tools=tools)
        roots = [i for i, parent in enumerate(parents_of(trace)) if parent is None]
        assert roots == [0, 2, 4]
        assert prepare_turn(trace, [user("a")], [self.CLICK_MORE]).prefix_node_ids == [2]
        assert prepare_turn(trace, [user("a")]).prefix_node_ids == [4]
        assert prepare_turn(trace, [user("a")], [Tool(name="other")]).prefix_node_ids == []

    def test_trace_keeps_the_latest_of_each(self) -> None:
        trace = Trace(nodes=[], tools=[{"name": "old", "type": "function"}, {"name": ["odd"]}])
        play(
            trace, [user("a")], response([1]), tools=[self.CLICK, Tool(name="type", type="custom")]
        )
        play(trace, [user("a")], response([1]), tools=[self.CLICK_MORE])
        play(trace, [user("a")], response([1]), tools=[Tool(name="click", namespace="os")])
        assert trace.tools == [
            {"name": "old", "type": "function"},
            {"name": ["odd"]},
            {"name": "click", "description": "more"},
            {"name": "type", "type": "custom"},
            {"name": "click", "namespace": "os"},
        ]

    def test_default_type_equals_an_absent_type(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1]), tools=[self.CLICK])
        play(trace, [user("a")], response([1]), tools=[Tool(name="click", type="function")])
        assert trace.tools == [{"type": "function", "name": "click"}]

    def test_trace_without_tools_has_no_tools_field(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1]))
        assert "tools" not in to_builtins(trace)
        prepare_turn(trace, [user("b")]).commit_prompt()
        assert "tools" not in to_builtins(trace)

    def test_nothing_is_shared_with_the_caller(self) -> None:
        trace = new_trace()
        tools = [self.CLICK]
        turn = prepare_turn(trace, [user("a")], tools)
        turn.commit(response([1]))
        tools.append(self.CLICK_MORE)
        turn.tools.clear()
        assert trace.nodes[0].tools == [self.CLICK]


class TestAnyForm:
    """A response may be an object of any library with the fields."""

    def check(self, answer: Any) -> None:
        trace = new_trace()
        play(trace, [user("look", url(0))], answer)
        assert tokens_of(trace) == [[1, PAD], [3, 90]]
        assert trace.nodes[1].message == reply("fine")
        assert trace.nodes[1].finish_reason == "stop"
        assert trace.nodes[1].usage == Usage(prompt_tokens=3, completion_tokens=1)
        assert trace.nodes[0].multi_modal_data == sidecar((0, 1, 1))
        assert trace.mm_token_type_id_map == {"7": 1}
        validate(trace)

    def fields(self) -> dict[str, Any]:
        return {
            "prompt_ids": [1, PAD, 3],
            "completion_ids": [90],
            "completion_logprobs": [-1.0],
            "message_spans": [(0, 2)],
            "mm_token_type_id_map": {PAD: 1},
            "multi_modal_data": sidecar((0, 1, 1)),
        }

    def test_response_struct_is_read(self) -> None:
        self.check(
            Response(
                message=AssistantMessage(content="fine"),
                finish_reason="stop",
                usage=Usage(prompt_tokens=3, completion_tokens=1),
                tokens=TurnTokens(**self.fields()),
            )
        )

    @pytest.mark.parametrize("build", [SimpleNamespace, dict], ids=["objects", "mappings"])
    def test_objects_and_mappings_are_read(self, build: Any) -> None:
        self.check(
            build(
                message={"role": "assistant", "content": "fine"},
                finish_reason="stop",
                usage={"prompt_tokens": 3, "completion_tokens": 1},
                tokens=build(**self.fields()),
            )
        )

    def test_dataclasses_of_another_library_are_read(self) -> None:
        @dataclass
        class Sidecar:
            mm_hashes: dict[str, Any]
            mm_placeholders: dict[str, Any]
            mm_items: dict[str, Any]

        @dataclass
        class Message:
            role: str
            content: str

        @dataclass
        class Tokens:
            fields: dict[str, Any] = field(default_factory=self.fields)

            def __getattr__(self, name: str) -> Any:
                return self.fields.get(name)

        tokens = Tokens()
        tokens.fields["multi_modal_data"] = Sidecar(**to_builtins(sidecar((0, 1, 1))))
        self.check(
            SimpleNamespace(
                message=Message("assistant", "fine"),
                finish_reason="stop",
                usage=Usage(prompt_tokens=3, completion_tokens=1),
                tokens=tokens,
            )
        )

    def test_pydantic_models_are_read(self) -> None:
        class Message(pydantic.BaseModel):
            role: str = "assistant"
            content: str = "fine"

        class Account(pydantic.BaseModel):
            prompt_tokens: int = 3
            completion_tokens: int = 1

        class Tokens(pydantic.BaseModel):
            prompt_ids: list[int] = [1, PAD, 3]
            completion_ids: list[int] = [90]
            completion_logprobs: list[float] = [-1.0]
            message_spans: list[tuple[int, int] | None] = [(0, 2)]
            mm_token_type_id_map: dict[int, int] = {PAD: 1}
            multi_modal_data: dict[str, Any] = to_builtins(sidecar((0, 1, 1)))

        class Answer(pydantic.BaseModel):
            message: Message = Message()
            finish_reason: str = "stop"
            usage: Account = Account()
            tokens: Tokens = Tokens()

        self.check(Answer())

    @pytest.mark.parametrize(
        "build",
        [tuple, deque, UserList, lambda ids: array.array("q", ids), lambda ids: ids],
        ids=["tuple", "deque", "UserList", "array", "list"],
    )
    def test_ids_are_read_from_any_sequence(self, build: Any) -> None:
        trace = new_trace()
        ids: list[int] = []
        for number in range(3):
            ids = [*ids, number]
            play(
                trace,
                [*history_of(trace), user(str(number))],
                response(
                    build(ids),
                    build([90]),
                    completion_logprobs=[-0.5],
                    renderer_prompt_ids=build(ids),
                    message_spans=[*[None] * (2 * number), (len(ids) - 1, len(ids))],
                ),
            )
            ids = [*ids, 90]
        assert tokens_of(trace) == [[0], [90], [1], [90], [2], [90]]
        assert all(type(token) is int for node in tokens_of(trace) for token in node)
        assert parents_of(trace) == [None, 0, 1, 2, 3, 4]

    def test_messages_are_read_in_any_form(self) -> None:
        class Message(pydantic.BaseModel):
            role: str = "user"
            content: str = "a"

        trace = new_trace()
        for one in (Message(), {"role": "user", "content": "a"}, UserMessage(content="a")):
            play(trace, iter([one]), response([1], message_spans=[(0, 1)]))
        assert parents_of(trace) == [None, 0, 0, 0]

    def test_structs_are_kept_unchanged(self) -> None:
        trace, message = new_trace(), user("a")
        play(trace, [message], response([1]))
        assert trace.nodes[0].message is message


def test_ranges_of_the_engine_need_none_of_the_renderer() -> None:
    """A sidecar with items only has no ranges to compare."""
    trace = new_trace()
    items = MultiModalData(mm_items={"image": [item(0)]})
    spans: Any = [(0, 2)]
    answer = response(
        [1, PAD], message_spans=spans, multi_modal_data=items, mm_placeholders=[(1, 1)]
    )
    play(trace, [user(url(0))], answer)
    assert trace.nodes[0].multi_modal_data == items


class TestTokenTypes:
    def test_trace_keeps_them_for_turns_without_them(self) -> None:
        trace = with_images()
        assert trace.mm_token_type_id_map == {"7": 1}
        prompt = [*history_of(trace), user("b")]
        ids = [*branches(trace)[0].token_ids, 1, PAD]
        with pytest.raises(rawmm.ContractError, match="orphan_image"):
            play(trace, prompt, response(ids, multi_modal_data=sidecar((0, 1, 2), (1, 7, 3))))

    def test_turn_without_types_leaves_the_trace_without(self) -> None:
        trace = new_trace()
        nothing: list[Any] = [None, {}]
        for found in nothing:
            play(trace, [user("a")], response([1], mm_token_type_id_map=found))
            assert "mm_token_type_id_map" not in to_builtins(trace)

    def test_other_types_are_kept_and_not_counted(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1, 8], mm_token_type_id_map={8: 3, 9: 2}))
        assert trace.mm_token_type_id_map == {"8": 3, "9": 2}


class TestInlineImages:
    """In released records the images are in the messages, without descriptors."""

    INLINE = "data:image/png;base64,AAAA"

    @pytest.mark.parametrize("spans", [None, [(0, 2)]])
    def test_inline_image_tokens_need_no_items(self, spans: Any) -> None:
        trace = new_trace()
        tokens: dict[str, Any] = {"message_spans": spans, "mm_token_type_id_map": TYPES}
        play(trace, [user(self.INLINE)], response([1, PAD, 3], **tokens))
        ids = [1, PAD, 3, 90, 91]
        play(trace, [user(self.INLINE), reply(), user("b")], response([*ids, 1, 3], text="x"))
        validate(trace)
        assert branches(trace)[0].mm_token_type_ids == [0, 1, 0, 0, 0, 0, 0, 0, 0]

    def test_one_run_for_an_inline_and_a_stored_image_is_refused(self) -> None:
        for parts in ([self.INLINE, url(0)], [url(0), self.INLINE]):
            trace = new_trace()
            with pytest.raises(rawmm.ContractError) as caught:
                play(trace, [user(*parts)], response([1, PAD, PAD], mm_token_type_id_map=TYPES))
            assert str(caught.value).startswith(
                "$.nodes[1].token_ids: expected 2 runs of image-typed tokens, one for each image"
            )
            assert trace.nodes == []
            play(trace, [user(*parts)], response([1, PAD, 3, PAD], mm_token_type_id_map=TYPES))
            validate(trace)

    def test_descriptor_of_an_inline_image_is_checked(self) -> None:
        trace = new_trace()
        spans: Any = [(0, 3)]
        for at, size in ((1, 1), (0, 2)):
            described = MultiModalData(
                mm_placeholders={"image": [PlaceholderRange(offset=at, length=size)]}
            )
            answer = response(
                [1, PAD, PAD],
                message_spans=spans,
                multi_modal_data=described,
                mm_token_type_id_map=TYPES,
            )
            with pytest.raises(rawmm.ContractError, match="orphan_image"):
                play(trace, [user(self.INLINE)], answer)

    def test_bridged_turn_cannot_describe_earlier_inline_images(self) -> None:
        trace = new_trace()
        play(trace, [user(self.INLINE)], response([1, PAD]))
        ids = [1, PAD, 90, 91, 5]
        described = MultiModalData(
            mm_items={"image": [rawmm.RawMMItem(modality="image", family="qwen_vl", payload={})]}
        )
        with pytest.raises(rawmm.ContractError) as caught:
            play(
                trace,
                [user(self.INLINE), reply(), user("b")],
                response(ids, multi_modal_data=described, bridged=True),
            )
        assert (caught.value.code, caught.value.path) == (
            "media_mismatch",
            "$.tokens.multi_modal_data.mm_items.image[0]",
        )

    def test_described_inline_image_stays_described(self) -> None:
        """Without the sidecar the descriptor of the earlier turn would be lost."""
        trace = new_trace()
        described = MultiModalData(
            mm_items={"image": [rawmm.RawMMItem(modality="image", family="qwen_vl", payload={})]}
        )
        tokens: dict[str, Any] = {"message_spans": [(0, 2)]}
        prompt: list[Any] = [user(self.INLINE)]
        play(trace, prompt, response([1, PAD], multi_modal_data=described, **tokens))
        with pytest.raises(rawmm.ContractError, match="got none"):
            play(trace, prompt, response([1, PAD], text="x", **tokens))
