"""The engine of several processes on this machine.

`concurrent.futures.ProcessPoolExecutor` was measured and rejected: its workers run the caller's
script again, and outlive a parent that is killed. A worker here is a fresh interpreter that ends
with its parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from multiprocessing.connection import Pipe, wait
from typing import TYPE_CHECKING, Any, Final, Self

from rawmm.parallel.engine import MAX_RETRIES, failure_text
from rawmm.parallel.schedule import KILLED, Answer, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

    from rawmm.parallel.engine import Outcome, Work

# Processes of multiprocessing would run the caller's script again.
_PROGRAM: Final = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
try:
    sys.path[:] = connection.recv()
except (EOFError, OSError):
    sys.exit()  # the parent ended
from rawmm.parallel.processes import work
work(connection)
"""
_GONE: Final = (EOFError, BrokenPipeError, ConnectionResetError)
_AGAIN: Final = 1.0
"""Seconds after which a worker that has not ended is asked again: see `_end`."""
_PATIENCE: Final = 5.0
"""Seconds that it then has to remove its temporary files before it is killed."""


class ProcessEngine:
    """Works in processes, which start when there is more than one piece.

    Args:
        workers: the number of processes.
        max_retries: how often a piece is tried again whose process was killed.
    """

    def __init__(self, workers: int, *, max_retries: int = MAX_RETRIES) -> None:
        self.workers = workers
        self._max_retries = max_retries
        self._pool: _Pool | None = None

    def map(
        self, make: Callable[..., Work], args: tuple[Any, ...], pieces: Iterable[Any]
    ) -> Iterator[Outcome[Any]]:
        """Yield the outcomes of all pieces, in any order. See `Engine.map`."""
        yield from run(
            self._start, make, args, pieces, workers=self.workers, max_retries=self._max_retries
        )
        self._stop()

    def __enter__(self) -> Self:
        """Return the engine, whose processes have not started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Terminate the processes."""
        self._stop()

    def _start(self, make: Callable[..., Work], args: tuple[Any, ...]) -> _Pool:
        self._stop()
        self._pool = _Pool(self.workers, (make, args))
        return self._pool

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool = None


class _Pool:
    """Worker processes. Each has at most one piece."""

    def __init__(self, capacity: int, made: tuple[Any, Any]) -> None:
        self.capacity = capacity
        self._made = made
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[int, _Worker]] = {}

    def submit(self, number: int, piece: Any) -> None:
        while True:
            worker = self._idle.pop() if self._idle else _Worker(self._made)
            try:
                worker.connection.send(piece)
            except _GONE:  # killed while it was idle
                worker.stop()
                continue
            self._busy[worker.connection] = number, worker
            return

    def wait(self) -> Iterator[tuple[int, Answer]]:
        ready = wait(list(self._busy))
        for connection in [one for one in self._busy if one in ready]:
            number, worker = self._busy.pop(connection)
            try:
                answer = Answer(*connection.recv())
            except _GONE:
                worker.stop()
                answer = KILLED
            else:
                self._idle.append(worker)
            yield number, answer

    def stop(self) -> None:
        workers = [*self._idle, *(worker for _, worker in self._busy.values())]
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        self._idle, self._busy = [], {}


class _Worker:
    """The parent's side of one process."""

    def __init__(self, made: tuple[Any, Any]) -> None:
        self.connection, theirs = Pipe()
        with theirs, _sigint_blocked():
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter)
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        with suppress(*_GONE):  # found when a piece is sent
            self.connection.send(sys.path)
            self.connection.send(made)

    def terminate(self) -> None:
        self._process.terminate()

    def join(self) -> None:
        """Wait until the terminated process has ended."""
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_AGAIN)
            return
        # Not earlier, as a second exit could interrupt the removal of files.
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
            return
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self.terminate()
        self.join()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, also in processes started meanwhile, so that Ctrl-C stops only the parent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(connection: Connection) -> None:
    """Work on pieces until the parent ends. Runs in the worker."""
    signal.signal(signal.SIGTERM, _end)  # by default, temporary files would stay
    with suppress(*_GONE):
        make, args = connection.recv()
        function: Work | None = None
        while True:
            piece = connection.recv()
            try:
                function = function or make(*args)
                result, rest = function(piece)
            except Exception as error:  # noqa: BLE001  (a bug in one piece does not affect others)
                connection.send((None, None, failure_text(error)))
            else:
                connection.send((result, rest, None))


def _end(*_: object) -> None:
    # In a callback or the body of a class, Python ignores this exit or makes another exception of
    # it, and reports that. The parent then asks again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.exit()
