"""The answer of every entry point for images to a file, in a child process."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

import rawmm
from rawmm.errors import CODES, RawMMError
from tests.unit.images.pictures import assert_silent, data_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BEGINNINGS: Final = {b"\x89": "png", b"\xff": "jpeg", b"R": "webp", b"G": "gif"}


class Judged(NamedTuple):
    """The answer of each entry point: ``stored``, or an error code."""

    put: str
    put_data_url: str
    offload_request: str
    describe: str
    decode: str


def judge(file: Path, root: Path) -> Judged:
    """Another exception than a `RawMMError` fails the child, and so the test."""
    warnings.simplefilter("ignore")  # Pillow's, about odd files
    raw = file.read_bytes()
    store = rawmm.ImageStore(root, durable=False)
    url = data_url(raw, f"image/{_BEGINNINGS.get(raw[:1], 'png')}")
    part = f'[{{"type": "image_url", "image_url": {{"url": "{url}"}}}}]'.encode()
    return Judged(
        _said(lambda: store.put(raw)),
        _said(lambda: store.put_data_url(url)),
        _said(lambda: rawmm.offload_request(part, store=store)),
        _said(lambda: rawmm.describe_image(file, "qwen_vl")),
        # Another store may return any bytes, also those that rawmm does not store.
        _said(lambda: rawmm.decode_image(raw)),
    )


def _said(action: Callable[[], object]) -> str:
    try:
        action()
    except RawMMError as error:
        refused = error
    else:
        return "stored"
    assert refused.code in CODES, refused.code
    assert_silent(refused)
    return refused.code
