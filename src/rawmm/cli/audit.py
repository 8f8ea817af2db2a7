"""Checks pieces of files, and merges what was found to the report of one process.

`work_of` is what runs in the processes of an engine. Its results merge in any order: a piece knows
neither how many lines are before it nor what other pieces found.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from rawmm.checks import NotChecked
from rawmm.cli import output
from rawmm.cli.bugs import Bug, bug_of
from rawmm.cli.output import UsageError, counted, run_progress
from rawmm.cli.pieces import Piece, lines_of, opened, pieces_of, size_of
from rawmm.cli.records import Input
from rawmm.cli.writer import Target
from rawmm.parallel import in_order
from rawmm.versions import DeprecatedField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.checks import Note
    from rawmm.cli.records import Format, Record
    from rawmm.cli.report import Report
    from rawmm.errors import RawMMError
    from rawmm.parallel import Engine, Outcome

    Check: TypeAlias = Callable[[Record, Format], Iterator["RawMMError | Note | Ignored"]]
    Found: TypeAlias = tuple[int | None, RawMMError | Bug]

FINDINGS_AT_ONCE: Final = 1000
"""Findings after which the rest of a piece is another part, so that memory is bounded."""
FIRST_PLACES: Final = 3
"""Places that a summary lists for each code."""


class Place(NamedTuple):
    """Where an error is. Sorts as the report does.

    Attributes:
        file: the index of the file.
        line: the record, as `Record.line`; 0 if the file is one document.
        order: the index of the error among those of its record.
        path: in the record.
    """

    file: int
    line: int
    order: int
    path: str


class Ignored(NamedTuple):
    """Stands for an error that the project's configuration ignores."""

    code: str


