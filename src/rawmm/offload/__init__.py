"""Offload: write raw images once, content-addressed, and refer to them by ``file://`` URL.

`offload_images_inplace` and, on an event loop, `offload_images_async` rewrite whole messages;
`offload_request` does so from bytes to bytes. `ImageStore` is the directory below them; `fsck`
checks one, `collect_garbage` empties it of what nobody refers to.
"""

from __future__ import annotations

from rawmm.offload.findings import Finding
from rawmm.offload.fsck import fsck
from rawmm.offload.gc import GarbageStats, collect_garbage
from rawmm.offload.limits import Limits
from rawmm.offload.request import OffloadedRequest, offload_request
from rawmm.offload.rewrite import (
    offload_image_to_run_assets,
    offload_images_async,
    offload_images_inplace,
)
from rawmm.offload.run_dir import raw_image_path, run_image_dir
from rawmm.offload.stats import ImageOffloadStats
from rawmm.offload.store import ImageStore
from rawmm.offload.stored_image import StoredImage

__all__ = [
    "Finding",
    "GarbageStats",
    "ImageOffloadStats",
    "ImageStore",
    "Limits",
    "OffloadedRequest",
    "StoredImage",
    "collect_garbage",
    "fsck",
    "offload_image_to_run_assets",
    "offload_images_async",
    "offload_images_inplace",
    "offload_request",
    "raw_image_path",
    "run_image_dir",
]
