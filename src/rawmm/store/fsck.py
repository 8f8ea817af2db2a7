"""Check an image directory: is every image there that records name, and is it the image?"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import MaterializeError, RawMMError, counted, shown_text
from rawmm.images import check_complete, read_header
from rawmm.store.findings import Finding, Kind, Looked
from rawmm.store.image_store import ImageStore
from rawmm.store.listing import aside, list_images, move_aside, opened, put_back, writer_of
from rawmm.store.named_images import NamedImages
from rawmm.store.references import Referenced, each_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STALE_AFTER: Final = timedelta(hours=1)
"""How long a temporary file is unchanged when its writer is dead: that one writes without pause."""
STALE_AT_LAST: Final = timedelta(days=1)
"""How long when a process has its writer's id. It may be another host's, or long be another's."""

_OF_BYTES: Final = frozenset({"hash_mismatch", "not_an_image"})


def fsck(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | None = None,
    *,
    repair: bool = False,
    quarantine: bool = False,
) -> list[Finding]:
    """Check every file of an image directory, and every record's images.

    Args:
        image_dir: the image directory.
        references: every record that may name one of its images, as `collect_garbage` takes them.
            Without it no file is missing or orphaned.
        repair: remove stale files. One that a collection was about to delete when it was stopped
            gets its name back.
        quarantine: rename corrupt files to a hidden name, so that their images are missing and
            the next `ImageStore.put` writes them again. No image is ever deleted.

    Raises:
        ContractError, ProcessedPayloadError: a record that cannot be looked through; ``wrong_type``
            for one record in place of a list.
        OffloadError: ``store_failed`` when the directory cannot be read, or repaired.
    """
    return list(iter_findings(image_dir, references, repair=repair, quarantine=quarantine))


def iter_findings(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | None = None,
    *,
    repair: bool = False,
    quarantine: bool = False,
    looked: Looked | None = None,
) -> Iterator[Finding]:
    """What `fsck` finds, as it goes on. `looked` is kept up to date meanwhile."""
    records = None if references is None else each_record(references)
    check = _Check(ImageStore(image_dir), looked or Looked(), repair=repair, quarantine=quarantine)
    with opened(check.root, "to check") as directory:
        yield from check.run(directory, records)


class _Check:
    def __init__(
        self, store: ImageStore, looked: Looked, *, repair: bool, quarantine: bool
    ) -> None:
        self.root = store.root
        self._store = store
        self._looked = looked
        self._repair = repair
        self._quarantine = quarantine
        self._now = time.time_ns()

    def run(self, directory: int, references: Iterable[Any] | None) -> Iterator[Finding]:
        # First, because a repair gives images their names back.
        left = list_images(directory)
        for name in left.temporary:
            yield from self._temporary(directory, name)
        for name in left.aside:
            yield self._aside(directory, name)
        images = list_images(directory).images if self._repair else left.images
        referenced = None
        if references is not None:
            referenced = Referenced(images)
            named = NamedImages(self._store, directory, self._looked)
            yield from named.findings(references, referenced)
        for name in images:
            yield from self._image(directory, name)
            if referenced is not None and name not in referenced.names:
                yield self._finding(
                    "orphaned",
                    name,
                    "unreferenced_image",
                    expected="a record that names it",
                    got="none",
                    hint="rawmm gc deletes it when it is old enough",
                )
            self._looked.images += 1
        for name in left.foreign:
            yield self._foreign(directory, name)

    def _image(self, directory: int, name: str) -> Iterator[Finding]:
        try:
            self._verify(name)
        except RawMMError as error:
            if not os.access(name, os.F_OK, dir_fd=directory, follow_symlinks=False):
                return  # deleted meanwhile
            moved = self._quarantine and error.code in _OF_BYTES and self._moved(directory, name)
            reason = error.at(hint="moved aside; offload the image again") if moved else error
            yield Finding("corrupt", self.root / name, reason, repaired=moved)

    def _verify(self, name: str) -> None:
        raw = self._store.read(name)
        check_complete(raw, read_header(raw))

    def _moved(self, directory: int, name: str) -> bool:
        """Move a corrupt file aside, unless a writer has replaced it by now."""
        try:
            hidden = move_aside(directory, name, "corrupt")
        except FileNotFoundError:
            return False
        try:
            raw = self._store.read(hidden, name.partition(".")[0])
            check_complete(raw, read_header(raw))
        except RawMMError:
            return True
        put_back(directory, hidden, name)
        return False

    def _temporary(self, directory: int, name: str) -> Iterator[Finding]:
        try:
            written = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return  # finished meanwhile
        age = timedelta(microseconds=(self._now - written) // 1000)
        pid = writer_of(name)
        if age < (STALE_AT_LAST if _is_alive(pid) else STALE_AFTER):
            return
        if self._repair:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        yield self._finding(
            "stale",
            name,
            "stale_file",
            expected="no file that was begun and never finished",
            got=f"one of process {pid}, unchanged for {_words(age)}",
            hint="removed" if self._repair else "remove it: --repair does",
            repaired=self._repair,
        )

    def _aside(self, directory: int, name: str) -> Finding:
        moved = aside(name)
        assert moved is not None  # that is why it is in its list
        if moved.why == "corrupt":
            return self._finding(
                "foreign",
                name,
                "foreign_file",
                expected="no corrupt image that was moved aside",
                got="one",
                hint="remove it when nobody wants to look at it any more",
            )
        if self._repair:
            put_back(directory, name, moved.name)
        return self._finding(
            "stale",
            name,
            "stale_file",
            expected="no image that was about to be deleted",
            got=f"what was {shown_text(moved.name)}",
            hint="put back" if self._repair else "put it back: --repair does, or the next rawmm gc",
            repaired=self._repair,
        )

    def _foreign(self, directory: int, name: str) -> Finding:
        is_directory = False
        with suppress(FileNotFoundError):
            mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            is_directory = stat.S_ISDIR(mode)
        return self._finding(
            "foreign",
            name,
            "foreign_file",
            expected="only files that a store names, <sha256>.<png|jpg|webp|gif>",
            got="a directory" if is_directory else "another name",
            hint="rawmm leaves it alone",
        )

    def _finding(
        self,
        kind: Kind,
        name: str,
        code: str,
        *,
        expected: str,
        got: str,
        hint: str,
        repaired: bool = False,
    ) -> Finding:
        error = MaterializeError(code, expected=expected, got=got, hint=hint)
        return Finding(kind, self.root / name, error, repaired=repaired)


def _is_alive(pid: int) -> bool:
    """Whether a process of this host has the id."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _words(age: timedelta) -> str:
    hours = age // timedelta(hours=1)
    return counted(hours // 24, "day") if hours >= 48 else counted(hours, "hour")
