"""``rawmm fsck``: is every image of a directory there, and is it the image?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.table import Table

from rawmm.cli.output import complain, console, counted, printable, say
from rawmm.cli.references import InputFormat, ReferenceFiles, References, check_named
from rawmm.cli.report import MaxErrors, Report, Style
from rawmm.errors import OffloadError, RawMMError
from rawmm.store import WRONG, Progress, iter_findings

if TYPE_CHECKING:
    from rawmm.store import Finding, Kind

_KINDS: Final[dict[Kind, str]] = {
    "missing": "a record names them, and they are not there",
    "corrupt": "their bytes are not those of their names, or no images",
    "orphaned": "no record names them",
    "stale": "left behind by processes that died",
    "foreign": "of names that no store gives",
}

_OF_RECORDS: Final = frozenset({"missing", "orphaned"})
_OUTSIDE: Final = "references to other places, where nothing was looked for"
_NOT_LOOKED_FOR: Final = "missing and orphaned images were not looked for (give --refs)"


def fsck(
    image_dir: Annotated[str, Parameter(name="DIR", help="The image directory.")],
    /,
    *,
    refs: References = None,
    repair: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Remove stale files. An image that a gc was about to delete when it was stopped "
            "gets its name back.",
        ),
    ] = False,
    quarantine: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Rename corrupt files to .corrupt-…, so that their images can be stored again.",
        ),
    ] = False,
    input_format_name: InputFormat = None,
    style: Annotated[
        Style,
        Parameter(
            name="--format",
            help="Format of the report: lines of text, JSON Lines, or annotations for GitHub.",
        ),
    ] = "text",
    max_errors: MaxErrors = None,
) -> int:
    """Compare every file of an image directory with the hash in its name.

    Lists files that are corrupt, stale (left behind by a process that died) and foreign (of a
    name that no store gives), and with --refs images that are missing, orphaned or outside (of
    another place than DIR, where nothing is looked for). Exit code 1 is for missing and corrupt
    images. No image is ever deleted.
    """
    check_named(image_dir)
    files = None if refs is None else ReferenceFiles(refs, input_format_name)
    report = Report(style, max_errors)
    counts: Counter[str] = Counter()
    looked = Progress()
    try:
        for finding in iter_findings(
            image_dir,
            None if files is None else files.records(),
            repair=repair,
            quarantine=quarantine,
            progress=looked,
        ):
            counts[finding.kind] += 1
            counts["repaired"] += finding.repaired
            _report(report, finding, files)
    except OffloadError as error:
        report.flush()
        complain(error.message)
        return 2
    except RawMMError as error:
        report.flush()
        if files is None:
            raise
        return files.refused(error)
    report.flush()
    _summary(counts, looked, referenced=files is not None)
    return 1 if any(counts[kind] for kind in WRONG) else 0


def _report(report: Report, finding: Finding, files: ReferenceFiles | None) -> None:
    file, line = printable(str(finding.file)), None
    if finding.record is not None and files is not None:
        file, line = files.places[finding.record]
    report.add(file, line, finding.error, "error" if finding.kind in WRONG else "notice")


def _summary(counts: Counter[str], looked: Progress, *, referenced: bool) -> None:
    """What was found, on standard error: a table on a terminal, else a line."""
    kinds = [kind for kind in _KINDS if referenced or kind not in _OF_RECORDS]
    screen = console()
    if not screen.is_terminal:
        found = ", ".join(f"{counts[kind] or 'no'} {kind}" for kind in kinds)
        repaired = f", {counts['repaired']} set right" if counts["repaired"] else ""
        left_out = "" if referenced else f"; {_NOT_LOOKED_FOR}"
        if looked.outside:
            references = counted(looked.references, "reference")
            left_out = f"; {looked.outside} of {references} lead outside and were not looked for"
        say(f"{counted(looked.images, 'image')}: {found}{repaired}{left_out}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("images", f"{looked.images:,}")
    if referenced:
        table.add_row("references", f"{looked.references:,}")
    for kind in kinds:
        bad = kind in WRONG and counts[kind]
        table.add_row(kind, f"{counts[kind]:,}", _KINDS[kind], style="bold red" if bad else None)
    if referenced:
        table.add_row("outside", f"{looked.outside:,}", _OUTSIDE)
    if counts["repaired"]:
        table.add_row("set right", f"{counts['repaired']:,}", style="bold green")
    screen.print(table)
    if not referenced:
        say((_NOT_LOOKED_FOR, "dim"))
