"""The report of `check` and `fsck`: errors on standard output, a summary on standard error."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Self, TypeAlias

from cyclopts import Parameter

from rawmm.checks import NotChecked
from rawmm.cli import output
from rawmm.cli.malformed import MalformedJsonError
from rawmm.cli.output import UsageError, counted
from rawmm.cli.records import BrokenSourceError
from rawmm.cli.styles import WRITERS, Level, Location, Style, error_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from rawmm.cli.bugs import Bug
    from rawmm.errors import RawMMError
    from rawmm.versions import DeprecatedField

ReportFormat: TypeAlias = Annotated[
    Style,
    Parameter(
        name="--format",
        help="Format of the report: text, JSON Lines, GitHub annotations, SARIF or JUnit XML.",
    ),
]
MaxErrors: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="Errors to list, in all files together; 0 lists all. The default is 20 as text and "
        "all in the other formats.",
    ),
]

_MOST_AS_TEXT: Final = 20


def location_of(file: str, line: int | None, error: RawMMError | None = None) -> Location:
    """The location of an error in a record that begins at `line` of its file."""
    if isinstance(error, MalformedJsonError):
        return Location(file, (line or 1) + error.fault.line - 1, error.fault.column)
    if isinstance(error, BrokenSourceError):
        return Location(file, error.line)
    return Location(file, line)


class Report:
    """Prints up to `most` errors as they are found, and counts the rest.

    Use it as a context: a document such as SARIF is complete after the end only.

    Raises:
        UsageError: `most` is negative.
    """

    def __init__(self, style: Style, most: int | None) -> None:
        if most is not None and most < 0:
            raise UsageError("--max-errors takes 0, which lists all, or a positive number")
        self.most = (_MOST_AS_TEXT if style == "text" else 0) if most is None else most
        self._writer = WRITERS[style]()
        self.files = 0
        self.unreadable = 0
        self.lost = 0
        self.records = 0
        self.errors = 0
        self.bugs = 0
        self.not_checked = NotChecked()
        self.deprecated: Counter[DeprecatedField] = Counter()
        self.ignored: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the document, and print how many errors were not listed."""
        if kind is None or issubclass(kind, Exception):
            notices = [_not_checked_text(self.not_checked), *_deprecated_texts(self.deprecated)]
            notices.append(_ignored_text(self.ignored))
            self._writer.end("; ".join(filter(None, notices)))
            sys.stdout.flush()
            if self.most and self.errors > self.most:
                output.info(f"… {self.errors - self.most} more (--max-errors 0 lists all)")

    def begin_file(self, name: str) -> None:
        """A file is about to be checked."""
        self.files += 1
        self._writer.begin_file(name)

    def add(self, file: str, line: int | None, error: RawMMError, level: Level = "error") -> None:
        """Report an error of a record or file. Notices count as errors."""
        self.errors += 1
        if not self.most or self.errors <= self.most:
            self._writer.finding(location_of(file, line, error), error, level)

    def add_unlisted(self, number: int) -> None:
        """Count errors that are beyond those to list."""
        self.errors += number

    def add_lost(self, file: str, message: str) -> None:
        """Report a part of a file that no process could check, on standard error, too."""
        self.lost += 1
        self.add_failure(file, message)
        output.error(f"{file}: {message}")

    def add_unreadable(self, file: str, error: UsageError) -> None:
        """Report that a file cannot be read, on standard error, too."""
        self.unreadable += 1
        self.add_failure(file, str(error))
        output.error(str(error))

    def add_failure(self, file: str, message: str) -> None:
        """Note in the report that the check of a file or directory was given up."""
        self._writer.failure(Location(file, None), message)

    def add_bug(self, file: str, line: int | None, bug: Bug) -> None:
        """Report that a record or file could not be checked, on standard error, too."""
        self.bugs += 1
        self._writer.failure(Location(file, line), str(bug))
        output.error(f"{location_of(file, line)}: {bug}")

    def summary(self) -> None:
        """Print what was checked, and what was not."""
        not_checked = _not_checked_text(self.not_checked)
        ignored = _ignored_text(self.ignored)
        for text in _deprecated_texts(self.deprecated):
            output.info(f"note: {text}")
        colour = "bold red" if self.errors else "bold green"
        output.info(
            f"{counted(self.files, 'file')}, {counted(self.records, 'record')}, ",
            (counted(self.errors, "error"), colour),
            (f", {self.unreadable} unreadable" if self.unreadable else "", "bold red"),
            (f", {counted(self.lost, 'part')} not checked" if self.lost else "", "bold red"),
            (f", {counted(self.bugs, 'internal error')}" if self.bugs else "", "bold red"),
            (f", {ignored}" if ignored else "", "bold yellow"),
            (f", {not_checked}" if not_checked else "", "bold yellow"),
        )


def _not_checked_text(number: NotChecked) -> str:
    parts = []
    if number.files:
        parts.append(f"{counted(number.files, 'image')} not checked (give --image-dir)")
    if number.elsewhere:
        parts.append(
            f"{counted(number.elsewhere, 'image')} not checked (neither inline nor a file:// URL)"
        )
    return ", ".join(parts)


def _ignored_text(numbers: Counter[str]) -> str:
    if not numbers:
        return ""
    return f"{numbers.total():,} ignored ({', '.join(sorted(numbers))})"


def _deprecated_texts(numbers: Counter[DeprecatedField]) -> Iterator[str]:
    for field, number in sorted(numbers.items()):
        has = "has" if number == 1 else "have"
        yield f"{counted(number, 'record')} {has} {field.name}, deprecated since {field.since}"


def located(file: str, line: int | None, error: RawMMError) -> Text:
    """``file:line:column::$.path: message [code]``, in colours for a terminal."""
    return error_text(location_of(file, line, error), error)
