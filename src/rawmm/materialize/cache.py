"""A cache of processed images, bounded in bytes, with one processor run per image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import contract_error, shown
from rawmm.materialize.arrays import nbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    Outputs = Mapping[str, Any]

_GIBIBYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class CacheCounters:
    """Counters of a `ProcessedImageCache`.

    Attributes:
        hits: results from the cache.
        misses: runs of an image processor.
        waits: results from a run that another thread had started.
        evictions: images evicted for space.
    """

    hits: int = 0
    misses: int = 0
    waits: int = 0
    evictions: int = 0


class _Entry(NamedTuple):
    outputs: Outputs
    nbytes: int


class ProcessedImageCache:
    """A thread-safe cache of image processor outputs. Evicts the least recently used ones.

    Threads that request the same image at the same time share one run. An error is raised in all
    of them and not cached.

    Args:
        max_bytes: the limit for the bytes of all cached arrays. A larger image is not cached. A
            screenshot of 1024 x 768 takes 19 MB with Qwen's processors.

    Raises:
        ContractError: ``out_of_range`` for an invalid limit.
    """

    def __init__(self, max_bytes: int = _GIBIBYTE) -> None:
        if type(max_bytes) is not int or max_bytes < 0:
            raise contract_error(
                "out_of_range",
                ("max_bytes",),
                expected="a number of bytes of at least 0",
                got=shown(max_bytes),
            )
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._running: dict[Hashable, Future[Outputs]] = {}
        self._nbytes = 0
        self._counters = CacheCounters()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all cached arrays."""
        return self._nbytes

    @property
    def counters(self) -> CacheCounters:
        """A snapshot of the counters."""
        with self._lock:
            return self._counters

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    def get(self, key: Hashable, run: Callable[[], Outputs]) -> Outputs:
        """The outputs cached under `key`, or else those of `run`, which are then cached.

        Raises:
            Exception: the error of `run`, here or in the thread that this one waited for.
        """
        while True:
            with self._lock:
                if entry := self._entries.get(key):
                    self._entries.move_to_end(key)
                    self._count(hits=1)
                    return entry.outputs
                running = self._running.get(key)
                if running is None:
                    mine = self._running[key] = Future()
                    self._count(misses=1)
                    break
                self._count(waits=1)
            try:
                return running.result()
            except CancelledError:
                continue  # an interrupt stopped the other thread; run it here
        try:
            outputs = run()
            size = nbytes(list(outputs.values()))
        except BaseException as error:
            with self._lock:
                del self._running[key]
            if isinstance(error, Exception):
                mine.set_exception(error)
            else:
                mine.cancel()
            raise
        with self._lock:
            del self._running[key]
            self._keep(key, outputs, size)
        mine.set_result(outputs)
        return outputs

    def _keep(self, key: Hashable, outputs: Outputs, size: int) -> None:
        if size > self.max_bytes:
            return
        self._entries[key] = _Entry(outputs, size)
        self._nbytes += size
        while self._nbytes > self.max_bytes:
            _, evicted = self._entries.popitem(last=False)
            self._nbytes -= evicted.nbytes
            self._count(evictions=1)

    def _count(self, **more: int) -> None:
        now = self._counters
        self._counters = replace(
            now, **{name: getattr(now, name) + value for name, value in more.items()}
        )
