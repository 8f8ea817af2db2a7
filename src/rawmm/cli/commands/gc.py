"""``rawmm gc``: deletes the images that no record refers to."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.image_dir import check_dir_name
from rawmm.cli.output import UsageError, console, counted, size, summary_table
from rawmm.cli.references import EngineSearch, InputFormat, ReferenceFiles, References
from rawmm.errors import OffloadError, RawMMError, printable
from rawmm.store import GRACE, collect_garbage, open_store

if TYPE_CHECKING:
    from rawmm.store import GarbageStats


def gc(
    image_dir: Annotated[
        str, Parameter(name="DIR", help="The image directory, or the URL of another store.")
    ],
    /,
    *,
    refs: References = None,
    grace: Annotated[
        timedelta,
        Parameter(
            help="How long to keep an image after it was last stored, e.g. 90m, 12h or 2w. It must "
            "exceed the time between storing an image and writing the record that refers to it.",
            show_default=lambda _: "1d",
        ),
    ] = GRACE,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="List what would be deleted, but delete nothing.")
    ] = False,
    allow_empty: Annotated[
        bool,
        Parameter(negative=(), help="Continue even if the records refer to none of the images."),
    ] = False,
    input_format_name: InputFormat = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Delete images that no record refers to and that are older than the grace period.

    Writers may continue meanwhile. Anything in the files of --refs that could refer to an image
    keeps it: ids, URLs, hashes and references of any version, even inside text. If a file cannot be
    read to its end, nothing is deleted. The deleted files are listed on standard output.

    In an object store, such as s3://bucket/folder, the first run marks such images, and a run after
    the grace period deletes those that nobody stored again.
    """
    check_dir_name(image_dir)
    if refs is None:
        raise UsageError("give --refs with every file of records that may need an image")
    if grace < timedelta(0):
        raise UsageError("--grace takes a time of 0s or more")
    files = ReferenceFiles(refs, input_format_name)
    try:
        with open_engine(engine, jobs, address, image_dir) as opened:
            stats = collect_garbage(
                image_dir,
                EngineSearch(files, opened),
                grace=grace,
                dry_run=dry_run,
                allow_empty=allow_empty,
            )
    except OffloadError as error:
        output.error(error.message)
        return 2
    except RawMMError as error:
        if error.code == "no_references":
            raise UsageError(f"{error.message} (--allow-empty)") from None
        if not files.at[0]:  # of the store, such as one that takes no grace period
            raise UsageError(error.message) from None
        return files.refused(error)
    root = open_store(image_dir).root
    for name in stats.deleted:
        sys.stdout.write(f"{printable(f'{root}/{name}')}\n")
    sys.stdout.flush()
    _summary(stats, dry_run=dry_run)
    return 0


def _summary(stats: GarbageStats, *, dry_run: bool) -> None:
    """Print what was done: a table on a terminal, else a line."""
    freed = size(stats.bytes_freed)
    screen = console()
    if not screen.is_terminal:
        restored = f", {len(stats.restored)} restored" if stats.restored else ""
        marked = f", {stats.marked} marked to be deleted later" if stats.marked else ""
        left_out = ""
        if stats.elsewhere:
            references = counted(stats.elsewhere, "reference")
            left_out = f"; {references} to images elsewhere, not checked"
        output.info(
            "dry run: " if dry_run else "",
            f"{counted(len(stats.deleted), 'image')} deleted, {freed} freed, "
            f"{stats.referenced} referenced, {stats.young} within the grace period",
            f"{marked}{restored}{left_out}",
        )
        return
    table = summary_table()
    table.add_row("would be deleted" if dry_run else "deleted", f"{len(stats.deleted):,}", freed)
    table.add_row("referenced", f"{stats.referenced:,}")
    table.add_row("young", f"{stats.young:,}", "stored within the grace period")
    if stats.marked:
        table.add_row("marked", f"{stats.marked:,}", "a gc after the grace period deletes them")
    if stats.restored:
        table.add_row("restored", f"{len(stats.restored):,}", "an earlier gc was interrupted")
    if stats.elsewhere:
        table.add_row("elsewhere", f"{stats.elsewhere:,}", "references, not checked")
    screen.print(table)
