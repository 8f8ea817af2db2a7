"""Write the images of one batch: staged files in a directory, one `put` each in other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rawmm.real_class import is_a
from rawmm.store.local import ImageStore
from rawmm.store.object_store import ObjectImageStore
from rawmm.store.protocol import put_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rawmm.images import ImageInfo, PreparedImage
    from rawmm.store.protocol import Store


class BatchWriter(Protocol):
    """Writes the images of one call in two phases: stages them, then places them."""

    @property
    def durable(self) -> bool:
        """Whether writing waits for a disk."""
        ...

    @property
    def placed_at_once(self) -> int:
        """How many images to place at the same time."""
        ...

    def make(self) -> list[Path]:
        """As `DirectoryWriter.make`."""
        ...

    def stage(self, prepared: PreparedImage) -> str | None:
        """As `DirectoryWriter.stage`."""
        ...

    def renew(self, infos: Iterable[ImageInfo]) -> set[str]:
        """As `DirectoryWriter.renew`."""
        ...

    def place(
        self, info: ImageInfo, load: Callable[[], bytes], *, staged: str | None = None
    ) -> bool:
        """As `DirectoryWriter.place`."""
        ...

    def discard(self, staged: Iterable[str], made: Iterable[Path] = ()) -> None:
        """As `DirectoryWriter.discard`."""
        ...

    def sync(self) -> None:
        """As `DirectoryWriter.sync`."""
        ...

    def close(self) -> None:
        """As `DirectoryWriter.close`."""
        ...


def batch_writer(store: Store) -> BatchWriter:
    """Return a writer for a call on a store."""
    return store.writer() if is_a(store, ImageStore) else _DirectWriter(store)


class _DirectWriter:
    """Puts each image when the whole batch is known to be valid. There is nothing to discard."""

    durable = False

    def __init__(self, store: Store) -> None:
        self._store = store
        # Each waits for a store over the network; one of another kind may not expect threads.
        self.placed_at_once = store.at_once if is_a(store, ObjectImageStore) else 1

    def make(self) -> list[Path]:
        return []

    def stage(self, prepared: PreparedImage) -> str | None:
        del prepared
        return None

    def renew(self, infos: Iterable[ImageInfo]) -> set[str]:
        del infos
        return set()

    def place(
        self, info: ImageInfo, load: Callable[[], bytes], *, staged: str | None = None
    ) -> bool:
        del info, staged
        return put_image(self._store, load()).written

    def discard(self, staged: Iterable[str], made: Iterable[Path] = ()) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
