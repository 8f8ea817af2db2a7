"""The forms that items had, and the one that they have."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from rawmm import RawMMError
from rawmm.upgrades import upgrade
from tests.builders import FINGERPRINT, item_document
from tests.unit.images.pictures import picture, url_of

GRID = [1, 8, 8]
PNG = picture()
URL = url_of()
SHA = hashlib.sha256(PNG).hexdigest()
STORED = f"{SHA}.png"


def envelope(**more: Any) -> dict[str, Any]:
    """A canonical item."""
    return item_document(**{"payload": {"image_grid_thw": [GRID]}, **more})


def without_version(**more: Any) -> dict[str, Any]:
    item = envelope(**more)
    del item["version"]
    return item


def bare_grid(**more: Any) -> dict[str, Any]:
    """An item of the form descriptor_only."""
    return {
        "image_grid_thw": GRID,
        "raw_image_id": "a07e50973f7c1376.png",
        "image_layout_fingerprint": FINGERPRINT,
        **more,
    }


def sidecar(*items: Any, hashes: list[str] | None = None) -> dict[str, Any]:
    """A sidecar of items with four placeholder tokens each."""
    spans = [{"offset": 10 * index, "length": 4} for index in range(len(items))]
    out: dict[str, Any] = {"mm_placeholders": {"image": spans}, "mm_items": {"image": [*items]}}
    return out if hashes is None else {"mm_hashes": {"image": hashes}, **out}


def node(data: Any, count: int = 1) -> dict[str, Any]:
    """A node with `count` images in its message, and 40 tokens."""
    part = {"type": "image_url", "image_url": {"url": "file:///images/a.png"}}
    return {
        "message": {"role": "user", "content": [part] * count},
        "token_ids": [9] * 40,
        "mask": [False] * 40,
        "multi_modal_data": data,
    }


def refusal(value: Any, kind: Any, **options: Any) -> RawMMError:
    """The error of an upgrade that is refused. It leaves the value as it was."""
    before = copy.deepcopy(value)
    with pytest.raises(RawMMError) as caught:
        upgrade(value, kind, **options)
    assert value == before
    return caught.value
