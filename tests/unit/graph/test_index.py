"""The index of a trace: its lookups, its updates, and its lifetime."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    AssistantMessage,
    MessageNode,
    Tool,
    Trace,
    UserMessage,
    decode_msgpack,
    encode_msgpack,
    validate,
)
from rawmm.graph import branches, index, message_hash, prepare_turn, reindex
from rawmm.graph.index import GraphIndex, index_of
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

if TYPE_CHECKING:
    from collections.abc import Callable


def prefix_of(trace: Trace, messages: list[Any]) -> list[int]:
    return prepare_turn(trace, messages).prefix_node_ids


def expanded(trace: Trace | None = None) -> Trace:
    """A turn whose image the engine expanded from one token to three."""
    trace = new_trace() if trace is None else trace
    play(
        trace,
        [user("look", url(0))],
        response(
            [1, PAD, PAD, PAD, 2],
            renderer_prompt_ids=[1, PAD, 2],
            mm_placeholders=[(1, 3)],
            message_spans=[(0, 2)],
            mm_token_type_id_map=TYPES,
            multi_modal_data=sidecar((0, 1, 3)),
        ),
    )
    return trace


class Calls:
    """Counts calls of the real functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        monkeypatch.setattr(index, "message_hash", self.counted("hash", message_hash))
        for name in ("same_child", "equal_child", "latest", "variants"):
            monkeypatch.setattr(GraphIndex, name, self.counted(name, getattr(GraphIndex, name)))

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any) -> Any:
            self.counts[name] += 1
            return function(*args)

        return call

    def take(self) -> Counter[str]:
        taken, self.counts = self.counts, Counter()
        return taken


