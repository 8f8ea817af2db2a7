"""The images that records name: those that are missing, and those of another place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import OffloadError, shown_path
from rawmm.locators import file_path, scheme_of
from rawmm.store.findings import Finding, Kind
from rawmm.store.listing import is_image_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawmm.store.findings import Looked
    from rawmm.store.image_store import ImageStore
    from rawmm.store.references import Referenced

_OUTSIDE: Final = frozenset({"path_escape", "bad_locator"})


class NamedImages:
    """Looks in a directory for the images that records name.

    Args:
        store: the directory.
        directory: a descriptor of it.
        looked: counts the references.
    """

    def __init__(self, store: ImageStore, directory: int, looked: Looked) -> None:
        self._store = store
        self._directory = directory
        self._looked = looked
        self._parents: dict[Path, bool] = {}

    def findings(self, references: Iterable[Any], referenced: Referenced) -> Iterator[Finding]:
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
                file, error = self._lookup(locator)
                kind = known[locator] = _kind_of(error)
                if error is None or kind is None:
                    continue
                finding = Finding(kind, file, error.at(path), number)
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

    def _lookup(self, locator: str) -> tuple[Path, OffloadError | None]:
        """The file that a locator names, and why it cannot be opened in the directory, or None."""
        path = file_path(locator) if scheme_of(locator) == "file" else None
        file = Path(path) if isinstance(path, str) else self._store.root / locator
        if isinstance(path, str) and self._is_root(file.parent):
            # The directory by another path, such as that of a mount.
            file = self._store.root / file.name
            locator = file.as_uri()
        try:
            self._store.check_present(locator)
        except OffloadError as error:
            if error.code == "missing_image" and is_image_name(file.name):
                error.got = f"none of the name {file.name!r}"  # whole, it is no secret
            return file, error
        return file, None

    def _is_root(self, parent: Path) -> bool:
        """Whether a path leads to the directory."""
        if parent not in self._parents:
            try:
                same = os.path.samestat(parent.stat(), os.fstat(self._directory))
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
                expected=f"an image in {shown_path(self._store.root)}",
                got=got,
                hint=hint,
            ),
            finding.record,
        )


def _kind_of(error: OffloadError | None) -> Kind | None:
    """What an image is that was looked up with this outcome."""
    if error is None:
        return None
    return "outside" if error.code in _OUTSIDE else "missing"
