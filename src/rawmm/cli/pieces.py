"""Cuts files of records into pieces that an engine can work on, each on its own.

A piece is a byte range of an uncompressed file, a whole file, or records that were read from a
stream. Ranges of JSON Lines begin and end anywhere: a line belongs to the piece that it begins in.
Only this module and `records` know how files are read.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from rawmm.cli.bugs import Bug, InternalError, report_bugs
from rawmm.cli.msgpack_stream import NotADocumentError, documents
from rawmm.cli.output import UsageError
from rawmm.cli.records import (
    NAMES,
    STDIO,
    Input,
    Record,
    Source,
    is_micro_batches,
    open_bytes,
    open_source,
    reading,
    tag_of,
)
from rawmm.cli.sniff import looks_like
from rawmm.errors import ContractError, RawMMError
from rawmm.store import is_object_url, object_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.records import Format

PIECE_BYTES: Final = 8 << 20
"""Bytes of a range. A worker needs 0.1 s for it, a thousand times what it costs to send it."""
_SHIPPED_BYTES: Final = 1 << 20
_SHIPPED_RECORDS: Final = 512
_HEAD: Final = 512
_CUT: Final = ("jsonl", "msgpack")


class Piece(NamedTuple):
    """A part of a file.

    Attributes:
        given: the file.
        begin, end: the range of bytes; `end` is None for the end of the file.
        skip: records at the beginning that were read already.
        number: documents of a MessagePack stream before the piece.
        shipped: the records themselves, if the file is a stream that only one process can read.
        form: their format.
        failure: why no more could be read after them.
    """

    given: Input
    begin: int = 0
    end: int | None = None
    skip: int = 0
    number: int = 0
    shipped: tuple[Record, ...] | None = None
    form: Format | None = None
    failure: RawMMError | UsageError | Bug | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the piece is all of a file."""
        return self.shipped is None and not self.begin and self.end is None


def pieces_of(given: Input, *, alone: bool = False, may_be_empty: bool = True) -> Iterator[Piece]:
    """Cut a file. A file that cannot be opened is one piece, which fails where it is read.

    Args:
        given: the file.
        alone: whether one process reads all pieces; then each record of a stream is a piece, so
            that none waits for the next.
        may_be_empty: whether a JSON Lines file may have no records; as for `opened`.
    """
    if not _is_rereadable(given.path):
        yield from _shipped(given, 1 if alone else _SHIPPED_RECORDS, may_be_empty=may_be_empty)
        return
    cut = False
    try:
        # The files of prime-rl are one list, Parquet files have an index, and those of bundles are
        # compared with their hash.
        if (
            given.compression is None
            and given.bundle is None
            and not is_micro_batches(given.path)
            and given.format() in _CUT
        ):
            for piece in _ranges(given):
                cut = True
                yield piece
    except UsageError as error:
        if cut:
            yield Piece(given, shipped=(), failure=error)
    if not cut:
        yield Piece(given)


def lines_of(piece: Piece) -> int:
    """The number of lines of a range of JSON Lines."""
    with open_bytes(piece.given) as file, reading(piece.given):
        file.seek(piece.begin)
        stream = _Range(file, piece.begin, piece.end)
        return sum(1 for _ in iter(stream.readline, b""))


def size_of(given: Input) -> int:
    """Bytes of a file, for the progress; 0 if it is not known."""
    if given.size is not None:
        return given.size
    if is_object_url(given.path):
        with suppress(RawMMError):  # reading it says why
            found = object_state(given.path)
            return 0 if found is None else found.size
        return 0
    with suppress(OSError, ValueError):
        return os.stat(given.path).st_size  # noqa: PTH116  (the name may be anything)
    return 0


class Reader:
    """Reads the records of a piece, and remembers where it is.

    Attributes:
        source: what the records come from; None for shipped records.
        records: records so far, those that the piece skips included.
        failure: why the rest of the file could not be read, or None.
    """

    def __init__(self, piece: Piece, source: Source | None, *, may_be_empty: bool = True) -> None:
        self.source = source
        self._may_be_empty = may_be_empty
        self.failure: RawMMError | UsageError | Bug | None = piece.failure
        self._piece = piece
        self.records = piece.skip

    def __iter__(self) -> Iterator[Record]:
        """The records. An error is in `failure` afterwards."""
        if self._piece.shipped is not None:
            yield from self._piece.shipped
            return
        try:
            with report_bugs():
                yield from self._read()
        except (RawMMError, UsageError) as error:
            self.failure = error
        except InternalError as error:
            self.failure = error.bug

    def _read(self) -> Iterator[Record]:
        piece = self._piece
        assert self.source is not None
        found = self.source.records(may_be_empty=self._may_be_empty)
        for index, record in enumerate(found):
            if index < piece.skip:
                continue
            self.records += 1
            if not piece.is_whole and self.source.form == "msgpack":
                yield Record(record.data, piece.number + index + 1)
            else:
                yield record

    @property
    def form(self) -> Format:
        """The format of the records."""
        if self.source is not None:
            return self.source.form
        form = self._piece.form or self._piece.given.format()
        assert form != "parquet"  # its source says what its records are
        return form

    @property
    def lines(self) -> int:
        """Lines that later pieces of the file do not know of."""
        if self.source is None or self._piece.is_whole or self.source.form != "jsonl":
            return 0
        return self.source.lines

    @property
    def done(self) -> int:
        """Bytes of the file read so far."""
        return 0 if self.source is None else self.source.done

    def rest(self) -> Piece:
        """What is left after the last record. The piece must be one that can be read again."""
        piece = self._piece
        if piece.is_whole and self.source is not None:
            piece = piece._replace(given=piece.given._replace(tag=self.source.tag))
        if piece.is_whole or self.source is None or self.source.form != "jsonl":
            return piece._replace(skip=self.records)
        return piece._replace(begin=piece.begin + self.source.done)


