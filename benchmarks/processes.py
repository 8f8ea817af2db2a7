"""Measures a command and the processes that work for it: CPU seconds, time, memory. Linux only."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_EVERY: Final = 0.05
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """What a command took.

    Attributes:
        code: its exit code.
        out: its standard output.
        wall: seconds.
        cpu: CPU seconds of its processes, and of the cluster, if it used one.
        server: CPU seconds of the server, if it used one.
        peak: the most memory of one process, in MB.
    """

    code: int
    out: bytes
    wall: float
    cpu: float
    server: float
    peak: float


def measured(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    server: int | None = None,
    cluster: int | None = None,
) -> Measured:
    """Run a command.

    Args:
        command: its words.
        environment: of its process.
        server: the id of a process that works for it, with all that it started.
        cluster: the same.
    """
    with _Watch(server) as served, _Watch(cluster) as clustered:
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(environment)
        )
        with _Watch(process.pid) as watched:
            assert process.stdout is not None
            with process.stdout as stream:
                out = stream.read()
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    peak = max(one.peak for one in (watched, clustered))
    # The system knows it exactly, unless the command starts a cluster of its own.
    cpu = max(usage.ru_utime + usage.ru_stime, watched.cpu) + clustered.cpu
    return Measured(process.returncode, out, wall, cpu, served.cpu, peak / 1e6)


class _Watch:
    """Watches a process and all that it starts. Use it as a context.

    The workers of a cluster end with a job and nobody waits for them, so that the system does not
    add their time to anything. They are looked at again and again.

    Attributes:
        peak: the most memory of one process, in bytes.
        cpu: CPU seconds since the beginning.
    """

    def __init__(self, root: int | None) -> None:
        self._root = root
        self._before: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak = 0

    def __enter__(self) -> Self:
        if self._root is not None:
            self._look()
            self._before = dict(self._seconds)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._root is not None:
            self._thread.join()
            self._look()

    @property
    def cpu(self) -> float:
        return sum(self._seconds.values()) - sum(self._before.values())

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        assert self._root is not None
        for pid in _tree(self._root):
            with suppress(OSError, StopIteration, IndexError):
                # The name may have spaces; the fields after it have none.
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self._seconds[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
                status = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2]
                self.peak = max(self.peak, int(status.split()[0]) * 1024)


def _tree(root: int) -> Iterator[int]:
    yield root
    with suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for pid in (task / "children").read_text().split():
                yield from _tree(int(pid))
