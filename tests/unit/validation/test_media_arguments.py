"""The arguments of `validate` about media."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import MessageNode, RawMMError, Trace, iter_errors, layouts, validate

PART = {"type": "image_url", "image_url": {"url": "file:///images/a.png"}}
NODE: dict[str, Any] = {
    "message": {"role": "user", "content": [PART]},
    "token_ids": [1, 7, 2],
    "mask": [False] * 3,
}
REPLY: dict[str, Any] = {"message": {"role": "assistant", "content": "x"}, "parent": 0}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"image_token_ids": None}, "wrong_type $.image_token_ids"),
        ({"image_token_ids": True}, "wrong_type $.image_token_ids"),
        ({"image_token_ids": -7}, "out_of_range $.image_token_ids[0]"),
        ({"image_token_ids": "7"}, "wrong_type $.image_token_ids"),
        ({"image_token_ids": ["7"]}, "wrong_type $.image_token_ids[0]"),
        ({"image_token_ids": [True]}, "wrong_type $.image_token_ids[0]"),
        ({"image_token_ids": [1, -1]}, "out_of_range $.image_token_ids[1]"),
        ({"require_sidecars": 1}, "wrong_type $.require_sidecars"),
        ({"layout": "pixtral"}, "wrong_type $.layout"),
        ({"layout": layouts.FAMILIES["pixtral"]}, "wrong_type $.layout"),
    ],
)
def test_invalid_argument_is_refused(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(RawMMError) as caught:
        validate(NODE, **arguments)
    assert f"{caught.value.code} {caught.value.path}" == error


def test_lone_node_without_sidecar_is_accepted() -> None:
    validate(NODE)
    validate(MessageNode(**NODE), image_token_ids={7})
    validate(MessageNode(**NODE), image_token_ids=7)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"token_ids": [1, 2, 3]}, ["orphan_image"]),
        ({"token_ids": [7, 2, 7]}, ["orphan_image"]),
        ({"token_ids": [7, 2, 7], "parent": 0}, []),  # an earlier message may have no tokens
        ({"token_ids": [1, 2, 3], "parent": 0}, ["orphan_image"]),
        ({"token_ids": [7, 2, 7], "mask": [False, False, True]}, ["sampled_image_token"]),
        ({"token_ids": [], "mask": []}, []),
    ],
)
@pytest.mark.parametrize("build", [dict, MessageNode])
def test_lone_node_is_held_to_given_image_tokens(
    changes: dict[str, Any], expected: list[str], build: Any
) -> None:
    node = build(**{**NODE, **changes})
    assert [error.code for error in iter_errors(node, MessageNode, image_token_ids=[7])] == expected
    by_name = iter_errors({"a": node}, dict[str, MessageNode], image_token_ids=[7])
    assert [error.code for error in by_name] == expected


def test_map_of_the_trace_has_precedence() -> None:
    trace = {"nodes": [NODE, REPLY], "mm_token_type_id_map": {"7": 1}}
    validate(trace, image_token_ids=[2])
    assert [error.code for error in iter_errors({"nodes": [REPLY | {"parent": None}]}, Trace)] == []


def test_sidecars_are_required_of_nodes_in_lists_and_alone() -> None:
    for value, path in (
        (NODE, "$"),
        (MessageNode(**NODE), "$"),
        ([NODE, REPLY], "$[0]"),
        (Trace(nodes=[MessageNode(**NODE)]), "$.nodes[0]"),
    ):
        errors = list(iter_errors(value, require_sidecars=True))
        assert [f"{e.code} {e.path}" for e in errors] == [f"count_mismatch {path}.multi_modal_data"]


def test_checks_end_with_each_error() -> None:
    """Code between two errors of `iter_errors` must not be judged strictly."""
    errors = iter_errors([NODE, NODE], require_sidecars=True)
    next(errors)
    MessageNode(**NODE)
    validate(NODE)
    assert len(list(errors)) == 1
