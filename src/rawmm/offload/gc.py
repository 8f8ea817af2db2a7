"""Garbage collection: delete the images that no record names and nobody stored of late.

Records say which images are in use, but they are written after the images. So an image also stays
while it is younger than a grace, and whoever stores it again, or refers to it again, makes it
young: `ImageStore.commit` sets the time of a file that it finds.

A writer may find a file at the moment in which it is judged. Both sides therefore look again
after they acted, and neither waits for the other:

======================================  ===================================================
the writer, for a file that it finds    the collector, for a file that no record names
======================================  ===================================================
W1 opens it, and compares the size      G1 reads its time: old enough
W2 sets its time to now                 G2 renames it to a hidden name
W3 looks whether there is a file        G3 reads its time again, by the hidden name
of the name
W4 if not, writes it: a new file is     G4 the same file and time: deletes it;
renamed over the name                   else links it back, unless the name is taken
======================================  ===================================================

Every order of these steps ends with the file in place, once the writer has returned:

- W3 before G2. W2 came before G3, so G3 sees another time and G4 puts the file back.
- G2 before W3, and G4 did not put it back by then. The name is another writer's file, which is as
  good, or free: then W3 sees that, and W4 writes. G4 deletes the old file, or links it back where
  the name is free, and never touches what has the name.
- G2 and a G4 that puts back before W3. This collection is done with the file.
- A new file, of W4 or another writer, between G1 and G2. G2 takes the new file away, G3 sees that
  it is not the one of G1, and G4 puts it back.
- G2 before W1. The writer finds nothing and writes, as if the file had never been.
- A collector that dies after G2 leaves a hidden name; the next one, or ``fsck --repair``, puts
  the file back.
- Another collector renames first: G2 finds nothing.

Between G2 and G4 a file that was just made young has no name for some microseconds. For a reader to
see that, the file must have been unused for the whole grace, and be stored again between G1 and G2.

There is no lock. Shared locks of many writers starve the collector on Linux, a lock on a
directory is refused by NFS, a lock on a file is two messages to the server for each image there,
and a lock does not span the time from the image to its record, which the grace must cover anyway.
The two steps cost a writer 3 microseconds for each image that it finds, a lock 1.

The clock is that of the file system, so that hosts need not agree about the time. On NFS a client
may show a time or name that is some seconds old (``acregmax``): there, collect while no writer
runs that could need an image older than the grace. The same goes for writers that do not set the
time: rawmm before this version, and other programs.
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
from rawmm.offload.image_file import open_regular, probe_directory
from rawmm.offload.listing import aside, list_images, move_aside, opened, put_back
from rawmm.offload.references import Referenced, each_record, file_name
from rawmm.offload.run_dir import resolved_dir
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GRACE: Final = timedelta(days=1)


@dataclass(slots=True)
class GarbageStats:
    """What a collection did. Names are file names in the image directory.

    Attributes:
        deleted: names of the images that were deleted; in a dry run, that would be.
        bytes_freed: their bytes.
        referenced: images that stay because a record names them.
        young: images that stay because they were stored, or found, within the grace.
        elsewhere: different references in the records to images that are not in the directory.
            Nothing looked for them.
        restored: names of images that an earlier collection was about to delete when it was
            stopped. They were put back, and are young.
    """

    deleted: list[str] = field(default_factory=list)
    bytes_freed: int = 0
    referenced: int = 0
    young: int = 0
    elsewhere: int = 0
    restored: list[str] = field(default_factory=list)


def collect_garbage(
    image_dir: str | os.PathLike[str],
    references: Iterable[Any],
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    allow_empty: bool = False,
) -> GarbageStats:
    """Delete the images of a directory that no record names and that are older than the grace.

    Writers may go on meanwhile. All records are read before anything is deleted, and whatever
    they raise is passed on. Only files with names that a store gives are ever deleted.

    Args:
        image_dir: the image directory.
        references: every record that may name one of its images: requests, messages, nodes,
            traces, sidecars, references, samples, of any version, as plain data or objects.
        grace: how long an image stays after it was last stored. Give more than passes from an
            image to the record that names it.
        dry_run: delete nothing, and answer what would be.
        allow_empty: take it as meant that the records name none of the images.

    Raises:
        ContractError: ``out_of_range`` for a negative grace; ``wrong_type`` for one of another
            type, and for one record in place of a list; ``no_references`` when the records name
            no image of the directory; and for a reference, or the escapes in a text, that
            cannot be read.
        ProcessedPayloadError: ``not_json`` for a record that cannot be looked through.
        OffloadError: ``store_failed`` when the directory cannot be read or written.
    """
    records = each_record(references)
    if not is_a(grace, timedelta):
        raise ContractError(
            "wrong_type", expected="a grace that is a datetime.timedelta", got=shown(grace)
        )
    if grace < timedelta(0):
        raise ContractError(
            "out_of_range", expected="a grace of zero or more", got=f"{grace.total_seconds():g} s"
        )
    root = resolved_dir(image_dir)
    stats = GarbageStats()
    with opened(root, "to collect garbage in") as directory:
        # Before the records are read: what they cannot name yet is younger than this.
        now = time.time_ns() if dry_run else probe_directory(root, durable=False)
        if not dry_run:
            stats.restored = _restored(directory)
        listing = list_images(directory)
    images = listing.images
    referenced, elsewhere = Referenced(images), set[str]()
    for record in records:
        for _, locator in referenced.read(record):
            if not referenced.holds(locator):
                elsewhere.add(locator)
    # Files of other names are named by records as well; they are never deleted.
    others = set(listing.foreign)
    stats.elsewhere = sum(file_name(one) not in others for one in elsewhere)
    if images and not referenced.names and not allow_empty:
        raise _nothing_named(root, len(images))
    stats.referenced = len(referenced.names)
    oldest = now - grace // timedelta(microseconds=1) * 1000
    with opened(root, "to collect garbage in") as directory:
        for name in images:
            if name not in referenced.names:
                _collect(directory, name, oldest, stats, dry_run=dry_run)
    return stats


def _collect(directory: int, name: str, oldest: int, stats: GarbageStats, *, dry_run: bool) -> None:
    """Judge one image that no record names."""
    try:
        judged = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(judged.st_mode):
        return
    # A file that was copied here may bring an old time along; its change of status is new. Files
    # from the future are young: some clock was wrong, and nobody knows which.
    if max(judged.st_mtime_ns, judged.st_ctime_ns) >= oldest:
        stats.young += 1
    elif dry_run or _delete(directory, name, judged):
        stats.deleted.append(name)
        stats.bytes_freed += judged.st_size
    else:
        stats.young += 1


def _delete(directory: int, name: str, judged: os.stat_result) -> bool:
    """Delete a file, unless it is no longer what was judged."""
    try:
        hidden = move_aside(directory, name, "gc")
    except FileNotFoundError:
        return False
    # Opened, because that is when an NFS client asks the server.
    with suppress(FileNotFoundError):
        with open_regular(directory, hidden) as (descriptor, _):
            now = os.fstat(descriptor)
        if os.path.samestat(now, judged) and now.st_mtime_ns == judged.st_mtime_ns:
            os.unlink(hidden, dir_fd=directory)
            return True
        put_back(directory, hidden, name)
        # Its writer may have synced the directory while the name was away.
        os.fsync(directory)
    return False


def _restored(directory: int) -> list[str]:
    restored = []
    for hidden in list_images(directory).aside:
        moved = aside(hidden)
        if moved and moved.why == "gc":
            put_back(directory, hidden, moved.name)
            restored.append(moved.name)
    return restored


def _nothing_named(root: Path, images: int) -> ContractError:
    return ContractError(
        "no_references",
        expected=f"records that name some of the {counted(images, 'image')} in {shown_path(root)}",
        got="records that name none",
        hint="give the records of this directory, or say that none of its images is needed",
    )
