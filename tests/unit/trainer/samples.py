"""Training samples of a few tokens for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from rawmm import (
    EncodedArray,
    MMImageItem,
    MMImageRef,
    MMRefs,
    MultiModalData,
)
from rawmm.trainer import TrainingSample
from tests import builders
from tests.builders import FINGERPRINT, mm_hash_of, sha256_of

PAD = 7
DIRECTORY = "/data/outputs/run_demo/assets/images"


class FullImage(msgspec.Struct, array_like=True):
    """An image of a sample as prime-rl's transport decodes it in August 2026."""

    item: dict[str, Any]
    hash: str
    uri: str
    offset: int
    length: int


def uri(number: int) -> str:
    return f"file://{DIRECTORY}/{sha256_of(number)}.png"


def image(number: int, offset: int, length: int, **fields: Any) -> MMImageRef:
    own = {
        "modality": "image",
        "family": "qwen_vl",
        "layout_fingerprint": FINGERPRINT,
        "payload": {"image_grid_thw": [1, 2, 2 * length]},
    }
    item = MMImageItem(**(own | fields))
    return MMImageRef(
        item=item, hash=mm_hash_of(number), uri=uri(number), offset=offset, length=length
    )


def sample(size: int, *spans: tuple[int, int], **fields: Any) -> TrainingSample:
    """A sample of `size` tokens with an image at each span ``(offset, length)``."""
    types = [0] * size
    for offset, length in spans:
        types[offset : offset + length] = [1] * length
    images = [image(number, *span) for number, span in enumerate(spans)]
    own = {
        "token_ids": [PAD if kind else 100 + i for i, kind in enumerate(types)],
        "mask": [i % 3 == 2 for i in range(size)],
        "logprobs": [-0.5 - i for i in range(size)],
        "temperatures": [1.0] * size,
        "env_name": "demo",
        "mm_refs": MMRefs(images=images) if images else None,
        "mm_token_type_ids": types,
    }
    return TrainingSample(**(own | fields))


def experts(size: int, layers: int = 2, top_k: int = 3, dtype: Any = "uint8") -> EncodedArray:
    count = size * layers * top_k * (2 if dtype == "int16" else 1)
    return EncodedArray(
        dtype=dtype, shape=[size, layers, top_k], data=bytes(i % 251 for i in range(count))
    )


def sidecar(*spans: tuple[int, int], **fields: Any) -> MultiModalData:
    """The sidecar of a sample with an image at each span; every item gets `fields`."""
    return builders.sidecar(*(builders.item(i, **fields) for i, _ in enumerate(spans)), spans=spans)
