"""The records that name images, from files: what `fsck` and `gc` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from rawmm.cli.output import UsageError, console, progress
from rawmm.cli.passes import decode_record
from rawmm.cli.records import STDIO, Format, Input, open_source
from rawmm.cli.report import error_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

References: TypeAlias = Annotated[
    list[str] | None,
    Parameter(
        name="--refs",
        consume_multiple=True,
        negative=(),
        help="Files of records that name images: requests, traces, nodes, references, samples, "
        "of any version; - is standard input.",
    ),
]
InputFormat: TypeAlias = Annotated[
    Format | None,
    Parameter(name="--input-format", help="Format of these files. Their extension by default."),
]


def check_named(image_dir: object) -> None:
    """Refuse an image directory without a name: ``""`` would be the working directory.

    Raises:
        UsageError: it is empty, or ``-``.
    """
    if not image_dir:
        raise UsageError("the image directory is empty; is a variable not set?")
    if image_dir == STDIO:
        raise UsageError("- is standard input, and no image directory; write ./- for one so named")


class ReferenceFiles:
    """The records of files, one after the other, and where each stands.

    Attributes:
        places: file and line of every record so far.
        at: file and line of what is read now.
    """

    def __init__(self, paths: list[str], form: Format | None) -> None:
        """Take the files of --refs.

        Raises:
            UsageError: the option stands without a file.
        """
        if not paths:
            raise UsageError(
                "--refs takes one or more files: all that hold records which may need an image"
            )
        self._inputs = [Input(path, form, "--input-format") for path in paths]
        self.places: list[tuple[str, int | None]] = []
        self.at: tuple[str, int | None] = ("", None)

    def records(self) -> Iterator[Any]:
        """Every record, as plain data.

        Raises:
            RawMMError: a record is not complete and strict, or a file is empty or of another type.
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
        """Say which record stopped the command; the exit code."""
        console().print(error_text(*self.at, error))
        return 1
