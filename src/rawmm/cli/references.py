"""The option ``--refs`` of `fsck` and `gc`: files of records that refer to images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from rawmm.cli.inputs import all_inputs
from rawmm.cli.output import UsageError, console, progress
from rawmm.cli.records import FileFormat, open_source
from rawmm.cli.report import located
from rawmm.cli.rewrite import decode_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

References: TypeAlias = Annotated[
    list[str] | None,
    Parameter(
        name="--refs",
        consume_multiple=True,
        negative=(),
        help="Files of records that refer to images: requests, traces, nodes, references, samples, "
        "of any version; - is standard input.",
    ),
]
InputFormat: TypeAlias = Annotated[
    FileFormat | None,
    Parameter(
        name="--input-format", help="Format of these files, by default that of their extension."
    ),
]


class ReferenceFiles:
    """The records of several files, and their places.

    Attributes:
        places: file and line of every record so far.
        at: file and line of the current record.
    """

    def __init__(self, paths: list[str], form: FileFormat | None) -> None:
        """Read the files of --refs.

        Raises:
            UsageError: there is no file.
        """
        if not paths:
            raise UsageError(
                "--refs takes one or more files: every file with records that may need an image"
            )
        self._inputs = []
        for _, given in all_inputs(paths, form, "--input-format"):
            if isinstance(given, UsageError):
                raise given
            self._inputs.append(given)
        self.places: list[tuple[str, int | None]] = []
        self.at: tuple[str, int | None] = ("", None)

    def records(self) -> Iterator[Any]:
        """Every record, as plain data.

        Raises:
            RawMMError: a record is malformed, or a file is empty or of another type.
            UsageError: a file cannot be read.
        """
        for given in self._inputs:
            with open_source(given) as source, progress(given.name, source.size) as advance:
                self.at = (source.name, None)
                for record in source.records():
                    self.at = (source.name, record.line)
                    self.places.append(self.at)
                    yield decode_record(record, source.form)
                    advance(source.done)
                    self.at = (source.name, None)

    def refused(self, error: RawMMError) -> int:
        """Print the error that stopped the command; return the exit code."""
        console(for_errors=True).print(located(*self.at, error))
        return 1
