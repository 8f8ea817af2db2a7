"""The lanes of a message graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rawmm.view.lanes import lanes_of


def test_chain_has_one_lane() -> None:
    assert lanes_of([None, 0, 1]) == ([0, 0, 0], 1, [2], 0)


def test_fork_gets_a_lane_of_its_own() -> None:
    lanes = lanes_of([None, 0, 1, 0, 3])
    assert lanes.of == [0, 0, 0, 1, 1]
    assert (lanes.width, lanes.leaves, lanes.forks) == (2, [2, 4], 1)


def test_lane_of_an_ended_branch_is_used_again() -> None:
    assert lanes_of([None, 0, 0, 1, 3, 3]).of == [0, 0, 1, 0, 0, 1]


def test_every_root_begins_a_lane() -> None:
    assert lanes_of([None, None]).of == [0, 0]
    assert lanes_of([None, None, 0]).of == [0, 1, 0]


@st.composite
def forests(draw: st.DrawFn) -> list[int | None]:
    count = draw(st.integers(0, 40))
    return [draw(st.none() | st.integers(0, at - 1)) if at else None for at in range(count)]


@given(forests())
def test_no_line_crosses_another_node(parents: list[int | None]) -> None:
    lanes = lanes_of(parents)
    assert max(lanes.of, default=-1) + 1 == lanes.width
    for child, parent in enumerate(parents):
        if parent is not None:
            between = lanes.of[parent + 1 : child]
            assert lanes.of[child] not in between
