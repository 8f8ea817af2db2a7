"""The tokens of a node on a page."""

from __future__ import annotations

import base64
import struct
from array import array
from typing import Any

from rawmm.view.tokens import (
    CONTENT,
    IMAGE_TOKEN,
    OTHER_MEDIA,
    SAMPLED,
    SCAFFOLD,
    UNLABELLED,
    spans_of,
    tokens_of,
)
from tests.cases import each
from tests.unit.view.records import tokens


def test_each_kind_of_token_is_a_run() -> None:
    found = tokens_of(tokens(scaffold=2, content=3, image=4, sampled=5), {"99": 1}, [])
    assert found.runs == [SCAFFOLD, 2, CONTENT, 3, IMAGE_TOKEN, 4, SAMPLED, 5]
    assert (found.total, found.sampled, found.images) == (14, 5, [(5, 4)])


def test_logprobs_and_ids_are_packed() -> None:
    found = tokens_of(tokens(content=1, sampled=2), {}, [])
    assert struct.unpack("<3I", base64.b64decode(found.ids)) == (7, 8, 8)
    assert struct.unpack("<2f", base64.b64decode(found.logprobs)) == (-0.5, -0.5)


def test_placeholder_range_marks_image_tokens() -> None:
    sidecar = {"mm_placeholders": {"image": [{"offset": 12, "length": 3}]}}
    found = tokens_of(tokens(content=6), {}, spans_of(sidecar, 10))
    assert found.runs == [CONTENT, 2, IMAGE_TOKEN, 3, CONTENT, 1]


def test_range_outside_the_tokens_is_cut() -> None:
    sidecar = {
        "mm_placeholders": {"image": [{"offset": 4, "length": 90}, {"offset": -9, "length": 2}]}
    }
    assert tokens_of(tokens(content=6), {}, spans_of(sidecar, 0)).runs == [
        CONTENT,
        4,
        IMAGE_TOKEN,
        2,
    ]


def test_overlapping_ranges_mark_each_token_once() -> None:
    """So that many long ranges of a broken record take linear time."""
    sidecar = {
        "mm_placeholders": {
            "video": [{"offset": 2, "length": 4}],
            "image": [{"offset": 1, "length": 3}, {"offset": 2, "length": 1}],
        }
    }
    found = tokens_of(tokens(content=7), {}, spans_of(sidecar, 0))
    assert found.runs == [CONTENT, 1, IMAGE_TOKEN, 3, OTHER_MEDIA, 2, CONTENT, 1]


def test_key_of_a_token_type_that_is_no_token_is_ignored() -> None:
    types = {"9" * 5000: 1, "x": 1, "\u0667": 1, "07": 1, "": 1}
    assert tokens_of(tokens(content=2), types, []).runs == [CONTENT, 2]


def test_other_media_and_tokens_without_labels_have_kinds() -> None:
    node = {"token_ids": [1, 5, 5], "mask": [False] * 3}
    assert tokens_of(node, {"5": 2}, []).runs == [UNLABELLED, 1, OTHER_MEDIA, 2]


def test_packed_streams_are_read() -> None:
    data = base64.b64encode(array("i", [3, 4]).tobytes()).decode()
    node = {"token_ids": {"__nd__": True, "dtype": "int32", "shape": [2], "data": data}}
    assert tokens_of(node, {}, []).total == 2


@each(
    "broken",
    [
        {"token_ids": "x"},
        {"token_ids": [1, "x"]},
        {"token_ids": {"__nd__": True}},
        {"token_ids": [2**40, -1]},
        {"token_ids": [1], "mask": [3], "is_content": {}, "logprobs": [None]},
        {"token_ids": [1], "mask": [True] * 9, "logprobs": [10**400]},
    ],
)
def test_broken_streams_are_left_out(broken: dict[str, Any]) -> None:
    found = tokens_of(broken, {"x": 1, None: 2, "1": "y"}, [])
    assert found.logprobs == "" or found.sampled
    assert found.total == sum(found.runs[1::2])
