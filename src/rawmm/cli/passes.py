"""One pass over a file: every record is read, changed and written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from rawmm.cli.documents import decode_strict
from rawmm.cli.output import complain, console, progress
from rawmm.cli.records import STDIO, format_of, is_json_lines
from rawmm.cli.report import error_text
from rawmm.cli.writing import Target, Writer
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.cli.records import Format, Record, Source

# Not the data's fault: the same file works once the directory does.
_ENVIRONMENT: Final = frozenset({"no_image_dir", "store_failed"})


class Pass:
    """One pass over a file.

    Args:
        source: the file.
        what: the name of the command, for the progress bar.

    Attributes:
        records: records that were written.
        written: bytes that were written.
        line: where the record at hand stands, as `Record.line`.
    """

    def __init__(self, source: Source, what: str) -> None:
        self.source = source
        self.records = 0
        self.written = 0
        self.line: int | None = None
        self._what = what

    def write(
        self, output: str, form: Format, change: Callable[[Any], Any], *, durable: bool
    ) -> RawMMError | None:
        """Write what `change` makes of each record; the error that stopped the pass, or None.

        Nothing is written to `output` unless every record was.
        """
        with progress(self._what, self.source.size) as advance:
            try:
                with Target(output, durable=durable) as target:
                    writer = Writer(target, form, self.source.form)
                    for record in self.source.records():
                        self.line = record.line
                        writer.write(change(decode_record(record, self.source.form)))
                        self.records += 1
                        self.line = None
                        advance(self.source.done)
            except RawMMError as error:
                return error
        self.written = target.written
        return None

    def failed(self, error: RawMMError) -> int:
        """Say what stopped the pass; the exit code."""
        if error.code in _ENVIRONMENT:
            complain(error.message)
            return 2
        console().print(error_text(self.source.name, self.line, error))
        return 1


def decode_record(record: Record, form: Format) -> Any:
    """A record as plain data.

    Raises:
        ContractError: as `decode_strict`.
    """
    try:
        return decode_strict(record.data, form)
    except RawMMError as error:
        if form == "json" and is_json_lines(record.data):
            error.hint = "if it is JSON Lines, say that its format is jsonl"
        raise


def written_as(source: str, output: str, form: Format) -> Format:
    """The format of `output`: what its extension says, or that of the file it is or comes from."""
    same = STDIO not in (source, output) and os.path.realpath(source) == os.path.realpath(output)
    return form if same else format_of(output) or form
