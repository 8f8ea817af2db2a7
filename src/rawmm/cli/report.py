"""The report of `check` and `fsck`: errors on standard output, the summary on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from rich.text import Text

from rawmm.cli.output import console, counted, say

if TYPE_CHECKING:
    from rawmm.errors import RawMMError

Style: TypeAlias = Literal["text", "json", "github"]
Level: TypeAlias = Literal["error", "notice"]

# https://docs.github.com/actions/reference/workflow-commands-for-github-actions; the runner
# undoes these escapes (actions/toolkit, packages/core/src/command.ts).
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_DATA: Final = str.maketrans(_DATA)
_GITHUB_PROPERTY: Final = str.maketrans({**_DATA, ":": "%3A", ",": "%2C"})


class Report:
    """Writes errors as they are found, up to a number, and counts the rest.

    Styles: ``text`` is ``file:line::$.path: message [code]``; ``json`` is JSON Lines, an object
    per error with file, line (or null), path, code, message, expected, got and hint (or null);
    ``github`` is a workflow command per error.
    """

    def __init__(self, style: Style, most: int) -> None:
        self._most = most
        self._write = {"text": _write_text, "json": _write_json, "github": _write_github}[style]
        self.files = 0
        self.unreadable = 0
        self.records = 0
        self.errors = 0

    def add(self, file: str, line: int | None, error: RawMMError, level: Level = "error") -> None:
        """Report an error of a record or file. A notice counts as one, and reads like one."""
        self.errors += 1
        if not self._most or self.errors <= self._most:
            self._write(file, line, error, level)

    def flush(self) -> None:
        """Write what is left, and say how many errors are not listed."""
        sys.stdout.flush()
        if self._most and self.errors > self._most:
            say(f"… {self.errors - self._most} more (--max-errors 0 lists all)")

    def finish(self) -> None:
        """Write the summary."""
        self.flush()
        colour = "bold red" if self.errors else "bold green"
        say(
            f"{counted(self.files, 'file')}, {counted(self.records, 'record')}, ",
            (counted(self.errors, "error"), colour),
            (f", {self.unreadable} unreadable" if self.unreadable else "", "bold red"),
        )


def place(file: str, line: int | None) -> str:
    """``file`` or ``file:line``."""
    return file if line is None else f"{file}:{line}"


def error_text(file: str, line: int | None, error: RawMMError) -> Text:
    """``file:line::$.path: message [code]``, in colours for a terminal."""
    return Text.assemble(
        (place(file, line), "bold"),
        "::",
        (error.path, "cyan"),
        f": {error.message} ",
        (f"[{error.code}]", "red"),
    )


def _write_text(file: str, line: int | None, error: RawMMError, _: Level) -> None:
    if sys.stdout.isatty():
        console(stderr=False).print(error_text(file, line, error))
    else:
        sys.stdout.write(f"{place(file, line)}::{error}\n")


def _write_json(file: str, line: int | None, error: RawMMError, _: Level) -> None:
    fields = {
        "file": file,
        "line": line,
        "path": error.path,
        "code": error.code,
        "message": error.message,
        "expected": error.expected,
        "got": error.got,
        "hint": error.hint,
    }
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _write_github(file: str, line: int | None, error: RawMMError, level: Level) -> None:
    at = "" if line is None else f",line={line}"
    title = f"rawmm {error.code}".translate(_GITHUB_PROPERTY)
    message = f"{error.path}: {error.message}".translate(_GITHUB_DATA)
    sys.stdout.write(
        f"::{level} file={file.translate(_GITHUB_PROPERTY)}{at},title={title}::{message}\n"
    )
