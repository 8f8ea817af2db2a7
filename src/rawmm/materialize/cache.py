"""A cache of processed images: bounded in bytes, one processor run per image."""

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
    """What a `ProcessedImageCache` did so far.

    Attributes:
        hits: answers from the cache.
        misses: runs of an image processor.
        waits: answers from a run that another thread had begun.
        evictions: images dropped for room.
    """

    hits: int = 0
    misses: int = 0
    waits: int = 0
    evictions: int = 0


class _Entry(NamedTuple):
    outputs: Outputs
    nbytes: int


class ProcessedImageCache:
    """Outputs of image processors, least recently used out first. Safe to share by threads.

    Threads that ask for the same image at the same time get the outputs of one run. A failure
    goes to all that wait for it and is not kept: who asks next runs again.

    Args:
        max_bytes: bytes of all arrays kept. An image that is larger alone is not kept. A
            screenshot of 1024 x 768 takes 19 MB with Qwen's processors.

    Raises:
        ContractError: ``out_of_range`` for a bound that is no number of bytes.
    """

    def __init__(self, max_bytes: int = _GIBIBYTE) -> None:
        if type(max_bytes) is not int or max_bytes < 0:
            raise contract_error(
                "out_of_range",
                ("max_bytes",),
                expected="a number of bytes, at least 0",
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
        """Bytes of all arrays kept."""
        return self._nbytes

    @property
    def counters(self) -> CacheCounters:
        """A snapshot of what this object did so far."""
        with self._lock:
            return self._counters

    def clear(self) -> None:
        """Drop everything that is kept."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    def get(self, key: Hashable, run: Callable[[], Outputs]) -> Outputs:
        """The outputs kept under `key`, or those of `run`, which are kept.

        Raises:
            Exception: whatever `run` raised, here or in the thread that this one waited for.
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
                continue  # an interrupt stopped the other thread, which is not this one's affair
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
            _, dropped = self._entries.popitem(last=False)
            self._nbytes -= dropped.nbytes
            self._count(evictions=1)

    def _count(self, **more: int) -> None:
        now = self._counters
        self._counters = replace(
            now, **{name: getattr(now, name) + value for name, value in more.items()}
        )