class TestWork:
    """Counted, not timed."""

    @pytest.mark.slow
    @pytest.mark.parametrize("resent", ["the same objects", "equal ones"])
    def test_thousand_turns_hash_each_message_a_few_times(
        self, monkeypatch: pytest.MonkeyPatch, resent: str
    ) -> None:
        calls = Calls(monkeypatch)
        trace = new_trace()
        history: list[Any] = []
        for number in range(1000):
            new = user(str(number))
            prompt = [*history, new]
            play(trace, prompt, response(text=f"reply {number}"))
            again = new if resent == "the same objects" else copy.copy(new)
            history = [*history, again, reply(f"reply {number}")]
            asked = calls.take()
            # The new message is hashed by lookup, commit and indexing, and the reply by indexing.
            # Messages that are sent again are compared with the only child.
            assert asked["hash"] == 4
            assert asked["same_child"] == len(prompt)
            assert asked["equal_child"] == (
                number + 1 if resent == "the same objects" else len(prompt)
            )
            assert asked["latest"] == asked["variants"] == 1
        assert len(trace.nodes) == 2000

    def test_thousand_turns_with_images_hash_each_message_a_few_times(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = Calls(monkeypatch)
        trace = new_trace()
        history: list[Any] = []
        ids: list[int] = []
        media: list[tuple[int, int, int]] = []
        for number in range(60):
            history = [*history, user(url(number))]
            media = [*media, (number, len(ids) + 1, 2)]
            spans = [None] * (len(history) - 1) + [(len(ids), len(ids) + 4)]
            ids = [*ids, 1, PAD, PAD, 2]
            answer = response(
                ids,
                text=str(number),
                message_spans=spans,
                mm_token_type_id_map=TYPES,
                multi_modal_data=sidecar(*media),
            )
            calls.take()
            play(trace, history, answer)
            asked = calls.take()
            assert asked["hash"] == 4
            assert asked["same_child"] == len(history)
            history, ids = [*history, reply(str(number))], [*ids, 90, 91]
        validate(trace)

    def test_commit_makes_descriptors_of_new_media_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Descriptors of earlier turns are compared, not copied and checked again."""
        from rawmm.graph import sidecar as module

        copied: Counter[str] = Counter()
        own = module._own

        def counting(entry: Any) -> Any:
            copied["entries"] += 1
            return own(entry)

        monkeypatch.setattr(module, "_own", counting)
        trace = new_trace()
        history: list[Any] = []
        media: list[tuple[int, int, int]] = []
        for number in range(30):
            history = [*history, user(url(number))]
            media = [*media, (number, number, 1)]
            ids = [PAD] * (number + 1)
            spans = [*[None] * (len(history) - 1), (number, number + 1)]
            answer = response(ids, [], message_spans=spans, multi_modal_data=sidecar(*media))
            play(trace, history, answer)
            assert copied["entries"] == 3  # an item, a hash, a range
            copied.clear()

    def test_forks_are_looked_up_by_hash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        trace = new_trace()
        for number in range(200):
            play(trace, [user("root"), user(str(number))], response())
        calls = Calls(monkeypatch)
        assert prefix_of(trace, [user("root"), user("17"), reply()]) == [0, 35, 36]
        asked = calls.take()
        assert (asked["hash"], asked["equal_child"], asked["latest"]) == (1, 3, 1)

    def test_provider_state_that_is_sent_again_is_not_hashed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        thinking = AssistantMessage(content="x", provider_state=[{"type": "reasoning", "data": 1}])
        trace = new_trace()
        prepare_turn(trace, [user("a"), thinking]).commit_prompt()
        calls = Calls(monkeypatch)
        assert prefix_of(trace, [user("a"), thinking]) == [0, 1]
        assert calls.take()["hash"] == 0
        # An equal object is hashed: 1 and true are equal in Python, but not in JSON.
        assert prefix_of(trace, [user("a"), copy.deepcopy(thinking)]) == [0, 1]
        assert calls.take()["hash"] == 1
        other = AssistantMessage(content="x", provider_state=[{"type": "reasoning", "data": True}])
        assert other == thinking
        assert prefix_of(trace, [user("a"), other]) == [0]


class TestAppendedNodes:
    def test_appended_nodes_are_indexed(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response())
        trace.nodes.append(MessageNode(parent=1, message=user("b")))
        trace.nodes.append(MessageNode(message=user("root"), tools=[Tool(name="click")]))
        assert prefix_of(trace, [user("a"), reply(), user("b")]) == [0, 1, 2]
        assert prefix_of(trace, [user("root")]) == []
        assert prepare_turn(trace, [user("root")], [{"name": "click"}]).prefix_node_ids == [3]
        play(trace, [user("a"), reply(), user("b")], response(text="more"))
        assert trace.nodes[4].parent == 2

    def test_shortened_list_is_reindexed(self) -> None:
        trace = with_images()
        messages = history_of(trace)
        assert prefix_of(trace, messages) == [0, 1, 2, 3]
        del trace.nodes[2:]
        assert prefix_of(trace, messages) == [0, 1]
        play(trace, [user("new")], response())
        assert prefix_of(trace, messages) == [0, 1]
        assert prefix_of(trace, [user("new")]) == [2]

    def test_shortened_and_extended_list_is_reindexed(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response())
        assert prefix_of(trace, [user("a"), reply()]) == [0, 1]
        del trace.nodes[1]
        trace.nodes.append(MessageNode(parent=0, message=reply("other")))
        assert prefix_of(trace, [user("a"), reply()]) == [0]
        assert prefix_of(trace, [user("a"), reply("other")]) == [0, 1]

    def test_emptied_list_is_reindexed(self) -> None:
        trace = with_images()
        messages = history_of(trace)
        trace.nodes.clear()
        assert prefix_of(trace, messages) == []

    def test_replaced_list_is_reindexed(self) -> None:
        trace = with_images()
        messages = history_of(trace)
        assert prefix_of(trace, messages) == [0, 1, 2, 3]
        trace.nodes = trace.nodes[:2]
        assert prefix_of(trace, messages) == [0, 1]
        trace.nodes = [MessageNode(message=user("else"))]
        assert prefix_of(trace, messages) == []
        assert prefix_of(trace, [user("else")]) == [0]

    def test_turn_prepared_before_a_change_is_committed(self) -> None:
        trace = new_trace()
        stale = prepare_turn(trace, [user("a")])
        trace.nodes = [MessageNode(message=user("a"))]
        assert stale.commit(response()) == 1
        assert trace.nodes[1].parent == 0


class TestRendererTokens:
    """Only the index has the tokens before the engine expanded media."""

    MESSAGES = (user("look", url(0)), reply())

    def previous(self, trace: Trace) -> Any:
        return prepare_turn(trace, self.MESSAGES).previous_renderer_token_ids()

    def test_index_has_them(self) -> None:
        trace = expanded()
        assert self.previous(trace) == ([1, PAD, 2], [90, 91])
        turn = prepare_turn(trace, self.MESSAGES)
        assert (turn.path_len, turn.renderer_path_len) == (7, 5)
        assert turn.previous_token_ids() == ([1, PAD, PAD, PAD, 2], [90, 91])
        assert index_of(trace).logical_ids(1) is trace.nodes[1].token_ids

    @pytest.mark.parametrize(
        "change",
        [
            reindex,
            lambda trace: trace.nodes.pop(),
            lambda trace: setattr(trace, "nodes", list(trace.nodes)),
            lambda trace: trace.nodes.append(MessageNode(message=user("x"))),
        ],
        ids=["reindexed", "cut", "another list", "appended to"],
    )
    def test_renderer_tokens_live_as_long_as_the_node(self, change: Any) -> None:
        trace = expanded()
        change(trace)
        known = index_of(trace)
        assert known.logical_ids(0) == [1, PAD]
        assert trace.nodes[0].token_ids == [1, PAD, PAD, PAD]

    def test_renderer_tokens_belong_to_one_node(self) -> None:
        trace = expanded()
        trace.nodes[0] = copy.deepcopy(trace.nodes[0])
        reindex(trace)
        assert index_of(trace).logical_ids(0) == [1, PAD, PAD, PAD]
        trace = expanded()
        trace.nodes = []
        assert prefix_of(trace, [*self.MESSAGES]) == []
        assert index_of(trace)._logical == {}

    def test_renderer_tokens_are_not_serialized(self) -> None:
        """A decoded trace has the engine's tokens only, so its first turn forks."""
        trace = expanded()
        for copied in (copy.deepcopy(trace), decode_msgpack(encode_msgpack(trace), Trace)):
            assert self.previous(copied) == ([1, PAD, PAD, PAD, 2], [90, 91])
            assert copied == trace


class TestLifetime:
    def test_index_is_freed_with_its_trace(self) -> None:
        trace = with_images()
        key, gone = id(trace), weakref.ref(trace)
        entry = index._INDEXES[key]
        assert entry[0]() is trace
        del trace, entry
        gc.collect()
        assert gone() is None
        assert key not in index._INDEXES

    def test_rebuilt_index_is_freed_with_its_trace(self) -> None:
        trace = with_images()
        reindex(trace)
        trace.nodes = list(trace.nodes)
        assert prefix_of(trace, [user("look", url(0))]) == [0]
        key = id(trace)
        del trace
        gc.collect()
        assert key not in index._INDEXES

    def test_index_of_a_trace_in_a_cycle_is_freed(self) -> None:
        trace = with_images()
        trace.info = {}
        trace.info["itself"] = [trace]
        key = id(trace)
        assert key in index._INDEXES
        del trace
        gc.collect()
        assert key not in index._INDEXES

    def test_indexes_of_many_traces_are_freed(self) -> None:
        before = len(index._INDEXES)
        for _ in range(200):
            with_images()
        gc.collect()
        assert len(index._INDEXES) == before

    def test_trace_with_the_id_of_a_freed_one_gets_its_own_index(self) -> None:
        places = set()
        for number in range(50):
            trace = new_trace()
            places.add(id(trace))
            assert prefix_of(trace, [user("a")]) == []
            play(trace, [user("a")], response(text=str(number)))
            assert len(trace.nodes) == 2
            del trace
        assert len(places) < 50, "no place was used twice, so this test showed nothing"

    def test_stale_entry_of_a_freed_trace_is_not_used(self) -> None:
        trace, other = with_images(), new_trace()
        index._INDEXES[id(other)] = index._INDEXES[id(trace)]
        assert prefix_of(other, history_of(trace)) == []
        assert prefix_of(trace, history_of(trace)) == [0, 1, 2, 3]


class TestCopies:
    @pytest.mark.parametrize(
        "duplicate",
        [
            copy.deepcopy,
            lambda trace: pickle.loads(pickle.dumps(trace)),
            lambda trace: decode_msgpack(encode_msgpack(trace), Trace),
        ],
        ids=["deepcopy", "pickle", "wire"],
    )
    def test_copies_have_separate_indexes(self, duplicate: Callable[[Trace], Trace]) -> None:
        trace = with_images()
        copied = duplicate(trace)
        before = encode_msgpack(trace)
        assert prefix_of(copied, history_of(trace)) == [0, 1, 2, 3]
        play(copied, [user("only here")], response(text="x"))
        assert encode_msgpack(trace) == before
        assert prefix_of(trace, [user("only here")]) == []
        play(trace, [user("and here")], response(text="y"))
        assert prefix_of(copied, [user("and here")]) == []
        assert len(trace.nodes) == len(copied.nodes) == 6

    def test_two_traces_of_one_list_see_the_same_nodes(self) -> None:
        trace = with_images()
        shallow = copy.copy(trace)
        assert shallow.nodes is trace.nodes
        play(shallow, [user("new")], response())
        assert prefix_of(trace, [user("new")]) == [4]
        play(trace, [user("more")], response())
        assert prefix_of(shallow, [user("more")]) == [6]


class TestReindex:
    def test_message_changed_in_place_matches_its_old_content(self) -> None:
        trace = new_trace()
        play(trace, [UserMessage(content="a")], response())
        play(trace, [UserMessage(content="b")], response())
        trace.nodes[0].message.content = "changed"
        assert prefix_of(trace, [user("a")]) == [0]
        reindex(trace)
        assert prefix_of(trace, [user("a")]) == []
        assert prefix_of(trace, [user("changed"), reply()]) == [0, 1]
        assert prefix_of(trace, [user("b")]) == [2]

    def test_trace_without_an_index_can_be_reindexed(self) -> None:
        trace = new_trace()
        reindex(trace)
        assert prefix_of(trace, [user("a")]) == []


def test_forms_of_a_message_that_compare_unequal_are_found_by_hash() -> None:
    trace = new_trace()
    prepare_turn(trace, [AssistantMessage(content=""), user("a")]).commit_prompt()
    for same in (AssistantMessage(), AssistantMessage(content=None), {"role": "assistant"}):
        assert prefix_of(trace, [same, user("a")]) == [0, 1]


def test_threads_do_not_mix_their_traces() -> None:
    def rollout(number: int) -> Trace:
        trace = new_trace()
        for step in range(20):
            prompt = [*history_of(trace), user(f"{number} {step}")]
            play(trace, prompt, response(text=f"{step}"))
        return trace

    with ThreadPoolExecutor(8) as pool:
        for number, trace in enumerate(pool.map(rollout, range(64))):
            assert [node.parent for node in trace.nodes] == [None, *range(39)]
            assert len(branches(trace)) == 1
            assert trace.nodes[0].message.content == f"{number} 0"
