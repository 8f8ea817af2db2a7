"""`tests.cases.each` runs every case and names those that fail."""

from __future__ import annotations

import inspect

import pytest

from tests.cases import each

SEEN: list[tuple[int, str, str]] = []


@each("number", [1, 2, pytest.param(3, id="three")])
@each(("letter", "word"), [("a", "x"), ("b", "y")], ids=["first", "second"])
def multiplied(letter: str, word: str, number: int, more: str) -> None:
    SEEN.append((number, letter, more))
    assert word in "xy"
    if (number, letter) == (3, "b"):
        raise ValueError("an error")
    if (number, letter) == (2, "a"):
        pytest.fail("a failure")
    if (number, letter) == (1, "b"):
        with pytest.raises(KeyError):
            ""  # raises nothing


def test_all_cases_run_and_failed_ones_are_named() -> None:
    SEEN.clear()
    with pytest.raises(BaseExceptionGroup) as caught:
        multiplied(more="fixture")
    assert sorted(SEEN) == [(n, letter, "fixture") for n in (1, 2, 3) for letter in "ab"]
    assert "3 of 6 cases failed: first-2, second-1, second-three" in str(caught.value)
    assert caught.value.exceptions[0].__notes__ == ["case: first-2"]


def test_fixtures_alone_are_left_in_the_signature() -> None:
    assert list(inspect.signature(multiplied).parameters) == ["more"]


def test_list_without_cases_is_refused() -> None:
    with pytest.raises(AssertionError):
        each("case", [])
