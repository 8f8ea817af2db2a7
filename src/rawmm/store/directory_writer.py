"""Writes the images of one call into a directory, through one descriptor of it.

Each image is written to a temporary file, which is synced if the store is durable, and renamed. The
directory is synced once, after the last rename.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from rawmm.errors import raise_alone, shown_path
from rawmm.store.errors import failed
from rawmm.store.files import (
    directory_descriptor,
    make_directory,
    put_in_place,
    read_all,
    regular_descriptor,
    remove,
    renew_age,
    sync_directory,
    write_atomically,
    write_temporary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rawmm.images import ImageInfo, PreparedImage
    from rawmm.store.stored_image import Counters

T = TypeVar("T")


class DirectoryWriter:
    """A `BatchWriter` of a directory. `stage` may be called in several threads at once.

    Args:
        root: the directory. It is created with the first image if it is missing.
        counters: those of the store.
        durable: sync files and directory.
    """

    placed_at_once: Final = 1

    def __init__(self, root: Path, counters: Counters, *, durable: bool) -> None:
        self.root = root
        self.durable = durable
        self._counters = counters
        self._current: int | None = None
        self._opened: list[int] = []
        self._lock = threading.Lock()
        self._places = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors. The next use opens the directory again."""
        self._current, self._places = None, False
        while self._opened:
            os.close(self._opened.pop())

    def make(self) -> list[Path]:
        """Create the root if it is missing; return the created directories, for `discard`.

        Never raises: if it fails, `stage` raises the error.
        """
        with suppress(OSError):
            with suppress(FileNotFoundError):
                self._directory()
                return []
            return make_directory(self.root, durable=self.durable)
        return []

    def stage(self, prepared: PreparedImage) -> str | None:
        """Write a prepared image to a temporary file, for `place` to rename.

        Returns:
            The name of the file, or None if the image exists.

        Raises:
            OffloadError: as `ImageStore.put`.
        """
        info = prepared.info

        def write(directory: int) -> str | None:
            if self._has(directory, info):
                return None
            return write_temporary(directory, prepared.raw, durable=self.durable)

        return self._in_root(info, write)

    def place(
        self,
        info: ImageInfo,
        load: Callable[[], bytes],
        *,
        staged: str | None = None,
        verify: bool = False,
    ) -> bool:
        """Give an image its name, as `ImageStore.put` does, without syncing the directory.

        Args:
            info: of the image.
            load: returns the bytes; called only if they have to be written or compared.
            staged: the temporary file from `stage`.
            verify: as in `put`.

        Returns:
            Whether the file was written. If so, call `sync` afterwards.

        Raises:
            OffloadError: as `ImageStore.put`.
        """

        def write(directory: int) -> bool:
            if staged is not None:
                # The file may be gone: a cleaner removed it, or the directory was replaced.
                with suppress(FileNotFoundError):
                    put_in_place(directory, staged, info.raw_image_id)
                    return True
            if self._has(directory, info, load if verify else None):
                return False
            write_atomically(directory, info.raw_image_id, load(), durable=self.durable)
            return True

        self._look_again()
        written = self._in_root(info, write)
        outcome = {"stored": 1, "bytes_written": info.size} if written else {"deduplicated": 1}
        self._counters.add(seen=1, bytes_in=info.size, **outcome)
        return written

    def renew(self, infos: Iterable[ImageInfo]) -> set[str]:
        """Do what `place` does, for those images that exist.

        Returns:
            Their hashes. `place` takes the other images; it raises what is wrong with one.
        """
        renewed: dict[str, int] = {}
        self._look_again()
        with suppress(OSError):
            directory = self._directory()
            for info in infos:
                name = info.raw_image_id
                descriptor, size = regular_descriptor(directory, name)
                try:
                    if size == info.size and renew_age(directory, name, descriptor):
                        renewed[info.sha256] = size
                finally:
                    os.close(descriptor)
        number = len(renewed)
        self._counters.add(seen=number, deduplicated=number, bytes_in=sum(renewed.values()))
        return set(renewed)

    def discard(self, staged: Iterable[str], made: Iterable[Path] = ()) -> None:
        """Remove temporary files, then created directories that are empty. Ignores failures."""
        for name in staged:
            for directory in self._opened:
                remove(directory, name)
        with suppress(OSError):
            for path in made:
                path.rmdir()

    def sync(self) -> None:
        """Sync the directory if the store is durable.

        Raises:
            OffloadError: ``store_failed``.
        """
        if not self.durable:
            return
        try:
            sync_directory(self._directory())
        except OSError as error:
            raise_alone(failed(error, f"to sync {shown_path(self.root)}"))

    def _directory(self, gone: int | None = None) -> int:
        """A descriptor of the directory, another one than `gone`."""
        current = self._current
        if current is not None and current != gone:
            return current
        with self._lock:
            if self._current is None or self._current == gone:
                self._current = directory_descriptor(self.root)
                # Another thread may still use an earlier one, so `close` closes them all.
                self._opened.append(self._current)
            return self._current

    def _look_again(self) -> None:
        """Open the directory again if another one has its name since the images were staged."""
        before, self._places = self._places, True
        if before or self._current is None:
            return
        with suppress(OSError):
            there = os.stat(self.root, follow_symlinks=False)  # noqa: PTH116  (slower)
            if os.path.samestat(os.fstat(self._current), there):
                return
        self._current = None

    def _in_root(self, info: ImageInfo, write: Callable[[int], T]) -> T:
        """Call `write` with a descriptor of the root, which is created if it is missing."""
        directory = None
        try:
            try:
                directory = self._directory()
                return write(directory)
            except FileNotFoundError:
                pass
            # The first write, or the directory was removed since then.
            make_directory(self.root, durable=self.durable)
            return write(self._directory(gone=directory))
        except OSError as error:
            what = f"to write {info.raw_image_id} into {shown_path(self.root)}"
            raise_alone(failed(error, what))

    def _has(
        self, directory: int, info: ImageInfo, load: Callable[[], bytes] | None = None
    ) -> bool:
        """Whether the image exists, and renew its age. With `load`, compare the bytes."""
        name = info.raw_image_id
        try:
            descriptor, size = regular_descriptor(directory, name)
        except FileNotFoundError:
            return False
        try:
            if size == info.size and (load is None or read_all(descriptor) == load()):
                return renew_age(directory, name, descriptor)
        finally:
            os.close(descriptor)
        self._counters.add(verify_failures=1)
        return False
