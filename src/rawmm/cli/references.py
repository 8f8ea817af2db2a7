"""The option ``--refs`` of `fsck` and `gc`: files of records that refer to images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from cyclopts import Parameter

from rawmm.cli.bugs import Bug
from rawmm.cli.inputs import all_inputs
from rawmm.cli.output import UsageError, console, run_progress
from rawmm.cli.pieces import Piece, opened, pieces_of, size_of
from rawmm.cli.records import FileFormat, Input
from rawmm.cli.report import located
from rawmm.cli.rewrite import decode_record
from rawmm.errors import RawMMError, printable
from rawmm.parallel import in_order
from rawmm.store import Mention, Mentions, RecordSearch, Referenced, check_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.parallel import Engine
    from rawmm.store import Finding, ImageCheck

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
        inputs: the files.
        places: file and line of each record that is the first to name an image, by its index.
        at: file and line of the record that cannot be searched.
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
        self.inputs: list[Input] = []
        for _, given in all_inputs(paths, form, "--input-format"):
            if isinstance(given, UsageError):
                raise given
            self.inputs.append(given)
        self.places: dict[int, tuple[str, int | None]] = {}
        self.at: tuple[str, int | None] = ("", None)

    def refused(self, error: RawMMError) -> int:
        """Print the error that stopped the command; return the exit code."""
        console(for_errors=True).print(located(*self.at, error))
        return 1


class EngineSearch(RecordSearch):
    """Searches the records of files on an engine.

    Args:
        files: the files; `at` and `places` are updated.
        engine: where they are searched.
    """

    def __init__(self, files: ReferenceFiles, engine: Engine) -> None:
        self._files = files
        self._engine = engine
        self._begun: dict[int, tuple[int, Piece]] = {}

    def search(self, names: list[str], *, every: bool) -> Mentions:
        """Search all records.

        Raises:
                RawMMError: a record is malformed or cannot be searched, or a file is empty or of
                another type.
            UsageError: a file cannot be read, or a piece of one was lost.
        """
        found = Mentions(set(), {})
        records = lines = file = done = 0
        total = sum(map(size_of, self._files.inputs))
        with run_progress("search", total) as advance:
            for outcome in in_order(self._engine.map(_search_of, (names, every), self._pieces())):
                of, piece = self._begun[outcome.number]
                if of != file:
                    file, lines = of, 0
                result = outcome.result
                if result is None:
                    raise UsageError(f"{piece.given.name}: {outcome.lost}")
                for locator, mention in result.mentions.locators.items():
                    earlier = found.locators.get(locator)
                    if earlier is not None:
                        times = earlier.times + mention.times
                        found.locators[locator] = earlier._replace(times=times)
                        continue
                    record = records + mention.record
                    line = None if mention.line is None else mention.line + lines
                    self._files.places[record] = piece.given.name, line
                    found.locators[locator] = mention._replace(record=record, line=line)
                found.names.update(result.mentions.names)
                if result.failure is not None:
                    line = None if result.line is None else result.line + lines
                    self._files.at = piece.given.name, line
                    raise result.failure
                records += result.records
                lines += result.lines
                done += result.size
                advance(done, records, 0)
                if outcome.last:
                    del self._begun[outcome.number]
        return found

    def _pieces(self) -> Iterator[Piece]:
        number = 0
        alone = self._engine.workers == 1
        for file, given in enumerate(self._files.inputs):
            for piece in pieces_of(given, alone=alone, may_be_empty=False):
                self._begun[number] = file, piece._replace(shipped=None)
                number += 1
                yield piece


class _Searched(NamedTuple):
    """What the records of a piece name, and why the search ended before its end."""

    mentions: Mentions
    records: int
    lines: int
    size: int
    line: int | None
    failure: RawMMError | UsageError | None


def _search_of(
    names: list[str],
    every: bool,  # noqa: FBT001
) -> Callable[[Piece], tuple[_Searched, None]]:
    """Return the function that searches a piece. Runs in the processes of an engine."""
    referenced = Referenced(names)

    def work(piece: Piece) -> tuple[_Searched, None]:
        referenced.names = set()
        found: dict[str, Mention] = {}
        number = 0
        line: int | None = None
        failure: RawMMError | UsageError | None = None
        with opened(piece, may_be_empty=False) as reader:
            for record in reader:
                try:
                    value = decode_record(record, reader.form)
                    for path, locator in referenced.read(value):
                        _add(found, locator, Mention(number, path, 1, record.line))
                except RawMMError as error:
                    line, failure = record.line, error
                    break
                number += 1
            left = reader.failure
            if failure is None:
                failure = (
                    UsageError(f"{piece.given.name}: {left}") if isinstance(left, Bug) else left
                )
            if not every:
                found = {one: found[one] for one in found if not referenced.holds(one)}
            return _Searched(
                Mentions(referenced.names, found), number, reader.lines, reader.done, line, failure
            ), None

    return work


def _add(found: dict[str, Mention], locator: str, mention: Mention) -> None:
    earlier = found.get(locator)
    if earlier is not None:
        mention = earlier._replace(times=earlier.times + 1)
    found[locator] = mention


def image_check_on(engine: Engine, image_dir: str, *, quarantine: bool) -> ImageCheck:
    """Return what checks the images of a store on an engine, for `iter_findings`."""

    def images(chunks: Iterator[list[str]]) -> Iterator[list[list[Finding]]]:
        for outcome in in_order(engine.map(_images_of, (image_dir, quarantine), chunks)):
            if outcome.result is None:
                raise UsageError(f"{printable(image_dir)}: {outcome.lost}")
            if isinstance(outcome.result, RawMMError):
                raise outcome.result
            yield outcome.result

    return images


def _images_of(
    image_dir: str,
    quarantine: bool,  # noqa: FBT001
) -> Callable[[list[str]], tuple[list[list[Finding]] | RawMMError, None]]:
    """Return the function that checks images. Runs in the processes of an engine."""

    def work(names: list[str]) -> tuple[list[list[Finding]] | RawMMError, None]:
        try:
            return check_images(image_dir, names, quarantine=quarantine), None
        except RawMMError as error:
            return error, None

    return work
