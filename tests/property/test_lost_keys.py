"""Duplicate keys: msgspec silently keeps the last, but the colons of the text show it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import RawMMError
from rawmm.values.strict_json import duplicate_keys, has_all_keys

KEYS = st.sampled_from(["a", "b", ":", '"', "é", "a:b", "\\"])
TEXTS = st.sampled_from(["", ":", "::", "x", "\\u003a", '":"', "\n", "é"])


class Pairs(list[tuple[str, Any]]):
    """An object that may have duplicate keys."""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-10, 10) | TEXTS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.lists(st.tuples(KEYS, below), max_size=3).map(Pairs)
    ),
    max_leaves=12,
)  # fmt: skip


def written(value: Any, colon: str) -> str:
    """JSON text, with `colon` for each colon in strings."""
    if isinstance(value, Pairs):
        inner = [f"{written(key, colon)}: {written(one, colon)}" for key, one in value]
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(one, colon) for one in value) + "]"
    text = json.dumps(value)
    return text.replace(":", colon) if isinstance(value, str) else text


def lost(value: Any) -> int:
    """The number of duplicate keys in a value."""
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        return len(keys) - len(set(keys)) + sum(lost(one) for _, one in value)
    return sum(map(lost, value)) if isinstance(value, list) else 0


@given(VALUES, st.sampled_from([":", r"\u003a", r"\u003A"]))
def test_all_lost_keys_are_found(value: Any, colon: str) -> None:
    data = written(value, colon).encode()
    decoded = msgspec.json.decode(data)
    if has_all_keys(data, decoded):
        assert lost(value) == 0
    assert len(list(duplicate_keys(data))) == lost(value)
    if colon == ":" and not lost(value):
        assert has_all_keys(data, decoded) or b"\\u003" in data


@pytest.mark.parametrize("text", [r'{"a": 1, "a": "\u003a"}', r'{"a": 1, "a": {"\u003A": "x"}}'])
def test_escaped_colon_does_not_hide_a_lost_key(text: str) -> None:
    assert not has_all_keys(text.encode(), msgspec.json.decode(text))


def test_too_deep_document_is_refused() -> None:
    with pytest.raises(RawMMError) as caught:
        list(duplicate_keys(b"[" * 100_000 + b"]" * 100_000))
    assert caught.value.code == "too_deep"
