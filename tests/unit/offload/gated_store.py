"""A store whose writes wait, to see what runs in the meantime."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from rawmm import ImageStore
from rawmm.store.directory_writer import DirectoryWriter

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE: Final = 600.0
"""Seconds after which a wait has failed."""


class GatedStore(ImageStore):
    """A store whose writes wait until the event loop lets them through."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.threads: set[int] = set()

    def writer(self) -> DirectoryWriter:
        return GatedWriter(self)


class GatedWriter(DirectoryWriter):
    def __init__(self, store: GatedStore) -> None:
        super().__init__(store.root, store._counters, durable=True)
        self.store = store

    def place(self, *args: Any, **kwargs: Any) -> bool:
        self.store.threads.add(threading.get_ident())
        self.store.reached.set()
        assert self.store.gate.wait(PATIENCE), "the event loop made no progress"
        return super().place(*args, **kwargs)
