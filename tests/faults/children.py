"""Child processes for the fault tests, forked from one that has loaded what they need."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import rawmm

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

ROOT: Final = Path(__file__).parents[2]
_MEGABYTE: Final = 1 << 20
_HANGS: Final = 3600
"""Seconds without an answer after which a child waits for something that never comes."""

# Every child is forked from one process that has these loaded. It finds them by the path alone.
os.environ["PYTHONPATH"] = os.pathsep.join((str(Path(rawmm.__file__).parents[1]), str(ROOT)))
CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.preloaded"])


class Outcome(NamedTuple):
    """The result of a call in a child, its peak memory in MB, and its processor time."""

    value: Any
    peak_mb: float
    cpu_seconds: float


def in_child(
    function: Callable[..., Any],
    *args: Any,
    cpu_seconds: int = 120,
    address_space: int | None = None,
) -> Outcome:
    """Call a function of a module in a child; an assertion that fails there fails here.

    Args:
        function: found by its name in the child.
        args: what it is called with; pickled.
        cpu_seconds: processor time of the child, in all its threads; over it the child is killed,
            and the test has failed. The load of the machine does not matter.
        address_space: bytes that the child may map (RLIMIT_AS).
    """
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(
        target=_call, args=(theirs, function, args, cpu_seconds, address_space)
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(_HANGS):
            raise AssertionError(f"{function.__name__} hangs")
        try:
            answer: Outcome | str = ours.recv()
        except EOFError:
            process.join()
            code = process.exitcode
            if code == -signal.SIGXCPU:
                raise AssertionError(f"{function.__name__} takes over {cpu_seconds} s") from None
            raise AssertionError(f"the child ended with {code}") from None
    finally:
        process.kill()
        process.join()
        process.close()
    assert isinstance(answer, Outcome), answer
    return answer


def _call(
    pipe: Connection,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    cpu_seconds: int,
    address_space: int | None,
) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.RLIM_INFINITY))
    if address_space is not None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    start = time.process_time()
    try:
        value = function(*args)
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEGABYTE
        pipe.send(Outcome(value, peak, seconds))
    except BaseException:  # noqa: BLE001  (the test shall see it, whatever it is)
        pipe.send(traceback.format_exc())
