"""Rewrites a file record by record, and the options of the commands that do."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias

from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.bugs import InternalError, report_bugs
from rawmm.cli.compressed import inner_name
from rawmm.cli.documents import decode_strict
from rawmm.cli.extensions import unwritable
from rawmm.cli.inputs import Column as Column  # noqa: PLC0414  (for the commands)
from rawmm.cli.inputs import find_inputs
from rawmm.cli.malformed import with_fault
from rawmm.cli.output import UsageError, console, progress
from rawmm.cli.records import (
    STDIO,
    Digest,
    FileFormat,
    check_location,
    format_of,
    is_micro_batches,
    known_extensions,
    named_as,
    open_source,
)
from rawmm.cli.report import located, location_of
from rawmm.cli.writer import Target, Writer
from rawmm.errors import RawMMError, printable, shown_names
from rawmm.locators import without_credentials
from rawmm.store import STORE_FAILURES, is_object_url, url_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.cli.inputs import Found
    from rawmm.cli.records import Format, Input, Record, Source

InputName: TypeAlias = Annotated[
    str,
    Parameter(
        name="IN",
        help="File to read; - is standard input. A folder, or a pattern such as "
        "'runs/**/*.jsonl', names all files of records in it; then OUT is a folder.",
    ),
]
InputFormat: TypeAlias = Annotated[
    FileFormat | None,
    Parameter(name="--input-format", help="Format of IN, by default that of its extension."),
]
Manifest: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="File with a line for each file that is written. A run that finds it goes on where "
        "the run before stopped.",
    ),
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
    FileFormat | None,
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
    """One pass over the files that IN names, which writes every record, changed.

    Use it as a context: it begins with the first file open.

    Args:
        path: IN.
        form: the format of IN, if given.
        what: the name of the command, for the progress bar.
        column: the column with the records, if given.

    Attributes:
        source: the current file, open.
        found: the current file, as it was named.
        files: files written.
        records: records written.
        content: bytes of the records read, without those of records that were left out.
        written: bytes of the records written.
        line: the place of the current record, as `Record.line`.
        record: the current record.
        digest: hashes the current file as it is read, if it is the only one.
    """

    def __init__(
        self, path: str, form: FileFormat | None, what: str, column: str | None = None
    ) -> None:
        self.files = 0
        self.records = 0
        self.content = 0
        self.written = 0
        self.line: int | None = None
        self.record: Record | None = None
        self._what = what
        self.inputs = find_inputs(path, form, "--input-format", column)
        self.output: str | None = None
        self.output_format: FileFormat | None = None
        self.digest: Digest | None = None
        self._open = ExitStack()

    @classmethod
    def of(cls, found: Found, what: str, output: str, output_format: FileFormat | None) -> Self:
        """One pass over one file, to the OUT of many."""
        run = cls(found.input.path, found.input.form, what, found.input.column)
        run.inputs, run.digest = [found], Digest()
        run.output, run.output_format = output, output_format
        return run

    def __enter__(self) -> Self:
        """Open the first file.

        Raises:
            UsageError: it cannot be read.
        """
        self.found = self.inputs[0]
        self.source: Source = self._open.enter_context(
            open_source(self.inputs[0].input, self.digest)
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._open.close()

    def sources(self) -> Iterator[tuple[Source, Found]]:
        """Each file, open, and its name. The file before is closed."""
        for number, found in enumerate(self.inputs):
            if number:
                self._open.close()
                self.found = found
                self.source = self._open.enter_context(open_source(found.input))
            yield self.source, found
            self.content += self.source.content
            self.files += 1

    def write(
        self,
        output: str,
        form: FileFormat | None,
        change: Callable[[Any], Any],
        *,
        durable: bool,
        change_text: Callable[[bytes], bytes] | None = None,
        refused: Callable[[Record, RawMMError], None] | None = None,
    ) -> RawMMError | InternalError | None:
        """Write ``change(record)`` for each record; return the error that stopped it, or None.

        After an error the file for the current input is unchanged.

        Args:
            output: the file; the folder, if IN names a folder or a pattern.
            form: its format; None for that of its extension, or of IN.
            change: from a record as plain data to the new one.
            durable: as in `Target`.
            change_text: from the text of a record to that of the new one, used instead of `change`
                if both files are JSON, or both JSON Lines. Then everything between the records
                stays, too.
            refused: called with each record that cannot be changed, which is then left out.
                Without it, the first such record stops the pass.

        Raises:
            UsageError: a file cannot be read or written.
        """
        targets = iter(self.targets_of(output, self.inputs, form))
        for source, found in self.sources():
            target = next(targets)
            self._check_columns(source, found.input)
            error = self._write_one(
                target,
                form or written_as(found.input.path, target, source),
                change,
                durable=durable,
                change_text=change_text,
                refused=refused,
            )
            if error is not None:
                return error
        return None

    def try_all(
        self,
        change: Callable[[Any], Any],
        refused: Callable[[RawMMError | InternalError], None],
        change_text: Callable[[bytes], bytes] | None = None,
    ) -> RawMMError | None:
        """Call ``change(record)`` for each record and write nothing.

        Args:
            change: from a record as plain data to the new one.
            refused: called with the error of each record that cannot be changed.
            change_text: from the text of a record, used instead if the records are JSON.

        Returns:
            An error of a file itself, or None.
        """
        for source, _ in self.sources():
            with progress(self._what, source.size) as advance:
                try:
                    for record in source.records(may_be_empty=True):
                        self.line, self.record = record.line, record
                        try:
                            with report_bugs():
                                if change_text is None or source.form == "msgpack":
                                    change(decode_record(record, source.form))
                                else:
                                    change_text(record.data)
                        except (RawMMError, InternalError) as error:
                            refused(error)
                        else:
                            self.records += 1
                        self.line = None
                        advance(source.done)
                except RawMMError as error:
                    return error
        return None

    def _write_one(
        self,
        output: str,
        form: FileFormat,
        change: Callable[[Any], Any],
        *,
        durable: bool,
        change_text: Callable[[bytes], bytes] | None,
        refused: Callable[[Record, RawMMError], None] | None,
    ) -> RawMMError | InternalError | None:
        source = self.source
        if not _keeps_text(source, form):
            change_text = None
        with progress(self._what, source.size) as advance:
            try:
                with Target(output, durable=durable) as target:
                    writer = Writer(target, form, source.form, listed=is_micro_batches(output))
                    left_out = 0
                    for record in source.records(
                        may_be_empty=True, keep_blank=change_text is not None
                    ):
                        self.line, self.record = record.line, record
                        before = b"" if change_text is None else source.blank_lines()
                        try:
                            with report_bugs():
                                if change_text is None:
                                    new = change(decode_record(record, source.form))
                                else:
                                    new = change_text(record.data)
                        except RawMMError as error:
                            if refused is None or error.code in _ENVIRONMENT:
                                raise
                            refused(record, error)
                            left_out += 1
                            self.content -= len(record.data)
                        else:
                            with report_bugs():
                                if change_text is None:
                                    writer.write(new)
                                else:
                                    writer.write_text(before, new)
                            self.records += 1
                        self.line = None
                        advance(source.done)
                    if form == "json" and left_out and not writer.content:
                        target.give_up()  # its only document is left out
                    else:
                        writer.finish(b"" if change_text is None else source.blank_lines())
            except (RawMMError, InternalError) as error:
                return error
        self.written += writer.content
        return None

    @classmethod
    def targets_of(cls, output: str, inputs: Iterable[Found], form: FileFormat | None) -> list[str]:
        """The file to write for each file of IN.

        Raises:
            UsageError: IN names several files, and OUT is one; or two would have one name.
        """
        targets: dict[str, Found] = {}
        for found in inputs:
            target = cls._target_of(output, found, form)
            other = targets.setdefault(target, found)
            if other is not found:
                raise UsageError(
                    f"{other.input.name} and {found.input.name} would both be written to "
                    f"{printable(target)}; write them to different folders"
                )
        return list(targets)

    @staticmethod
    def _target_of(output: str, found: Found, form: FileFormat | None) -> str:
        if found.relative is None:
            check_output(found.input.path, output, form)
            return output
        is_url = is_object_url(output)
        if (
            output == STDIO
            or format_of(output) is not None
            or (not is_url and Path(output).is_file())
        ):
            raise UsageError("IN may name several files, so --output takes a folder")
        relative = found.relative
        if form is not None and form != format_of(relative.name):
            relative = relative.with_name(named_as(relative.name, form))
        if is_url:
            return url_below(output, relative.as_posix())
        return str(Path(output, relative))

    def _check_columns(self, source: Source, given: Input) -> None:
        """Check that no column is lost, unless the one to keep was named.

        Raises:
            UsageError: the file has other columns.
        """
        if source.others and given.column is None:
            raise UsageError(
                f"{source.name}: the other columns ({shown_names(source.others)}) would not be "
                "written; give --column to write the records alone"
            )

    def failed(self, error: RawMMError | InternalError) -> int:
        """Print the error that stopped the pass; return the exit code."""
        return self.print_failure(error, self.source.name, self.line)

    @staticmethod
    def print_failure(error: RawMMError | InternalError, name: str, line: int | None) -> int:
        """Print why a file was not written, by its name and record; return the exit code."""
        if isinstance(error, InternalError):
            terminal.error(f"{location_of(name, line)}: {error}")
            return 2
        if error.code in _ENVIRONMENT:
            terminal.error(error.message)
            return 2
        console(for_errors=True).print(located(name, line, error))
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


def check_output(source: str, output: str, given: FileFormat | None) -> None:
    """Check the name of OUT.

    Raises:
        UsageError: the name is empty, a URL of no store, or has the extension of a format that
            rawmm does not write, or an unknown extension without a `given` format.
    """
    if not output:
        raise UsageError("the name after --output is empty; is a variable unset?")
    check_location(output)
    terminal.note_memory(output)
    if _is_same(source, output) or format_of(output) is not None:
        return
    why_not = unwritable(output)
    name = printable(without_credentials(output))
    if why_not is not None:
        raise UsageError(f"{name}: {why_not}")
    if given is None and output != STDIO and PurePath(inner_name(output)).suffix:
        raise UsageError(
            f"{name}: the extension is not one of {known_extensions()}; "
            "give --output-format json, jsonl or msgpack"
        )


def written_as(given: str, output: str, source: Source) -> FileFormat:
    """The format of `output`: that of its extension, or that of the file it is made from."""
    form = source.container or source.form
    return form if _is_same(given, output) else format_of(output) or form


def _keeps_text(source: Source, form: FileFormat) -> bool:
    """Whether the text of a record can stand in a file of another format as it is."""
    return source.form != "msgpack" and form == (source.container or source.form)


def _is_same(source: str, output: str) -> bool:
    if is_object_url(source) or is_object_url(output):
        return source == output
    return STDIO not in (source, output) and os.path.realpath(source) == os.path.realpath(output)
