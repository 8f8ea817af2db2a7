"""The file of the records that a command left out, with their errors."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import msgspec

from rawmm.cli.documents import decode_strict
from rawmm.cli.output import UsageError
from rawmm.cli.records import STDIO
from rawmm.cli.report import location_of
from rawmm.cli.writer import Target
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from types import TracebackType

    from rawmm.cli.records import Record, Source


class RefusedRecords:
    """Writes JSON Lines: file, line, code, path and message of each error, and the record.

    ``record`` is the record as it was, if it is JSON; else ``bytes`` is its base64. There is no
    file without refused records. After an exception there is none, either.

    Args:
        path: the file.
        durable: as in `Target`.

    Attributes:
        count: records written.
    """

    def __init__(self, path: str, *, durable: bool) -> None:
        self.count = 0
        self.path = path
        self._durable = durable
        self._target: Target | None = None

    def __enter__(self) -> Self:
        """Begin. The file is opened when there is a record for it."""
        return self

    def add(self, source: Source, record: Record, error: RawMMError) -> None:
        """Write a record.

        Raises:
            UsageError: the file cannot be written.
        """
        if self._target is None:
            self._target = Target(self.path, durable=self._durable).__enter__()
        self.count += 1
        place = location_of("<stdin>" if source.name == STDIO else source.name, record.line, error)
        line: dict[str, Any] = {
            "file": place.file,
            "line": record.line,
            "code": error.code,
            "path": error.path,
            "message": error.message,
        }
        self._target.write(msgspec.json.encode(line | _content(record, source)) + b"\n")

    def discard(self) -> None:
        """Write no file, because the command stops."""
        if self._target is not None:
            stopped = UsageError("the command stopped")
            with suppress(UsageError):
                self._target.__exit__(UsageError, stopped, None)
            self._target = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the file in place, or remove it after an exception."""
        if self._target is not None:
            self._target.__exit__(kind, error, traceback)


def _content(record: Record, source: Source) -> dict[str, Any]:
    if source.form != "msgpack":
        try:
            decode_strict(record.data, source.form)
        except RawMMError:
            pass
        else:
            return {"record": msgspec.Raw(record.data.strip())}
    return {"bytes": b64encode(record.data).decode()}
