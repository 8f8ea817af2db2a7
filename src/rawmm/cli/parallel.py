"""Checks records in worker processes: in chunks, in document order, in constant memory.

Every worker has at most one chunk. It sends findings as it makes them, and blocks until they are
read. `concurrent.futures.ProcessPoolExecutor` was measured and rejected: its workers run the
caller's script again, outlive a parent that is killed, and return the findings of a chunk all at
once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing.connection import Pipe
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

from rawmm.cli.bugs import Bug, InternalError, bug_of
from rawmm.cli.output import UsageError
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from rawmm.checks import Note
    from rawmm.cli.records import Format, Record

    Finding: TypeAlias = RawMMError | Note | Bug
    Check: TypeAlias = Callable[[Record, Format], Iterator[RawMMError | Note]]
    Chunk: TypeAlias = list[Record]
    Found: TypeAlias = tuple[int | None, Finding]

_CHUNK_BYTES: Final = 1 << 20
_CHUNK_RECORDS: Final = 512
_FINDINGS_AT_ONCE: Final = 256
# Processes of multiprocessing would run the caller's script again.
_PROGRAM: Final = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
try:
    sys.path[:] = connection.recv()
except (EOFError, OSError):
    sys.exit()  # the parent ended
from rawmm.cli.parallel import work
work(connection)
"""
_GONE: Final = (EOFError, BrokenPipeError, ConnectionResetError)


def serial(check: Check, records: Iterator[Record], form: Format) -> Iterator[Found]:
    """The findings of each record, with its line. A bug ends the check of that record only."""
    for record in records:
        try:
            for finding in check(record, form):
                yield record.line, finding
        except Exception as error:  # noqa: BLE001  (a bug in one record does not affect others)
            yield record.line, bug_of(error)


class Workers:
    """Processes that check records. Leaving the context ends them.

    They start with the first file that has more than one chunk.

    Args:
        number: the number of processes.
        make_check: called in each process, with `args`; returns the check of one record.
        args: arguments that can be pickled.
    """

    def __init__(self, number: int, make_check: Callable[..., Check], *args: Any) -> None:
        self._number = number
        self._make = make_check, args
        self._check = make_check(*args)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        """Return the workers, which have not started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Terminate the processes."""
        self._stop()

    def findings(self, records: Iterator[Record], form: Format) -> Iterator[Found]:
        """The findings as from `serial`, in the same order. An error of `records` is raised last.

        Raises:
            UsageError: a worker was killed.
        """
        if self._number == 1:
            yield from serial(self._check, records, form)
            return
        chunks = _Chunks(records)
        begin = list(islice(chunks, 2))
        if len(begin) < 2:
            yield from serial(self._check, chain(*begin), form)
        else:
            try:
                yield from self._in_parallel(chain(begin, chunks), form)
            except _WorkerDiedError:
                self._stop()  # the other workers still have chunks of this file
                raise UsageError(
                    "a worker process was killed, perhaps for lack of memory; give fewer --jobs"
                ) from None
        if chunks.failure is not None:
            raise chunks.failure

    def _in_parallel(self, chunks: Iterator[Chunk], form: Format) -> Iterator[Found]:
        if not self._workers:
            with _sigint_blocked():
                for _ in range(self._number):
                    self._workers.append(_Worker())
            for worker in self._workers:
                worker.send(sys.path)
                worker.send(self._make)
        idle, busy = deque(self._workers), deque[_Worker]()
        for chunk in chunks:
            if not idle:
                idle.append(busy.popleft())
                yield from idle[0].results()
            busy.append(idle.popleft())
            busy[-1].send((chunk, form))
        for worker in busy:
            yield from worker.results()

    def _stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []


class _Chunks:
    """Groups records into chunks. An error of `records` is kept until all chunks are done."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self.failure: RawMMError | UsageError | InternalError | None = None

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        chunk: Chunk = []
        size = 0
        try:
            for record in self._records:
                chunk.append(record)
                size += len(record.data)
                if size >= _CHUNK_BYTES or len(chunk) == _CHUNK_RECORDS:
                    break
        except (RawMMError, UsageError, InternalError) as error:
            self.failure = error
        if not chunk:
            raise StopIteration
        return chunk


class _WorkerDiedError(Exception):
    """A worker ended unexpectedly."""


class _Message(NamedTuple):
    """A message from a worker: findings, and whether the chunk is done."""

    found: list[Found]
    done: bool


class _Worker:
    """The parent's side of one process."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter)
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except _GONE:
            raise _WorkerDiedError from None

    def results(self) -> Iterator[Found]:
        """The findings of the last chunk sent."""
        done = False
        while not done:
            try:
                found, done = self._connection.recv()
            except _GONE:
                raise _WorkerDiedError from None
            yield from found

    def stop(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, also in processes started meanwhile, so that Ctrl-C stops only the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(connection: Connection) -> None:
    """Check chunks until the parent ends. Runs in the worker."""
    with suppress(*_GONE):
        make_check, args = connection.recv()
        check = make_check(*args)
        while True:
            chunk, form = connection.recv()
            for message in _messages(check, chunk, form):
                connection.send(message)


def _messages(check: Check, chunk: Chunk, form: Format) -> Iterator[_Message]:
    found: list[Found] = []
    for one in serial(check, iter(chunk), form):
        found.append(one)
        if len(found) == _FINDINGS_AT_ONCE:
            yield _Message(found, done=False)
            found = []
    yield _Message(found, done=True)
