"""Reads files as records: a JSON document, JSON Lines, or a MessagePack stream.

Records are split here but not decoded. One record is in memory at a time. `Source` reads from any
binary stream, such as an object of a store; `open_source` opens files.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import ExitStack, contextmanager
from io import BufferedReader, BytesIO, RawIOBase
from os import fstat
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
)

import msgspec

from rawmm.cli.compressed import (
    COMPRESSIONS,
    TITLES,
    Compression,
    DamagedStreamError,
    Decompressed,
    check_installed,
    compression_of,
    inner_name,
)
from rawmm.cli.extensions import unreadable
from rawmm.cli.msgpack_stream import NotADocumentError, TooLargeError, documents, elements
from rawmm.cli.output import MissingExtraError, UsageError
from rawmm.cli.sniff import looks_like
from rawmm.errors import ContractError, OffloadError, RawMMError, printable, raise_alone, shown_file
from rawmm.locators import scheme_of, without_credentials
from rawmm.real_class import is_a
from rawmm.store import OBJECT_SCHEMES, ObjectReader, is_object_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Format: TypeAlias = Literal["json", "jsonl", "msgpack"]
"""How a record is encoded."""
FileFormat: TypeAlias = Literal["json", "jsonl", "msgpack", "parquet"]
"""How a file holds records."""

STDIO: Final = "\0"
"""Stands for standard input or output. `app` replaces ``-`` with it, because the parser takes ``-``
for an option. No file has this name."""
NAMES: Final[dict[Format, str]] = {
    "json": "one complete JSON document",
    "jsonl": "JSON Lines",
    "msgpack": "one or more complete MessagePack documents",
}
EXTENSIONS: Final[dict[str, FileFormat]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
    ".parquet": "parquet",
}
_MICRO_BATCHES: Final = re.compile(r"rank_\d+\.bin")


LARGEST_RECORD: Final = 1 << 30
"""The most bytes of one record of a compressed file: some ten times the largest trace with inline
images. It bounds the memory that a decompression bomb takes."""
_BUFFER: Final = 1 << 18


class Record(NamedTuple):
    """The bytes of one document.

    ``line`` counts from 1: lines in JSON Lines, documents in a MessagePack stream. It is None if
    the file is one document.
    """

    data: bytes
    line: int | None


def is_micro_batches(path: str) -> bool:
    """Whether a file has the micro-batches of a rank, as prime-rl writes it: one MessagePack list.

    Each micro-batch is a record.
    """
    return _MICRO_BATCHES.fullmatch(PurePath(path).name) is not None


def format_of(path: str) -> FileFormat | None:
    """The format of a file by its extension, before that of a compression; or None."""
    if path == STDIO:
        return None
    if is_micro_batches(path):
        return "msgpack"
    if PurePath(path).suffix.lower() == ".parquet":
        return "parquet"  # compresses by itself
    inner = PurePath(inner_name(path)).suffix.lower()
    return None if inner == ".parquet" else EXTENSIONS.get(inner)


def named_as(name: str, form: FileFormat) -> str:
    """The name of a file in another format: another extension, before that of a compression."""
    inner = inner_name(name)
    extension = next(known for known, of in EXTENSIONS.items() if of == form)
    stem = PurePath(inner).stem if format_of(name) is not None else inner
    compression = "" if form == "parquet" else name[len(inner) :]
    return f"{stem}{extension}{compression}"


class Input(NamedTuple):
    """A file to read as the user named it.

    Attributes:
        path: its path.
        form: the format, if given.
        option: the option for the format, for messages.
        column: the column with the records, if given.
        type_name: the type of the records, if it is that of this file alone.
        image_dir: the store of its images, if it is that of this file alone.
        size: its bytes, if a listing told them.
        tag: of an object, which version to read, if a part of it was read before; else empty.
        bundle: the bundle that it is a file of. `path` is then the path of the bundle, ``records``
            and its name there, also in a ZIP file; of a bundle that cannot be read, the bundle's.
    """

    path: str
    form: FileFormat | None
    option: str
    column: str | None = None
    type_name: str | None = None
    image_dir: str | None = None
    size: int | None = None
    bundle: str | None = None
    tag: str = ""

    @property
    def name(self) -> str:
        """The name in messages."""
        return "<stdin>" if self.path == STDIO else printable(without_credentials(self.path))

    @property
    def file(self) -> str:
        """The path of the file that has its bytes: the ZIP file, of a file in a bundle."""
        if self.bundle is None or Path(self.bundle).is_dir():
            return self.path
        return self.bundle

    @property
    def compression(self) -> Compression | None:
        """The compression that the extension names."""
        return compression_of(self.path)

    def format(self) -> FileFormat:
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
                else f"{shown_file(self.name)}: the extension is not one of {known_extensions()}"
            )
            raise UsageError(f"{what}; give {self.option} json, jsonl or msgpack")
        return found


def known_extensions() -> str:
    """The extensions of formats, for a message."""
    texts = [extension for extension, form in EXTENSIONS.items() if form != "parquet"]
    return f"{', '.join(texts)}, also before {' or '.join(COMPRESSIONS)}, or .parquet"


def check_location(path: str) -> None:
    """Refuse a URL that is neither the name of a file nor that of an object.

    Raises:
        UsageError: its scheme is not that of a store of objects.
    """
    scheme = scheme_of(path)
    if not scheme or is_object_url(path) or not path[len(scheme) :].startswith("://"):
        return
    if os.path.lexists(path):
        return
    name = shown_file(printable(without_credentials(path)))
    if scheme == "file":
        raise UsageError(f"{name}: is a URL; give the path, without file://")
    known = ", ".join(f"{one}://" for one in OBJECT_SCHEMES)
    raise UsageError(f"{name}: is a URL with another scheme than {known}")


class BrokenSourceError(ContractError):
    """A file that cannot be read to its end, because of its bytes.

    Attributes:
        line: the record that cannot be read, as `Record.line`.
    """

    line: int | None = None

    @classmethod
    def at_line(cls, line: int | None, expected: str, got: str, hint: str) -> Self:
        """The error of the record at `line`."""
        error = cls("malformed", expected=expected, got=got, hint=hint)
        error.line = line
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the line when a worker process sends the error."""
        return *super().__reduce__(), {"line": self.line}


