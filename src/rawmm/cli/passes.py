"""One pass over a file that reads, changes and writes every record, and its options."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from rawmm.cli.bugs import InternalError, bugs_named
from rawmm.cli.documents import decode_strict
from rawmm.cli.extensions import unwritable
from rawmm.cli.malformed import placed
from rawmm.cli.output import UsageError, complain, console, printable, progress
from rawmm.cli.records import EXTENSIONS, STDIO, Format, format_of
from rawmm.cli.report import error_text, place_of
from rawmm.cli.writing import Target, Writer
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.cli.records import Record, Source

InputName: TypeAlias = Annotated[
    str, Parameter(name="IN", help="File to read; - is standard input.")
]
InputFormat: TypeAlias = Annotated[
    Format | None,
    Parameter(name="--input-format", help="Format of IN. Its extension by default."),
]
OutputFormat: TypeAlias = Annotated[
    Format | None,
    Parameter(help="Format of OUT. By default what its extension says, or that of IN."),
]
Durable: TypeAlias = Annotated[
    bool,
    Parameter(
        negative="--no-durable", help="Sync images and OUT to disk, to survive a power failure."
    ),
]

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
    ) -> RawMMError | InternalError | None:
        """Write what `change` makes of each record; the error that stopped the pass, or None.

        Nothing is written to `output` unless every record was.
        """
        with progress(self._what, self.source.size) as advance:
            try:
                with Target(output, durable=durable) as target:
                    writer = Writer(target, form, self.source.form)
                    for record in self.source.records(may_be_empty=True):
                        self.line = record.line
                        with bugs_named():
                            writer.write(change(decode_record(record, self.source.form)))
                        self.records += 1
                        self.line = None
                        advance(self.source.done)
                    writer.finish()
            except (RawMMError, InternalError) as error:
                return error
        self.written = target.written
        return None

    def failed(self, error: RawMMError | InternalError) -> int:
        """Say what stopped the pass; the exit code."""
        if isinstance(error, InternalError):
            complain(f"{place_of(self.source.name, self.line)}: {error}")
            return 2
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
        fault = placed(error, record.data, form)
    raise fault


def check_output(source: str, output: str, given: Format | None) -> None:
    """Refuse a name for OUT that promises a format in which nothing is written.

    Raises:
        UsageError: the name is empty, or its extension is that of another format, or of none that
            is known while no format is `given`.
    """
    if not output:
        raise UsageError("the name after --output is empty; is a variable not set?")
    if _is_same(source, output) or format_of(output) is not None:
        return
    why_not = unwritable(output)
    if why_not is not None:
        raise UsageError(f"{printable(output)}: {why_not}")
    if given is None and output != STDIO and PurePath(output).suffix:
        raise UsageError(
            f"{printable(output)}: the extension is none of {', '.join(EXTENSIONS)}; "
            "give --output-format json, jsonl or msgpack"
        )


def written_as(source: str, output: str, form: Format) -> Format:
    """The format of `output`: what its extension says, or that of the file it is or comes from."""
    return form if _is_same(source, output) else format_of(output) or form


def _is_same(source: str, output: str) -> bool:
    return STDIO not in (source, output) and os.path.realpath(source) == os.path.realpath(output)
