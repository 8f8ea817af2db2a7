"""Records in a column of a Parquet file, one whole record a row, as JSON text or MessagePack.

A nested Arrow type cannot hold a record: the content of a message is a string or a list.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final

from rawmm.cli.msgpack_stream import CONTAINERS
from rawmm.cli.output import UsageError
from rawmm.cli.records import BrokenSourceError, Record, Source
from rawmm.errors import shown_name, shown_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.cli.records import FileFormat

COLUMN: Final = "record"
"""The column that rawmm writes."""
_BATCH_BYTES: Final = 4 << 20
_BATCH_ROWS: Final = 64
_GROUP_BYTES: Final = 16 << 20
_LARGEST: Final = (1 << 31) - 1
"""Parquet gives the length of a value in 32 bits with a sign."""


class TableSource(Source):
    """The records of a Parquet file. `form` is the format of each record.

    Args:
        file: a stream that can seek.
        name: the name in messages.
        column: the column with the records. By default ``record``, or else the only column that
            can have them.

    Attributes:
        others: the other columns.

    Raises:
        UsageError: pyarrow is not installed, or it is unclear which column has the records.
    """

    container: ClassVar[FileFormat | None] = "parquet"

    def __init__(self, file: BinaryIO, name: str, column: str | None = None) -> None:
        super().__init__(file, name, "jsonl")
        self._rows: int | None = None
        self._column = ""
        self._at = 0
        self._fault: BrokenSourceError | None = None
        try:
            self._begin_table(file, column)
        except BrokenSourceError as fault:
            self._fault = fault  # raised where the errors of a file are, by `records`

    def _begin_table(self, file: BinaryIO, column: str | None) -> None:
        self._table = self._call(
            partial(
                _parquet().ParquetFile,
                file,
                buffer_size=1 << 20,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        )
        schema = self._table.schema_arrow
        self._column = _column_of(schema, self.name, column)
        self.others = [other for other in schema.names if other != self._column]
        self._rows = self._table.metadata.num_rows
        first = next(self._each(), None)
        if first is not None and first.data[:1] and first.data[0] in CONTAINERS:
            self.form = "msgpack"

    @property
    def done(self) -> int:
        """Bytes of the file read so far, by its rows."""
        return (self.size or 0) * self._at // max(self._rows or 0, 1)

    def records(self, *, may_be_empty: bool = False, keep_blank: bool = False) -> Iterator[Record]:
        """The records, one at a time; `Record.line` counts rows.

        Raises:
            BrokenSourceError: not a Parquet file, damaged, or a row has no record.
        """
        del may_be_empty, keep_blank  # a table without rows is a table
        if self._fault is not None:
            raise self._fault
        for record in self._each():
            self._at = record.line or 0
            self.content += len(record.data) + (self.form == "jsonl")  # as a line
            yield record

    def _each(self) -> Iterator[Record]:
        row = 0
        for group in range(self._table.num_row_groups):
            batches = self._table.iter_batches(
                batch_size=self._batch_size(group), row_groups=[group], columns=[self._column]
            )
            while True:
                self._line = row
                batch = self._call(lambda: next(batches, None))  # noqa: B023  (called at once)
                if batch is None:
                    break
                for value in batch.column(0):
                    row += 1
                    self._line = row - 1
                    yield Record(self._bytes_of(value), row)

    def _batch_size(self, group: int) -> int:
        about = self._table.metadata.row_group(group)
        size = max(
            (
                about.column(index).total_uncompressed_size
                for index in range(about.num_columns)
                if about.column(index).path_in_schema == self._column
            ),
            default=0,
        )
        rows = _BATCH_BYTES * about.num_rows // max(size, 1)
        return int(max(1, min(rows, _BATCH_ROWS)))

    def _bytes_of(self, value: Any) -> bytes:
        data = value.as_buffer()
        if data is None:
            raise BrokenSourceError.at_line(
                self._line + 1, "a record in every row", "null", "leave the row out"
            )
        self._check_size(len(data))
        return bytes(data.to_pybytes())

    def _check_size(self, size: int) -> None:
        if size > self._largest:
            raise self._too_large()

    def _call(self, function: Callable[[], Any]) -> Any:
        """Call pyarrow, whose errors are those of the file."""
        try:
            return function()
        except OSError as error:
            if error.errno is not None:
                reason = (error.strerror or "").lower()
                raise UsageError(f"{self.name}: cannot be read: {reason}") from None
        except (ValueError, NotImplementedError, KeyError, MemoryError):
            pass  # the classes of pyarrow's errors inherit from these
        raise self._broken("another file, or a damaged one")

    def _broken(self, got: str) -> BrokenSourceError:
        return BrokenSourceError.at_line(
            None if self._rows is None else self._line + 1,
            "a complete Parquet file",
            got,
            "copy the file again, or write it again",
        )


class TableWriter:
    """Writes records as JSON text into the column `COLUMN` of a Parquet file.

    Args:
        sink: what is written to; ``write(bytes)`` is called.
    """

    def __init__(self, sink: Any) -> None:
        pq, pa = _parquet(), _arrow()
        self._schema = pa.schema([(COLUMN, pa.string())])
        self._writer = pq.ParquetWriter(
            _Sink(sink),
            self._schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        self._rows: list[bytes] = []
        self._size = 0

    def write(self, text: bytes) -> None:
        """Add a record.

        Raises:
            UsageError: it is larger than Parquet permits.
        """
        if len(text) > _LARGEST:
            raise UsageError("a record has more than 2 GiB, which Parquet cannot hold")
        if self._size + len(text) > _GROUP_BYTES:
            self._write_group()
        self._rows.append(text)
        self._size += len(text)

    def finish(self) -> None:
        """Write what is left, and the footer."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if not self._rows:
            return
        pa = _arrow()
        column = pa.array(self._rows, pa.binary()).cast(pa.string())
        self._rows, self._size = [], 0
        self._writer.write_table(pa.table([column], self._schema), row_group_size=len(column))


class _Sink:
    """A file for pyarrow that only writes.

    pyarrow writes the end of a table that was given up when the object is collected; it is dropped.
    """

    closed = False

    def __init__(self, target: Any) -> None:
        self._target = target
        self._at = 0

    def write(self, data: Any) -> int:
        data = bytes(data)
        if not self._target.closed:
            self._target.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _column_of(schema: Any, name: str, given: str | None) -> str:
    pa = _arrow()
    texts = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    usable: list[str] = [
        field.name for field in schema if any(is_text(field.type) for is_text in texts)
    ]
    if given is not None:
        if given in usable:
            return given
        raise UsageError(
            f"{name}: no column {shown_name(given)} of text or bytes; it has "
            f"{shown_names(usable) or 'none'}"
        )
    if COLUMN in usable:
        return COLUMN
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UsageError(
            f"{name}: which column has the records? give --column with one of {shown_names(usable)}"
        )
    raise UsageError(
        f"{name}: no column has whole records as JSON text; of nested columns, write each row as "
        "JSON first, e.g. with json.dumps"
    )


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise UsageError(
            "Parquet files need the extra tables: pip install 'rawmm[tables]'"
        ) from None
    return pa


def _parquet() -> Any:
    _arrow()
    import pyarrow.parquet as pq

    return pq
