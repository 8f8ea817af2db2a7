"""Where two JSON values differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from rawmm.testing import strategies
from rawmm.values.difference import differences


@pytest.mark.parametrize(
    ("old", "new", "listed"),
    [
        ({"a": 1}, {"a": 2}, ["$.a: 1 became 2"]),
        ({"a": 1}, {}, ["$.a: 1 became nothing"]),
        ({}, {"a": None}, ["$.a: nothing became null"]),
        ([1, 2], [1], ["$[1]: 2 became nothing"]),
        ([1], [1, 2], ["$[1]: nothing became 2"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}, ["$.a[0].b: 1 became 1.0"]),
        (True, 1, ["$: true became 1"]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, [
            "$.a: 1 became nothing", "$.b: 2 became 3", "$.c: nothing became 4",
        ]),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, []),
    ],
)  # fmt: skip
def test_differences_are_listed_by_path(old: Any, new: Any, listed: list[str]) -> None:
    assert [str(each) for each in differences(old, new)] == listed


@given(strategies.documents("MessageNode"))
def test_equal_documents_have_no_difference(document: Any) -> None:
    assert list(differences(document, document)) == []


def test_nesting_of_100000_levels_is_compared() -> None:
    old: Any = 1
    new: Any = 2
    for _ in range(100_000):
        old, new = {"a": old}, {"a": new}
    (found,) = differences(old, new)
    assert len(found.path) == 100_000
