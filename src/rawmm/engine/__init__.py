"""Engine requests: content parts, references, features, checks, the retry after a cache miss."""

from __future__ import annotations

from rawmm.engine.features import generate_features
from rawmm.engine.parts import content_parts
from rawmm.engine.prompts import check_engine_prompt, collapse_placeholders
from rawmm.engine.refs import is_raw_mm_ref, raw_mm_ref, split_raw_mm_ref
from rawmm.engine.retry import generate_with_image_ref_retry

__all__ = [
    "check_engine_prompt",
    "collapse_placeholders",
    "content_parts",
    "generate_features",
    "generate_with_image_ref_retry",
    "is_raw_mm_ref",
    "raw_mm_ref",
    "split_raw_mm_ref",
]

# For other packages of rawmm, not public.
from rawmm.engine.ranges import EngineRange as EngineRange
from rawmm.engine.ranges import engine_ranges as engine_ranges
from rawmm.engine.refs import written_ref as written_ref
