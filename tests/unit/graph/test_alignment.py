"""Mapping the renderer's tokens to the engine's: positions, spans, flags, errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import ContractError, validate
from rawmm.graph import branches, prepare_turn
from rawmm.graph.alignment import Alignment
from tests.unit.graph.turns import (
    PAD,
    TYPES,
    history_of,
    new_trace,
    play,
    response,
    sidecar,
    url,
    user,
)

VIDEO = 8
RENDERED = [1, PAD, 2, PAD, PAD, 3]
RANGES = [(1, 3), (5, 1), (6, 2)]
ENGINE = [1, PAD, PAD, PAD, 2, PAD, PAD, PAD, 3]


def test_positions_between_tokens_are_mapped() -> None:
    alignment = Alignment(RENDERED, ENGINE, [PAD], RANGES)
    assert not alignment.same
    assert [alignment.at(position) for position in range(7)] == [0, 1, 4, 5, 6, 8, 9]
    assert alignment.span(0, 6) == (0, 9)
    assert alignment.span(1, 2) == (1, 4)
    assert alignment.span(3, 5) == (5, 8)


def test_flags_of_a_medium_are_those_of_its_token() -> None:
    alignment = Alignment(RENDERED, ENGINE, [PAD], RANGES)
    flags = [False, True, False, False, True, True]
    assert alignment.flags(flags) == [False, True, True, True, False, False, True, True, True]
    assert alignment.flags([]) == []


@pytest.mark.parametrize(
    "engine", [RENDERED, list(RENDERED)], ids=["the same list", "an equal one"]
)
def test_equal_tokens_need_no_ranges(engine: list[int]) -> None:
    alignment = Alignment(RENDERED, engine, [PAD], None)
    assert alignment.same
    assert alignment.span(2, 5) == (2, 5)
    flags = [True] * 6
    assert alignment.flags(flags) is flags


def test_several_kinds_of_media_are_aligned() -> None:
    alignment = Alignment(
        [PAD, VIDEO, PAD], [PAD, PAD, 30, 31, 32, PAD], [VIDEO, PAD], [(0, 2), (2, 3), (5, 1)]
    )
    assert [alignment.at(position) for position in range(4)] == [0, 2, 5, 6]


def test_engine_may_expand_a_medium_to_any_tokens() -> None:
    """Some engines write other tokens than the renderer, such as row separators."""
    alignment = Alignment([1, PAD, 2], [1, 70, 71, 72, 2], [PAD], [(1, 3)])
    assert alignment.span(1, 2) == (1, 4)


@given(st.data())
def test_any_expansion_is_aligned(data: st.DataObject) -> None:
    rendered = data.draw(st.lists(st.sampled_from([1, 2, PAD, VIDEO]), max_size=12))
    engine: list[int] = []
    ranges: list[tuple[int, int]] = []
    edges = [0]
    for token in rendered:
        size = data.draw(st.integers(1, 4)) if token in {PAD, VIDEO} else 1
        if token in {PAD, VIDEO}:
            ranges.append((len(engine), size))
        engine += [token] * size
        edges.append(len(engine))
    alignment = Alignment(rendered, engine, [PAD, VIDEO], ranges)
    assert [alignment.at(position) for position in range(len(rendered) + 1)] == edges
    flags = data.draw(st.lists(st.booleans(), min_size=len(rendered), max_size=len(rendered)))
    expected = [flag for i, flag in enumerate(flags) for _ in range(edges[i + 1] - edges[i])]
    assert alignment.flags(flags) == expected


REFUSED: list[tuple[str, list[int], list[int], Any, int]] = [
    ("another token before", [1, PAD], [5, PAD, PAD], [(1, 2)], 0),
    (
        "another token between",
        [PAD, 1, 2, PAD],
        [PAD, 1, 5, PAD, PAD],
        [(0, 1), (3, 2)],
        2,
    ),
    ("another token after", [PAD, 1, 2], [PAD, PAD, 1, 5], [(0, 2)], 3),
    ("a token too few", [PAD, 1, 2], [PAD, PAD, 1], [(0, 2)], 3),
    ("a token too many", [PAD, 1], [PAD, PAD, 1, 2], [(0, 2)], 3),
    ("no media at all", [1, 2], [1, 3], [], 1),
    ("text cut short", [1, 2, 3], [1], None, 1),
    ("nothing at all", [1], [], None, 0),
]


@pytest.mark.parametrize(
    ("rendered", "engine", "ranges", "first"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_different_tokens_are_refused(
    rendered: list[int], engine: list[int], ranges: Any, first: int
) -> None:
    with pytest.raises(ContractError) as caught:
        Alignment(rendered, engine, [PAD], ranges)
    error = caught.value
    assert (error.code, error.path) == ("token_mismatch", "$.tokens.prompt_ids")
    assert error.got == f"different tokens from position {first} on"


@pytest.mark.parametrize("ranges", [None, [], [(1, 3), (5, 1)], [*RANGES, (9, 1)]])
def test_wrong_number_of_ranges_is_refused(ranges: Any) -> None:
    with pytest.raises(ContractError) as caught:
        Alignment(RENDERED, ENGINE, [PAD], ranges)
    error = caught.value
    assert (error.code, error.path) == ("placeholder_order", "$.tokens.mm_placeholders")
    assert error.expected.startswith("3 ranges, one per media token ")
    assert error.got == str(len(ranges or ()))


@pytest.mark.parametrize(
    ("ranges", "index", "here", "got"),
    [
        ([(2, 3), (5, 1), (6, 2)], 0, 1, "2 to 5"),
        ([(1, 2), (5, 1), (6, 2)], None, 3, ""),
        ([(1, 3), (6, 1), (6, 2)], 1, 5, "6 to 7"),
        ([(1, 3), (5, 1), (5, 2)], 2, 6, "5 to 7"),
        ([(1, 3), (5, 0), (5, 3)], 1, 5, "5 to 5"),
        ([(5, 1), (1, 3), (6, 2)], 0, 1, "5 to 6"),
    ],
)
def test_range_at_another_position_is_refused(
    ranges: list[tuple[int, int]], index: int | None, here: int, got: str
) -> None:
    with pytest.raises(ContractError) as caught:
        Alignment(RENDERED, ENGINE, [PAD], ranges)
    if index is None:
        # A length that is too short is noticed at the token after it.
        assert (caught.value.code, caught.value.path) == ("token_mismatch", "$.tokens.prompt_ids")
        assert caught.value.got == f"different tokens from position {here} on"
        return
    assert str(caught.value) == (
        f"$.tokens.mm_placeholders[{index}]: expected a range at {here}, the position of the "
        f"renderer's medium, got {got} [placeholder_order]"
    )


class TestCommit:
    """The renderer writes one token per image; the engine writes as many as it needs."""

    def tokens(self, **fields: Any) -> dict[str, Any]:
        return {
            "renderer_prompt_ids": [1, PAD, 2, 3, PAD, 4],
            "mm_placeholders": [(1, 2), (5, 3)],
            "message_spans": [(0, 3), (3, 5)],
            "is_content": [False, True, False, False, True, False],
            "mm_token_type_id_map": TYPES,
        } | fields

    ENGINE = (1, PAD, PAD, 2, 3, PAD, PAD, PAD, 4)

    @pytest.mark.parametrize(
        "media",
        [((0, 1, 2), (1, 5, 3)), ((0, 1, 1), (1, 4, 1))],
        ids=["ranges of the engine", "ranges of the renderer"],
    )
    @pytest.mark.parametrize("ids", ["lists", "tuples"])
    def test_nodes_hold_the_engines_tokens(self, media: Any, ids: str) -> None:
        build: Any = list if ids == "lists" else tuple
        trace = new_trace()
        fields = self.tokens(multi_modal_data=sidecar(*media))
        fields["renderer_prompt_ids"] = build(fields["renderer_prompt_ids"])
        fields["mm_placeholders"] = [build(one) for one in fields["mm_placeholders"]]
        prompt: list[Any] = [user(url(0)), user(url(1))]
        play(trace, prompt, response(build(self.ENGINE), **fields))
        assert [node.token_ids for node in trace.nodes] == [
            [1, PAD, PAD, 2],
            [3, PAD, PAD, PAD],
            [4, 90, 91],
        ]
        assert [node.is_content for node in trace.nodes] == [
            [False, True, True, False],
            [False, True, True, True],
            [False, True, True],
        ]
        whole = branches(trace)[0]
        assert whole.multi_modal_data == sidecar((0, 1, 2), (1, 5, 3))
        assert whole.mm_token_type_ids == [0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0]
        turn = prepare_turn(trace, history_of(trace))
        assert turn.previous_token_ids() == ([*self.ENGINE], [90, 91])
        assert turn.previous_renderer_token_ids() == ([1, PAD, 2, 3, PAD, 4], [90, 91])
        assert turn.previous_multi_modal_data() == sidecar((0, 1, 2), (1, 5, 3))
        validate(trace)
        self.goes_on(trace)

    def goes_on(self, trace: Any) -> None:
        """The next turn extends the renderer's tokens, and the engine expands images as before."""
        prompt = [*history_of(trace), user(url(2))]
        answer = response(
            [*self.ENGINE, 90, 91, PAD, PAD],
            text="more",
            **self.tokens(
                renderer_prompt_ids=[1, PAD, 2, 3, PAD, 4, 90, 91, PAD],
                mm_placeholders=[(1, 2), (5, 3), (11, 2)],
                message_spans=[None, None, None, (8, 9)],
                is_content=None,
                multi_modal_data=sidecar((0, 1, 1), (1, 4, 1), (2, 8, 1)),
                bridged=True,
            ),
        )
        play(trace, prompt, answer)
        assert [node.parent for node in trace.nodes] == [None, 0, 1, 2, 3]
        assert trace.nodes[3].multi_modal_data == sidecar((2, 11, 2))
        validate(trace)

    def test_engine_that_sized_an_image_differently_forks(self) -> None:
        """Only the engine's tokens differ."""
        trace = new_trace()
        prompt: list[Any] = [user(url(0)), user(url(1))]
        fields = self.tokens(multi_modal_data=sidecar((0, 1, 1), (1, 4, 1)))
        play(trace, prompt, response([*self.ENGINE], **fields))
        fields |= {"mm_placeholders": [(1, 2), (5, 2)]}
        play(trace, prompt, response([1, PAD, PAD, 2, 3, PAD, PAD, 4], **fields))
        assert [node.parent for node in trace.nodes] == [None, 0, 1, 0, 3]
        assert [one.multi_modal_data for one in branches(trace)] == [
            sidecar((0, 1, 2), (1, 5, 3)),
            sidecar((0, 1, 2), (1, 5, 2)),
        ]

    def test_renderer_that_wrote_other_tokens_forks(self) -> None:
        """Only the renderer's tokens differ, so it could not extend them."""
        trace = new_trace()
        prompt: list[Any] = [user("a")]
        play(
            trace,
            prompt,
            response(
                [1, PAD, PAD],
                renderer_prompt_ids=[1, PAD, PAD],
                message_spans=[(0, 3)],
                mm_token_type_id_map={PAD: 9},
            ),
        )
        play(
            trace,
            prompt,
            response(
                [1, PAD, PAD],
                renderer_prompt_ids=[1, PAD],
                mm_placeholders=[(1, 2)],
                message_spans=[(0, 2)],
            ),
        )
        assert [node.parent for node in trace.nodes] == [None, 0, None, 2]
