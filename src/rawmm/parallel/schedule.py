"""Decides which piece runs next, for engines whose pieces run elsewhere."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from rawmm.parallel.engine import Outcome, SerialEngine, killed_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.parallel.engine import Work

_AHEAD: Final = 4
"""Pieces for each worker that may be finished or running after the first unfinished one."""
_PARTS_AHEAD: Final = 4
"""Parts of a piece that may be finished while a piece before it is not."""


class Answer(NamedTuple):
    """What came back for a piece.

    Attributes:
        result: of the function.
        rest: what is left of the piece, or None.
        lost: why there is no result; empty if the process was killed; else None.
    """

    result: Any
    rest: Any
    lost: str | None


KILLED: Final = Answer(None, None, "")


class Pool(Protocol):
    """Where pieces run.

    Attributes:
        capacity: how many pieces may be there at the same time.
    """

    capacity: int

    def submit(self, number: int, piece: Any) -> None:
        """Begin a piece."""
        ...

    def wait(self) -> Iterable[tuple[int, Answer]]:
        """Wait for one answer or more; return them with the numbers of their pieces."""
        ...


class _Task(NamedTuple):
    number: int
    part: int
    piece: Any
    killed: int = 0


_Start: TypeAlias = "Callable[[Callable[..., Work], tuple[Any, ...]], Pool]"


def run(
    start: _Start,
    make: Callable[..., Work],
    args: tuple[Any, ...],
    pieces: Iterable[Any],
    *,
    workers: int,
    max_retries: int,
) -> Iterator[Outcome[Any]]:
    """Yield the outcomes of pieces; see `Engine.map`.

    A single piece runs in this process, and `start` is not called.
    """
    source = iter(pieces)
    begin = list(islice(source, 2))
    if len(begin) < 2:
        yield from SerialEngine().map(make, args, begin)
        return
    yield from _Schedule(start(make, args), chain(begin, source), workers, max_retries).outcomes()


class _Schedule:
    def __init__(self, pool: Pool, pieces: Iterator[Any], workers: int, max_retries: int) -> None:
        self._pool = pool
        self._pieces = pieces
        self._window = _AHEAD * workers
        self._max_retries = max_retries
        self._running: dict[int, _Task] = {}
        self._waiting: deque[_Task] = deque()
        self._finished: set[int] = set()
        self._oldest = 0
        self._next = 0

    def outcomes(self) -> Iterator[Outcome[Any]]:
        while True:
            while len(self._running) < self._pool.capacity and (task := self._take()) is not None:
                self._running[task.number] = task
                self._pool.submit(task.number, task.piece)
            if not self._running:
                return
            for number, answer in self._pool.wait():
                outcome = self._outcome(self._running.pop(number), answer)
                if outcome is not None:
                    yield outcome

    def _take(self) -> _Task | None:
        """The next task, or None if no task can begin now."""
        for task in self._waiting:
            if task.number == self._oldest or task.part < _PARTS_AHEAD:
                self._waiting.remove(task)
                return task
        if self._next >= self._oldest + self._window:
            return None
        for piece in self._pieces:
            self._next += 1
            return _Task(self._next - 1, 0, piece)
        return None

    def _outcome(self, task: _Task, answer: Answer) -> Outcome[Any] | None:
        number = task.number
        if answer.lost is not None:
            if not answer.lost and task.killed < self._max_retries:
                self._waiting.appendleft(task._replace(killed=task.killed + 1))
                return None
            self._finish(number)
            lost = answer.lost or killed_text(task.killed + 1)
            return Outcome(number, None, lost, last=True)
        if answer.rest is None:
            self._finish(number)
        else:
            self._waiting.append(_Task(number, task.part + 1, answer.rest))
        return Outcome(number, answer.result, None, answer.rest is None)

    def _finish(self, number: int) -> None:
        self._finished.add(number)
        while self._oldest in self._finished:
            self._finished.remove(self._oldest)
            self._oldest += 1
