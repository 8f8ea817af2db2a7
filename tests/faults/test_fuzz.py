"""The fuzzer, for a minute in all: `tests/faults/README.md` says what longer runs found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.fuzz.campaign import fuzz
from tests.faults.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60 // len(TARGETS) + 1
FEWEST = 500
"""Executions that show that the fuzzer ran, on the slowest machine."""


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_give_a_value_or_an_error(target: str, counted: Callable[..., None]) -> None:
    seeds = list(TARGETS[target].seeds())
    assert seeds
    executions, finding = fuzz(target, SECONDS, seed=int.from_bytes(os.urandom(3)) + 1)
    assert not finding, finding
    assert executions > FEWEST
    counted(executions=executions, seeds=len(seeds), seconds=SECONDS)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_their_prefixes_run_without_a_crash(target: str) -> None:
    """A seed that raises would end each run at once."""
    for data in TARGETS[target].seeds():
        TARGETS[target].run(data)
        TARGETS[target].run(data[:-1])
        TARGETS[target].run(b"")
