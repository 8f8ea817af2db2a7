"""Growth of time, measured in a fresh process for each size.

``python -m benchmarks.growth MODULE FUNCTION SIZE`` prints the seconds of the processor for a call
of ``FUNCTION(SIZE)()``. In one process for all sizes, the large ones would change what the small
ones find: free memory, and objects that the cyclic collector walks. So each process keeps the
memory that is freed, as one does that keeps what it decodes, and its collector walks only what the
calls make.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Final

from benchmarks.harness import Row, exponent, quartiles, shown_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.harness import Settings, Target

_KEEP: Final = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "100000000",
    "MALLOC_MMAP_MAX_": "0",
}
"""Variables with which the C library of Linux keeps freed memory."""


def growth(
    subject: str,
    what: str,
    sizes: Sequence[int],
    make: Callable[[int], Callable[[], object]],
    settings: Settings,
    target: Target | None = None,
) -> Row:
    """A row with the growth of the time of ``make(size)()``. The sizes take turns.

    Args:
        subject: the benchmark.
        what: the measurement.
        sizes: at least three.
        make: a function of a module, by which a fresh process finds it.
        settings: how much to measure.
        target: what the exponent should be.
    """
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(settings.pick(7, 1)):
        for size in sizes:
            seconds[size].append(_in_process(make, size, settings.pick(0.4, 0.0)))
    medians = [statistics.median(seconds[size]) for size in sizes]
    by_round = [exponent(sizes, each) for each in zip(*seconds.values(), strict=True)]
    low, _, high = quartiles(by_round)
    detail = ", ".join(
        f"{size}: {shown_time(each)}" for size, each in zip(sizes, medians, strict=True)
    )
    return Row(subject, what, exponent(sizes, medians), low, high, "exponent", target, detail)


def _in_process(make: Callable[[int], object], size: int, seconds: float) -> float:
    name = getattr(make, "__name__", "")
    command = [sys.executable, "-m", __spec__.name, make.__module__, name, str(size), str(seconds)]
    ran = subprocess.run(
        command, env=os.environ | _KEEP, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(ran.stdout)


def main(module: str, function: str, size: str, seconds: str) -> None:
    """Print the mean time of a call, over about `seconds`."""
    call = getattr(import_module(module), function)(int(size))
    for _ in range(5):
        call()
    gc.collect()
    gc.freeze()
    taken: list[float] = []
    while not taken or sum(taken) < float(seconds):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    print(statistics.fmean(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
