"""Messages that a harness sends again in another form are joined by their views."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import AssistantMessage, ContractError, SystemMessage, encode_msgpack, replace
from rawmm.graph import branches, message_hash, prepare_turn
from tests.unit.graph.turns import new_trace, reply, response, user

if TYPE_CHECKING:
    from rawmm import Trace
    from rawmm.graph import PendingTurn


def without_blank_text(message: Any, calls: list[Any] | None = None) -> Any:
    """What harnesses do that drop whitespace-only replies."""
    if calls is not None:
        calls.append(message)
    if isinstance(message, AssistantMessage) and not (message.content or "").strip():
        return replace(message, content=None)
    return message


def resent(trace: Trace, view: Any) -> PendingTurn:
    """The turn after a blank reply, which the harness sends without text."""
    first = prepare_turn(trace, [user("a")], replay_view=view)
    first.commit(response([1], text=" \n"))
    return prepare_turn(trace, [user("a"), AssistantMessage(), user("b")], replay_view=view)


def test_equal_views_are_joined() -> None:
    trace = new_trace()
    turn = resent(trace, without_blank_text)
    assert turn.prefix_node_ids == [0, 1]
    turn.commit(response([1, 90, 91, 3]))
    (branch,) = branches(trace)
    # The node keeps the message that came first.
    assert branch.messages[1].content == " \n"


def test_without_a_view_the_turn_forks() -> None:
    trace = new_trace()
    turn = resent(trace, None)
    assert turn.prefix_node_ids == [0]


def test_node_that_another_turn_committed_is_joined_by_its_view() -> None:
    trace = new_trace()
    prompt = [user("a"), AssistantMessage(), user("b")]
    late = prepare_turn(trace, prompt, replay_view=without_blank_text)
    blank = [user("a"), AssistantMessage(content=" "), user("b")]
    prepare_turn(trace, blank, replay_view=without_blank_text).commit(response(None))
    late.commit(response(None, text="other"))
    assert [len(branch.nodes) for branch in branches(trace)] == [4, 4]
    assert len(trace.nodes) == 5


def test_commit_of_a_prompt_uses_the_view() -> None:
    trace = new_trace()
    for content in (None, " "):
        prompt = [user("a"), AssistantMessage(content=content)]
        prepare_turn(trace, prompt, replay_view=without_blank_text).commit_prompt()
    assert len(trace.nodes) == 2


def test_views_of_two_dialects_may_alternate() -> None:
    trace = new_trace()
    one = resent(trace, without_blank_text)
    other = prepare_turn(trace, one.prompt)
    assert other.prefix_node_ids == [0]
    # Each turn commits in its own view.
    one.commit(response([1, 90, 91, 3]))
    other.commit(response([1, 90, 91, 4]))
    assert [branch.node_ids for branch in branches(trace)] == [[0, 1, 2, 3], [0, 4, 5, 6]]


def test_equal_view_keeps_the_index() -> None:
    class Harness:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def view(self, message: Any) -> Any:
            return without_blank_text(message, self.seen)

    trace, harness = new_trace(), Harness()
    history: list[Any] = []
    for number in range(20):
        history.append(user(str(number)))
        harness.seen.clear()
        # A bound method is a new object each time, equal to the one before.
        turn = prepare_turn(trace, history, replay_view=harness.view)
        turn.commit(response(None, text=f"reply {number}"))
        history.append(reply(f"reply {number}"))
        assert len(harness.seen) <= 5


def test_view_that_returns_no_message_is_refused() -> None:
    trace = new_trace()
    with pytest.raises(ContractError) as caught:
        prepare_turn(trace, [user("a")], replay_view=lambda _: 5)  # type: ignore[return-value]
    assert caught.value.path.startswith("$.replay_view")
    with pytest.raises(ContractError) as caught:
        prepare_turn(trace, [user("a")], replay_view=5)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$.replay_view")


def test_view_that_fails_in_commit_leaves_the_trace_unchanged() -> None:
    trace = new_trace()
    broken = partial(without_blank_text, calls=None)
    turn = prepare_turn(trace, [user("a")], replay_view=broken)
    broken.keywords["calls"] = 5  # the view of the reply raises
    before = encode_msgpack(trace)
    with pytest.raises(AttributeError):
        turn.commit(response([1]))
    assert encode_msgpack(trace) == before


def test_view_does_not_change_the_hash_of_messages() -> None:
    trace = new_trace()
    resent(trace, lambda _: SystemMessage(content="all the same"))
    assert message_hash(trace.nodes[0].message) == message_hash(user("a"))
