"""Input made to cost time or memory is refused with a code, within bounds of both.

The bounds are generous: they separate linear from quadratic work on any machine.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.faults import hostile
from tests.faults.children import in_child
from tests.faults.hostile import TAKEN
from tests.unit.images.hostile_images import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.children import Outcome

SECONDS = 120
"""Of processor time, so that the load of the machine does not matter."""
MEGABYTES = 1024

NO_FAULT = {
    # A lenient reader of references looks for names, and finds none.
    "references",
    # Text that is base64 as far as its head goes.
    "parse_data_url",
    # Without a part there is nothing to offload.
    "offload_images_inplace",
    "offload_request",
    # With limits that let everything pass, no pixel is decoded either.
    "without limits",
}


def assert_bounded(
    outcome: Outcome, counted: Callable[..., None], megabytes: int = MEGABYTES
) -> None:
    """Every entry point that should refuse the input does so within the memory limit."""
    answers: dict[str, str] = outcome.value
    assert outcome.peak_mb < megabytes
    taken = {entry_point for entry_point, answer in answers.items() if answer == TAKEN}
    assert taken <= NO_FAULT
    assert not {entry_point for entry_point, answer in answers.items() if answer == "exit 0"}
    found = [entry_point for entry_point in answers if entry_point.startswith("errors ")]
    assert not {entry_point for entry_point in found if not re.match("[1-9]", answers[entry_point])}
    counted(entry_points=len(answers), refused=len(answers) - len(taken), taken=len(taken))


@pytest.mark.parametrize("kind", hostile.BOMBS)
def test_decompression_bombs_are_refused_within_memory(
    kind: str, counted: Callable[..., None]
) -> None:
    outcome = in_child(hostile.take_bomb, kind, cpu_seconds=SECONDS)
    assert set(outcome.value.values()) == {"image_limit", TAKEN}
    assert_bounded(outcome, counted, megabytes=200)


@pytest.mark.parametrize("name", hostile.TEXTS)
def test_hostile_texts_are_refused_within_memory(name: str, counted: Callable[..., None]) -> None:
    assert_bounded(in_child(hostile.take_text, name, cpu_seconds=SECONDS), counted)


@pytest.mark.parametrize("name", hostile.MSGPACK)
def test_hostile_msgpack_is_refused_within_memory(name: str, counted: Callable[..., None]) -> None:
    assert_bounded(in_child(hostile.take_msgpack, name, cpu_seconds=SECONDS), counted)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.JSON)
def test_hostile_json_is_refused_within_memory(name: str, counted: Callable[..., None]) -> None:
    assert_bounded(in_child(hostile.take_json, name, cpu_seconds=SECONDS), counted, 2 * MEGABYTES)


SIZES = (1 << 20, 1 << 22, 1 << 24)
FLOOR = 0.25
"""Seconds of processor time below which growth is not compared."""
MOST_GROWTH = 12


def assert_linear(seconds: list[float]) -> None:
    """Four times the size may take little more than four times as long; quadratic work takes 16."""
    for before, after in pairwise(seconds):
        assert after < MOST_GROWTH * max(before, FLOOR), seconds


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_images_of_many_blocks_are_refused_in_linear_time(
    name: str, counted: Callable[..., None]
) -> None:
    outcomes = [in_child(hostile.judge_image, name, size, cpu_seconds=60) for size in SIZES]
    answers = [outcome.value for outcome in outcomes]
    assert answers[-1][0] == "image_limit"
    assert_linear([seconds for _, seconds in answers])
    # Most of these took 8 to 60 s without budgets.
    assert answers[-1][1] < 2
    counted(images=len(answers), refused=len(answers))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.BODIES)
def test_hostile_bodies_take_linear_time(name: str, counted: Callable[..., None]) -> None:
    sizes = [size // 8 for size in SIZES]
    answers = [in_child(hostile.offload_body, name, size).value for size in sizes]
    assert {answer for answer, _ in answers} <= {TAKEN, "malformed"}
    assert_linear([seconds for _, seconds in answers])
    counted(bodies=len(answers))
