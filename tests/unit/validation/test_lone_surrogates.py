"""A lone surrogate is no JSON text, wherever a document has text."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.errors import RawMMError
from rawmm.model import schemas
from rawmm.model.types import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

VALID = [vector for vector in schemas.conformance_vectors() if "code" not in vector]
LONE = "\ud800x"


def damaged(value: Any) -> Iterator[Any]:
    """Copies of a document, each with a lone surrogate in one text or key."""
    stack: list[tuple[Any, ...]] = [()]
    while stack:
        path = stack.pop()
        found = value
        for key in path:
            found = found[key]
        if isinstance(found, (dict, list)):
            stack += [
                (*path, key) for key in (found if isinstance(found, dict) else range(len(found)))
            ]
        elif not isinstance(found, str):
            continue
        if not path:
            continue
        for replace_key in (False, True):
            whole = copy.deepcopy(value)
            parent = whole
            for key in path[:-1]:
                parent = parent[key]
            if not replace_key and isinstance(found, str):
                parent[path[-1]] = LONE
            elif replace_key and isinstance(parent, dict):
                parent[path[-1] + LONE] = parent.pop(path[-1])
            else:
                continue
            yield whole


@pytest.mark.parametrize("name", sorted({vector["type"] for vector in VALID}))
def test_lone_surrogate_is_refused_at_every_text_and_key(name: str) -> None:
    kind = TYPES[name]
    accepted = []
    for vector in VALID:
        if vector["type"] != name:
            continue
        for document in damaged(json.loads(vector["document"])):
            for call in (rawmm.convert, rawmm.validate, rawmm.upgrade):
                try:
                    call(document, kind)
                except RawMMError:
                    continue
                accepted.append((vector["case"], call.__name__, document))
    assert accepted == []


def test_lone_surrogate_that_is_assigned_is_refused() -> None:
    value = rawmm.GenerateFeatures(
        mm_hashes={"image": ["a"]},
        mm_placeholders={"image": [{"offset": 0, "length": 1}]},
        kwargs_data=None,
    )
    value.mm_hashes["image"][0] = LONE
    for call in (rawmm.validate, rawmm.convert, rawmm.encode_json, rawmm.to_builtins):
        with pytest.raises(RawMMError) as caught:
            call(value)
        assert (caught.value.code, caught.value.path) == ("not_json", "$.mm_hashes.image[0]")