class Source:
    """Reads the records of an open file, or of any other binary stream.

    Args:
        file: the stream, not decompressed. Only ``read(n)`` is needed.
        name: the name in messages.
        form: the format of the records.
        compression: the compression of the stream.
        listed: whether the file is one MessagePack list, of which each element is a record.
        size: bytes of the stream, for the progress bar. By default that of a regular file.
        bounded: whether a record has a limit although the stream is not compressed.
        inside: whether the stream begins inside a file, so that its first bytes do not tell the
            type of the file.
        largest: the most bytes of one record of a compressed stream. Compressed, a few bytes may
            stand for many; a record of an uncompressed stream has no limit.

    Attributes:
        name: the name in messages.
        form: the format.
        size: bytes of the stream, as far as known.
        done: bytes of the stream read so far; compressed ones, if it is compressed.
        content: bytes of records read so far.
        container: the format of the file, if it is not `form`.
        others: the columns of a table beside that of the records.
        listed: as the argument.
        tag: as `tag_of` the file.
    """

    tag = ""
    container: ClassVar[FileFormat | None] = None
    others: Sequence[str] = ()

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        form: Format,
        compression: Compression | None = None,
        *,
        listed: bool = False,
        size: int | None = None,
        bounded: bool = False,
        inside: bool = False,
        largest: int = LARGEST_RECORD,
    ) -> None:
        check_installed(compression)
        self.name = name
        self.form = form
        self.size = _size_of(file) if size is None else size
        self.content = 0
        self._compression = compression
        self._largest = largest
        self._bounded = bounded or compression is not None
        self.listed = listed
        self._raw: Decompressed | None = None
        if compression is not None:
            self._raw = Decompressed(file, compression)
            self._file: Any = BufferedReader(self._raw, _BUFFER)
        else:
            # A file that is open for reading has all methods; a stream of a store may have one.
            self._file = file if hasattr(file, "peek") else BufferedReader(_Stream(file), _BUFFER)
        self._line = 0
        self._blank: list[bytes] = []
        self._keep_blank = False
        self._inside = inside

    @property
    def done(self) -> int:
        """Bytes of the stream read so far; compressed ones, if it is compressed."""
        return self.content if self._raw is None else self._raw.consumed

    @property
    def lines(self) -> int:
        """Lines or documents read so far."""
        return self._line

    def records(self, *, may_be_empty: bool = False, keep_blank: bool = False) -> Iterator[Record]:
        """The records, one at a time.

        Args:
            may_be_empty: whether a JSON Lines file may have no records.
            keep_blank: keep blank lines for `blank_lines`.

        Raises:
            ContractError: ``malformed`` if the file is empty or of another type; with the record
                that cannot be read, if the file is cut off or damaged (`BrokenSourceError`).
            UsageError: the file cannot be read to its end.
        """
        may_be_empty = may_be_empty and self.form == "jsonl"
        self._keep_blank = keep_blank
        head = self._begin()
        if not head:
            if may_be_empty:
                return
            raise self._malformed("nothing")
        other = None if self._inside else looks_like(head, binary=self.form == "msgpack")
        if other is not None:
            raise self._malformed(*other)
        found = self._inside
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
        parts, size = [], 0
        while data := self._read(_BUFFER):
            parts.append(data)
            size += len(data)
            self._check_size(size)
        yield Record(b"".join(parts), None)

    def _jsonl(self) -> Iterator[Record]:
        found, blank = self._inside, 0
        while data := self._readline():
            self._line += 1
            if data.isspace():
                if self._keep_blank:
                    self._blank.append(data)
                    blank += len(data)
                    self._check_size(blank)
                continue
            if not found and data.strip() in (b"{", b"["):
                raise self._malformed(
                    "a document of many lines", "if it is one, give --input-format json"
                )
            found, blank = True, 0
            yield Record(data, self._line)

    def _msgpack(self) -> Iterator[Record]:
        most = self._largest if self._bounded else None
        try:
            split = elements if self.listed else documents
            for data, alone in split(self._read, most):
                self._line += 1
                yield Record(data, None if alone else self._line)
        except NotADocumentError as error:
            raise_alone(self._malformed(str(error)))
        except TooLargeError:
            raise_alone(self._too_large())

    def _begin(self) -> bytes:
        # A pipe may return fewer bytes; then the decoder reports the error.
        return self._from_file("peek", 512)[:512]

    def _read(self, size: int) -> bytes:
        data = self._from_file("read1" if self._raw else "read", size)
        self.content += len(data)
        return data

    def _readline(self) -> bytes:
        if not self._bounded:
            data = self._from_file("readline")
        else:
            data = self._from_file("readline", self._largest + 1)
            self._check_size(len(data))
        self.content += len(data)
        return data

    def _from_file(self, method: str, *args: int) -> bytes:
        try:
            with reading(self):
                return getattr(self._file, method)(*args)  # type: ignore[no-any-return]
        except DamagedStreamError as damage:
            fault = self._broken(str(damage))
        raise fault

    def _check_size(self, size: int) -> None:
        """Check the size of a record, or of blank lines, of a compressed file."""
        if self._bounded and size > self._largest:
            raise self._too_large()

    def _broken(self, got: str) -> BrokenSourceError:
        title = TITLES[self._compression] if self._compression else "ZIP"
        return BrokenSourceError.at_line(
            None if self.form == "json" else self._line + 1,
            expected=f"a complete {title} file",
            got=got,
            hint="copy the file again, or write it again",
        )

    def _too_large(self) -> BrokenSourceError:
        return BrokenSourceError.at_line(
            None if self.form == "json" else self._line + 1,
            expected=f"a record of at most {self._largest:,} bytes in a compressed file",
            got="a larger one",
            hint="if it is what you expect, decompress the file first",
        )

    def _malformed(self, got: str, hint: str | None = None) -> ContractError:
        return ContractError("malformed", expected=NAMES[self.form], got=got, hint=hint)


