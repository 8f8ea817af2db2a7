"""Check a store: does every image that records name exist, and do its bytes match its name?"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from rawmm.errors import (
    ContractError,
    MaterializeError,
    OffloadError,
    RawMMError,
    counted,
    shown_path,
    shown_text,
)
from rawmm.images import check_complete, read_header
from rawmm.locators import file_path, names_image, scheme_of
from rawmm.real_class import is_a
from rawmm.store.errors import STORE_FAILURES, requesting
from rawmm.store.listing import (
    aside,
    is_image_name,
    list_images,
    move_aside,
    opened,
    put_back,
    writer_of,
)
from rawmm.store.local import ImageStore
from rawmm.store.object_client import run
from rawmm.store.object_gc import look
from rawmm.store.object_store import ObjectImageStore
from rawmm.store.protocol import check_exists, list_names, read_bytes
from rawmm.store.references import Mention, RecordSearch, Referenced, each_record, file_name
from rawmm.store.registry import open_store
from rawmm.store.tombstones import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.store.protocol import Store

ImageCheck: TypeAlias = "Callable[[Iterator[list[str]]], Iterable[list[list[Finding]]]]"
Kind: TypeAlias = Literal["missing", "corrupt", "outside", "orphaned", "stale", "foreign"]

WRONG: Final[frozenset[Kind]] = frozenset({"missing", "corrupt"})
"""Kinds of findings that cost a rollout its images. The others cost space or are unknown."""
STALE_AFTER: Final = timedelta(hours=1)
"""A temporary file untouched this long is stale if its writer is dead; writers never pause."""
STALE_AFTER_ALIVE: Final = timedelta(days=1)
"""The same if a process has the writer's id, which may have been reused or be another host's."""

_NAMES_AT_ONCE: Final = 256
"""Images in a piece of work."""
_OF_BYTES: Final = frozenset({"hash_mismatch", "not_an_image"})
_OF_OTHER_STORES: Final = frozenset({"path_escape", "bad_locator"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem with one image or file.

    Attributes:
        kind: ``missing``, a record names the image and it does not exist; ``corrupt``, its bytes
            do not match its name, are not an image, or it is not a regular file; ``outside``, a
            record names an image of another place, which was not checked; ``orphaned``, no
            record names it; ``stale``, a process left the file behind when it died; ``foreign``,
            stores give no such name.
        file: the path of the file; its name alone if the store is not a directory.
        error: the finding as an error, with its code.
        record: for ``missing`` and ``outside``, the index of the first record that names the
            image; ``error.path`` is the place in it.
        repaired: whether this call repaired it.
    """

    kind: Kind
    file: Path
    error: RawMMError
    record: int | None = None
    repaired: bool = False


@dataclass(slots=True)
class Progress:
    """What a check has seen so far.

    Attributes:
        images: images in the store.
        references: places in the records that refer to an image, in the store or outside.
        outside: those of them that refer to images outside the store.
        marked: images of an object store that a collection marked, to delete them later.
    """

    images: int = 0
    references: int = 0
    outside: int = 0
    marked: int = 0


def fsck(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | None = None,
    *,
    repair: bool = False,
    quarantine: bool = False,
) -> list[Finding]:
    """Check every image of a store, and the images of every record.

    Args:
        image_dir: the image directory, or the URL of another store.
        references: every record that may name one of its images, as `collect_garbage` takes them.
            Without them nothing is reported as missing or orphaned.
        repair: remove stale files. A file that an interrupted collection was about to delete gets
            its name back. For directories only.
        quarantine: rename corrupt files to a hidden name, so that their images are missing and the
            next `ImageStore.put` writes them again. For directories only.

    Images are never deleted.

    Raises:
        ContractError, ProcessedPayloadError: a record that cannot be searched; ``wrong_type`` for
            one record in place of a list; ``bad_value`` for `repair` or `quarantine` of a store
            that is not a directory.
        OffloadError: ``store_failed`` if the store cannot be read or repaired, and as
            `open_store`.
    """
    return list(iter_findings(image_dir, references, repair=repair, quarantine=quarantine))


