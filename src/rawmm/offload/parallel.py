"""Process several images at once: hashing, writing and syncing release the interpreter lock.

All calls share one pool of threads, created when first needed. Idle threads end with the
interpreter, and the child of a fork creates a pool of its own.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

_MAX_THREADS: Final = 16
"""In the whole process, however many calls run."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _after_fork() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """Return ``[function(item) for item in items]``, computed by up to `threads` threads.

    The calling thread is one of them and never blocks on a task that has not started. If the pool
    is busy with other calls, or the interpreter is shutting down, it processes all items itself.

    Raises:
        Exception: that of the first item in order, of those that raised. Items before it were all
            processed; items after it are not started any more.
    """
    if min(threads, len(items)) < 2:
        return [function(item) for item in items]
    work = _Work(function, items)
    helpers = []
    try:
        for _ in range(min(threads, len(items)) - 1):
            try:
                helpers.append(_executor().submit(work.run))
            except (RuntimeError, ImportError):
                break  # shutting down, or the system has no more threads or files
        work.run()
    finally:
        work.stopped = True
        for helper in helpers:
            if not helper.cancel():
                helper.result()
    return work.results()


def _executor() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="rawmm-offload")
        return _pool


class _Work(Generic[T, R]):
    """Items that several threads take one by one."""

    def __init__(self, function: Callable[[T], R], items: Sequence[T]) -> None:
        self.stopped = False
        self._function = function
        self._items = items
        self._results: dict[int, R] = {}
        self._errors: dict[int, Exception] = {}
        self._next = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Process items in order until none is left or one has failed."""
        while not self.stopped:
            with self._lock:
                index, self._next = self._next, self._next + 1
            if index >= len(self._items):
                return
            try:
                self._results[index] = self._function(self._items[index])
            except Exception as error:  # noqa: BLE001  (re-raised by the calling thread)
                self._errors[index] = error
                self.stopped = True

    def results(self) -> list[R]:
        if self._errors:
            error = self._errors.pop(min(self._errors))
            try:
                raise error
            finally:
                del error  # breaks the reference cycle of the error and this frame
        return [self._results[index] for index in range(len(self._items))]
