"""Engines give every outcome, in spite of killed workers, exceptions and pieces with many parts."""

from __future__ import annotations

import os
import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.parallel import Outcome, ProcessEngine, SerialEngine, in_order, processes
from rawmm.parallel.schedule import KILLED, Answer, run
from tests.unit.parallel.work import (
    POISON,
    make_slow,
    make_square,
    make_stopped_in_a_callback,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def test_killed_worker_is_tried_again_and_poison_is_an_outcome(tmp_path: Path) -> None:
    numbers = range(20)
    with ProcessEngine(2, max_retries=2) as engine:
        found = list(in_order(engine.map(make_square, (str(tmp_path),), numbers)))
    assert [one.number for one in found] == list(numbers)
    assert (tmp_path / "died").exists()
    for outcome in found:
        if outcome.number == POISON:
            assert outcome.lost is not None
            assert outcome.lost.startswith("3 worker processes were killed")
        elif outcome.number == 7:
            assert outcome.lost == "internal error: ZeroDivisionError"
        else:
            assert outcome == Outcome(outcome.number, outcome.number**2, None, last=True)


def test_worker_that_is_stopped_in_a_callback_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with ProcessEngine(1) as engine:
        outcomes = engine.map(make_stopped_in_a_callback, (), [1, 2])
        assert [one.result for one in outcomes] == [True, True]
    assert capfd.readouterr() == ("", "")


def test_parts_of_pieces_are_those_of_one_process(tmp_path: Path) -> None:
    pieces = [[1, 2, 3], [4], list(range(30)), [5, 6]]
    args = (str(tmp_path),)
    serial = list(SerialEngine().map(make_square, args, pieces))
    with ProcessEngine(2) as engine:
        assert list(in_order(engine.map(make_square, args, pieces))) == serial
    assert [one.result for one in serial if one.number == 0] == [1, 4, 9]


def test_function_that_raises_loses_its_piece_alone() -> None:
    found = list(SerialEngine().map(make_square, ("",), [6, 7, 8]))
    assert [(one.result, one.lost) for one in found] == [
        (36, None), (None, "internal error: ZeroDivisionError"), (64, None),
    ]  # fmt: skip


def test_one_piece_starts_no_process(tmp_path: Path) -> None:
    engine = ProcessEngine(2)
    engine._start = None  # type: ignore[assignment, method-assign]
    assert [one.result for one in engine.map(make_square, ("",), [3])] == [9]
    assert list(engine.map(make_square, ("",), [])) == []


def test_leaving_the_engine_ends_its_processes() -> None:
    with ProcessEngine(2) as engine:
        outcomes = engine.map(make_square, ("",), count(20))
        next(outcomes)
        assert engine._pool is not None
        pids = [worker._process.pid for _, worker in engine._pool._busy.values()]
        assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("deaf", [False, True])
def test_worker_that_is_stopped_removes_its_files_or_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deaf: bool
) -> None:
    for name in ("_AGAIN", "_PATIENCE"):
        monkeypatch.setattr(processes, name, 0.1 if deaf else 300.0)
    with ProcessEngine(3) as engine:
        next(engine.map(partial(make_slow, deaf=deaf), (str(tmp_path),), range(3)))
    assert len(list(tmp_path.iterdir())) == (2 if deaf else 0)


class Random:
    """A pool that answers in any order, and loses what it is told to lose."""

    capacity = 3

    def __init__(self, seed: int, killed: float) -> None:
        self.random = random.Random(seed)
        self.killed = killed
        self.running: dict[int, list[int]] = {}
        self.begun: list[int] = []

    def submit(self, number: int, piece: list[int]) -> None:
        assert number not in self.running
        assert len(self.running) < self.capacity
        self.running[number] = piece
        self.begun.append(number)

    def wait(self) -> Iterable[tuple[int, Answer]]:
        number = self.random.choice(list(self.running))
        piece = self.running.pop(number)
        lost = self.random.random() < self.killed
        yield number, KILLED if lost else Answer(piece[0], piece[1:] or None, None)


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(0, 2**32), st.sampled_from([0.0, 0.3]))
def test_any_order_of_answers_gives_every_part_once(
    sizes: list[int], seed: int, killed: float
) -> None:
    pieces = [list(range(size)) for size in sizes]
    pool = Random(seed, killed)
    taken = 0

    def source() -> Iterator[list[int]]:
        nonlocal taken
        for piece in pieces:
            taken += 1
            yield piece

    finished = 0
    found: dict[int, list[Any]] = {}
    ended = set()
    for outcome in (
        run(lambda *_: pool, make_square, ("",), source(), workers=2, max_retries=10**6)
        if len(pieces) > 1
        else ()
    ):
        found.setdefault(outcome.number, []).append(outcome.result)
        if outcome.last:
            ended.add(outcome.number)
            while finished in ended:
                finished += 1
        assert taken <= max(finished + 8, 2)  # memory is bounded
        assert all(len(parts) <= 5 for number, parts in found.items() if number > finished)
    if len(pieces) > 1:
        assert [found[number] for number in range(len(pieces))] == pieces


@given(st.lists(st.integers(1, 4), max_size=12), st.randoms())
def test_outcomes_are_put_in_order(sizes: list[int], order: random.Random) -> None:
    parts = [
        Outcome(number, index, None, index == size - 1)
        for number, size in enumerate(sizes)
        for index in range(size)
    ]
    left = {number: [one for one in parts if one.number == number] for number in range(len(sizes))}
    shuffled = []
    while left:
        number = order.choice(sorted(left))
        shuffled.append(left[number].pop(0))
        if not left[number]:
            del left[number]
    assert list(in_order(shuffled)) == parts
