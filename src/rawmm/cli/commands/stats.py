"""``rawmm stats``: counts what files of records hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.bugs import bug_of
from rawmm.cli.commands.check import checker_of
from rawmm.cli.documents import decode_plain
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, FilesFormat, all_inputs
from rawmm.cli.output import UsageError, console, run_progress, size
from rawmm.cli.pieces import Piece, opened, pieces_of, size_of
from rawmm.cli.records import Input
from rawmm.cli.report import located
from rawmm.cli.statistics import Counting, Statistics
from rawmm.errors import RawMMError
from rawmm.parallel import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.cli.audit import Check
    from rawmm.cli.bugs import Bug
    from rawmm.parallel import Engine

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
    *files: Annotated[
        str, Parameter(help="Files, folders, patterns or bundles; - is standard input.")
    ],
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
    input_format_name: FilesFormat = None,
    column: Column = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Count the records, turns, tokens, images, forks and errors of files.

    Turns are sampled messages. Inline is the base64 text of images in records. Saved is what
    storing each distinct image once saves, or has saved: the base64 text of all images less the
    size of the distinct ones. Errors are those that rawmm check finds, by code. Those of records do
    not change the exit code; it is 1 if a file is damaged, and 2 if one cannot be read.
    """
    if not files:
        raise UsageError("nothing to count: give one or more files, or - for standard input")
    work_of(image_dir)  # says what is wrong with the option
    inputs = list(all_inputs(files, input_format_name, "--input-format", column))
    total, rows, code, unreadable = Statistics(), list[tuple[str, Statistics]](), 0, 0
    with open_engine(engine, jobs, address, image_dir) as opened_engine:
        for name, counted in _counted(inputs, opened_engine, image_dir):
            for error in counted.failures:
                code = max(code, _say(name, error))
            unreadable += any(isinstance(error, UsageError) for error in counted.failures)
            if counted.is_read:
                total.add(counted.found)
                rows.append((name, counted.found))
                if as_json:
                    _write_json({"file": name} | counted.found.as_dict())
    if as_json:
        _write_json({"files": len(rows), "unreadable": unreadable} | total.as_dict())
    else:
        if len(rows) > 1:
            rows.append((f"{len(rows)} files", total))
        _write_table(rows, total)
    return code


class Counted(NamedTuple):
    """What a piece of a file, or a file, holds.

    Attributes:
        found: the counts.
        failures: why the rest of it could not be read or counted; a bug in a record with its line.
        is_read: whether its records, or that it is damaged, were counted.
        lines, size: lines and bytes that were read.
    """

    found: Statistics
    failures: list[RawMMError | UsageError | tuple[int | None, Bug]]
    is_read: bool
    lines: int
    size: int


def work_of(image_dir: str | None) -> Callable[[Piece], tuple[Counted, None]]:
    """Return the function that counts what a piece holds. Runs in the processes of an engine.

    Raises:
        UsageError: `image_dir` names no store.
    """
    makers: dict[str | None, tuple[Check, Counting]] = {image_dir: _counting(image_dir)}

    def work(piece: Piece) -> tuple[Counted, None]:
        found, failures = Statistics(), list[Any]()
        place = piece.given.bundle if image_dir is None else image_dir
        if place not in makers:
            makers[place] = _counting(place)
        check, counting = makers[place]
        with opened(piece) as reader:
            for record in reader:
                found.records += 1
                codes = []
                try:
                    codes = [
                        one.code
                        for one in check(record, reader.form)
                        if isinstance(one, RawMMError)
                    ]
                    counting.count(decode_plain(record.data, reader.form), found)
                except RawMMError:
                    pass  # malformed, which the check has said
                except Exception as error:  # noqa: BLE001  (a bug in a record does not affect others)
                    failures.append((record.line, bug_of(error)))
                found.errors.update(codes)
                found.with_errors += bool(codes)
            if reader.failure is not None:
                failures.append(reader.failure)
            is_read = reader.failure is None or found.records > 0
            if isinstance(reader.failure, RawMMError):  # counted as `check` does
                found.errors[reader.failure.code] += 1
                is_read = True
            return Counted(found, failures, is_read, reader.lines, reader.done), None

    return work


def _counting(image_dir: str | None) -> tuple[Check, Counting]:
    store = None if image_dir is None else open_store(image_dir)
    return checker_of(None, image_dir, require_images=False), Counting(store)


def _counted(
    inputs: list[tuple[str, Input | UsageError]], engine: Engine, image_dir: str | None
) -> Iterator[tuple[str, Counted]]:
    """What each file holds, in order."""
    begun: list[int] = []

    def pieces() -> Iterator[Piece]:
        for number, (name, given) in enumerate(inputs):
            if isinstance(given, UsageError):
                begun.append(number)
                yield Piece(Input(name, None, ""), shipped=(), failure=given)
                continue
            for piece in pieces_of(given, alone=engine.workers == 1):
                begun.append(number)
                yield piece

    total = sum(size_of(given) for _, given in inputs if not isinstance(given, UsageError))
    done = records = 0
    current = Counted(Statistics(), [], is_read=False, lines=0, size=0)
    at = 0
    with run_progress("stats", total) as advance:
        for outcome in in_order(engine.map(work_of, (image_dir,), pieces())):
            while at < begun[outcome.number]:
                yield inputs[at][0], current
                current, at = Counted(Statistics(), [], is_read=False, lines=0, size=0), at + 1
            part: Counted | None = outcome.result
            if part is None:
                current.failures.append(UsageError(f"{inputs[at][0]}: {outcome.lost}"))
                continue
            current.found.add(part.found)
            for failure in part.failures:
                if isinstance(failure, tuple) and failure[0] is not None:
                    current.failures.append((failure[0] + current.lines, failure[1]))
                else:
                    current.failures.append(failure)
            current = current._replace(
                is_read=current.is_read or part.is_read, lines=current.lines + part.lines
            )
            done += part.size
            records += part.found.records
            advance(done, records, 0)
    for name, _ in inputs[at:]:
        yield name, current
        current = Counted(Statistics(), [], is_read=False, lines=0, size=0)


def _say(name: str, error: Any) -> int:
    """Print a failure; return the exit code that it demands."""
    if isinstance(error, RawMMError):
        console(for_errors=True).print(located(name, None, error))
        return 1
    if isinstance(error, UsageError):
        output.error(str(error))
    elif isinstance(error, tuple):
        line, bug = error
        output.error(f"{name}:{line or 1}: {bug}")
    else:
        output.error(f"{name}: {error}")
    return 2


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
