"""Prompts before and after the engine's expansion: collapsing, and checking what it answered."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rawmm import (
    ContractError,
    MultiModalData,
    PlaceholderRange,
    ProcessedPayloadError,
    RawMMError,
    Response,
    TurnTokens,
    check_engine_prompt,
    collapse_placeholders,
    to_builtins,
)
from rawmm.model.types import AssistantMessage
from tests.builders import item, mm_hash_of, sidecar
from tests.cases import each
from tests.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE, BREAK = 9, 8
SPANS = [(1, 3), (5, 2)]
SENT = [1, IMAGE, 2, IMAGE, 3]
EXPANDED = [1, *[IMAGE] * 3, 2, *[IMAGE] * 2, 3]
SIDECAR = sidecar(item(0), item(1), spans=SPANS)
NAMES = [f"image {number} (hash {mm_hash_of(number)[:16]})" for number in range(2)]


def ranges(*spans: tuple[int, int], modality: str = "image") -> dict[str, Any]:
    return {modality: [{"offset": offset, "length": length} for offset, length in spans]}


def answer(prompt: Any = EXPANDED, found: Any = None, **fields: Any) -> dict[str, Any]:
    """The engine's answer; by default the right one."""
    found = ranges(*SPANS) if found is None else found
    return {"prompt_token_ids": prompt, "mm_placeholders": found, "choices": [], **fields}


def refusal(response: Any, sent: Any = SENT, given: Any = SIDECAR) -> RawMMError:
    before = copy.deepcopy(given)
    with pytest.raises(RawMMError) as caught:
        check_engine_prompt(given, sent, response)
    assert given == before
    return caught.value


@st.composite
def prompts(draw: st.DrawFn) -> tuple[list[int], list[int], MultiModalData]:
    """A prompt before and after expansion, and its sidecar. Images may have separators."""
    sent: list[int] = []
    expanded: list[int] = []
    spans: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 4))):
        text = draw(st.lists(st.integers(0, 5), max_size=3))
        rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        row = [IMAGE] * columns + [BREAK] * draw(st.integers(0, 1))
        spans.append((len(expanded) + len(text), rows * len(row)))
        sent += [*text, IMAGE]
        expanded += [*text, *row * rows]
    end = draw(st.lists(st.integers(0, 5), max_size=3))
    items = [item(number) for number, _ in enumerate(spans)]
    return [*sent, *end], [*expanded, *end], sidecar(*items, spans=spans)


