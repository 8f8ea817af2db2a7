"""The half of a store that writes: files are staged under a temporary name, then put in place."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from rawmm.errors import raise_alone, shown_path
from rawmm.store.errors import failed
from rawmm.store.files import (
    make_directory,
    open_directory,
    open_regular,
    put_in_place,
    read_all,
    remove,
    renew,
    write_atomically,
    write_temporary,
)
from rawmm.store.stored_image import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rawmm.images import ImageFacts, PreparedImage

T = TypeVar("T")


class ImageDirectory:
    """A directory that images are written into. Safe to share by threads and processes.

    Args:
        root: the directory, absolute, links resolved; created at the first write.
        durable: sync files and directory, so that what is stored survives a power failure.
    """

    def __init__(self, root: Path, *, durable: bool) -> None:
        self.root = root
        self.durable = durable
        self._uri = root.as_uri().removesuffix("/")
        self._tally = Tally()

    def stage(self, image: PreparedImage) -> str | None:
        """Write an image into a temporary file, for `place` to put it in place.

        Returns:
            The name of the file; None if the image is there already.

        Raises:
            OffloadError: as `commit`.
        """
        facts = image.facts

        def written(directory: int) -> str | None:
            if self._has(directory, facts):
                return None
            return write_temporary(directory, image.raw, durable=self.durable)

        return self._in_root(facts, written)

    def place(
        self,
        facts: ImageFacts,
        load: Callable[[], bytes],
        *,
        staged: str | None = None,
        verify: bool = False,
    ) -> bool:
        """`commit` of one image of many.

        Args:
            facts: of the image.
            load: gives the bytes; called only if they have to be written or compared.
            staged: what `stage` has written.
            verify: as in `commit`.

        Returns:
            Whether the file was written: then `sync` has to follow.

        Raises:
            OffloadError: as `commit`.
        """

        def written(directory: int) -> bool:
            if staged is not None:
                with suppress(FileNotFoundError):  # someone cleaned up, or moved the directory
                    put_in_place(directory, staged, facts.raw_image_id)
                    return True
            if self._has(directory, facts, load if verify else None):
                return False
            write_atomically(directory, facts.raw_image_id, load(), durable=self.durable)
            return True

        new = self._in_root(facts, written)
        done = {"stored": 1, "bytes_written": facts.size} if new else {"deduplicated": 1}
        self._tally.add(seen=1, bytes_in=facts.size, **done)
        return new

    def uri(self, facts: ImageFacts) -> str:
        """The ``file:///`` URL of an image that is in the root, or will be."""
        return f"{self._uri}/{facts.raw_image_id}"  # a name that needs no quoting

    def make(self) -> list[Path]:
        """Make the root if it is not there; the directories that were made, for `discard`.

        Where that fails, `stage` says why.
        """
        with suppress(OSError):
            return make_directory(self.root, durable=self.durable)
        return []

    def discard(self, staged: Iterable[str], made: Iterable[Path] = ()) -> None:
        """Remove temporary files, and directories that are empty then, as far as possible."""
        with suppress(OSError), open_directory(self.root) as directory:
            for name in staged:
                remove(directory, name)
        with suppress(OSError):
            for path in made:
                path.rmdir()

    def sync(self) -> None:
        """Make the names of placed files durable, if the store is.

        Raises:
            OffloadError: ``store_failed``.
        """
        if not self.durable:
            return
        try:
            with open_directory(self.root) as directory:
                os.fsync(directory)
        except OSError as error:
            raise_alone(failed(error, f"to sync {shown_path(self.root)}"))

    def _in_root(self, facts: ImageFacts, write: Callable[[int], T]) -> T:
        """What `write` does with the descriptor of the root, which is made if it is not there."""
        try:
            with suppress(FileNotFoundError), open_directory(self.root) as directory:
                return write(directory)
            # The first write, or the directory was removed since.
            make_directory(self.root, durable=self.durable)
            with open_directory(self.root) as directory:
                return write(directory)
        except OSError as error:
            what = f"to write {facts.raw_image_id} into {shown_path(self.root)}"
            raise_alone(failed(error, what))

    def _has(
        self, directory: int, facts: ImageFacts, load: Callable[[], bytes] | None = None
    ) -> bool:
        """Whether the image is there, and young from now on; with `load`, byte by byte."""
        with suppress(FileNotFoundError):
            with open_regular(directory, facts.raw_image_id) as (descriptor, size):
                if size == facts.size and (load is None or read_all(descriptor) == load()):
                    return renew(directory, facts.raw_image_id, descriptor)
            self._tally.add(verify_failures=1)
        return False
