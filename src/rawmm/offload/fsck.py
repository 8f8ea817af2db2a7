"""Check an image directory: is every image there that records name, and is it the image?"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from rawmm.errors import MaterializeError, OffloadError, RawMMError, counted, shown_text
from rawmm.locators import file_path, scheme_of
from rawmm.offload.image_header import check_complete, read_header
from rawmm.offload.listing import (
    aside,
    is_image_name,
    list_images,
    move_aside,
    opened,
    put_back,
    writer_of,
)
from rawmm.offload.references import Referenced
from rawmm.offload.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind: TypeAlias = Literal["missing", "corrupt", "outside", "orphaned", "stale", "foreign"]

WRONG: Final[frozenset[Kind]] = frozenset({"missing", "corrupt"})
"""What costs a rollout its images. Of what is outside nothing is known; the rest costs space."""

STALE_AFTER: Final = timedelta(hours=1)
"""How long a temporary file is unchanged when its writer is dead: that one writes without pause."""
STALE_AT_LAST: Final = timedelta(days=1)
"""How long when a process has its writer's id. It may be another host's, or long be another's."""

_OUTSIDE: Final = frozenset({"path_escape", "bad_locator"})
_OF_BYTES: Final = frozenset({"hash_mismatch", "not_an_image"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one file of an image directory.

    Attributes:
        kind: ``missing``, a record names it and it is not there; ``corrupt``, its bytes are not
            those of its name, or no image, or it is no regular file; ``outside``, a record names
            it, and it is not of this directory, so nothing looked for it; ``orphaned``, no record
            names it; ``stale``, a process left it behind when it died; ``foreign``, no store
            gives such names.
        file: where it is, or would be; for ``outside``, the directory.
        error: the same as an error, with its code.
        record: for a missing or outside file, the first record that names it, counted from 0;
            ``error.path`` is the place in it.
        repaired: whether this call set it right.
    """

    kind: Kind
    file: Path
    error: RawMMError
    record: int | None = None
    repaired: bool = False


@dataclass(slots=True)
class Looked:
    """What a check has looked at so far.

    Attributes:
        images: files of the directory.
        references: places of the records that refer to an image, in the directory or outside.
        outside: those of them whose images are not of the directory.
    """

    images: int = 0
    references: int = 0
    outside: int = 0


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
        ContractError, ProcessedPayloadError: a record that cannot be looked through.
        OffloadError: ``store_failed`` when the directory cannot be read, or repaired.
    """
    return list(findings(image_dir, references, repair=repair, quarantine=quarantine))


def findings(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | None = None,
    *,
    repair: bool = False,
    quarantine: bool = False,
    looked: Looked | None = None,
) -> Iterator[Finding]:
    """What `fsck` finds, as it goes on. `looked` is kept up to date meanwhile."""
    check = _Check(ImageStore(image_dir), looked or Looked(), repair=repair, quarantine=quarantine)
    with opened(check.root, "to check") as directory:
        yield from check.run(directory, references)


class _Check:
    def __init__(
        self, store: ImageStore, looked: Looked, *, repair: bool, quarantine: bool
    ) -> None:
        self.root = store.root
        self._store = store
        self._looked = looked
        self._parents: dict[Path, bool] = {}
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
            yield from self._not_there(directory, references, referenced)
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

    def _not_there(
        self, directory: int, references: Iterable[Any], referenced: Referenced
    ) -> Iterator[Finding]:
        """Missing and outside images: each once, at the first place that names it."""
        known: dict[str, Kind | None] = {}
        missing: set[Path] = set()
        outside: list[tuple[str, Finding]] = []
        for number, record in enumerate(references):
            for path, locator in referenced.read(record):
                self._looked.references += 1
                if locator in known:
                    self._looked.outside += known[locator] == "outside"
                    continue
                file, error = self._lookup(directory, locator)
                kind = known[locator] = _kind_of(error)
                if error is None or kind is None:
                    continue
                finding = Finding(kind, file, error.under(path), number)
                if kind == "outside":
                    self._looked.outside += 1
                    outside.append((locator, finding))
                elif file not in missing:
                    missing.add(file)
                    yield finding
        # A directory that is gone, and of whose images some are here: this is where it went.
        moved = {
            one.file.parent
            for locator, one in outside
            if scheme_of(locator) == "file"
            and referenced.holds(locator)
            and not one.file.parent.exists()
        }
        for locator, finding in outside:
            here = referenced.holds(locator)
            yield self._outside(finding, lost=finding.file.parent in moved and not here, here=here)

    def _lookup(self, directory: int, locator: str) -> tuple[Path, OffloadError | None]:
        """The file that a locator names, and why it cannot be opened in the directory, or None."""
        path = file_path(locator) if scheme_of(locator) == "file" else None
        file = Path(path) if isinstance(path, str) else self.root / locator
        if isinstance(path, str) and self._is_root(directory, file.parent):
            # The directory by another path, such as that of a mount.
            file = self.root / file.name
            locator = file.as_uri()
        try:
            self._store.check_present(locator)
        except OffloadError as error:
            if error.code == "missing_image" and is_image_name(file.name):
                error.got = f"none of the name {file.name!r}"  # whole, it is no secret
            return file, error
        return file, None

    def _is_root(self, directory: int, parent: Path) -> bool:
        """Whether a path leads to the directory."""
        if parent not in self._parents:
            try:
                same = os.path.samestat(parent.stat(), os.fstat(directory))
            except (OSError, ValueError):
                same = False
            self._parents[parent] = same
        return self._parents[parent]

    def _outside(self, finding: Finding, *, lost: bool, here: bool) -> Finding:
        """A finding of an image outside, in full."""
        file, error = finding.file, finding.error
        got = error.got
        if error.code == "path_escape" and is_image_name(file.name):
            got = repr(str(file))  # whole, it is no secret
        hint = "it was not looked for"
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
                expected=f"an image in {str(self.root)!r}",
                got=got,
                hint=hint,
            ),
            finding.record,
        )

    def _image(self, directory: int, name: str) -> Iterator[Finding]:
        try:
            self._verify(name)
        except RawMMError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return  # deleted meanwhile
            moved = self._quarantine and error.code in _OF_BYTES and self._moved(directory, name)
            if moved:
                error.hint = "moved aside; offload the image again"
            yield Finding("corrupt", self.root / name, error, repaired=moved)

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


def _kind_of(error: OffloadError | None) -> Kind | None:
    """What an image is that was looked up with this outcome."""
    if error is None:
        return None
    return "outside" if error.code in _OUTSIDE else "missing"


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