def iter_findings(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | RecordSearch | None = None,
    *,
    repair: bool = False,
    quarantine: bool = False,
    progress: Progress | None = None,
    images: ImageCheck | None = None,
) -> Iterator[Finding]:
    """Yield the findings of `fsck`, and update `progress` meanwhile.

    `images` calls `check_images` for each list of names, perhaps elsewhere, and yields the results
    in their order. By default it is called here.
    """
    records: Any = references
    if references is not None and not is_a(references, RecordSearch):
        records = each_record(references)
    progress = progress or Progress()
    store = open_store(image_dir)
    if not is_a(store, ImageStore):
        if repair or quarantine:
            raise ContractError(
                "bad_value", expected="an image directory to repair", got="another store"
            )
        is_bucket = is_a(store, ObjectImageStore)
        other = _ObjectCheck(store, progress) if is_bucket else _StoreCheck(store, progress)
        yield from other.findings(records, images or partial(map, other.check_images))
        return
    with opened(store.root, "to check") as directory:
        check = _DirectoryCheck(store, directory, progress, repair=repair, quarantine=quarantine)
        yield from check.all_findings(records, images or partial(map, check.check_images))


def check_images(
    image_dir: str | os.PathLike[str], names: list[str], *, quarantine: bool = False
) -> list[list[Finding]]:
    """Return the findings of each of some images of a store. See `iter_findings`.

    Raises:
        OffloadError: ``store_failed`` if an image cannot be read, and as `open_store`.
    """
    store, progress = open_store(image_dir), Progress()
    if is_a(store, ObjectImageStore):
        return _ObjectCheck(store, progress).check_images(names)
    if not is_a(store, ImageStore):
        return _StoreCheck(store, progress).check_images(names)
    with opened(store.root, "to check") as directory:
        check = _DirectoryCheck(store, directory, progress, repair=False, quarantine=quarantine)
        return check.check_images(names)


