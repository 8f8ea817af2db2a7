"""The formats of a report: text, JSON Lines, GitHub annotations, SARIF and JUnit.

Each class writes findings to standard output as they are found, so that a report of any length
takes constant memory.
"""

from __future__ import annotations

import json
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from rich.text import Text

from rawmm._version import __version__
from rawmm.cli.output import console
from rawmm.cli.remedies import REMEDIES
from rawmm.errors import CODES, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.errors import RawMMError

Style: TypeAlias = Literal["text", "json", "github", "sarif", "junit"]
Level: TypeAlias = Literal["error", "notice"]


class Location(NamedTuple):
    """A file, and the line and column if known."""

    file: str
    line: int | None
    column: int | None = None

    def __str__(self) -> str:
        """``file``, ``file:line`` or ``file:line:column``."""
        return ":".join(str(part) for part in self if part is not None)


class Writer(Protocol):
    """Writes the findings of one run."""

    def begin_file(self, name: str) -> None:
        """A file is about to be checked."""

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """An error in the data, or a notice."""

    def failure(self, location: Location, message: str) -> None:
        """A file or record could not be checked. Standard error has the message, too."""

    def end(self, notice: str) -> None:
        """Nothing follows. `notice` says what was not checked; it may be empty."""


def error_text(location: Location, error: RawMMError) -> Text:
    """``file:line:column::$.path: message [code]``, in colours for a terminal."""
    return Text.assemble(
        (str(location), "bold"),
        "::",
        (error.path, "cyan"),
        f": {error.message} ",
        (f"[{error.code}]", "red"),
    )


class PlainText:
    """``file:line:column::$.path: message [code]``."""

    def begin_file(self, name: str) -> None:
        """Write nothing."""

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """A line, in colours on a terminal."""
        del level
        if sys.stdout.isatty():
            console(stderr=False).print(error_text(location, error))
        else:
            sys.stdout.write(f"{location}::{error}\n")

    def failure(self, location: Location, message: str) -> None:
        """Write nothing: standard error has the message."""

    def end(self, notice: str) -> None:
        """Write nothing: the summary has the notice."""


class JsonLines:
    """One object per finding. A field is null if it is not known.

    Its fields are file, line, column, path, code, message, expected, got, hint and level.
    """

    def begin_file(self, name: str) -> None:
        """Write nothing."""

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """A line."""
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

    def failure(self, location: Location, message: str) -> None:
        """Write nothing: standard error has the message."""

    def end(self, notice: str) -> None:
        """A line with the notice as its message."""
        if notice:
            fields = dict.fromkeys(
                ("file", "line", "column", "path", "code", "message", "expected", "got", "hint")
            )
            sys.stdout.write(json.dumps({**fields, "level": "notice", "message": notice}) + "\n")


# https://docs.github.com/actions/reference/workflow-commands-for-github-actions; the runner
# undoes these escapes (actions/toolkit, packages/core/src/command.ts).
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_DATA: Final = str.maketrans(_DATA)
_GITHUB_PROPERTY: Final = str.maketrans({**_DATA, ":": "%3A", ",": "%2C"})


class GitHub:
    """One workflow command per finding, which GitHub shows in the changed files."""

    def begin_file(self, name: str) -> None:
        """Write nothing."""

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """A command."""
        line = "" if location.line is None else f",line={location.line}"
        column = "" if location.column is None else f",col={location.column}"
        text = f"{error.path}: {error.message}"
        title = f"rawmm {error.code}"
        command = github_command(level, location.file, title, text, line + column)
        sys.stdout.write(f"{command}\n")

    def failure(self, location: Location, message: str) -> None:
        """Write nothing: standard error has the message."""

    def end(self, notice: str) -> None:
        """A command with the notice."""
        if notice:
            sys.stdout.write(f"::notice title=rawmm check::{notice.translate(_GITHUB_DATA)}\n")


def github_command(level: Level, file: str, title: str, text: str, place: str = "") -> str:
    """The workflow command of an annotation. `place` is ``,line=...,col=...``."""
    name, title = file.translate(_GITHUB_PROPERTY), title.translate(_GITHUB_PROPERTY)
    return f"::{level} file={name}{place},title={title}::{text.translate(_GITHUB_DATA)}"


