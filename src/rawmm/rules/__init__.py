"""Rules that no schema can express. Each is one `Rule` in the file of its subject.

`registry` runs the rules that a struct's class lists.
"""

from __future__ import annotations

from rawmm.rules.free_json import normalize as normalize
from rawmm.rules.graph import Owed as Owed
from rawmm.rules.graph import all_inline as all_inline
from rawmm.rules.graph import graph_errors as graph_errors
from rawmm.rules.graph import media_ids as media_ids
from rawmm.rules.graph import owed_after as owed_after
from rawmm.rules.graph import placement_errors as placement_errors
from rawmm.rules.nodes import PER_SAMPLED as PER_SAMPLED
from rawmm.rules.numbers import LARGE_NUMBERS as LARGE_NUMBERS
from rawmm.rules.packed import packed_errors as packed_errors
from rawmm.rules.ref_text import PREFIX as PREFIX
from rawmm.rules.ref_text import no_locator as no_locator
from rawmm.rules.ref_text import read_ref as read_ref
from rawmm.rules.ref_text import ref_fields as ref_fields
from rawmm.rules.registry import own_errors as own_errors
from rawmm.rules.registry import rules_hold as rules_hold
from rawmm.rules.scalars import NAMES as NAMES
from rawmm.rules.scalars import SCALARS as SCALARS
from rawmm.rules.scalars import typed as typed
from rawmm.rules.scalars import wrong_type as wrong_type
