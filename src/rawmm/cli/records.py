"""Reads files as records: a JSON document, JSON Lines, or a MessagePack stream.

Records are split here but not decoded. One record is in memory at a time.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from os import fstat
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple, TypeAlias

import msgspec

from rawmm.cli.extensions import unreadable
from rawmm.cli.msgpack_stream import NotADocumentError, documents
from rawmm.cli.output import UsageError
from rawmm.cli.sniff import looks_like
from rawmm.errors import ContractError, printable, raise_alone, shown_file

if TYPE_CHECKING:
    from collections.abc import Iterator

Format: TypeAlias = Literal["json", "jsonl", "msgpack"]

STDIO: Final = "\0"
"""Stands for standard input or output. `app` replaces ``-`` with it, because the parser takes ``-``
for an option. No file has this name."""
NAMES: Final[dict[Format, str]] = {
    "json": "one complete JSON document",
    "jsonl": "JSON Lines",
    "msgpack": "one or more complete MessagePack documents",
}
EXTENSIONS: Final[dict[str, Format]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
}


class Record(NamedTuple):
    """The bytes of one document.

    ``line`` counts from 1: lines in JSON Lines, documents in a MessagePack stream. It is None if
    the file is one document.
    """

    data: bytes
    line: int | None


def format_of(path: str) -> Format | None:
    """The format of a file by its extension, or None."""
    return None if path == STDIO else EXTENSIONS.get(PurePath(path).suffix.lower())


class Input(NamedTuple):
    """A file to read as the user named it: path, format if given, and the option for the format."""

    path: str
    form: Format | None
    option: str

    @property
    def name(self) -> str:
        """The name in messages."""
        return "<stdin>" if self.path == STDIO else printable(self.path)

    def format(self) -> Format:
        """The given format, or that of the extension.

        Raises:
            UsageError: there is neither.
        """
        found = self.form or format_of(self.path)
        if found is None:
            why_not = unreadable(self.path)
            if why_not is not None:
                raise UsageError(f"{self.name}: {why_not}")
            what = (
                "standard input has no extension"
                if self.path == STDIO
                else f"{shown_file(self.name)}: the extension is not one of {', '.join(EXTENSIONS)}"
            )
            raise UsageError(f"{what}; give {self.option} json, jsonl or msgpack")
        return found


class Source:
    """An open file of records.

    Attributes:
        name: the name in messages.
        form: the format.
        size: bytes of a regular file, else None.
        done: bytes read so far.
    """

    def __init__(self, file: BinaryIO, name: str, form: Format) -> None:
        self._file = file
        self.name = name
        self.form = form
        self.size: int | None = None
        self.done = 0
        self._blank: list[bytes] = []
        status = fstat(file.fileno())
        if S_ISREG(status.st_mode):
            self.size = status.st_size

    def records(self, *, may_be_empty: bool = False) -> Iterator[Record]:
        """The records, one at a time.

        Args:
            may_be_empty: whether a JSON Lines file may have no records.

        Raises:
            ContractError: ``malformed`` if the file is empty or of another type.
            UsageError: the file cannot be read to its end.
        """
        may_be_empty = may_be_empty and self.form == "jsonl"
        head = self._begin()
        if not head:
            if may_be_empty:
                return
            raise self._malformed("nothing")
        other = looks_like(head, binary=self.form == "msgpack")
        if other is not None:
            raise self._malformed(*other)
        found = False
        for record in getattr(self, f"_{self.form}")():
            found = True
            yield record
        if not found and not may_be_empty:
            raise self._malformed("nothing but blank lines")

    def blank_lines(self) -> bytes:
        """The blank lines of JSON Lines that were read since the last call."""
        lines = b"".join(self._blank)
        self._blank.clear()
        return lines

    def _json(self) -> Iterator[Record]:
        yield Record(self._read(-1), None)

    def _jsonl(self) -> Iterator[Record]:
        line, found = 0, False
        while data := self._readline():
            line += 1
            if data.isspace():
                self._blank.append(data)
                continue
            if not found and data.strip() in (b"{", b"["):
                raise self._malformed(
                    "a document of many lines", "if it is one, give --input-format json"
                )
            found = True
            yield Record(data, line)

    def _msgpack(self) -> Iterator[Record]:
        try:
            for number, (data, alone) in enumerate(documents(self._read), 1):
                yield Record(data, None if alone else number)
        except NotADocumentError as error:
            raise_alone(self._malformed(str(error)))

    def _begin(self) -> bytes:
        try:
            # A pipe may return fewer bytes; then the decoder reports the error.
            return self._file.peek(512)[:512]  # type: ignore[attr-defined,no-any-return]
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise self._unreadable(error) from error
        self.done += len(data)
        return data

    def _readline(self) -> bytes:
        try:
            data = self._file.readline()
        except OSError as error:
            raise self._unreadable(error) from error
        self.done += len(data)
        return data

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.name}: cannot be read: {_reason(error)}")

    def _malformed(self, got: str, hint: str | None = None) -> ContractError:
        return ContractError("malformed", expected=NAMES[self.form], got=got, hint=hint)


@contextmanager
def open_source(given: Input) -> Iterator[Source]:
    """Open a file, or standard input.

    Raises:
        UsageError: the file does not exist, is a directory, cannot be read, or has no known format.
    """
    name = given.name
    if not given.path:
        raise UsageError("a file name is empty; is a variable unset?")
    if given.path == STDIO:
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        yield Source(sys.stdin.buffer, name, given.format())
        return
    try:
        file = Path(given.path).open("rb")  # noqa: SIM115  (only opening is guarded)
    except IsADirectoryError:
        raise UsageError(f"{name}: is a directory; give the files in it, e.g. {name}/*") from None
    except (OSError, ValueError) as error:
        # The argument may be an image instead of a name, so it is shortened.
        raise UsageError(f"{shown_file(name)}: cannot be read: {_reason(error)}") from None
    with file:
        yield Source(file, name, given.format())


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def is_json_lines(data: bytes) -> bool:
    """Whether a malformed JSON document begins with a line that is a document by itself."""
    line, newline, rest = data.partition(b"\n")
    if not newline or not rest.strip():
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(line.strip())
