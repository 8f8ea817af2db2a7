"""Rewrites a file record by record, and the options of the commands that do."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.bugs import InternalError, report_bugs
from rawmm.cli.compressed import inner_name
from rawmm.cli.documents import decode_strict
from rawmm.cli.extensions import unwritable
from rawmm.cli.malformed import with_fault
from rawmm.cli.output import UsageError, console, progress
from rawmm.cli.records import STDIO, Format, format_of, known_extensions
from rawmm.cli.report import located, location_of
from rawmm.cli.writer import Target, Writer
from rawmm.errors import RawMMError, printable
from rawmm.store import STORE_FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.cli.records import Record, Source

InputName: TypeAlias = Annotated[
    str, Parameter(name="IN", help="File to read; - is standard input.")
]
InputFormat: TypeAlias = Annotated[
    Format | None,
    Parameter(name="--input-format", help="Format of IN, by default that of its extension."),
]
_REPLACED: Final = (
    "File to write; - is standard output. It may be IN. It is replaced at the end, if there was no "
    "error."
)
OutputName: TypeAlias = Annotated[str, Parameter(name=["--output", "-o"], help=_REPLACED)]
OptionalOutputName: TypeAlias = Annotated[
    str | None,
    Parameter(name=["--output", "-o"], help=f"{_REPLACED} Required unless --dry-run is given."),
]
RecordType: TypeAlias = Annotated[
    str | None,
    Parameter(
        name=["--type", "-t"],
        help="Type of every record, e.g. Trace or list[MessageNode]. Detected from each record by "
        "default.",
    ),
]
OutputFormat: TypeAlias = Annotated[
    Format | None,
    Parameter(help="Format of OUT, by default that of its extension, or that of IN."),
]
Durable: TypeAlias = Annotated[
    bool,
    Parameter(
        negative="--no-durable", help="Sync images and OUT to disk to survive a power failure."
    ),
]

# Errors of the store, not of the data.
_ENVIRONMENT: Final = frozenset({"no_image_dir", *STORE_FAILURES})


class Rewrite:
    """One pass over a file that writes every record, changed.

    Args:
        source: the file.
        what: the name of the command, for the progress bar.

    Attributes:
        records: records written.
        written: bytes written.
        line: the place of the current record, as `Record.line`.
        record: the current record.
    """

    def __init__(self, source: Source, what: str) -> None:
        self.source = source
        self.records = 0
        self.written = 0
        self.line: int | None = None
        self.record: Record | None = None
        self._what = what

    def write(
        self,
        output: str,
        form: Format,
        change: Callable[[Any], Any],
        *,
        durable: bool,
        change_text: Callable[[bytes], bytes] | None = None,
    ) -> RawMMError | InternalError | None:
        """Write ``change(record)`` for each record; return the error that stopped it, or None.

        After an error `output` is unchanged.

        Args:
            output: the file.
            form: its format.
            change: from a record as plain data to the new one.
            durable: as in `Target`.
            change_text: from the text of a record to that of the new one, used instead of `change`
                if both files are JSON, or both JSON Lines. Then everything between the records
                stays, too.
        """
        if form == "msgpack" or form != self.source.form:
            change_text = None
        with progress(self._what, self.source.size) as advance:
            try:
                with Target(output, durable=durable) as target:
                    writer = Writer(target, form, self.source.form)
                    for record in self.source.records(
                        may_be_empty=True, keep_blank=change_text is not None
                    ):
                        self.line, self.record = record.line, record
                        with report_bugs():
                            if change_text is None:
                                writer.write(change(decode_record(record, self.source.form)))
                            else:
                                writer.write_text(
                                    self.source.blank_lines(), change_text(record.data)
                                )
                        self.records += 1
                        self.line = None
                        advance(self.source.done)
                    writer.finish(b"" if change_text is None else self.source.blank_lines())
            except (RawMMError, InternalError) as error:
                return error
        self.written = target.written
        return None

    def failed(self, error: RawMMError | InternalError) -> int:
        """Print the error that stopped the pass; return the exit code."""
        if isinstance(error, InternalError):
            terminal.error(f"{location_of(self.source.name, self.line)}: {error}")
            return 2
        if error.code in _ENVIRONMENT:
            terminal.error(error.message)
            return 2
        console().print(located(self.source.name, self.line, error))
        return 1


def decode_record(record: Record, form: Format) -> Any:
    """A record as plain data.

    Raises:
        ContractError: as `decode_strict`.
    """
    return decode_text(record.data, form)


def decode_text(data: bytes, form: Format) -> Any:
    """The bytes of a record as plain data.

    Raises:
        ContractError: as `decode_strict`.
    """
    try:
        return decode_strict(data, form)
    except RawMMError as error:
        fault = with_fault(error, data, form)
    raise fault


def check_output(source: str, output: str, given: Format | None) -> None:
    """Check the name of OUT.

    Raises:
        UsageError: the name is empty, or has the extension of a format that rawmm does not write,
            or an unknown extension without a `given` format.
    """
    if not output:
        raise UsageError("the name after --output is empty; is a variable unset?")
    if _is_same(source, output) or format_of(output) is not None:
        return
    why_not = unwritable(output)
    if why_not is not None:
        raise UsageError(f"{printable(output)}: {why_not}")
    if given is None and output != STDIO and PurePath(inner_name(output)).suffix:
        raise UsageError(
            f"{printable(output)}: the extension is not one of {known_extensions()}; "
            "give --output-format json, jsonl or msgpack"
        )


def written_as(source: str, output: str, form: Format) -> Format:
    """The format of `output`: that of its extension, or `form`, the format of `source`."""
    return form if _is_same(source, output) else format_of(output) or form


def _is_same(source: str, output: str) -> bool:
    return STDIO not in (source, output) and os.path.realpath(source) == os.path.realpath(output)
