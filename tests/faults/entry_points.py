"""Every entry point that stores images. If it raises, its argument is unchanged."""

from __future__ import annotations

import asyncio
import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import rawmm
from rawmm.errors import RawMMError
from tests.faults.children import ROOT
from tests.unit.images.pictures import chat_request, data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    EntryPoint = Callable[[Path], None]

# Read here: a test's user without rights may not be allowed to.
_INLINE: Final = (ROOT / "tests" / "data" / "wire" / "inline" / "nodes.json").read_bytes()
_IMAGES: Final = 3


def _urls() -> list[str]:
    return [data_url(picture(seed=seed)) for seed in range(_IMAGES)]


def _put(root: Path) -> None:
    for seed in range(_IMAGES):
        rawmm.ImageStore(root).put(picture(seed=seed))


def _put_data_url(root: Path) -> None:
    for url in _urls():
        rawmm.ImageStore(root).put_data_url(url)


def _run_assets(root: Path) -> None:
    for url in _urls():
        rawmm.offload_image_to_run_assets(url, root)


def _unchanged(value: Any, action: Callable[[Any], object]) -> None:
    before = copy.deepcopy(value)
    try:
        action(value)
    except RawMMError:
        assert value == before
        raise
    assert value != before


def _in_place(root: Path) -> None:
    _unchanged(chat_request(*_urls()), partial(rawmm.offload_images_inplace, image_dir=root))


def _async(root: Path) -> None:
    def offload(value: Any) -> None:
        asyncio.run(rawmm.offload_images_async(value, image_dir=root))

    _unchanged(chat_request(*_urls()), offload)


def _bytes(root: Path) -> None:
    rawmm.offload_request(json.dumps(chat_request(*_urls())).encode(), image_dir=root)


def _upgrade(root: Path) -> None:
    value = json.loads(_INLINE)
    before = copy.deepcopy(value)
    try:
        rawmm.upgrade(value, list[rawmm.MessageNode], image_dir=root)
    finally:
        assert value == before


ENTRY_POINTS: Final[dict[str, EntryPoint]] = {
    "put": _put,
    "put_data_url": _put_data_url,
    "offload_image_to_run_assets": _run_assets,
    "offload_images_inplace": _in_place,
    "offload_images_async": _async,
    "offload_request": _bytes,
    "upgrade": _upgrade,
}
