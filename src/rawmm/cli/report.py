"""The report of `check` and `fsck`: errors on standard output, a summary on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, TypeAlias

from cyclopts import Parameter
from rich.text import Text

from rawmm.cli import output
from rawmm.cli.images import NotChecked
from rawmm.cli.malformed import MalformedJsonError
from rawmm.cli.output import UsageError, console, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.bugs import Bug
    from rawmm.cli.records import Record
    from rawmm.errors import RawMMError

Style: TypeAlias = Literal["text", "json", "github"]
Level: TypeAlias = Literal["error", "notice"]
ReportFormat: TypeAlias = Annotated[
    Style,
    Parameter(
        name="--format", help="Format of the report: text, JSON Lines, or GitHub annotations."
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
# https://docs.github.com/actions/reference/workflow-commands-for-github-actions; the runner
# undoes these escapes (actions/toolkit, packages/core/src/command.ts).
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_DATA: Final = str.maketrans(_DATA)
_GITHUB_PROPERTY: Final = str.maketrans({**_DATA, ":": "%3A", ",": "%2C"})


class Location(NamedTuple):
    """A file, and the line and column if known."""

    file: str
    line: int | None
    column: int | None = None

    def __str__(self) -> str:
        """``file``, ``file:line`` or ``file:line:column``."""
        return ":".join(str(part) for part in self if part is not None)


def location_of(file: str, line: int | None, error: RawMMError | None = None) -> Location:
    """The location of an error in a record that begins at `line` of its file."""
    if isinstance(error, MalformedJsonError):
        return Location(file, (line or 1) + error.fault.line - 1, error.fault.column)
    return Location(file, line)


class Report:
    """Prints up to `most` errors as they are found, and counts the rest.

    Styles: ``text`` is ``file:line:column::$.path: message [code]``; ``json`` is JSON Lines, one
    object per error with file, line, column, path, code, message, expected, got, hint and level
    (or null); ``github`` is one workflow command per error.

    Raises:
        UsageError: `most` is negative.
    """

    def __init__(self, style: Style, most: int | None) -> None:
        if most is not None and most < 0:
            raise UsageError("--max-errors takes 0, which lists all, or a positive number")
        self._style = style
        self._most = (_MOST_AS_TEXT if style == "text" else 0) if most is None else most
        self._write = {"text": _write_text, "json": _write_json, "github": _write_github}[style]
        self.files = 0
        self.unreadable = 0
        self.records = 0
        self.errors = 0
        self.bugs = 0
        self.not_checked = NotChecked()

    def counting(self, records: Iterator[Record]) -> Iterator[Record]:
        """Count the records of an iterator."""
        for record in records:
            self.records += 1
            yield record

    def add(self, file: str, line: int | None, error: RawMMError, level: Level = "error") -> None:
        """Report an error of a record or file. Notices count as errors."""
        self.errors += 1
        if not self._most or self.errors <= self._most:
            self._write(location_of(file, line, error), error, level)

    def add_bug(self, file: str, line: int | None, bug: Bug) -> None:
        """Report that a record or file could not be checked, on standard error."""
        self.bugs += 1
        output.error(f"{location_of(file, line)}: {bug}")

    def flush(self) -> None:
        """Flush, and print how many errors were not listed."""
        sys.stdout.flush()
        if self._most and self.errors > self._most:
            output.info(f"… {self.errors - self._most} more (--max-errors 0 lists all)")

    def finish(self) -> None:
        """Print the summary; for programs, also a notice of what was not checked."""
        not_checked = _not_checked_text(self.not_checked)
        if not_checked and self._style != "text":
            _WRITE_NOTICE[self._style](not_checked)
        self.flush()
        colour = "bold red" if self.errors else "bold green"
        output.info(
            f"{counted(self.files, 'file')}, {counted(self.records, 'record')}, ",
            (counted(self.errors, "error"), colour),
            (f", {self.unreadable} unreadable" if self.unreadable else "", "bold red"),
            (f", {counted(self.bugs, 'internal error')}" if self.bugs else "", "bold red"),
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


def error_text(file: str, line: int | None, error: RawMMError) -> Text:
    """``file:line:column::$.path: message [code]``, in colours for a terminal."""
    return _text(location_of(file, line, error), error)


def _text(location: Location, error: RawMMError) -> Text:
    return Text.assemble(
        (str(location), "bold"),
        "::",
        (error.path, "cyan"),
        f": {error.message} ",
        (f"[{error.code}]", "red"),
    )


def _write_text(location: Location, error: RawMMError, _: Level) -> None:
    if sys.stdout.isatty():
        console(stderr=False).print(_text(location, error))
    else:
        sys.stdout.write(f"{location}::{error}\n")


def _write_json(location: Location, error: RawMMError, level: Level) -> None:
    fields = {
        **location._asdict(),
        "path": error.path,
        "code": error.code,
        "message": error.message,
        "expected": error.expected,
        "got": error.got,
        "hint": error.hint,
        "level": level,
    }
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _write_github(location: Location, error: RawMMError, level: Level) -> None:
    line = "" if location.line is None else f",line={location.line}"
    column = "" if location.column is None else f",col={location.column}"
    text = f"{error.path}: {error.message}"
    title = f"rawmm {error.code}"
    sys.stdout.write(github_command(level, location.file, title, text, line + column) + "\n")


def github_command(level: Level, file: str, title: str, text: str, place: str = "") -> str:
    """The workflow command of an annotation. `place` is ``,line=...,col=...``."""
    name, title = file.translate(_GITHUB_PROPERTY), title.translate(_GITHUB_PROPERTY)
    return f"::{level} file={name}{place},title={title}::{text.translate(_GITHUB_DATA)}"


def _json_notice(text: str) -> None:
    fields = dict.fromkeys(
        ("file", "line", "column", "path", "code", "message", "expected", "got", "hint")
    )
    sys.stdout.write(json.dumps({**fields, "level": "notice", "message": text}) + "\n")


def _github_notice(text: str) -> None:
    sys.stdout.write(f"::notice title=rawmm check::{text.translate(_GITHUB_DATA)}\n")


_WRITE_NOTICE: Final = {"json": _json_notice, "github": _github_notice}
