"""Stored images: the store, the run directory, and what checks and cleans a store.

`ImageStore` keeps the images of one directory. `fsck` checks one; `collect_garbage` deletes the
images that no record names.
"""

from __future__ import annotations

from rawmm.store.errors import check_one_place as check_one_place
from rawmm.store.findings import WRONG as WRONG
from rawmm.store.findings import Finding
from rawmm.store.findings import Kind as Kind
from rawmm.store.findings import Looked as Looked
from rawmm.store.fsck import fsck
from rawmm.store.fsck import iter_findings as iter_findings
from rawmm.store.gc import GRACE as GRACE
from rawmm.store.gc import GarbageStats, collect_garbage
from rawmm.store.image_store import ImageStore
from rawmm.store.run_dir import raw_image_path, run_image_dir
from rawmm.store.run_dir import resolved_dir as resolved_dir
from rawmm.store.stored_image import StoredImage

__all__ = [
    "Finding",
    "GarbageStats",
    "ImageStore",
    "StoredImage",
    "collect_garbage",
    "fsck",
    "raw_image_path",
    "run_image_dir",
]