class BrokenSource(Source):
    """A file that is damaged where it begins. `records` raises why, as for any damaged file."""

    def __init__(self, given: Input, fault: BrokenSourceError) -> None:
        super().__init__(BytesIO(), given.name, "jsonl", size=given.size)
        self._fault = fault

    def records(self, *, may_be_empty: bool = False, keep_blank: bool = False) -> Iterator[Record]:
        """No record.

        Raises:
            BrokenSourceError: always.
        """
        del may_be_empty, keep_blank
        raise self._fault


class Digest:
    """The SHA-256 of a file, while it is read from its beginning to its end.

    Attributes:
        size: bytes so far.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, data: memoryview) -> None:
        """Add the next bytes."""
        self._hash.update(data)
        self.size += len(data)

    def hexdigest(self) -> str:
        """The hash of what was read, in hex."""
        return self._hash.hexdigest()


class _Digested(RawIOBase):
    """Another stream, whose bytes are added to a digest as they are read."""

    def __init__(self, file: RawIOBase, digest: Digest) -> None:
        self._stream = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        size = self._stream.readinto(buffer)
        self._digest.add(memoryview(buffer)[: size or 0])
        return size


class _Stream(RawIOBase):
    """A stream that only has ``read(n)``."""

    def __init__(self, file: BinaryIO) -> None:
        self._stream = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _size_of(file: BinaryIO) -> int | None:
    """The size of a regular file; None for other streams."""
    try:
        status = fstat(file.fileno())
    except (AttributeError, OSError):  # what is no file has no number
        return None
    return status.st_size if S_ISREG(status.st_mode) else None


@contextmanager
def open_source(given: Input, digest: Digest | None = None) -> Iterator[Source]:
    """Open a file, or standard input.

    Args:
        given: the file.
        digest: what hashes the file as it is read. It has fewer bytes than the file if that is not
            read in order: Parquet, and a file in a bundle.

    Raises:
        UsageError: the file does not exist, is a directory, cannot be read, or has no known format.
    """
    if not given.path:
        raise UsageError("a file name is empty; is a variable unset?")
    if given.bundle is not None:
        from rawmm.cli.bundles import Bundle

        with ExitStack() as stack:
            source: Source
            try:
                bundle = stack.enter_context(Bundle(given.bundle))
                source = stack.enter_context(bundle.source(PurePath(given.path).name))
            except BrokenSourceError as fault:
                source = BrokenSource(given, fault)
            yield source
        return
    if given.path == STDIO:
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        yield _source_of(sys.stdin.buffer, given)
        return
    with open_bytes(given) as file:
        yield _source_of(file, given, digest)


def open_bytes(given: Input) -> BufferedReader:
    """Open a file, or an object of a store, that is not standard input.

    Raises:
        UsageError: as `open_source`.
    """
    name = given.name
    failure = None
    try:
        if is_object_url(given.path):
            return BufferedReader(ObjectReader(given.path, given.tag), _BUFFER)
        return Path(given.file).open("rb")
    except IsADirectoryError:
        failure = f"{name}: is a directory; give the files in it, e.g. {name}/*"
    except (OSError, ValueError) as error:
        # The argument may be an image instead of a name, so it is shortened.
        failure = f"{shown_file(name)}: cannot be read: {_reason(error)}"
    except RawMMError as error:
        failure = f"{shown_file(name)}: cannot be read: {error.message}"
    raise UsageError(failure)


@contextmanager
def reading(what: Source | Input) -> Iterator[None]:
    """Report that a file cannot be read.

    Raises:
        UsageError: in place of the error of the operating system, or of a store.
    """
    try:
        yield
    except OSError as error:
        reason = _reason(error)
    except OffloadError as error:
        reason = error.message
    else:
        return
    raise UsageError(f"{what.name}: cannot be read: {reason}")


def tag_of(file: Any) -> str:
    """Which version of an object an open file reads; empty for a file of this machine."""
    raw = getattr(file, "raw", None)
    return raw.tag if is_a(raw, ObjectReader) else ""


def _source_of(file: BinaryIO, given: Input, digest: Digest | None = None) -> Source:
    try:
        source = _read_as(file, given, digest)
    except MissingExtraError as error:
        failure = f"{given.name}: {error}"
    else:
        source.tag = tag_of(file)
        return source
    raise UsageError(failure)


def _read_as(file: BinaryIO, given: Input, digest: Digest | None) -> Source:
    form = given.format()
    raw = getattr(file, "raw", None)
    size = raw.size if is_a(raw, ObjectReader) else _size_of(file)
    if form != "parquet":
        if digest is not None and raw is not None:
            file = BufferedReader(_Digested(raw, digest), _BUFFER)
        return Source(
            file,
            given.name,
            form,
            given.compression,
            listed=is_micro_batches(given.path),
            size=size,
        )
    from rawmm.cli.tables import TableSource

    if not file.seekable():
        raise UsageError(f"{given.name}: Parquet can only be read from a file, not from a pipe")
    return TableSource(file, given.name, given.column)


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
