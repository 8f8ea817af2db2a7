"""Edited traces: a turn never continues a node that was removed or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawmm import MessageNode, RawMMError, Tool, Trace, UserMessage, encode_msgpack
from rawmm.graph import prepare_turn
from rawmm.graph.index import index_of
from tests.unit.graph.turns import new_trace, play, reply, response, user

if TYPE_CHECKING:
    from collections.abc import Callable


def conversation() -> Trace:
    trace = new_trace()
    play(trace, [user("a")], response())
    play(trace, [user("a"), reply(), user("b")], response(text="second"))
    return trace


def texts(trace: Trace, ids: list[int]) -> list[str | None]:
    return [trace.nodes[i].message.content for i in ids]  # type: ignore[misc]


def node(text: str, parent: int | None) -> MessageNode:
    return MessageNode(message=UserMessage(content=text), parent=parent)


def replace_node(trace: Trace) -> None:
    trace.nodes[0] = node("other", None)


def assign_message(trace: Trace) -> None:
    trace.nodes[0].message = UserMessage(content="other")


def change_tools(trace: Trace) -> None:
    trace.nodes[0].tools = [Tool(name="click")]


def change_parent(trace: Trace) -> None:
    trace.nodes[2].parent = 0


def delete_and_append(trace: Trace) -> None:
    del trace.nodes[2:]
    trace.nodes.extend([node("x", 1), node("y", 2)])


def swap(trace: Trace) -> None:
    trace.nodes[0], trace.nodes[1] = trace.nodes[1], trace.nodes[0]
    trace.nodes[0].parent, trace.nodes[1].parent = None, 0


EDITS: list[tuple[Callable[[Trace], None], int]] = [
    (replace_node, 0),
    (assign_message, 0),
    (change_tools, 0),
    (change_parent, 2),
    (delete_and_append, 2),
    (swap, 0),
]
"""Edits of a conversation of four, and how many of its messages still match."""
edits = pytest.mark.parametrize(("edit", "left"), EDITS, ids=[edit.__name__ for edit, _ in EDITS])


@edits
def test_turn_matches_the_edited_nodes(edit: Callable[[Trace], None], left: int) -> None:
    trace = conversation()
    prompt = [user("a"), reply(), user("b")]
    assert prepare_turn(trace, prompt).prefix_node_ids == [0, 1, 2]
    edit(trace)
    turn = prepare_turn(trace, prompt)
    assert turn.prefix_node_ids == [0, 1, 2][:left]
    turn.commit(response(text="new"))
    path: list[int] = []
    at = len(trace.nodes) - 1
    while True:
        path.insert(0, at)
        parent = trace.nodes[at].parent
        if parent is None:
            break
        at = parent
    assert texts(trace, path) == ["a", "ok", "b", "new"]


@edits
def test_turn_prepared_before_the_edit_is_refused(
    edit: Callable[[Trace], None],
    left: int,
) -> None:
    trace = conversation()
    turn = prepare_turn(trace, [user("a"), reply(), user("b"), user("c")])
    edit(trace)
    before = encode_msgpack(trace)
    for act in (
        lambda: turn.commit(response()),
        turn.commit_prompt,
        turn.previous_token_ids,
        turn.previous_multi_modal_data,
    ):
        with pytest.raises(RawMMError) as caught:
            act()
        assert (caught.value.code, caught.value.path) == ("hash_mismatch", "$.trace.nodes")
    assert encode_msgpack(trace) == before


def test_edit_outside_of_the_prefix_is_allowed() -> None:
    trace = conversation()
    turn = prepare_turn(trace, [user("a"), user("c")])
    trace.nodes[3].message = reply("other")
    assert turn.commit(response()) == 5
    assert trace.nodes[4].parent == 0


def test_equal_message_in_place_of_another_changes_nothing() -> None:
    trace = conversation()
    turn = prepare_turn(trace, [user("a"), reply(), user("b")])
    trace.nodes[0].message = user("a")
    assert turn.commit(response(text="third")) == 4


@pytest.mark.parametrize("number", [1, -2, 7])
def test_appended_node_without_an_earlier_parent_is_refused(number: int) -> None:
    trace = new_trace()
    trace.nodes.append(node("a", None))
    trace.nodes.append(node("b", None))
    trace.nodes[1].parent = number
    with pytest.raises(RawMMError) as caught:
        prepare_turn(trace, [user("a")])
    assert caught.value.path == "$.trace.nodes[1].parent"


def test_unedited_trace_is_indexed_once() -> None:
    trace = conversation()
    before = index_of(trace)
    for number in range(5):
        play(trace, [user(str(number))], response())
        trace.nodes[-1].advantages = []
        assert index_of(trace) is before
