"""Python objects as plain values."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from rawmm import MMRefs, convert, iter_errors
from rawmm.values.plain import to_plain

ITEM = {"kind": "prime_raw_mm_item", "modality": "image", "family": "q", "payload": {}}
REFS = [[[ITEM, "a" * 32, "file:///x/y.png", 0, 1]]]


@dataclass
class Batch:
    refs: Any


def test_array_like_structs_become_lists_in_other_containers() -> None:
    refs = convert(REFS, MMRefs)
    assert convert(deque([refs]), list[MMRefs]) == [refs]
    assert to_plain(Batch((refs, refs.images[0])), open_structs=True) == {
        "refs": [REFS, REFS[0][0]]
    }
    refs.images[0].offset = -1
    errors = [(error.code, error.path) for error in iter_errors(deque([refs]), list[MMRefs])]
    assert errors == [("out_of_range", "$[0][0][0][3]")]
