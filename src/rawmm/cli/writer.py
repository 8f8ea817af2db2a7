"""Writes OUT in the requested format, completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec

from rawmm.cli.array_bytes import from_json, to_json
from rawmm.cli.compressed import compression_of, compressor
from rawmm.cli.output import UsageError
from rawmm.cli.records import STDIO, check_location
from rawmm.errors import OffloadError, contract_error, printable, raise_alone, shown_file
from rawmm.locators import without_credentials
from rawmm.store import is_object_url, put_object, sync_directory

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rawmm.cli.records import FileFormat, Format
    from rawmm.cli.tables import TableWriter

_LIST: Final = b"\xdd" + bytes(4)
"""The beginning of a MessagePack list, whose length is written at the end."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


class Target:
    """A file that is replaced once everything is written.

    Standard output (``-``), devices and pipes are written record by record. An object of a store
    is written to a temporary file of this machine first.

    Args:
        path: the file, or ``-``.
        durable: sync the file and its directory, so that it survives a power failure.

    What is written is compressed if the extension names a compression. `written` counts the bytes
    before. `closed` tells that nothing is written any more.

    Raises:
        UsageError: the name is empty, or a URL of no store.
    """

    def __init__(self, path: str, *, durable: bool) -> None:
        if not path:
            raise UsageError("the name of a file to write is empty; is a variable unset?")
        check_location(path)
        self._durable = durable
        self._name = "standard output" if path == STDIO else printable(without_credentials(path))
        self._url = path if is_object_url(path) else None
        # Replace the target of a symbolic link, not the link.
        self._path = None if path == STDIO else Path(os.path.realpath(path))
        if self._url is not None:
            self._path = Path(tempfile.gettempdir(), f"rawmm-{secrets.token_hex(6)}")
        self._temporary: Path | None = None
        self._file: BinaryIO
        compression = None if path == STDIO else compression_of(path)
        self._compressor = None if compression is None else compressor(compression)
        self.written = 0
        self.closed = False
        self._given_up = False

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            UsageError: it cannot be written.
        """
        if self._path is None:
            self._file = sys.stdout.buffer
            return self
        try:
            self._open(self._path)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None
        return self

    def _open(self, path: Path) -> None:
        mode = None
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
        if mode is not None and not stat.S_ISREG(mode):
            self._file = path.open("wb")
            return
        if mode is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Shortened, because file systems limit the length of a name.
        temporary = path.with_name(f".{path.name[:64]}.{secrets.token_hex(6)}.tmp")
        descriptor = os.open(temporary, _NEW, 0o666)
        self._temporary = temporary
        self._file = os.fdopen(descriptor, "wb")
        if mode is not None:
            os.fchmod(descriptor, stat.S_IMODE(mode))

    def write(self, data: bytes) -> None:
        """Write bytes.

        Raises:
            UsageError: the operating system refused, for example because the disk is full.
            BrokenPipeError: standard output was closed.
        """
        try:
            self._file.write(data if self._compressor is None else self._compressor.compress(data))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failed(error) from None
        self.written += len(data)

    def give_up(self) -> None:
        """Leave the file as it was, or absent."""
        self._given_up = True

    def patch(self, at: int, data: bytes) -> None:
        """Write over bytes that were written before.

        Raises:
            UsageError: the target is not a file, or as `write`.
        """
        if self._temporary is None:
            raise UsageError(f"{shown_file(self._name)}: only a file can hold a list of records")
        try:
            self._file.seek(at)
            self._file.write(data)
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._failed(error) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the file in place; after an error remove it."""
        refused: str | None = None
        self.closed = True
        if self._path is None:
            if kind is None:
                self._file.flush()
            return
        try:
            if kind is None and not self._given_up:
                self._finish(self._path)
        except OSError as failure:
            raise self._failed(failure) from None
        except OffloadError as failure:
            refused = failure.message
        finally:
            with suppress(OSError):
                self._file.close()
            if self._temporary is not None:
                with suppress(OSError):
                    self._temporary.unlink()
        if refused is not None:
            raise UsageError(f"{shown_file(self._name)}: cannot be written: {refused}")

    def _finish(self, path: Path) -> None:
        if self._compressor is not None:
            self._file.write(self._compressor.flush())
        self._file.flush()
        if self._temporary is None:
            return
        if self._durable:
            os.fsync(self._file.fileno())
        self._file.close()
        if self._url is not None:
            put_object(self._url, self._temporary)
            return
        self._temporary.replace(path)
        self._temporary = None
        if self._durable and hasattr(os, "O_DIRECTORY"):
            # Elsewhere a directory cannot be opened, and its entries cannot be synced.
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                sync_directory(folder)
            except OSError as error:
                if error.errno != errno.ENOTSUP:
                    raise
            finally:
                os.close(folder)

    def _failed(self, error: OSError | ValueError) -> UsageError:
        reason = error.strerror if isinstance(error, OSError) else None
        return UsageError(
            f"{shown_file(self._name)}: cannot be written: {(reason or str(error)).lower()}"
        )


class Writer:
    """Writes plain data to a target as records of one format.

    Args:
        target: the file.
        form: the format to write.
        source: the format that the data was read from.
        listed: whether the file is one MessagePack list, of which each element is a record.

    Attributes:
        content: bytes of records written.
    """

    def __init__(
        self, target: Target, form: FileFormat, source: Format, *, listed: bool = False
    ) -> None:
        self._target = target
        self._form = form
        self._from_json = source != "msgpack"
        self._records = 0
        self._table: TableWriter | None = None
        self._listed = listed and form == "msgpack"
        self.content = 0
        if form == "parquet":
            from rawmm.cli.tables import TableWriter

            self._table = TableWriter(target)
        if self._listed:
            target.write(_LIST)

    def write_text(self, before: bytes, text: bytes) -> None:
        """Write a record of a JSON or JSON Lines file that is already encoded.

        Args:
            before: what stands before it in the file.
            text: the record.

        Raises:
            UsageError: the target cannot be written.
        """
        self._records += 1
        if before:
            self._target.write(before)
        self._write(text)

    def write(self, value: Any) -> None:
        """Write a record.

        Raises:
            ContractError: ``not_json`` or ``out_of_range``: the format cannot express a value.
            UsageError: a second record for a JSON file, or the target cannot be written.
        """
        self._records += 1
        if self._form == "json" and self._records > 1:
            raise UsageError(
                "a JSON file holds one document, but the input has more; "
                "write JSON Lines (--output-format jsonl, or another extension)"
            )
        if self._form == "msgpack":
            data = _msgpack(from_json(value) if self._from_json else value)
        else:
            data = msgspec.json.encode(value if self._from_json else to_json(value)) + b"\n"
        self._write(data)

    def _write(self, data: bytes) -> None:
        self.content += len(data)
        if self._table is not None:
            self._table.write(data.removesuffix(b"\n"))
        else:
            self._target.write(data)

    def finish(self, after: bytes = b"") -> None:
        """Write what stands after the last record, and check that the file is complete.

        Raises:
            UsageError: a JSON file has no document.
        """
        if self._table is not None:
            self._table.finish()
        elif self._listed:
            self._target.patch(1, self._records.to_bytes(4, "big"))
        else:
            self._target.write(after)
        if self._form == "json" and not self._records:
            raise UsageError(
                "a JSON file holds one document, but the input has none; "
                "write JSON Lines (--output-format jsonl, or another extension)"
            )


def _msgpack(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        raise_alone(
            contract_error(
                "out_of_range",
                (),
                expected="integers of at most 64 bits, as in MessagePack",
                got="a larger one",
                hint="write JSON instead",
            )
        )