class _StoreCheck:
    """The check that works for every store."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._all_names: list[str] = []

    def findings(
        self, references: Iterable[Any] | RecordSearch | None, images: ImageCheck
    ) -> Iterator[Finding]:
        """Yield what is missing, outside, corrupt and orphaned."""
        names = self._all_names = list(self._names())
        referenced = None
        if references is not None:
            referenced = Referenced(names)
            yield from self._reference_findings(references, referenced)
        chunks = (names[at : at + _NAMES_AT_ONCE] for at in range(0, len(names), _NAMES_AT_ONCE))
        found = (each for chunk in images(chunks) for each in chunk)
        for name, findings in zip(names, found, strict=True):
            yield from findings
            if referenced is not None and name not in referenced.names:
                yield self._finding(
                    "orphaned",
                    name,
                    "unreferenced_image",
                    expected="a record that names it",
                    got="none",
                    hint="rawmm gc deletes it once it is old enough",
                )
            self._progress.images += 1

    def check_images(self, names: list[str]) -> list[list[Finding]]:
        """Return the findings of each image."""
        return [list(self._image(name)) for name in names]

    def _names(self) -> Iterable[str]:
        return list_names(self._store)

    def _file(self, name: str) -> Path:
        return Path(name)

    def _image(self, name: str) -> Iterator[Finding]:
        try:
            self._check_image(name)
        except RawMMError as error:
            yield from self._corrupt(name, error)

    def _check_image(self, name: str) -> None:
        raw = self._read(name)
        check_complete(raw, read_header(raw))

    def _read(self, name: str) -> bytes:
        """Return the bytes of an image, whose hash is its name."""
        raw = read_bytes(self._store, name)
        if names_image(name, hashlib.sha256(raw).hexdigest()):
            return raw
        raise MaterializeError(
            "hash_mismatch",
            expected="bytes whose SHA-256 is the file's name",
            got=f"{len(raw)} bytes with another SHA-256",
            hint="delete the file and offload the image again",
        )

    def _corrupt(self, name: str, error: RawMMError) -> Iterator[Finding]:
        if error.code in STORE_FAILURES:
            raise error  # nothing is known about the image
        yield Finding("corrupt", self._file(name), error)

    def _reference_findings(
        self, references: Iterable[Any] | RecordSearch, referenced: Referenced
    ) -> Iterator[Finding]:
        """Yield missing and outside images, each once, at the first place that names it."""
        known: dict[str, Kind | None] = {}
        missing: set[Path] = set()
        outside: list[tuple[str, Finding]] = []
        for locator, mention in self._mentions(references, referenced):
            self._progress.references += mention.times
            if locator in known:
                self._progress.outside += known[locator] == "outside"
                continue
            file, error = self._look_up(locator)
            kind = known[locator] = _kind_of(error)
            if error is None or kind is None:
                continue
            finding = Finding(kind, file, error.at(mention.path), mention.record)
            if kind == "outside":
                self._progress.outside += mention.times
                outside.append((locator, finding))
            elif file not in missing:
                missing.add(file)
                yield finding
        # If a directory is gone and some of its images are here, the run was moved here.
        moved = {
            finding.file.parent
            for locator, finding in outside
            if scheme_of(locator) == "file"
            and referenced.holds(locator)
            and not finding.file.parent.exists()
        }
        for locator, finding in outside:
            here = referenced.holds(locator)
            yield self._outside(finding, lost=finding.file.parent in moved and not here, here=here)

    def _mentions(
        self, references: Iterable[Any] | RecordSearch, referenced: Referenced
    ) -> Iterator[tuple[str, Mention]]:
        """Yield what records name, in their order."""
        if isinstance(references, RecordSearch):
            found = references.search(self._all_names, every=True)
            referenced.names |= found.names
            yield from found.locators.items()
            return
        for number, record in enumerate(references):
            for path, locator in referenced.read(record):
                yield locator, Mention(number, path, 1)

    def _look_up(self, locator: str) -> tuple[Path, RawMMError | None]:
        """Return the file that a locator names, and why it is not in the store, or None."""
        path = file_path(locator) if scheme_of(locator) == "file" else None
        file = Path(path) if isinstance(path, str) else self._file(file_name(locator))
        error = self._existence_error(locator, file)
        if error is not None and error.code in STORE_FAILURES:
            raise error  # the image may exist
        return file, error

    def _existence_error(self, locator: str, file: Path) -> RawMMError | None:
        try:
            check_exists(self._store, locator)
        except OffloadError as error:
            if error.code == "missing_image" and is_image_name(file.name):
                # Shown whole: the name reveals nothing.
                return error.at(got=f"no file named {file.name!r}")
            return error
        return None

    def _outside(self, finding: Finding, *, lost: bool, here: bool) -> Finding:
        """Complete a finding of an image outside the store."""
        file, error = finding.file, finding.error
        got = error.got
        if error.code == "path_escape" and is_image_name(file.name):
            got = repr(str(file))  # shown whole: the name reveals nothing
        hint = "it was not checked"
        if lost:
            hint = "its directory is gone; other images of it are here, and this one is not"
        elif here:
            hint += "; an image with the hash in its name is here, so the run may have moved"
        return Finding(
            "missing" if lost else "outside",
            file,
            OffloadError(
                "missing_image" if lost else error.code,
                error.path,
                expected=f"an image in {shown_path(self._store.root)}",
                got=got,
                hint=hint,
            ),
            finding.record,
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
        return Finding(kind, self._file(name), error, repaired=repaired)


class _ObjectCheck(_StoreCheck):
    """The check of an object store, which reads many images at the same time."""

    _store: ObjectImageStore

    def check_images(self, names: list[str]) -> list[list[Finding]]:
        """Return the findings of each image."""
        return self._store.map(lambda name: list(self._image(name)), names)

    def findings(
        self, references: Iterable[Any] | RecordSearch | None, images: ImageCheck
    ) -> Iterator[Finding]:
        """Yield what `_StoreCheck` does, and old tombstones without an image before it."""
        with requesting(f"to list {shown_path(self._store.root)}"):
            view = run(
                self._store.client, look(self._store.prefix, STALE_AFTER_ALIVE, time.time_ns())
            )
        for name, blob in sorted(view.tombstones.items()):
            if name in view.images:
                self._progress.marked += 1
            elif view.is_old(blob):
                age = timedelta(microseconds=(view.now - blob.modified) // 1000)
                yield self._finding(
                    "stale",
                    f"{FOLDER}/{name}",
                    "stale_file",
                    expected="no tombstone of an image that is gone",
                    got=f"one, unchanged for {_in_words(age)}",
                    hint="the next rawmm gc removes it",
                )
        yield from super().findings(references, images)


class _DirectoryCheck(_StoreCheck):
    """The check of a directory, which may also hold temporary, hidden and foreign files."""

    def __init__(
        self,
        store: ImageStore,
        directory: int,
        progress: Progress,
        *,
        repair: bool,
        quarantine: bool,
    ) -> None:
        super().__init__(store, progress)
        self._root = store.root
        self._directory = directory
        self._repair = repair
        self._quarantine = quarantine
        self._now = time.time_ns()
        self._is_root_by_parent: dict[Path, bool] = {}

    def all_findings(
        self, references: Iterable[Any] | RecordSearch | None, images: ImageCheck
    ) -> Iterator[Finding]:
        listing = list_images(self._directory)
        # Hidden files first, because a repair restores the names of images.
        for name in listing.temporary:
            yield from self._temporary(name)
        for name in listing.aside:
            yield self._aside(name)
        yield from self.findings(references, images)
        for name in listing.foreign:
            yield self._foreign(name)

    def _names(self) -> Iterable[str]:
        return list_images(self._directory).images

    def _file(self, name: str) -> Path:
        return self._root / name

    def _read(self, name: str) -> bytes:
        return self._store.read(name)  # compares the hash itself

    def _corrupt(self, name: str, error: RawMMError) -> Iterator[Finding]:
        if not os.access(name, os.F_OK, dir_fd=self._directory, follow_symlinks=False):
            return  # deleted since the directory was listed
        moved = self._quarantine and error.code in _OF_BYTES and self._moved_aside(name)
        reason = error.at(hint="moved aside; offload the image again") if moved else error
        yield Finding("corrupt", self._file(name), reason, repaired=moved)

    def _moved_aside(self, name: str) -> bool:
        """Move a corrupt file aside, unless a writer has replaced it meanwhile."""
        try:
            hidden = move_aside(self._directory, name, "corrupt")
        except FileNotFoundError:
            return False
        try:
            raw = self._store.read(hidden, name.partition(".")[0])
            check_complete(raw, read_header(raw))
        except RawMMError:
            return True
        put_back(self._directory, hidden, name)
        return False

    def _look_up(self, locator: str) -> tuple[Path, RawMMError | None]:
        path = file_path(locator) if scheme_of(locator) == "file" else None
        file = Path(path) if isinstance(path, str) else self._root / locator
        if isinstance(path, str) and self._is_root(file.parent):
            # Another path of the same directory, such as a mount.
            file = self._root / file.name
            locator = file.as_uri()
        return file, self._existence_error(locator, file)

    def _is_root(self, parent: Path) -> bool:
        """Whether a path leads to the directory."""
        if parent not in self._is_root_by_parent:
            try:
                same = os.path.samestat(parent.stat(), os.fstat(self._directory))
            except (OSError, ValueError):
                same = False
            self._is_root_by_parent[parent] = same
        return self._is_root_by_parent[parent]

    def _temporary(self, name: str) -> Iterator[Finding]:
        try:
            written = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return  # its writer has finished
        age = timedelta(microseconds=(self._now - written) // 1000)
        pid = writer_of(name)
        if age < (STALE_AFTER_ALIVE if _is_alive(pid) else STALE_AFTER):
            return
        if self._repair:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory)
        yield self._finding(
            "stale",
            name,
            "stale_file",
            expected="no unfinished file",
            got=f"one of process {pid}, unchanged for {_in_words(age)}",
            hint="removed" if self._repair else "remove it: --repair does",
            repaired=self._repair,
        )

    def _aside(self, name: str) -> Finding:
        moved = aside(name)
        assert moved is not None  # it is in the list of such names
        if moved.why == "corrupt":
            return self._finding(
                "foreign",
                name,
                "foreign_file",
                expected="no quarantined image",
                got="a corrupt image that was moved aside",
                hint="remove it when it is no longer needed",
            )
        if self._repair:
            put_back(self._directory, name, moved.name)
        return self._finding(
            "stale",
            name,
            "stale_file",
            expected="no image that was about to be deleted",
            got=f"the former {shown_text(moved.name)}",
            hint="put back" if self._repair else "put it back: --repair does, or the next rawmm gc",
            repaired=self._repair,
        )

    def _foreign(self, name: str) -> Finding:
        is_directory = False
        with suppress(FileNotFoundError):
            mode = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mode
            is_directory = stat.S_ISDIR(mode)
        return self._finding(
            "foreign",
            name,
            "foreign_file",
            expected="only files named by a store, <sha256>.<png|jpg|webp|gif>",
            got="a directory" if is_directory else "another name",
            hint="rawmm leaves it alone",
        )


def _kind_of(error: RawMMError | None) -> Kind | None:
    """Return the kind of finding for the result of a lookup."""
    if error is None:
        return None
    return "outside" if error.code in _OF_OTHER_STORES else "missing"


def _is_alive(pid: int) -> bool:
    """Whether a process of this host has the id."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _in_words(age: timedelta) -> str:
    hours = age // timedelta(hours=1)
    return counted(hours // 24, "day") if hours >= 48 else counted(hours, "hour")
