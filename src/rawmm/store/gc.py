"""Garbage collection: delete images that no record names and that nobody stored recently.

Records say which images are in use, but they are written after the images. So an image also stays
while it is younger than a grace period. Storing it again or referring to it again renews its age:
`ImageStore.put` sets the modification time of a file that it finds.

A writer may find a file at the moment in which the collector judges it. So both look again after
they have acted, and neither waits for the other:

======================================  ===================================================
the writer, for a file that it finds    the collector, for a file that no record names
======================================  ===================================================
W1 opens it and compares the size       G1 reads its time: old enough
W2 sets its time to now                 G2 renames it to a hidden name
W3 looks whether the name still exists  G3 reads its time again, by the hidden name
W4 if not, writes the file: a new file  G4 same file and time: deletes it; otherwise links it
is renamed to the name                  back, unless the name is taken
======================================  ===================================================

In every order of these steps, the file exists once the writer has returned:

- W3 before G2. W2 came before G3, so G3 sees another time and G4 restores the file.
- G2 before W3, and G4 has not restored the file yet. If another writer's file has the name, it is
  equally good. If the name is free, W3 sees that and W4 writes. G4 deletes the old file, or links
  it back where the name is free, and never touches the file that has the name.
- G2, and a G4 that restores the file, before W3. This collection is done with the file.
- A new file, from W4 or another writer, between G1 and G2. G2 moves the new file aside, G3 sees
  that it is not the file of G1, and G4 restores it.
- G2 before W1. The writer finds nothing and writes the file.
- A collector that dies after G2 leaves a hidden name. The next collection or ``fsck --repair``
  restores the file.
- Another collector renames first. G2 finds nothing.

Between G2 and G4 a file whose age was just renewed has no name for some microseconds. A reader can
only see that if the file was unused for the whole grace period and is stored again between G1 and
G2.

There is no lock. Shared locks of many writers starve the collector on Linux, NFS refuses a lock on
a directory, a lock on a file costs two messages to the server for each existing image, and a lock
does not span the time from an image to its record, which the grace period must cover anyway. The
two extra steps cost a writer 3 microseconds for each existing image; a lock would cost 1.

Times are those of the file system, so the clocks of hosts need not agree. An NFS client may show a
time or a name that is some seconds old (``acregmax``). There, collect while no running writer could
need an image older than the grace period. The same holds for writers that do not set the time, such
as earlier versions of rawmm and other programs.

`tombstones` describes the collection of object stores. Other stores offer neither times nor hidden
names. They are collected with a grace period of zero only, by which the caller states that no
writer is running.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import ContractError, counted, shown, shown_path
from rawmm.real_class import is_a
from rawmm.store.errors import requesting
from rawmm.store.files import open_regular, probe_directory, sync_directory
from rawmm.store.listing import aside, list_images, move_aside, opened, put_back
from rawmm.store.local import ImageStore
from rawmm.store.object_client import Delete, run
from rawmm.store.object_gc import look, settle, tidy
from rawmm.store.object_store import ObjectImageStore
from rawmm.store.protocol import delete_image, list_names
from rawmm.store.references import RecordSearch, Referenced, each_record, file_name
from rawmm.store.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawmm.store.object_gc import Outcome
    from rawmm.store.protocol import Store

GRACE: Final = timedelta(days=1)


@dataclass(slots=True)
class GarbageStats:
    """What a collection did. Names are file names in the store.

    Attributes:
        deleted: names of deleted images; in a dry run, of those that would be deleted.
        bytes_freed: size of the deleted images; 0 if the store is neither a directory nor an
            object store.
        referenced: number of images that stay because a record names them.
        young: number of images that stay because they were stored or found within the grace period.
        elsewhere: number of distinct references in the records to images outside the store, which
            were not checked.
        restored: names of images that an interrupted collection was about to delete. They have
            their names back and count as new.
        marked: number of images of an object store that no record names, and that a collection
            after the grace period deletes.
    """

    deleted: list[str] = field(default_factory=list)
    bytes_freed: int = 0
    referenced: int = 0
    young: int = 0
    elsewhere: int = 0
    restored: list[str] = field(default_factory=list)
    marked: int = 0


def collect_garbage(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any] | RecordSearch,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    allow_empty: bool = False,
) -> GarbageStats:
    """Delete the images of a store that no record names and that are older than the grace period.

    Writers to a directory may run meanwhile. All records are read before anything is deleted, and
    any exception they raise is passed on. Only files with names that stores give are deleted.

    Args:
        image_dir: the image directory, or the URL of another store.
        references: every record that may name one of its images: requests, messages, nodes,
            traces, sidecars, references, samples, of any version, as plain data or objects.
        grace: how long an image stays after it was last stored. It must exceed the time from an
            image to the record that names it. An object store is collected in two calls: one
            marks, and one after the grace period deletes; zero does both at once, and no writer
            may run then. Must be zero for a store of another kind.
        dry_run: delete nothing; return what would be deleted.
        allow_empty: accept records that name none of the images.

    Raises:
        ContractError: ``out_of_range`` for a negative grace period, or one that the store does not
            support; ``wrong_type`` for one of another type, and for one record in place of a list;
            ``no_references`` if the records name no image of the store; and for a reference or
            escaped text that cannot be read.
        ProcessedPayloadError: ``not_json`` for a record that cannot be searched.
        OffloadError: ``store_failed`` if the store cannot be read or written, and as `open_store`.
    """
    records = references if is_a(references, RecordSearch) else each_record(references)
    if not is_a(grace, timedelta):
        raise ContractError(
            "wrong_type", expected="a grace period that is a datetime.timedelta", got=shown(grace)
        )
    if grace < timedelta(0):
        raise ContractError(
            "out_of_range",
            expected="a grace period of zero or more",
            got=f"{grace.total_seconds():g} s",
        )
    store = open_store(image_dir)
    if is_a(store, ObjectImageStore):
        return _collect_objects(store, records, grace, dry_run=dry_run, allow_empty=allow_empty)
    if not is_a(store, ImageStore):
        return _collect_store(store, records, grace, dry_run=dry_run, allow_empty=allow_empty)
    root = store.root
    stats = GarbageStats()
    with opened(root, "to collect garbage in") as directory:
        # Before the records are read: images that they cannot name yet are newer than this.
        now = time.time_ns() if dry_run else probe_directory(root, durable=False)
        if not dry_run:
            stats.restored = _restored(directory)
        listing = list_images(directory)
    unreferenced = _unreferenced(
        records, listing.images, root, stats, listing.foreign, allow_empty=allow_empty
    )
    oldest = now - grace // timedelta(microseconds=1) * 1000
    with opened(root, "to collect garbage in") as directory:
        for name in unreferenced:
            _collect(directory, name, oldest, stats, dry_run=dry_run)
    return stats


def _collect_objects(
    store: ObjectImageStore,
    records: Iterator[Any] | RecordSearch,
    grace: timedelta,
    *,
    dry_run: bool,
    allow_empty: bool,
) -> GarbageStats:
    """Collect an object store."""
    stats = GarbageStats()
    now = time.time_ns() if dry_run else None
    what = f"to collect garbage in {shown_path(store.root)}"
    with requesting(what):
        view = run(store.client, look(store.prefix, grace, now))
    images = sorted(view.images)
    unreferenced = _unreferenced(records, images, store.root, stats, allow_empty=allow_empty)

    def settled(name: str) -> Outcome:
        return run(store.client, settle(view, name, dry_run=dry_run))

    with requesting(what):
        for name, outcome in zip(unreferenced, store.map(settled, unreferenced), strict=True):
            if outcome == "deleted":
                stats.deleted.append(name)
                stats.bytes_freed += view.images[name].size
            elif outcome == "marked":
                stats.marked += 1
            else:
                stats.young += 1
        if not dry_run:
            of_no_use = view.tombstones.keys() - set(unreferenced)
            store.map(lambda name: run(store.client, tidy(view, name)), sorted(of_no_use))
            store.map(lambda key: store.client.do(Delete(key)), view.clocks)
    return stats


def _collect_store(
    store: Store,
    records: Iterator[Any] | RecordSearch,
    grace: timedelta,
    *,
    dry_run: bool,
    allow_empty: bool,
) -> GarbageStats:
    """Collect a store that is not a directory."""
    if grace:
        raise ContractError(
            "out_of_range",
            expected="a grace period of zero, as this store keeps no times",
            got=f"{grace.total_seconds():g} s",
            hint="stop all writers, then collect with a grace period of zero",
        )
    stats = GarbageStats()
    images = list_names(store)
    unreferenced = _unreferenced(records, images, store.root, stats, allow_empty=allow_empty)
    for name in unreferenced:
        if not dry_run:
            delete_image(store, name)
        stats.deleted.append(name)
    return stats


def _unreferenced(
    records: Iterator[Any] | RecordSearch,
    images: list[str],
    root: object,
    stats: GarbageStats,
    foreign: Iterable[str] = (),
    *,
    allow_empty: bool,
) -> list[str]:
    """Read all records; return the images that none of them names."""
    referenced, elsewhere = Referenced(images), set[str]()
    if isinstance(records, RecordSearch):
        found = records.search(images, every=False)
        referenced.names |= found.names
        elsewhere |= found.locators.keys()
    else:
        for record in records:
            for _, locator in referenced.read(record):
                if not referenced.holds(locator):
                    elsewhere.add(locator)
    # Records may name foreign files of the directory too. They are never deleted.
    others = set(foreign)
    stats.elsewhere = sum(file_name(locator) not in others for locator in elsewhere)
    if images and not referenced.names and not allow_empty:
        raise ContractError(
            "no_references",
            expected=f"records that name some of the {counted(len(images), 'image')} in "
            f"{shown_path(root)}",
            got="records that name none",
            hint="pass the records of this directory, or allow_empty if no image is needed",
        )
    stats.referenced = len(referenced.names)
    return [name for name in images if name not in referenced.names]


def _collect(directory: int, name: str, oldest: int, stats: GarbageStats, *, dry_run: bool) -> None:
    """Delete one image that no record names, if it is old enough."""
    try:
        judged = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(judged.st_mode):
        return
    # A copied file may keep an old modification time, but its status change time is new. A time in
    # the future counts as young, because it is unknown which clock is wrong.
    if max(judged.st_mtime_ns, judged.st_ctime_ns) >= oldest:
        stats.young += 1
    elif dry_run or _delete(directory, name, judged):
        stats.deleted.append(name)
        stats.bytes_freed += judged.st_size
    else:
        stats.young += 1


def _delete(directory: int, name: str, judged: os.stat_result) -> bool:
    """Delete a file, unless it has changed since it was judged."""
    try:
        hidden = move_aside(directory, name, "gc")
    except FileNotFoundError:
        return False
    # The file is opened because an NFS client asks the server for its time only then.
    with suppress(FileNotFoundError):
        with open_regular(directory, hidden) as (descriptor, _):
            now = os.fstat(descriptor)
        if os.path.samestat(now, judged) and now.st_mtime_ns == judged.st_mtime_ns:
            os.unlink(hidden, dir_fd=directory)
            return True
        put_back(directory, hidden, name)
        # The writer may have synced the directory while the name was missing.
        sync_directory(directory)
    return False


def _restored(directory: int) -> list[str]:
    """Restore the files of an interrupted collection and return their names."""
    restored = []
    for hidden in list_images(directory).aside:
        moved = aside(hidden)
        if moved and moved.why == "gc":
            put_back(directory, hidden, moved.name)
            restored.append(moved.name)
    return restored