class Codes:
    """Counts errors by code, and keeps the first places of each.

    Adding two is commutative and associative, so the order of pieces does not matter.
    """

    def __init__(self, most: int = FIRST_PLACES) -> None:
        self._most = most
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[Place]] = {}

    def add(self, code: str, place: Place) -> None:
        """Count an error."""
        self.counts[code] += 1
        places = self.first.setdefault(code, [])
        if len(places) < self._most or place < places[-1]:
            self.first[code] = sorted([*places, place])[: self._most]

    def merge(self, other: Codes, file: int, lines: int) -> None:
        """Add what was counted in a piece of a file that has `lines` lines before it."""
        self.counts += other.counts
        for code, places in other.first.items():
            moved = [one._replace(file=file, line=one.line + lines) for one in places]
            self.first[code] = sorted([*self.first.get(code, ()), *moved])[: self._most]

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Counts and places by code, sorted by code."""
        return {
            code: {
                "count": self.counts[code],
                "first": [
                    {"file": names[place.file], "line": place.line or None, "path": place.path}
                    for place in self.first[code]
                ],
            }
            for code in sorted(self.counts)
        }


class Checked(NamedTuple):
    """What was found in a part of a piece.

    Attributes:
        records: records checked.
        errors: errors found.
        found: the first findings, up to a limit, and all bugs: with the line in the piece.
        codes: all errors by code.
        not_checked, deprecated, ignored: as in the report.
        lines: lines of the part, if later parts do not know of them.
        size: bytes of the file that were read.
        failure: why the rest of the file could not be read.
    """

    records: int
    errors: int
    found: list[Found]
    codes: Codes
    not_checked: NotChecked
    deprecated: Counter[DeprecatedField]
    ignored: Counter[str]
    lines: int
    size: int
    failure: RawMMError | UsageError | Bug | None


def work_of(
    make_check: Callable[..., Check], args: tuple[Any, ...], most: int
) -> Callable[[Piece], tuple[Checked, Piece | None]]:
    """Return the function that checks a piece.

    Args:
        make_check: called with `args`; returns the check of one record. The first two arguments
            are the type and the image directory, which those of a file replace.
        args: values that can be pickled.
        most: findings of a piece to return; 0 for all.
    """
    kind, image_dir, *options = args
    checks: dict[tuple[str | None, str | None], Check] = {(kind, image_dir): make_check(*args)}

    def work(piece: Piece) -> tuple[Checked, Piece | None]:
        given = piece.given
        own = given.type_name or kind, given.image_dir or image_dir
        if own not in checks:
            checks[own] = make_check(*own, *options)
        check = checks[own]
        records = errors = 0
        found: list[Found] = []
        codes = Codes()
        not_checked, deprecated = NotChecked(), Counter[DeprecatedField]()
        ignored = Counter[str]()
        with opened(piece) as reader:
            for record in reader:
                records += 1
                order = 0
                for finding in findings(check, record, reader.form):
                    if isinstance(finding, NotChecked):
                        not_checked = not_checked.plus(finding)
                    elif isinstance(finding, DeprecatedField):
                        deprecated[finding] += 1
                    elif isinstance(finding, Ignored):
                        ignored[finding.code] += 1
                    elif isinstance(finding, Bug):
                        found.append((record.line, finding))
                    else:
                        errors += 1
                        if not most or errors <= most:
                            found.append((record.line, finding))
                        codes.add(finding.code, Place(0, record.line or 0, order, finding.path))
                        order += 1
                if len(found) >= FINDINGS_AT_ONCE and piece.shipped is None:
                    rest = reader.rest()
                    break
            else:
                rest = None
            failure = reader.failure if rest is None else None
            return Checked(
                records, errors, found, codes, not_checked, deprecated, ignored,
                reader.lines, reader.done, failure,
            ), rest  # fmt: skip

    return work


def findings(
    check: Check, record: Record, form: Format
) -> Iterator[RawMMError | Note | Ignored | Bug]:
    """The findings of a record. A bug ends the check of that record only."""
    try:
        yield from check(record, form)
    except Exception as error:  # noqa: BLE001  (a bug in one record does not affect others)
        yield bug_of(error)


class Audit:
    """Checks files on an engine, and writes the report, in the order of the files.

    Args:
        inputs: the files by their names in messages, as `all_inputs` gives them.
        engine: where the work is done.
        report: what is written.
    """

    def __init__(
        self, inputs: list[tuple[str, Input | UsageError]], engine: Engine, report: Report
    ) -> None:
        self._inputs = inputs
        self._engine = engine
        self._report = report
        self._codes = Codes()
        self._begun: dict[int, tuple[int, Piece]] = {}
        self._file = -1
        self._lines = 0
        self._piece_lines = 0
        self._records_before = 0
        self._failed = False
        self._unreadable = ""
        self._done = 0

    def run(self, make_check: Callable[..., Check], args: tuple[Any, ...]) -> None:
        """Check all files. `make_check` and `args` are those of `work_of`."""
        work = (make_check, args, self._report.most)
        total = sum(
            size_of(given) for _, given in self._inputs if not isinstance(given, UsageError)
        )
        with run_progress("check", total) as advance:
            for outcome in in_order(self._engine.map(work_of, work, self._pieces())):
                self._add(outcome)
                advance(self._done, self._report.records, self._report.errors)
        self._end_files(len(self._inputs))

    def so_far(self) -> str:
        """What was done, for a message."""
        report = self._report
        return (
            f"{counted(report.files, 'file')} of {len(self._inputs)}, "
            f"{counted(report.records, 'record')}, {counted(report.errors, 'error')}"
        )

    def as_json(self) -> dict[str, Any]:
        """The summary. The same for every engine, as it has no times."""
        report = self._report
        names = [name for name, _ in self._inputs]
        return {
            "files": report.files,
            "unreadable": report.unreadable,
            "lost": report.lost,
            "records": report.records,
            "errors": report.errors,
            "internal_errors": report.bugs,
            "ignored": dict(sorted(report.ignored.items())),
            "images_not_checked": sum(report.not_checked),
            "deprecated": {one.name: n for one, n in sorted(report.deprecated.items())},
            "codes": self._codes.as_json(names),
        }

    def _pieces(self) -> Iterator[Piece]:
        number = 0
        for file, (name, given) in enumerate(self._inputs):
            if isinstance(given, UsageError):
                pieces = iter([Piece(Input(name, None, ""), shipped=(), failure=given)])
            else:
                pieces = pieces_of(given, alone=self._engine.workers == 1)
            for piece in pieces:
                # Without its records, which may be many.
                self._begun[number] = file, piece._replace(shipped=() if piece.shipped else None)
                number += 1
                yield piece

    def _add(self, outcome: Outcome[Checked]) -> None:
        file, piece = self._begun[outcome.number]
        if outcome.last:
            del self._begun[outcome.number]
        self._end_files(file)
        if outcome.result is None:
            self._add_lost(piece, outcome.lost or "")
        else:
            self._add_checked(file, outcome.result)
        if outcome.last:
            self._piece_lines = 0

    def _end_files(self, file: int) -> None:
        """End the files before one, and begin it."""
        while self._file < file:
            if (
                self._file >= 0
                and not self._failed
                and self._records_before == self._report.records
            ):
                output.info(f"{self._inputs[self._file][0]}: no records")
            self._file += 1
            if self._file < len(self._inputs):
                self._report.begin_file(self._inputs[self._file][0])
            self._lines = self._piece_lines = 0
            self._failed = False
            self._unreadable = ""
            self._records_before = self._report.records

    def _add_checked(self, file: int, checked: Checked) -> None:
        report, name = self._report, self._inputs[file][0]
        report.records += checked.records
        for line, finding in checked.found:
            at = None if line is None else line + self._lines
            if isinstance(finding, Bug):
                report.add_bug(name, at, finding)
            else:
                report.add(name, at, finding)
        report.add_unlisted(checked.errors - sum(
            not isinstance(finding, Bug) for _, finding in checked.found
        ))  # fmt: skip
        report.not_checked = report.not_checked.plus(checked.not_checked)
        report.deprecated += checked.deprecated
        report.ignored += checked.ignored
        self._codes.merge(checked.codes, file, self._lines)
        self._lines += checked.lines
        self._piece_lines += checked.lines
        self._done += checked.size
        if checked.failure is not None:
            self._failed = True
            self._add_failure(file, checked.failure)

    def _add_failure(self, file: int, failure: RawMMError | UsageError | Bug) -> None:
        report, name = self._report, self._inputs[file][0]
        if isinstance(failure, UsageError):
            if self._unreadable != str(failure):  # each piece of a file may say the same
                report.add_unreadable(name, failure)
            self._unreadable = str(failure)
        elif isinstance(failure, Bug):
            report.add_bug(name, None, failure)
        else:  # the file is empty, damaged or of another type
            report.add(name, None, failure)
            self._codes.merge(_one(failure), file, 0)

    def _add_lost(self, piece: Piece, why: str) -> None:
        given = piece.given
        where = ""
        if piece.shipped is None and not piece.is_whole:
            where = f"bytes {piece.begin} to {'the end' if piece.end is None else piece.end}: "
            if given.format() == "jsonl":
                with suppress(UsageError):  # it is gone, too
                    self._lines += lines_of(piece) - self._piece_lines
        self._failed = True
        self._report.add_lost(given.name, f"{where}{why}")


def _one(error: RawMMError) -> Codes:
    codes = Codes()
    codes.add(error.code, Place(0, getattr(error, "line", None) or 0, 0, error.path))
    return codes


def write_summary(path: str, summary: dict[str, Any]) -> None:
    """Write a summary as JSON, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    with Target(path, durable=False) as target:
        target.write(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
