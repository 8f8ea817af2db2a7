"""Turns without message spans: media are compared all the same."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import MultiModalData, RawMMError, Trace, decode_msgpack, encode_msgpack, validate
from rawmm.graph import branches
from tests.unit.graph.turns import (
    PAD,
    TYPES,
    new_trace,
    play,
    reply,
    response,
    sidecar,
    url,
    user,
)

ONE, TWO = (0, 1, 2), (1, 4, 2)
"""Two images of the prompt of `IDS`, as number, offset, length."""
IDS = [1, PAD, PAD, 2, PAD, PAD, 3]
SWAPPED = ((1, 1, 2), (0, 4, 2))
IN_ONE = [user("look", url(0), url(1))]
IN_TWO = [user("look", url(0)), user(url(1), "and")]
MAPS = {"with a map of tokens": TYPES, "without a map": None}


def error(trace: Trace, prompt: list[Any], answer: Any) -> tuple[str, str]:
    before = encode_msgpack(trace)
    with pytest.raises(RawMMError) as caught:
        play(trace, prompt, answer)
    assert encode_msgpack(trace) == before
    return caught.value.code, caught.value.path


@pytest.mark.parametrize("types", MAPS.values(), ids=MAPS)
class TestOneTurn:
    @pytest.mark.parametrize("prompt", [IN_ONE, IN_TWO], ids=["one message", "two"])
    def test_images_in_order_are_taken(self, prompt: list[Any], types: Any) -> None:
        trace = new_trace()
        play(
            trace,
            prompt,
            response(IDS, multi_modal_data=sidecar(ONE, TWO), mm_token_type_id_map=types),
        )
        validate(trace)
        assert decode_msgpack(encode_msgpack(trace), Trace) == trace
        assert branches(trace)[0].multi_modal_data == sidecar(ONE, TWO)
        assert [len(node.token_ids) for node in trace.nodes[:-1]] == [0] * len(prompt)

    @pytest.mark.parametrize("prompt", [IN_ONE, IN_TWO], ids=["one message", "two"])
    def test_swapped_images_are_refused(self, prompt: list[Any], types: Any) -> None:
        answer = response(IDS, multi_modal_data=sidecar(*SWAPPED), mm_token_type_id_map=types)
        code, path = error(new_trace(), prompt, answer)
        assert (code, path) == ("hash_mismatch", "$.nodes[0].message.content[1].image_url.url")

    def test_dropped_image_is_refused(self, types: Any) -> None:
        answer = response(IDS, multi_modal_data=sidecar(ONE), mm_token_type_id_map=types)
        assert error(new_trace(), IN_TWO, answer)[0] == "count_mismatch"

    def test_range_outside_of_the_prompt_is_refused(self, types: Any) -> None:
        media = sidecar(ONE, (1, 4, 9))
        answer = response(IDS, multi_modal_data=media, mm_token_type_id_map=types)
        assert error(new_trace(), IN_TWO, answer)[0] in {"placeholder_order", "orphan_image"}


class TestPlaceholders:
    def test_range_off_the_image_tokens_is_refused(self) -> None:
        media = sidecar(ONE, (1, 5, 2))
        answer = response(IDS, multi_modal_data=media, mm_token_type_id_map=TYPES)
        path = "$.tokens.multi_modal_data.mm_placeholders.image[1]"
        assert error(new_trace(), IN_TWO, answer) == ("orphan_image", path)

    def test_image_tokens_without_an_image_are_refused(self) -> None:
        answer = response(
            [*IDS, PAD], multi_modal_data=sidecar(ONE, TWO), mm_token_type_id_map=TYPES
        )
        assert error(new_trace(), IN_TWO, answer) == ("orphan_image", "$.nodes[2].token_ids")

    def test_record_whose_media_have_no_tokens_is_refused(self) -> None:
        trace = new_trace()
        answer = response(IDS, multi_modal_data=sidecar(ONE, TWO), mm_token_type_id_map=TYPES)
        play(trace, IN_TWO, answer)
        trace.nodes[2].token_ids = [1] * len(trace.nodes[2].token_ids)
        with pytest.raises(RawMMError) as caught:
            validate(trace)
        assert (caught.value.code, caught.value.path) == ("orphan_image", "$.nodes[2].token_ids")

    def test_record_whose_range_ends_after_the_tokens_is_refused(self) -> None:
        trace = new_trace()
        play(trace, IN_TWO, response(IDS, multi_modal_data=sidecar(ONE, TWO)))
        trace.nodes[1].multi_modal_data = sidecar((1, 8, 2))
        with pytest.raises(RawMMError) as caught:
            validate(trace)
        assert caught.value.code == "placeholder_order"


def after_one_turn(*media: tuple[int, int, int]) -> Trace:
    trace = new_trace()
    play(trace, IN_TWO, response(IDS, multi_modal_data=sidecar(*media)))
    return trace


class TestLaterTurns:
    HISTORY = (*IN_TWO, reply(), user(url(2)))
    NEXT = (*IDS, 90, 91, PAD, 4)

    @pytest.mark.parametrize("bridged", [True, False])
    def test_same_images_are_reused(self, bridged: bool) -> None:  # noqa: FBT001
        trace = after_one_turn(ONE, TWO)
        media = sidecar(ONE, TWO, (2, 9, 1))
        answer = response(list(self.NEXT), text="b", multi_modal_data=media, bridged=bridged)
        assert play(trace, list(self.HISTORY), answer) == 4
        assert [node.parent for node in trace.nodes] == [None, 0, 1, 2, 3]

    @pytest.mark.parametrize("bridged", [True, False])
    def test_images_swapped_between_turns_are_refused(self, bridged: bool) -> None:  # noqa: FBT001
        trace = after_one_turn(ONE, TWO)
        media = sidecar((2, 1, 2), TWO, (0, 9, 1))
        answer = response(list(self.NEXT), text="b", multi_modal_data=media, bridged=bridged)
        code, path = error(trace, list(self.HISTORY), answer)
        assert code == "media_mismatch"
        assert path.startswith("$.tokens.multi_modal_data.mm_hashes.image[0]")

    @pytest.mark.parametrize("bridged", [True, False])
    def test_dropped_earlier_image_is_refused(self, bridged: bool) -> None:  # noqa: FBT001
        media = sidecar(ONE, (2, 9, 1))
        answer = response(list(self.NEXT), text="b", multi_modal_data=media, bridged=bridged)
        assert error(after_one_turn(ONE, TWO), list(self.HISTORY), answer)[0] == "count_mismatch"

    def test_bridged_turn_may_not_move_media(self) -> None:
        media = sidecar((0, 0, 2), TWO, (2, 9, 1))
        answer = response(list(self.NEXT), text="b", multi_modal_data=media, bridged=True)
        code, path = error(after_one_turn(ONE, TWO), list(self.HISTORY), answer)
        assert code == "media_mismatch"
        assert path == "$.tokens.multi_modal_data.mm_placeholders.image[0]"


SPANS = {"with spans": True, "without spans": False}


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
def test_another_rendering_forks(spans: bool) -> None:  # noqa: FBT001
    """The first image has three tokens in the second turn, and two in the first."""
    trace = new_trace()
    for size in (2, 3, 2):
        ids = [1, *[PAD] * size, 2]
        own = {"message_spans": [(0, len(ids))]} if spans else {}
        media = sidecar((0, 1, size))
        play(trace, [user("look", url(0))], response(ids, multi_modal_data=media, **own))
    validate(trace)
    # The third turn finds the first node again.
    assert [node.parent for node in trace.nodes] == [None, 0, None, 2, 0]
    wholes = [branch.multi_modal_data for branch in branches(trace)]
    assert wholes == [sidecar((0, 1, 2)), sidecar((0, 1, 3)), sidecar((0, 1, 2))]
    assert isinstance(wholes[0], MultiModalData)


def test_node_with_media_and_no_ranges_matches_by_message() -> None:
    trace = new_trace()
    media = MultiModalData(mm_hashes=sidecar((0, 1, 2)).mm_hashes)
    media.mm_items = sidecar((0, 1, 2)).mm_items
    for _ in range(2):
        play(trace, [user("look", url(0))], response([1, 9, 9, 2], multi_modal_data=media))
    assert [node.parent for node in trace.nodes] == [None, 0, 0]
