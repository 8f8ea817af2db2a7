"""Records without sidecars: the runs of image tokens show the images."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import Trace, iter_errors

INLINE, OFFLOADED = "data:image/png;base64,AAAA", "file:///run/step-3.png"
PAD, END = 7, 8


def node(parent: int | None, *urls: str, tokens: int = 0, **fields: Any) -> dict[str, Any]:
    """A message with images, and one run of one token for each of `tokens`."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {
        "parent": parent,
        "message": {"role": "user", "content": parts},
        "token_ids": [PAD, END] * tokens,
        "mask": [False, False] * tokens,
        **fields,
    }


def described(offset: int, length: int) -> dict[str, Any]:
    return {
        "multi_modal_data": {"mm_placeholders": {"image": [{"offset": offset, "length": length}]}}
    }


TEXT: dict[str, Any] = {"token_ids": [END], "mask": [False]}
FINE: dict[str, list[dict[str, Any]]] = {
    "in its own message": [node(None, INLINE, tokens=1)],
    "stored": [node(None, OFFLOADED, tokens=1)],
    "in a store": [node(None, "s3://bucket/run/a.png", tokens=1)],
    "in the message before": [node(None, INLINE), node(0, tokens=1)],
    "far above": [node(None, INLINE), node(0), node(1), node(2, tokens=1)],
    "on one of two branches": [node(None), node(0, INLINE, tokens=1), node(0)],
    "several": [node(None, INLINE, OFFLOADED), node(0, INLINE, tokens=3)],
    "on two branches": [node(None, INLINE), node(0, tokens=1), node(0, OFFLOADED, tokens=2)],
    "nowhere in tokens": [node(None, INLINE), node(0, OFFLOADED)],
    "no image, and no image token": [node(None), node(0)],
}
LOST: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "no image at all": ([node(None, tokens=1)], ["$.nodes[0].token_ids"]),
    "an image on another branch": (
        [node(None), node(0, INLINE), node(0, tokens=1)],
        ["$.nodes[2].token_ids"],
    ),
    "an image below": ([node(None, tokens=1), node(0, INLINE)], ["$.nodes[0].token_ids"]),
    "an offloaded one beside it": (
        [node(None, INLINE, OFFLOADED), node(0, tokens=1)],
        ["$.nodes[1].token_ids"],
    ),
    "an offloaded one above": (
        [node(None, OFFLOADED), node(0, INLINE, tokens=1)],
        ["$.nodes[1].token_ids"],
    ),
    "an offloaded one far above": (
        [node(None, OFFLOADED), node(0, INLINE), node(1, INLINE), node(2, tokens=1)],
        ["$.nodes[3].token_ids"],
    ),
    "a described one above": (
        [node(None, INLINE, tokens=1, **described(0, 1)), node(0, INLINE), node(1, tokens=1)],
        ["$.nodes[2].token_ids"],
    ),
    "one described too short": (
        [node(None, INLINE, tokens=2, **described(0, 1))],
        ["$.nodes[0].token_ids"],
    ),
    "a dropped one": ([node(None, INLINE), node(0, tokens=0, **TEXT)], ["$.nodes[1].token_ids"]),
    "a dropped one of two": (
        [node(None, INLINE), node(0, OFFLOADED, tokens=1)],
        ["$.nodes[1].token_ids"],
    ),
    "one too many below an owed one": (
        [node(None, INLINE), node(0, tokens=2)],
        ["$.nodes[1].token_ids"],
    ),
    "an owed one that was paid": (
        [node(None, INLINE), node(0, tokens=1), node(1, tokens=1)],
        ["$.nodes[2].token_ids"],
    ),
}


def errors_of(nodes: list[dict[str, Any]], *, types: bool = True) -> list[tuple[str, str]]:
    document: dict[str, Any] = {"nodes": nodes}
    if types:
        document["mm_token_type_id_map"] = {str(PAD): 1}
    return [(error.path, error.code) for error in iter_errors(document, Trace)]


@pytest.mark.parametrize("name", FINE)
def test_tokens_of_inline_images_need_no_items(name: str) -> None:
    assert errors_of(FINE[name]) == []


@pytest.mark.parametrize("name", LOST)
def test_other_image_tokens_need_items(name: str) -> None:
    nodes, paths = LOST[name]
    assert errors_of(nodes) == [(path, "orphan_image") for path in paths]
    # Without a map of token types, image tokens are unknown.
    assert errors_of(nodes, types=False) == []


def test_long_path_takes_linear_time() -> None:
    """Ten thousand turns with an image each would not end in quadratic time."""
    nodes = [node(i - 1 if i else None, INLINE, tokens=1) for i in range(10_000)]
    assert errors_of(nodes) == []
