"""``rawmm stats``: counts what files of records hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.bugs import bug_of
from rawmm.cli.commands.check import checker_of
from rawmm.cli.documents import decode_plain
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, all_inputs
from rawmm.cli.output import UsageError, console, progress, size
from rawmm.cli.records import FileFormat, open_source
from rawmm.cli.report import located
from rawmm.cli.statistics import Counting, Statistics
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.audit import Check
    from rawmm.cli.records import Input, Source

_HEAD: Final = (
    "records",
    "turns",
    "tokens",
    "images",
    "distinct",
    "inline",
    "saved",
    "forks",
    "errors",
)


def stats(
    *files: Annotated[str, Parameter(help="Files, folders or patterns; - is standard input.")],
    image_dir: Annotated[
        str | None,
        Parameter(help="The image directory, to count what stored images save, too."),
    ] = None,
    as_json: Annotated[
        bool,
        Parameter(
            name="--json", negative=(), help="Write one JSON object for each file, and one for all."
        ),
    ] = False,
    input_format_name: Annotated[
        FileFormat | None,
        Parameter(
            name="--input-format", help="Format of the files, by default that of their extension."
        ),
    ] = None,
    column: Column = None,
) -> int:
    """Count the records, turns, tokens, images, forks and errors of files.

    Turns are sampled messages. Inline is the base64 text of images in records. Saved is what
    storing each distinct image once saves, or has saved: the base64 text of all images less the
    size of the distinct ones. Errors are those that rawmm check finds, by code; they do not change
    the exit code.
    """
    if not files:
        raise UsageError("nothing to count: give one or more files, or - for standard input")
    store = None if image_dir is None else open_store(image_dir)
    counter = _Counter(checker_of(None, image_dir, require_images=False), Counting(store))
    total, rows, failed = Statistics(), list[tuple[str, Statistics]](), 0
    for name, given in all_inputs(files, input_format_name, "--input-format", column):
        try:
            found = counter.of_file(given)
        except UsageError as error:
            output.error(str(error))
            failed = 2
            continue
        except RawMMError as error:
            console(for_errors=True).print(located(name, None, error))
            failed = failed or 1
            continue
        total.add(found)
        rows.append((name, found))
        if as_json:
            _write_json({"file": name} | found.as_dict())
    if as_json:
        _write_json({"files": len(rows)} | total.as_dict())
    else:
        if len(rows) > 1:
            rows.append((f"{len(rows)} files", total))
        _write_table(rows, total)
    return 2 if counter.bugs else failed


class _Counter:
    """Counts what the files hold. `bugs` counts records that could not be checked."""

    def __init__(self, check: Check, counting: Counting) -> None:
        self.bugs = 0
        self._check = check
        self._counting = counting

    def of_file(self, given: Input | UsageError) -> Statistics:
        """What a file holds.

        Raises:
            UsageError: it cannot be read.
            RawMMError: it is damaged, or of another type.
        """
        if isinstance(given, UsageError):
            raise given
        found = Statistics()
        with open_source(given) as source, progress(given.name, source.size) as advance:
            for _ in self._counted(source, found):
                advance(source.done)
        return found

    def _counted(self, source: Source, found: Statistics) -> Iterator[None]:
        for record in source.records(may_be_empty=True):
            found.records += 1
            codes = []
            try:
                codes = [
                    one.code
                    for one in self._check(record, source.form)
                    if isinstance(one, RawMMError)
                ]
                self._counting.count(decode_plain(record.data, source.form), found)
            except RawMMError:
                pass  # malformed, which the check has said
            except Exception as error:  # noqa: BLE001  (a bug in one record does not affect others)
                self.bugs += 1
                output.error(f"{source.name}:{record.line or 1}: {bug_of(error)}")
            found.errors.update(codes)
            found.with_errors += bool(codes)
            yield


def _write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _write_table(rows: list[tuple[str, Statistics]], total: Statistics) -> None:
    cells = [("file", *_HEAD)] + [(name, *_cells(found)) for name, found in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, *numbers in cells:
        columns = [name.ljust(widths[0])]
        columns += [one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True)]
        sys.stdout.write("  ".join(columns).rstrip() + "\n")
    for code, number in sorted(total.errors.items(), key=lambda pair: (-pair[1], pair[0])):
        sys.stdout.write(f"{code}: {number:,}\n")


def _cells(found: Statistics) -> tuple[str, ...]:
    return (
        f"{found.records:,}",
        f"{found.turns:,}",
        f"{found.tokens:,}",
        f"{found.images:,}",
        f"{len(found.sizes):,}",
        size(found.inline_bytes),
        size(found.saved),
        f"{found.forks:,}",
        f"{found.errors.total():,}",
    )
