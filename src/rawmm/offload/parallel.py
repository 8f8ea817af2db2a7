"""Work on several images at once: hashing, writing and syncing release the interpreter lock.

The threads are one pool for the process, made when the first of them is needed. Idle ones end
with the interpreter, and the child of a fork makes a pool of its own.
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

_MOST_THREADS: Final = 16
"""In the whole process, however many calls there are."""

_pool: ThreadPoolExecutor | None = None
_making = threading.Lock()


def _after_fork() -> None:
    global _pool, _making
    _pool, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def available_cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """``[function(item) for item in items]`` on up to `threads` threads, this one among them.

    This one waits for no thread that has not begun: where the pool is busy with other calls,
    or the interpreter is ending, it does all of it.

    Raises:
        Exception: what the first item in order raised, of those that did. Items before it were
            all done; those after it are not begun any more.
    """
    work = _Work(function, items)
    helpers = []
    try:
        for _ in range(min(threads, len(items)) - 1):
            try:
                helpers.append(_executor().submit(work.do))
            except (RuntimeError, ImportError):
                break  # the interpreter is ending, or the system has no more threads or files
        work.do()
    finally:
        work.stopped = True
        for helper in helpers:
            if not helper.cancel():
                helper.result()
    return work.outcome()


def _executor() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603
    with _making:
        if _pool is None:
            _pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="rawmm-offload")
        return _pool


class _Work(Generic[T, R]):
    def __init__(self, function: Callable[[T], R], items: Sequence[T]) -> None:
        self.stopped = False
        self._function = function
        self._items = items
        self._results: dict[int, R] = {}
        self._errors: dict[int, Exception] = {}
        self._next = 0
        self._lock = threading.Lock()

    def do(self) -> None:
        """Take items, in order, while there are some and none has failed."""
        while not self.stopped:
            with self._lock:
                index, self._next = self._next, self._next + 1
            if index >= len(self._items):
                return
            try:
                self._results[index] = self._function(self._items[index])
            except Exception as error:  # noqa: BLE001  (whatever it is, it is raised by the caller)
                self._errors[index] = error
                self.stopped = True

    def outcome(self) -> list[R]:
        if self._errors:
            error = self._errors.pop(min(self._errors))
            try:
                raise error
            finally:
                del error  # or it would hold this frame, and this frame it
        return [self._results[index] for index in range(len(self._items))]