class SarifLog:
    """A SARIF 2.1.0 log with one run, on standard output. The rules are those of its results.

    Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

    Args:
        describe: the properties of a rule beside its id.
    """

    def __init__(self, describe: Callable[[str], dict[str, Any]]) -> None:
        self._describe = describe
        self._rules: dict[str, int] = {}
        self._failures: list[dict[str, Any]] = []
        self._separator = ""
        sys.stdout.write(
            '{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", '
            '"runs": [{"columnKind": "unicodeCodePoints", "results": ['
        )

    def add(self, location: Location, rule: str, level: Level, path: str, text: str) -> None:
        """Add a result. Its fingerprint is its path, which no line number changes."""
        member = {"fullyQualifiedName": path, "kind": "member"}
        result = {
            "ruleId": rule,
            "ruleIndex": self._rules.setdefault(rule, len(self._rules)),
            "level": _SARIF_LEVELS[level],
            "message": {"text": f"{path}: {text}"},
            "locations": [{**_sarif_place(location), "logicalLocations": [member]}],
            "partialFingerprints": {"rawmmPlace/v1": f"{rule}:{path}"},
        }
        sys.stdout.write(f"{self._separator}\n{json.dumps(result)}")
        self._separator = ","

    def add_failure(self, location: Location, message: str) -> None:
        """Add a notification, at the end of the log."""
        self._failures.append(
            {
                "level": "error",
                "message": {"text": message},
                "locations": [_sarif_place(location)],
            }
        )

    def close(self, notice: str = "") -> None:
        """Write the rules, the notifications and the end of the log."""
        notes = [{"level": "note", "message": {"text": notice}}] if notice else []
        invocation = {
            "executionSuccessful": not self._failures,
            "toolExecutionNotifications": [*self._failures, *notes],
        }
        rules = [{"id": rule, **self._describe(rule)} for rule in self._rules]
        driver = {"name": "rawmm", "semanticVersion": __version__, "rules": rules}
        rest = json.dumps({"invocations": [invocation], "tool": {"driver": driver}})
        sys.stdout.write(f"\n], {rest[1:]}]}}\n")


class Sarif:
    """A SARIF log. Its rules are the codes of the findings."""

    def __init__(self) -> None:
        self._log = SarifLog(
            lambda code: {
                "shortDescription": {"text": CODES[code]},
                "help": {"text": REMEDIES[code]},
            }
        )

    def begin_file(self, name: str) -> None:
        """Write nothing."""

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """A result."""
        self._log.add(location, error.code, level, error.path, error.message)

    def failure(self, location: Location, message: str) -> None:
        """A notification."""
        self._log.add_failure(location, message)

    def end(self, notice: str) -> None:
        """The end of the log."""
        self._log.close(notice)


_SARIF_LEVELS: Final[dict[Level, str]] = {"error": "error", "notice": "note"}


def _sarif_place(location: Location) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(location.file)}}
    if location.line is not None:
        place["region"] = {"startLine": location.line}
        if location.column is not None:
            place["region"]["startColumn"] = location.column
    return {"physicalLocation": place}


def _uri(file: str) -> str:
    """A ``file://`` URI of an absolute path, or a relative reference."""
    from urllib.parse import quote  # slow to import

    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


class JUnit:
    """A JUnit XML document: a failed test case per finding, a passed one per file without any.

    Format: https://github.com/testmoapp/junitxml
    """

    def __init__(self) -> None:
        self._clean: str | None = None
        sys.stdout.write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="rawmm">\n')
        sys.stdout.write('<testsuite name="rawmm">\n')

    def begin_file(self, name: str) -> None:
        """Remember the file, which passes if it has no findings."""
        self._end_file()
        self._clean = name

    def finding(self, location: Location, error: RawMMError, level: Level) -> None:
        """A test case; notices pass, with their message as output."""
        message = f"{error.path}: {error.message}"
        if level == "notice":
            self._case(location, error.path, f"<system-out>{_xml(message)}</system-out>")
            return
        attributes = f"type={_attribute(error.code)} message={_attribute(message)}"
        self._case(location, error.path, f"<failure {attributes}>{_xml(str(location))}</failure>")

    def failure(self, location: Location, message: str) -> None:
        """A test case with an error."""
        self._case(location, "readable", f"<error message={_attribute(message)}/>")

    def end(self, notice: str) -> None:
        """The end of the document, with the notice as output of the suite."""
        self._end_file()
        if notice:
            sys.stdout.write(f"<system-out>{_xml(notice)}</system-out>\n")
        sys.stdout.write("</testsuite>\n</testsuites>\n")

    def _case(self, location: Location, name: str, content: str) -> None:
        self._clean = None
        where = name if location.line is None else f"line {location.line}: {name}"
        self._write(location.file, where, f">{content}</testcase>")

    def _end_file(self) -> None:
        if self._clean is not None:
            self._write(self._clean, "no errors", "/>")
        self._clean = None

    def _write(self, file: str, name: str, rest: str) -> None:
        attributes = f"classname={_attribute(file)} name={_attribute(name)}"
        sys.stdout.write(f"<testcase {attributes}{rest}\n")


def _xml(text: str) -> str:
    from xml.sax.saxutils import escape  # slow to import

    return escape(printable(text))


def _attribute(text: str) -> str:
    from xml.sax.saxutils import quoteattr  # slow to import

    return quoteattr(printable(text))


WRITERS: Final[dict[Style, type[Writer]]] = {
    "text": PlainText,
    "json": JsonLines,
    "github": GitHub,
    "sarif": Sarif,
    "junit": JUnit,
}