class TestCollapse:
    @given(prompts())
    def test_collapsed_tokens_are_those_before_the_expansion(
        self, prompt: tuple[list[int], list[int], MultiModalData]
    ) -> None:
        sent, expanded, media = prompt
        assert collapse_placeholders(expanded, media, IMAGE) == sent
        check_engine_prompt(
            media, sent, answer(expanded, to_builtins(media).get("mm_placeholders"))
        )

    @pytest.mark.parametrize(
        "ids",
        [
            EXPANDED,
            tuple(EXPANDED),
            np.array(EXPANDED, dtype=np.int32),
            np.array(EXPANDED, dtype=np.int64),
        ],
        ids=lambda ids: type(ids).__name__,
    )
    def test_streams_of_every_kind_become_lists_of_int(self, ids: Any) -> None:
        collapsed = collapse_placeholders(ids, to_builtins(SIDECAR), np.int32(IMAGE))
        assert collapsed == SENT
        assert {type(one) for one in collapsed} == {int}

    def test_prompt_without_images_is_copied(self) -> None:
        ids = [1, 2]
        for media in (None, MultiModalData()):
            collapsed = collapse_placeholders(ids, media, IMAGE)
            assert collapsed == ids
            assert collapsed is not ids

    @pytest.mark.parametrize("ids", [SENT, EXPANDED[:6], []])
    def test_range_that_leaves_the_tokens_is_refused(self, ids: list[int]) -> None:
        with pytest.raises(ContractError) as caught:
            collapse_placeholders(ids, SIDECAR, IMAGE)
        assert caught.value.code == "placeholder_order"

    def test_range_that_begins_with_another_token_is_refused(self) -> None:
        with pytest.raises(ContractError) as caught:
            collapse_placeholders([1, IMAGE, IMAGE, IMAGE, 2, 4, IMAGE, 3], SIDECAR, IMAGE)
        said = str(caught.value)
        assert said.startswith(
            "$.mm_placeholders.image[1]: expected a range that begins with the placeholder token "
            "9, got the token 4; the sidecar is that of another prompt"
        )
        assert said.endswith(" collapsed already [orphan_image]")

    @pytest.mark.parametrize("at", [0, 4, 7])
    def test_placeholder_outside_of_all_ranges_is_refused(self, at: int) -> None:
        ids = [*EXPANDED]
        ids[at] = IMAGE
        with pytest.raises(ContractError) as caught:
            collapse_placeholders(ids, SIDECAR, IMAGE)
        assert (caught.value.code, caught.value.path) == ("orphan_image", f"$.token_ids[{at}]")

    def test_other_media_are_refused(self) -> None:
        video = sidecar(item(0, modality="video"), spans=[(0, 1)])
        with pytest.raises(ContractError) as caught:
            collapse_placeholders([IMAGE], video, IMAGE)
        assert caught.value.code == "unsupported_modality"

    @pytest.mark.parametrize(
        ("value", "code"),
        [("9", "wrong_type"), (9.0, "wrong_type"), (True, "wrong_type"), (-1, "out_of_range")],
    )
    def test_invalid_placeholder_is_refused(self, value: Any, code: str) -> None:
        with pytest.raises(ContractError) as caught:
            collapse_placeholders(EXPANDED, SIDECAR, value)
        assert (caught.value.code, caught.value.path) == (code, "$.placeholder_id")

    @pytest.mark.parametrize("ids", [None, "text", b"bytes", ["1"], [1.5], [-1], 7])
    def test_other_tokens_are_refused(self, ids: Any) -> None:
        with pytest.raises(RawMMError) as caught:
            collapse_placeholders(ids, SIDECAR, IMAGE)
        assert caught.value.path.startswith("$.token_ids")

    def test_two_dimensional_tokens_are_refused(self) -> None:
        with pytest.raises(ProcessedPayloadError):
            collapse_placeholders(np.zeros((2, 2), dtype=np.int32), SIDECAR, IMAGE)

    @each("name", ZOO)
    def test_odd_object_is_a_value_or_an_error_of_ours(self, name: str) -> None:
        for arguments in ([EXPANDED, ..., IMAGE], [..., SIDECAR, IMAGE], [EXPANDED, SIDECAR, ...]):
            odd = ZOO[name].make()
            given = [odd if one is ... else one for one in arguments]
            with suppress(RawMMError):
                collapse_placeholders(*given)


class Ranges(BaseModel):
    offset: int
    length: int


class Answer(BaseModel):
    prompt_token_ids: list[int]
    mm_placeholders: dict[str, list[Ranges]]


class AnswerStruct(msgspec.Struct):
    prompt_token_ids: list[int]
    mm_placeholders: dict[str, list[PlaceholderRange]]


TURN = TurnTokens(prompt_ids=EXPANDED, mm_placeholders=SPANS)
RIGHT: dict[str, Any] = {
    "plain": answer(),
    "JSON text": json.dumps(answer()),
    "JSON bytes": json.dumps(answer()).encode(),
    "JSON bytearray": bytearray(json.dumps(answer()).encode()),
    "model": Answer(**answer()),
    "struct": AnswerStruct(EXPANDED, SIDECAR.mm_placeholders),
    "arrays": answer(np.array(EXPANDED, dtype=np.int32)),
    "a mask of the engine": answer(
        found={"image": [{**one, "is_embed": None} for one in ranges(*SPANS)["image"]]}
    ),
    "TurnTokens": TURN,
    "TurnTokens of arrays": SimpleNamespace(
        prompt_ids=np.array(EXPANDED, dtype=np.int32), mm_placeholders=SPANS
    ),
    "Response": Response(message=AssistantMessage(content=""), tokens=TURN),
    "pairs": answer(found=[list(span) for span in SPANS]),
    "an empty modality": answer(found={**ranges(*SPANS), "video": []}),
}


