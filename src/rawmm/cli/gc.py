"""``rawmm gc``: delete the images that no record names."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from rawmm.cli.output import UsageError, complain, console, counted, printable, say, size
from rawmm.cli.references import InputFormat, ReferenceFiles, References, check_named
from rawmm.errors import OffloadError, RawMMError
from rawmm.store import GRACE, collect_garbage, open_store

if TYPE_CHECKING:
    from rawmm.store import GarbageStats


def gc(
    image_dir: Annotated[str, Parameter(name="DIR", help="The image directory.")],
    /,
    *,
    refs: References = None,
    grace: Annotated[
        timedelta,
        Parameter(
            help="How long an image stays after it was last stored, e.g. 90m, 12h or 2w. Give more "
            "than passes from an image to the record that names it.",
            show_default=lambda _: "1d",
        ),
    ] = GRACE,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Delete nothing: list what would be.")
    ] = False,
    allow_empty: Annotated[
        bool,
        Parameter(negative=(), help="Go on if the records name none of the images."),
    ] = False,
    input_format_name: InputFormat = None,
) -> int:
    """Delete images that no record in FILES names and that are older than a grace.

    Writers may go on. Everything in the files that could name an image keeps it: ids, URLs, hashes,
    references of any version, also inside of texts. If one file cannot be read to its end, nothing
    is deleted. The files that were deleted are listed on standard output.
    """
    check_named(image_dir)
    if refs is None:
        raise UsageError(
            "give --refs: all files of records that may need an image; age alone deletes none"
        )
    if grace < timedelta(0):
        raise UsageError("--grace takes a time from 0s")
    files = ReferenceFiles(refs, input_format_name)
    try:
        stats = collect_garbage(
            image_dir, files.records(), grace=grace, dry_run=dry_run, allow_empty=allow_empty
        )
    except OffloadError as error:
        complain(error.message)
        return 2
    except RawMMError as error:
        if error.code == "no_references":
            raise UsageError(f"{error.message} (--allow-empty)") from None
        return files.refused(error)
    root = open_store(image_dir).root
    for name in stats.deleted:
        sys.stdout.write(f"{printable(f'{root}/{name}')}\n")
    sys.stdout.flush()
    _summary(stats, dry_run=dry_run)
    return 0


def _summary(stats: GarbageStats, *, dry_run: bool) -> None:
    """What was done, on standard error: a table on a terminal, else a line."""
    freed = size(stats.bytes_freed)
    screen = console()
    if not screen.is_terminal:
        restored = f", {len(stats.restored)} put back" if stats.restored else ""
        left_out = ""
        if stats.elsewhere:
            references = counted(stats.elsewhere, "reference")
            left_out = f"; {references} to images that are not here, not looked for"
        say(
            "dry run: " if dry_run else "",
            f"{counted(len(stats.deleted), 'image')} deleted, {freed} freed, "
            f"{stats.referenced} referenced, {stats.young} younger than the grace",
            f"{restored}{left_out}",
        )
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("would be deleted" if dry_run else "deleted", f"{len(stats.deleted):,}", freed)
    table.add_row("referenced", f"{stats.referenced:,}")
    table.add_row("young", f"{stats.young:,}", "stored within the grace")
    if stats.restored:
        table.add_row("put back", f"{len(stats.restored):,}", "a gc was stopped before")
    if stats.elsewhere:
        table.add_row("elsewhere", f"{stats.elsewhere:,}", "references, not looked for")
    screen.print(table)
