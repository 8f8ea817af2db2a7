"""Rules that no schema can express. Each is one `Rule` in the file of its subject.

`registry` runs the rules that a struct's class lists.
"""

from __future__ import annotations

from rawmm.rules.free_json import normalize
from rawmm.rules.graph import START, MediaOfNodes, graph_errors, has_items, lone_node_errors
from rawmm.rules.history import (
    came_later,
    payload_error_came_later,
    rules_of,
    shape_error_came_later,
    stricter_errors,
)
from rawmm.rules.media_checks import BY_ITSELF, MediaChecks, SeparatesRows, checking, current_checks
from rawmm.rules.nodes import PER_SAMPLED
from rawmm.rules.numbers import LARGE_NUMBERS
from rawmm.rules.packed import packed_errors
from rawmm.rules.ref_text import PREFIX, no_locator, read_ref, ref_fields
from rawmm.rules.registry import own_errors, rules_hold
from rawmm.rules.scalars import NAMES, SCALARS, typed, wrong_type
from rawmm.rules.speed import USES_C

__all__ = [
    "BY_ITSELF",
    "LARGE_NUMBERS",
    "NAMES",
    "PER_SAMPLED",
    "PREFIX",
    "SCALARS",
    "START",
    "USES_C",
    "MediaChecks",
    "MediaOfNodes",
    "SeparatesRows",
    "came_later",
    "checking",
    "current_checks",
    "graph_errors",
    "has_items",
    "lone_node_errors",
    "no_locator",
    "normalize",
    "own_errors",
    "packed_errors",
    "payload_error_came_later",
    "read_ref",
    "ref_fields",
    "rules_hold",
    "rules_of",
    "shape_error_came_later",
    "stricter_errors",
    "typed",
    "wrong_type",
]
