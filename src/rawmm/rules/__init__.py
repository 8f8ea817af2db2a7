"""Rules that no schema can express. Each is one `Rule` in the file of its subject.

`registry` runs the rules that a struct's class lists.
"""

from __future__ import annotations

from rawmm.rules.free_json import normalize
from rawmm.rules.graph import (
    Owed,
    all_inline,
    graph_errors,
    media_ids,
    owed_after,
    placement_errors,
)
from rawmm.rules.nodes import PER_SAMPLED
from rawmm.rules.numbers import LARGE_NUMBERS
from rawmm.rules.packed import packed_errors
from rawmm.rules.ref_text import PREFIX, built_ref, no_locator, read_ref, ref_fields
from rawmm.rules.registry import own_errors, rules_hold
from rawmm.rules.scalars import NAMES, SCALARS, typed, wrong_type

__all__ = [
    "LARGE_NUMBERS",
    "NAMES",
    "PER_SAMPLED",
    "PREFIX",
    "SCALARS",
    "Owed",
    "all_inline",
    "built_ref",
    "graph_errors",
    "media_ids",
    "no_locator",
    "normalize",
    "owed_after",
    "own_errors",
    "packed_errors",
    "placement_errors",
    "read_ref",
    "ref_fields",
    "rules_hold",
    "typed",
    "wrong_type",
]