@contextmanager
def opened(piece: Piece, *, may_be_empty: bool = True) -> Iterator[Reader]:
    """Open a piece. One that cannot be opened has no records, and a failure."""
    if piece.shipped is not None:
        yield Reader(piece, None)
        return
    with ExitStack() as stack:
        try:
            source = stack.enter_context(_source(piece))
        except (RawMMError, UsageError) as error:
            reader = Reader(piece._replace(shipped=(), failure=error), None)
        else:
            reader = Reader(piece, source, may_be_empty=may_be_empty)
        yield reader


@contextmanager
def _source(piece: Piece) -> Iterator[Source]:
    given = piece.given
    if piece.is_whole:
        with open_source(given) as source:
            yield source
        return
    with open_bytes(given) as file:
        file.seek(piece.begin)
        stream: Any = _Range(file, piece.begin, piece.end)
        form = given.format()
        assert form != "parquet"  # has no ranges
        yield Source(stream, given.name, form, inside=piece.begin > 0)


class _Range:
    """A range of a file, as `Source` reads it. Lines are read to their end."""

    def __init__(self, file: BinaryIO, begin: int, end: int | None) -> None:
        self._file: Any = file
        self._left = None if end is None else end - begin

    def peek(self, size: int) -> bytes:
        data: bytes = self._file.peek(size)
        return data if self._left is None else data[: max(self._left, 0)]

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size if self._left is None else min(size, max(self._left, 0)))
        self._count(data)
        return data

    def readline(self) -> bytes:
        if self._left is not None and self._left <= 0:
            return b""
        data: bytes = self._file.readline()
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)


def _is_rereadable(path: str) -> bool:
    """Whether every process can read the file from any byte on; if it cannot be opened, too."""
    if path == STDIO:
        return False
    if is_object_url(path):
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _ranges(given: Input) -> Iterator[Piece]:
    """Ranges of a file; none if it is small, or if its beginning is wrong."""
    with open_bytes(given) as file, reading(given):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        given = given._replace(tag=tag_of(file))
        form = given.format()
        if size < 2 * PIECE_BYTES:
            return
        if looks_like(file.peek(_HEAD)[:_HEAD], binary=form == "msgpack") is not None:
            return
        yield from _lines(given, file, size) if form == "jsonl" else _documents(given, file)


def _lines(given: Input, file: BinaryIO, size: int) -> Iterator[Piece]:
    first = b"\n"
    while first.isspace() and file.tell() < PIECE_BYTES:
        first = file.readline(PIECE_BYTES)
    if first.strip() in (b"", b"{", b"["):
        return  # the reader says what is wrong
    begin = 0
    while begin < size:
        # A line belongs to the piece that it begins in, so a piece ends with a line.
        file.seek(min(begin + PIECE_BYTES, size) - 1)
        file.readline()
        end = file.tell()
        yield Piece(given, begin, end if end < size else None)
        begin = end


def _documents(given: Input, file: BinaryIO) -> Iterator[Piece]:
    begin = at = number = first = 0
    try:
        for data, alone in documents(file.read):
            if alone:
                return
            at += len(data)
            number += 1
            if at - begin >= PIECE_BYTES:
                yield Piece(given, begin, at, number=first)
                begin, first = at, number
    except NotADocumentError as error:
        # The reader of the last range would count bytes from its beginning.
        fault = ContractError("malformed", expected=NAMES["msgpack"], got=str(error))
        if at > begin:
            yield Piece(given, begin, at, number=first)
        yield Piece(given, shipped=(), failure=fault)
        return
    if at > begin:
        yield Piece(given, begin, None, number=first)


def _shipped(given: Input, most: int, *, may_be_empty: bool) -> Iterator[Piece]:
    """The records of a stream, as pieces; an error of the stream is with the last ones."""
    failure: RawMMError | UsageError | Bug | None = None
    chunk: list[Record] = []
    form: Format | None = None
    size = 0
    try:
        with open_source(given) as source, report_bugs():
            form = source.form  # of Parquet, that of the records
            for record in source.records(may_be_empty=may_be_empty):
                chunk.append(record)
                size += len(record.data)
                if size >= _SHIPPED_BYTES or len(chunk) >= most:
                    yield Piece(given, shipped=tuple(chunk), form=form)
                    chunk, size = [], 0
    except (RawMMError, UsageError) as error:
        failure = error
    except InternalError as error:
        failure = error.bug
    yield Piece(given, shipped=tuple(chunk), form=form, failure=failure)
