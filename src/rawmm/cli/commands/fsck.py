"""``rawmm fsck``: verifies the images of a directory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.image_dir import check_dir_name
from rawmm.cli.output import console, counted, summary_table
from rawmm.cli.references import (
    EngineSearch,
    InputFormat,
    ReferenceFiles,
    References,
    image_check_on,
)
from rawmm.cli.report import MaxErrors, Report, ReportFormat
from rawmm.errors import OffloadError, RawMMError, printable
from rawmm.store import WRONG, Progress, iter_findings

if TYPE_CHECKING:
    from rawmm.store import Finding, Kind

_KINDS: Final[dict[Kind, str]] = {
    "missing": "a record refers to them, but they do not exist",
    "corrupt": "their content does not match their names, or is not an image",
    "orphaned": "no record refers to them",
    "stale": "left behind by processes that died",
    "foreign": "their names are not those of stored images",
}

_OF_RECORDS: Final = frozenset({"missing", "orphaned"})
_OUTSIDE: Final = "references to images elsewhere, which were not checked"
_NOT_CHECKED: Final = "missing and orphaned images were not checked (give --refs)"


def fsck(
    image_dir: Annotated[
        str, Parameter(name="DIR", help="The image directory, or the URL of another store.")
    ],
    /,
    *,
    refs: References = None,
    repair: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Remove stale files, and restore images that an interrupted gc left renamed.",
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
    style: ReportFormat = "text",
    max_errors: MaxErrors = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Compare every file of an image directory with the hash in its name.

    The report lists corrupt files, stale files (left behind by a process that died) and foreign
    files (not named like a stored image). With --refs it also lists missing images and orphaned
    images, and counts references to images outside DIR, which are not checked. The exit code is 1
    if an image is missing or corrupt. No image is ever deleted.
    """
    check_dir_name(image_dir)
    files = None if refs is None else ReferenceFiles(refs, input_format_name)
    counts: Counter[str] = Counter()
    looked = Progress()
    failed: RawMMError | None = None
    with (
        Report(style, max_errors) as report,
        open_engine(engine, jobs, address, image_dir) as opened,
    ):
        try:
            for finding in iter_findings(
                image_dir,
                None if files is None else EngineSearch(files, opened),
                repair=repair,
                quarantine=quarantine,
                progress=looked,
                images=image_check_on(opened, image_dir, quarantine=quarantine),
            ):
                counts[finding.kind] += 1
                counts["repaired"] += finding.repaired
                _report(report, finding, files)
        except RawMMError as error:
            failed = error
            report.add_failure(printable(image_dir), error.message)
    if isinstance(failed, OffloadError):
        output.error(failed.message)
        return 2
    if failed is not None:
        if files is None or not files.at[0]:  # of the store, such as one that cannot be repaired
            output.error(failed.message)
            return 2
        return files.refused(failed)
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
        marked = f", {looked.marked} marked by gc" if looked.marked else ""
        repaired = f", {counts['repaired']} repaired" if counts["repaired"] else ""
        left_out = "" if referenced else f"; {_NOT_CHECKED}"
        if looked.outside:
            references = counted(looked.references, "reference")
            left_out = f"; {looked.outside} of {references} refer to images elsewhere, not checked"
        output.info(f"{counted(looked.images, 'image')}: {found}{marked}{repaired}{left_out}")
        return
    table = summary_table()
    table.add_row("images", f"{looked.images:,}")
    if referenced:
        table.add_row("references", f"{looked.references:,}")
    for kind in kinds:
        bad = kind in WRONG and counts[kind]
        table.add_row(kind, f"{counts[kind]:,}", _KINDS[kind], style="bold red" if bad else None)
    if referenced:
        table.add_row("outside", f"{looked.outside:,}", _OUTSIDE)
    if looked.marked:
        table.add_row("marked", f"{looked.marked:,}", "a later gc deletes them")
    if counts["repaired"]:
        table.add_row("repaired", f"{counts['repaired']:,}", style="bold green")
    screen.print(table)
    if not referenced:
        output.info((_NOT_CHECKED, "dim"))
