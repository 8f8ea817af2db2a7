"""How the contract, or any JSON Schema, changes: whether a new schema breaks readers or writers.

`compare` needs the extra ``schema``.
"""

from __future__ import annotations

from rawmm.evolution.compare import Bump as Bump
from rawmm.evolution.compare import Comparison, Difference, Part, compare
from rawmm.evolution.counterexamples import shown_document as shown_document
from rawmm.evolution.sources import load as load

__all__ = ["Comparison", "Difference", "Part", "compare"]
