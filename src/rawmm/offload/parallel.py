"""Work on several images at once: hashing, writing and syncing release the interpreter lock.

Threads live as long as one call. So none is left at the end of the interpreter or in the child
of a fork, and a test that counts threads sees none; starting one takes a fraction of what one
screenshot takes.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

_MOST_THREADS: Final = 16
"""Helping threads in the whole process, however many calls there are."""

_slots = threading.BoundedSemaphore(_MOST_THREADS)


def _after_fork() -> None:
    global _slots  # noqa: PLW0603  (the threads that hold the old one's slots are not here)
    _slots = threading.BoundedSemaphore(_MOST_THREADS)


os.register_at_fork(after_in_child=_after_fork)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """``[function(item) for item in items]`` on up to `threads` threads, this one among them.

    Raises:
        Exception: what the first item in order raised, of those that did. Items before it were
            all done; those after it are not begun any more.
    """
    work = _Work(function, items)
    helpers: list[threading.Thread] = []
    slots = _slots
    try:
        while len(helpers) < min(threads, len(items)) - 1 and slots.acquire(blocking=False):
            helper = threading.Thread(target=work.help, args=(slots,), name="rawmm-offload")
            try:
                helper.start()
            except RuntimeError:  # a limit of the system, or the interpreter is ending
                slots.release()
                break
            helpers.append(helper)
        work.do()
    finally:
        work.stopped = True
        for helper in helpers:
            helper.join()
    return work.outcome()


class _Work(Generic[T, R]):
    def __init__(self, function: Callable[[T], R], items: Sequence[T]) -> None:
        self.stopped = False
        self._function = function
        self._items = items
        self._results: dict[int, R] = {}
        self._errors: dict[int, Exception] = {}
        self._next = 0
        self._lock = threading.Lock()

    def help(self, slots: threading.BoundedSemaphore) -> None:
        try:
            self.do()
        finally:
            slots.release()

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