class TestRightAnswerIsAccepted:
    @each("form", RIGHT)
    @each("sent", [SENT, EXPANDED, np.array(SENT, dtype=np.int32)])
    def test_every_form_is_read(self, form: str, sent: Any) -> None:
        check_engine_prompt(SIDECAR, sent, RIGHT[form])

    @pytest.mark.parametrize("media", [None, MultiModalData()])
    @pytest.mark.parametrize(
        "response",
        [
            answer(None, {}),
            answer([1, 2], {}),
            {"prompt_token_ids": None, "mm_placeholders": None},
            {"prompt_token_ids": [1, 2]},
            answer([1, 2], {"image": []}),
            TurnTokens(prompt_ids=[1, 2]),
        ],
    )
    def test_prompt_without_media_needs_no_ranges(self, media: Any, response: Any) -> None:
        check_engine_prompt(media, [1, 2], response)

    def test_engine_name_of_a_modality_is_known(self) -> None:
        given = sidecar(item(0, vllm_modality="vision_chunk"), spans=[(1, 3)])
        found = ranges((1, 3), modality="vision_chunk")
        check_engine_prompt(given, [1, 9, 2], answer([1, 9, 9, 9, 2], found))

    def test_two_modalities_are_in_prompt_order(self) -> None:
        image, video = (
            sidecar(item(0), spans=[(3, 2)]),
            sidecar(item(modality="video"), spans=[(0, 2)]),
        )
        given = MultiModalData(
            **{
                name: {**getattr(image, name), **getattr(video, name)}
                for name in ("mm_hashes", "mm_placeholders", "mm_items")
            }
        )
        found = {**ranges((3, 2)), **ranges((0, 2), modality="video")}
        check_engine_prompt(given, [7, 1, 9], answer([7, 7, 1, 9, 9], found))
        given.mm_placeholders["video"][0].length = 4
        assert refusal(answer(), given=given).code == "placeholder_order"


EXPANDED_ALREADY = "the tokens were expanded already"


