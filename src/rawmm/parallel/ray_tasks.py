"""The engine of a Ray cluster: its tasks only, ``ray.remote`` and ``ray.wait``.

Ray Data was measured and rejected: it hung on small clusters and took three times the CPU.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import redirect_stdout, suppress
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rawmm.parallel.engine import MAX_RETRIES, failure_text, killed_text
from rawmm.parallel.schedule import Answer, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.parallel.engine import Outcome, Work

_QUEUED: Final = 2
"""Tasks for each CPU, so that none waits for this process."""


_PATIENCE: Final = 5.0
"""Seconds that tasks have to end before they are killed."""


class RayMissingError(Exception):
    """Ray is not installed, or there is no cluster. The text says which."""


class _WithoutRay:
    """Standard output without what the threads of Ray write to it.

    Ray reports there that a worker died, whatever its log level, and would be in the report.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RayEngine:
    """Works in tasks of a Ray cluster, each on one CPU.

    rawmm must be installed on its nodes, and files and credentials must be there, too.

    Args:
        address: of a running cluster, as ``auto``. By default the one that this process is
            connected to, or else a new one on this machine.
        workers: CPUs of a new cluster; by default those of this machine.
        max_retries: how often a piece is tried again whose process was killed.

    Raises:
        RayMissingError: ray is not installed, or cannot be reached or started.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        try:
            import ray
        except ImportError:
            ray = None
        if ray is None:
            raise RayMissingError("no package ray: pip install 'rawmm[ray]'")
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        self._running: dict[Any, int] = {}
        self._max_retries = max_retries
        if self._started:
            self._connect(address, workers)
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.capacity = _QUEUED * self.workers

    def _connect(self, address: str | None, workers: int | None) -> None:
        how: dict[str, Any] = {"address": address}
        if address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            how = {"address": "local", "num_cpus": workers, "include_dashboard": False}
        failure = None
        try:
            self._ray.init(**how, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # noqa: BLE001  (Ray raises that class if a node starts too slowly)
            # Ray wraps the reason, such as AuthenticationError.
            failure = type(error.__cause__ or error).__name__
            self._ray.shutdown()  # what has started
        if failure is not None:
            where = "a cluster on this machine cannot be started"
            if address is not None:
                where = "the cluster at --address cannot be reached"
            raise RayMissingError(f"{where} ({failure})")

    def map(
        self, make: Callable[..., Work], args: tuple[Any, ...], pieces: Iterable[Any]
    ) -> Iterator[Outcome[Any]]:
        """Yield the outcomes of all pieces, in any order. See `Engine.map`."""
        # Ray itself tries again, on another node if one died.
        yield from run(self._start, make, args, pieces, workers=self.workers, max_retries=0)

    def __enter__(self) -> Self:
        """Keep the messages of Ray off standard output; return the engine."""
        self._stdout = sys.stdout
        sys.stdout = _WithoutRay(self._stdout)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what runs; stop the cluster if this engine started it."""
        try:
            self._cancel()
            if self._started:
                # It prints what its threads have not printed yet.
                with redirect_stdout(StringIO()):
                    self._ray.shutdown()
        finally:
            sys.stdout = self._stdout

    def _cancel(self) -> None:
        running, self._running = list(self._running), {}
        for task in running:
            self._ray.cancel(task)
        if running:  # they remove their temporary files
            self._ray.wait(running, num_returns=len(running), timeout=_PATIENCE)
        for task in running:
            self._ray.cancel(task, force=True)

    # The pool of `schedule`.

    def _start(self, make: Callable[..., Work], args: tuple[Any, ...]) -> Self:
        # Stored once in the cluster, and unpickled once in a process.
        self._made = self._ray.put(pickle.dumps((make, args, str(Path.cwd()))))
        self._remote = self._ray.remote(num_cpus=1, max_retries=self._max_retries)(_work)
        return self

    def submit(self, number: int, piece: Any) -> None:
        """Begin a piece."""
        self._running[self._remote.remote(self._made, piece)] = number

    def wait(self) -> Iterator[tuple[int, Answer]]:
        """Wait for an answer. See `Pool`."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        for task in ready:
            yield self._running.pop(task), self._answer(task)

    def _answer(self, task: Any) -> Answer:
        try:
            return Answer(*self._ray.get(task))
        except self._ray.exceptions.RayError:
            # All of them mean that the process, the node or the result was lost: `_work` returns
            # the exceptions of the function.
            return Answer(None, None, killed_text(self._max_retries + 1))


def _work(made: bytes, piece: Any) -> tuple[Any, Any, str | None]:
    """Work on a piece. Runs in a task."""
    try:
        result, rest = _function(made)(piece)
    except Exception as error:  # noqa: BLE001  (a bug in one piece does not affect others)
        return None, None, failure_text(error)
    return result, rest, None


@lru_cache(maxsize=4)
def _function(made: bytes) -> Work:
    make, args, folder = pickle.loads(made)  # noqa: S301  (of this program)
    # Names may be relative. The folder is not there if the nodes have other files.
    with suppress(OSError):
        os.chdir(folder)
    function: Work = make(*args)
    return function
