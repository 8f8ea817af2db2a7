"""`describe_trace`: sidecars of a recorded trace from its image tokens."""

from __future__ import annotations

from typing import Any

import pytest

import rawmm
from rawmm import describe_trace, layouts
from rawmm.errors import RawMMError
from rawmm.graph import branches
from tests.unit.images.pictures import data_url, part, picture

LAYOUT = layouts.get("qwen_vl")
PAD = 7
URLS = [data_url(picture(size=size)) for size in ((320, 200), (384, 200))]
LENGTHS = [77, 72]


def node(tokens: list[int], *urls: str, parent: int | None = None, role: str = "user") -> Any:
    message: dict[str, Any] = {"role": role, "content": [part(url) for url in urls] or "ok"}
    return {
        "parent": parent,
        "message": message,
        "token_ids": tokens,
        "mask": [False] * len(tokens),
    }


def trace(*nodes: Any, types: Any = None) -> Any:
    types = {str(PAD): 1} if types is None else types
    return rawmm.convert({"nodes": list(nodes), "mm_token_type_id_map": types}, rawmm.Trace)


def two_turns() -> Any:
    return trace(
        node([1, *[PAD] * 77, 2], URLS[0]),
        node([3, 4], parent=0, role="assistant"),
        node([5, *[PAD] * 72, 2], URLS[1], parent=1),
        node([3, 4], parent=2, role="assistant"),
    )


def ranges(described: Any) -> list[list[tuple[int, int]] | None]:
    return [
        one.multi_modal_data
        and [(at.offset, at.length) for at in one.multi_modal_data.mm_placeholders["image"]]
        for one in described.nodes
    ]


def test_offsets_count_from_the_first_token_of_the_branch() -> None:
    given = two_turns()
    before = rawmm.encode_json(given)
    described = describe_trace(given, LAYOUT)
    assert ranges(described) == [[(1, 77)], None, [(82, 72)], None]
    assert rawmm.encode_json(given) == before
    (branch,) = branches(given)
    assert (
        describe_trace(branch, LAYOUT).multi_modal_data == branches(described)[0].multi_modal_data
    )
    assert ranges(describe_trace(described, LAYOUT)) == ranges(described)


def test_images_of_messages_without_tokens_lie_in_the_reply() -> None:
    given = trace(
        node([], *URLS),
        node([1, *[PAD] * 77, 2, *[PAD] * 72, 3], parent=0, role="assistant"),
    )
    assert ranges(describe_trace(given, LAYOUT)) == [[(1, 77), (79, 72)], None]


def test_adjacent_images_share_a_run() -> None:
    given = rawmm.Trace(nodes=rawmm.convert([node([PAD] * 149, *URLS)], list[rawmm.MessageNode]))
    described = describe_trace(given, LAYOUT, image_token_ids=PAD)
    assert ranges(described) == [[(0, 77), (77, 72)]]
    assert described.mm_token_type_id_map == {str(PAD): 1}


def test_marks_between_rows_are_part_of_the_image() -> None:
    layout = layouts.get("pixtral")
    geometry = layout.describe(320, 200)
    tokens = [PAD] * geometry.num_tokens
    for mark in layout.marks(geometry):
        tokens[mark] = 8
    tokens[-1] = 9
    given = rawmm.Trace(
        nodes=rawmm.convert([node([1, *tokens, 2], URLS[0])], list[rawmm.MessageNode])
    )
    described = describe_trace(given, layout, image_token_ids=[PAD])
    assert ranges(described) == [[(1, geometry.num_tokens)]]
    assert described.mm_token_type_id_map == {"7": 1, "8": 1, "9": 1}


@pytest.mark.parametrize("family", ["idefics3", "minicpmv4_6"])
def test_image_with_line_feeds_or_digits_is_refused_by_name(family: str) -> None:
    layout = layouts.get(family)
    geometry = layout.describe(320, 200)
    tokens = [PAD] * geometry.num_tokens
    for mark in layout.marks(geometry):
        tokens[mark] = 8
    given = rawmm.Trace(nodes=rawmm.convert([node(tokens, URLS[0])], list[rawmm.MessageNode]))
    with pytest.raises(rawmm.ContractError, match="with line feeds or digits") as caught:
        describe_trace(given, layout, image_token_ids=[PAD])
    assert (caught.value.code, caught.value.path) == ("orphan_image", "$.nodes[0].token_ids")


def test_number_of_an_image_in_its_branch_counts() -> None:
    layout = layouts.get("minicpmv4_6", slice_mode=False)
    lengths = [layout.describe(320, 200, index=index).num_tokens for index in range(11)]
    assert lengths[10] == lengths[9] + 1
    nodes = [
        node([1, *[PAD] * length], URLS[0], parent=index - 1 if index else None)
        for index, length in enumerate(lengths)
    ]
    described = describe_trace(trace(*nodes), layout)
    assert [one and one[0][1] for one in ranges(described)] == lengths


@pytest.mark.parametrize(
    ("tokens", "urls", "code"),
    [
        ([1, *[PAD] * 76, 2], URLS[:1], "geometry_mismatch"),
        ([1, *[PAD] * 78, 2], URLS[:1], "geometry_mismatch"),
        ([1, 2], URLS[:1], "orphan_image"),
        ([1, *[PAD] * 77, 2], URLS, "orphan_image"),
        ([1, *[PAD] * 77, 2, *[PAD] * 72], URLS[:1], "orphan_image"),
    ],
    ids=["one_token_less", "one_token_more", "no_tokens", "one_run_for_two", "run_without_part"],
)
def test_tokens_that_do_not_fit_are_refused(tokens: list[int], urls: list[str], code: str) -> None:
    given = rawmm.Trace(nodes=rawmm.convert([node(tokens, *urls)], list[rawmm.MessageNode]))
    with pytest.raises(rawmm.ContractError) as caught:
        describe_trace(given, LAYOUT, image_token_ids=PAD)
    assert (caught.value.code, caught.value.path) == (code, "$.nodes[0].token_ids")
    assert caught.value.hint


def test_map_without_an_image_token_is_refused() -> None:
    given = rawmm.Trace(nodes=rawmm.convert([node([1, PAD, 2], URLS[0])], list[rawmm.MessageNode]))
    with pytest.raises(rawmm.ContractError) as caught:
        describe_trace(given, LAYOUT)
    assert (caught.value.code, caught.value.path) == ("missing_field", "$.mm_token_type_id_map")
    assert caught.value.hint


@pytest.mark.parametrize("ids", ["7", [-1], [1.5], object(), [None]])
def test_image_token_ids_of_another_type_are_refused(ids: Any) -> None:
    with pytest.raises(RawMMError):
        describe_trace(two_turns(), LAYOUT, image_token_ids=ids)


def test_trace_without_images_is_returned() -> None:
    given = trace(node([1, 2]))
    assert describe_trace(given, LAYOUT) is given
