"""Build engine requests: references, features, and the retry after a cache miss."""

from __future__ import annotations

from rawmm.engine.features import generate_features
from rawmm.engine.refs import is_raw_mm_ref, raw_mm_ref, split_raw_mm_ref
from rawmm.engine.retry import generate_with_image_ref_retry

__all__ = [
    "generate_features",
    "generate_with_image_ref_retry",
    "is_raw_mm_ref",
    "raw_mm_ref",
    "split_raw_mm_ref",
]
