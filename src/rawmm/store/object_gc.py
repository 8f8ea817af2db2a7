"""Garbage collection of an object store: `tombstones` says how and why it is safe."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from rawmm.store.listing import is_image_name
from rawmm.store.object_client import Get, List
from rawmm.store.tombstones import (
    FOLDER,
    KEPT,
    clear,
    delete_marked,
    is_clock,
    mark,
    state_of,
    time_of_store,
)

if TYPE_CHECKING:
    from rawmm.store.object_client import Blob, Loaded, Steps

Outcome: TypeAlias = Literal["deleted", "marked", "young"]

_SECOND: Final = 1_000_000_000
_MICROSECOND: Final = timedelta(microseconds=1)


class View(NamedTuple):
    """What a collector saw before it read the records.

    Attributes:
        root: the prefix of the store in its bucket.
        now: the time by the clock of the store, in nanoseconds.
        grace: in nanoseconds.
        images: the images by name.
        tombstones: their tombstones by image name.
        clocks: keys of objects that interrupted collections left behind.
    """

    root: str
    now: int
    grace: int
    images: dict[str, Blob]
    tombstones: dict[str, Blob]
    clocks: list[str]

    def is_old(self, blob: Blob) -> bool:
        """Whether an object is older than the grace period."""
        if not self.grace:
            return True
        # S3 rounds its times down to seconds.
        inexact = 0 if blob.modified % _SECOND else _SECOND
        return blob.modified + inexact < self.now - self.grace

    def key(self, name: str) -> str:
        """Return the key of an image."""
        return key_of(self.root, name)

    def tombstone(self, name: str) -> str:
        """Return the key of the tombstone of an image."""
        return tombstone_key(self.root, name)


def key_of(root: str, name: str) -> str:
    """Return the key of a name below the prefix of a store."""
    return f"{root}/{name}" if root else name


def tombstone_key(root: str, name: str) -> str:
    """Return the key of the tombstone of an image."""
    return key_of(root, f"{FOLDER}/{name}")


def is_image_of_root(name: str) -> bool:
    """Whether a name relative to the root is that of an image of this store, not of one below."""
    return "/" not in name and is_image_name(name)


def look(root: str, grace: timedelta, now: int | None = None) -> Steps[View]:
    """Look at a store. `now` is a time to use without asking the store for its own."""
    if now is None:
        now = yield from time_of_store(key_of(root, FOLDER))
    listed: dict[str, Blob] = yield List(root)
    images = {name: blob for name, blob in listed.items() if is_image_of_root(name)}
    folder = f"{FOLDER}/"
    inside = {
        name.removeprefix(folder): blob for name, blob in listed.items() if name.startswith(folder)
    }
    view = View(root, now, grace // _MICROSECOND * 1000, images, {}, [])
    for name, blob in inside.items():
        if is_image_of_root(name):
            view.tombstones[name] = blob
        elif is_clock(name) and view.grace and view.is_old(blob):
            view.clocks.append(view.tombstone(name))
    return view


def settle(view: View, name: str, *, dry_run: bool = False) -> Steps[Outcome]:
    """Mark or delete an image that no record names."""
    if not view.is_old(view.images[name]):
        return "young"
    key = view.tombstone(name)
    seen = view.tombstones.get(name)
    if seen is not None and not view.is_old(seen):
        return "young"
    found: Loaded | None = None if seen is None else (yield Get(key))
    if seen is not None and found is None:
        return "young"  # changed since
    if found is None or state_of(found) == KEPT:
        if dry_run:
            return "marked" if view.grace else "deleted"
        if not (yield from mark(key, found)):
            return "young"
        if view.grace:
            return "marked"
        found = yield Get(key)
    # The tombstone may be newer than when it was listed.
    if found is None or state_of(found) == KEPT or not view.is_old(found.blob):
        return "young"
    if dry_run:
        return "deleted"
    deleted = yield from delete_marked(view.key(name), key, found)
    return "deleted" if deleted else "young"


def tidy(view: View, name: str) -> Steps[None]:
    """Remove the old tombstone of an image that a record names, or that is gone."""
    if not view.is_old(view.tombstones[name]):
        return
    found: Loaded | None = yield Get(view.tombstone(name))
    if found is not None:
        yield from clear(view.tombstone(name), found)