class TestWrongAnswerIsRefused:
    def test_no_tokens(self) -> None:
        assert str(refusal(answer(None, None))) == (
            "$.response.prompt_token_ids: expected the tokens of the engine's prompt, got null; "
            "send the request with return_token_ids=true [missing_field]"
        )

    def test_no_ranges(self) -> None:
        response = {"prompt_token_ids": SENT, "mm_placeholders": None}
        assert str(refusal(response)) == (
            "$.response.mm_placeholders: expected 2 ranges, as in the sidecar, got none, without "
            f"that of {NAMES[0]}; the request had neither content_parts nor features "
            "[count_mismatch]"
        )

    @pytest.mark.parametrize(("kept", "missing"), [(0, 1), (1, 0)])
    def test_range_too_few(self, kept: int, missing: int) -> None:
        error = refusal(answer(found=ranges(SPANS[kept])))
        assert error.code == "count_mismatch"
        assert error.got == f"1, without that of {NAMES[missing]}"
        assert error.hint == "the request had fewer content_parts than the prompt has images"

    def test_image_that_the_template_dropped(self) -> None:
        error = refusal(answer([1, 9, 9, 9, 2, 3], ranges(SPANS[0])), [1, 9, 2, 3])
        assert error.got == f"1, without that of {NAMES[1]}"
        assert error.hint is not None
        assert error.hint.startswith("the prompt has 1 placeholder token: the chat template")

    def test_range_too_many(self) -> None:
        error = refusal(answer([*EXPANDED, 9], ranges(*SPANS, (8, 1))))
        assert (error.code, error.expected, error.got) == (
            "count_mismatch",
            "2 ranges, as in the sidecar",
            "3",
        )

    def test_media_of_a_prompt_without_media(self) -> None:
        error = refusal(answer(), given=None)
        assert (error.code, error.got) == ("count_mismatch", "2")

    def test_one_length_that_differs_is_another_picture(self) -> None:
        assert str(refusal(answer(found=ranges((1, 3), (5, 3))))) == (
            f"$.response.mm_placeholders.image[1]: expected 2 tokens for {NAMES[1]}, got 3; other "
            "images agree, so the engine saw another picture here: the file was replaced, or the "
            "engine turned the image upright by its EXIF orientation and the sidecar describes "
            "the stored pixels: pass the engine's decoding where images are described "
            "[geometry_mismatch]"
        )

    def test_all_lengths_that_differ_are_another_layout(self) -> None:
        error = refusal(answer(found=ranges((1, 4), (6, 3))))
        assert (error.code, error.path) == (
            "geometry_mismatch",
            "$.response.mm_placeholders.image[0]",
        )
        assert error.hint is not None
        assert error.hint.startswith("the parameters of the layout differ")
        assert "EXIF" in error.hint

    def test_ranges_out_of_order(self) -> None:
        assert refusal(answer(found=ranges(*reversed(SPANS)))).code == "placeholder_order"
        assert refusal(answer(found=SPANS[::-1])).path == "$.response.mm_placeholders[1]"

    def test_ranges_that_overlap_across_modalities(self) -> None:
        found = {**ranges((1, 3)), **ranges((3, 3), modality="video")}
        assert refusal(answer(found=found)).code == "placeholder_order"

    def test_wrong_modality(self) -> None:
        error = refusal(answer(found=ranges(*SPANS, modality="video")))
        assert (error.code, error.path) == (
            "modality_mismatch",
            "$.response.mm_placeholders.video[0]",
        )

    @pytest.mark.parametrize("at", [0, 4, 7])
    def test_another_token(self, at: int) -> None:
        prompt = [*EXPANDED]
        prompt[at] = 5
        error = refusal(answer(prompt))
        assert (error.code, error.path) == (
            "token_mismatch",
            f"$.response.prompt_token_ids[{at}]",
        )
        assert error.hint is not None
        assert "tokenizer" in error.hint

    def test_token_too_many_or_few(self) -> None:
        assert str(refusal(answer([*EXPANDED, 4]))) == (
            "$.response.prompt_token_ids[8]: expected the end of the prompt (sent, 5 tokens), got "
            "the token 4; the tokens come from another tokenizer or chat template, or another "
            "prompt [token_mismatch]"
        )
        error = refusal(answer(EXPANDED[:-1]))
        assert (error.code, error.expected) == ("token_mismatch", "the token 3")

    def test_range_that_leaves_the_prompt_of_the_engine(self) -> None:
        error = refusal(answer(EXPANDED[:6]))
        assert error.code == "placeholder_order"
        assert error.path == "$.response.mm_placeholders.image[1]"
        assert error.hint

    def test_sent_prompt_that_ends_before_an_image(self) -> None:
        error = refusal(answer(EXPANDED[:-1]), SENT[:-2])
        assert (error.code, error.path) == ("token_mismatch", "$.response.prompt_token_ids[5]")

    def test_text_in_a_range(self) -> None:
        prompt = [1, 4, 5, 6, 2, 9, 9, 3]
        error = refusal(answer(prompt))
        assert (error.code, error.path) == ("orphan_image", "$.response.prompt_token_ids[1]")
        assert error.expected == f"the 3 tokens of {NAMES[0]}"

    def test_prompt_that_was_not_expanded(self) -> None:
        one = sidecar(item(0), spans=[(1, 3)])
        sent = [1, 9, 2, 3, 4]
        assert refusal(answer(sent, ranges((1, 3))), sent, one).code == "orphan_image"
        assert refusal(answer(sent[:3], ranges((1, 3))), sent, one).code == "placeholder_order"

    def test_prompt_without_media_has_another_token(self) -> None:
        error = refusal({"prompt_token_ids": [1, 3]}, [1, 2], None)
        assert (error.code, error.path) == ("token_mismatch", "$.response.prompt_token_ids[1]")

    def test_expanded_tokens_of_two_images(self) -> None:
        """vLLM expands the first two tokens of the first run, and raises no error."""
        prompt = [1, *[9] * 6, 2, 9, 9, 3]
        error = refusal(answer(prompt, ranges((1, 3), (4, 2))), EXPANDED)
        assert (error.code, error.path) == ("token_mismatch", "$.response.mm_placeholders.image[1]")
        assert error.expected == f"{NAMES[1]} at the offset 5"
        assert error.hint is not None
        assert error.hint.startswith(EXPANDED_ALREADY)

    def test_expanded_tokens_of_one_image(self) -> None:
        """The range is right; only the rest of the run tells."""
        one = sidecar(item(0), spans=[(1, 3)])
        error = refusal(answer([1, *[9] * 5, 2], ranges((1, 3))), [1, 9, 9, 9, 2], one)
        assert error.code == "orphan_image"
        assert error.hint is not None
        assert error.hint.startswith(EXPANDED_ALREADY)

    def test_sampled_placeholder(self) -> None:
        """The engine expands the sampled token, and the last image's token stays as it is."""
        sent = [1, 9, 2, 9, 3, 9, 4]
        found = ranges((1, 3), (5, 2))
        error = refusal(answer([1, 9, 9, 9, 2, 9, 9, 3, 9, 4], found), sent)
        assert (error.code, error.path) == ("orphan_image", "$.response.prompt_token_ids[8]")
        assert error.hint is not None
        assert "the policy sampled one" in error.hint

    @pytest.mark.parametrize("lost", [7, 5])
    def test_lost_image_of_a_family_with_two_tokens(self, lost: int) -> None:
        """Gemma's placeholder 7 becomes marks and the token 5."""
        one = sidecar(item(0), spans=[(1, 7)])
        span, found = [6, 7, 5, 5, 5, 5, 6], ranges((1, 7))
        check_engine_prompt(one, [1, 7, 2, 6], answer([1, *span, 2, 6], found))
        assert refusal(answer([1, *span, lost], found), [1, 7, lost], one).code == "orphan_image"

    def test_lost_image_of_a_prompt_that_was_sent_expanded(self) -> None:
        sent = [*EXPANDED, IMAGE]
        error = refusal(answer(sent), sent)
        assert (error.code, error.path) == ("orphan_image", "$.response.prompt_token_ids[8]")

    @pytest.mark.parametrize(
        "body",
        ["<html><body>502 Bad Gateway</body></html>", b"", "{", b"\xff", "\ud800", memoryview(b"")],
    )
    def test_body_that_is_not_json(self, body: Any) -> None:
        error = refusal(body)
        assert (error.code, error.path) == ("malformed", "$.response")
        assert "html" not in str(error)

    def test_released_memory_is_refused(self) -> None:
        body = memoryview(b"{}")
        body.release()
        with pytest.raises(ContractError) as caught:
            check_engine_prompt(SIDECAR, SENT, body)
        assert caught.value.path == "$.response"

    @pytest.mark.parametrize("response", [{"error": {"message": "x"}}, '{"error": {"code": 500}}'])
    def test_error_of_the_engine(self, response: Any) -> None:
        assert str(refusal(response)) == (
            "$.response: expected the field 'prompt_token_ids', got an error of the engine; the "
            "engine refused the request [missing_field]"
        )

    @pytest.mark.parametrize("response", [None, 5, [], {}, "[]", "7", object(), Response])
    def test_other_value(self, response: Any) -> None:
        assert refusal(response).path.startswith("$.response")

    @pytest.mark.parametrize(
        "found",
        [
            {"image": [{"offset": 1}]},
            {"image": [{"offset": -1, "length": 3}]},
            {"image": [{"offset": 1, "length": 0}]},
            {"image": {"offset": 1, "length": 3}},
            {"image": [[1, 2, 3]]},
            {1: [[1, 2]]},
            [1, 2],
            "text",
            7,
        ],
    )
    def test_ranges_of_another_shape(self, found: Any) -> None:
        assert refusal(answer(found=found)).path.startswith("$.response.mm_placeholders")

    @pytest.mark.parametrize("prompt", ["text", [1.5], [None], {}, 7])
    def test_tokens_of_another_shape(self, prompt: Any) -> None:
        assert refusal(answer(prompt)).path.startswith("$.response.prompt_token_ids")

    @each("name", ZOO)
    def test_odd_object_is_an_error_of_ours(self, name: str) -> None:
        make: Callable[[], Any] = ZOO[name].make
        right = answer()
        for response in (
            make(),
            answer(make()),
            right | {"mm_placeholders": make()},
            answer(found={"a": make()}),
        ):
            with pytest.raises(RawMMError):
                check_engine_prompt(SIDECAR, SENT, response)
        for media, sent in ((make(), SENT), (SIDECAR, make())):
            with pytest.raises(RawMMError):
                check_engine_prompt(media, sent, answer())
