"""``rawmm view``: writes a page that shows records, and the violations in them."""

from __future__ import annotations

import os
import webbrowser
from contextlib import suppress
from itertools import zip_longest
from math import inf
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.commands.check import Checker
from rawmm.cli.compressed import inner_name
from rawmm.cli.documents import decode_plain
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, FilesFormat, check_not_read, check_once, find_inputs
from rawmm.cli.layout import named_layout
from rawmm.cli.output import UsageError, counted
from rawmm.cli.record_types import named_type
from rawmm.cli.records import STDIO, FileFormat, Input, open_source
from rawmm.cli.writer import Target
from rawmm.errors import RawMMError, printable
from rawmm.view import DEFAULT_BUDGET, Page, ViewedRecord, is_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_RECORDS: Final = 1_000


def view(
    *files: Annotated[
        str, Parameter(help="Files, folders, patterns or bundles to show; - is standard input.")
    ],
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, of the images that records refer to. A file "
            "named by its hash is found there wherever the record says that it is. By default "
            "the first bundle of FILE."
        ),
    ] = None,
    to: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"],
            help="The page to write; - is standard output. By default the name of the first file "
            "with the extension html, in the working directory.",
        ),
    ] = None,
    open_page: Annotated[
        bool, Parameter(name="--open", negative=(), help="Show the page in the browser.")
    ] = False,
    compare: Annotated[
        str | None,
        Parameter(
            help="Another file, or bundle. Its records are shown beside those of FILE, and the "
            "first difference is marked.",
        ),
    ] = None,
    type_name: Annotated[
        str | None,
        Parameter(name=["--type", "-t"], help="Type of every record. Detected by default."),
    ] = None,
    form: FilesFormat = None,
    column: Column = None,
    layout: Annotated[
        str | None,
        Parameter(
            help="Layout family of the model, such as qwen_vl, for records that do not name one."
        ),
    ] = None,
    image_megabytes: Annotated[
        float,
        Parameter(
            help="Megabytes of images in the page: thumbnails first, then whole files. The page "
            "names the others."
        ),
    ] = DEFAULT_BUDGET,
    max_records: Annotated[
        int, Parameter(help="Records, or traces of episodes, in the page; 0 shows all.")
    ] = _MAX_RECORDS,
) -> int:
    """Write a page that shows records: messages, branches, images, tokens and violations.

    The page is one file. It loads nothing, so it can be sent to others, with the content of the
    records in it.
    """
    if not files:
        raise UsageError("nothing to show: give one or more files, or - for standard input")
    if compare is not None and len(files) != 1:
        raise UsageError("--compare takes one file to compare with one other")
    if not 0 <= image_megabytes < inf or max_records < 0:
        raise UsageError("--image-megabytes and --max-records take 0 or a positive number")
    check_once([*files, *([] if compare is None else [compare])])
    shown = _inputs(files, form, column)
    others = [] if compare is None else _inputs([compare], form, column)
    target = _target(files[0], shown, to)
    check_not_read(target, "--output", [*shown, *others])
    reader = _Reader(type_name)
    bundles = (given.bundle for given in shown if given.bundle is not None)
    place = next(bundles, None) if image_dir is None else image_dir
    store = None if place is None else open_store(place)
    family = None if layout is None else named_layout(layout)
    named = files if compare is None else (*files, compare)
    title = ", ".join(Input(path, form, "").name for path in named[:3])
    with Page(
        title, store, megabytes=image_megabytes, layout=family, max_records=max_records or None
    ) as page:
        for one, other in reader.pairs(shown, others, page):
            if compare is None:
                page.add(one)
            else:
                page.add_pair(one, other)
        with Target(target, durable=False) as out:
            for piece in page.html():
                out.write(piece)
    _summary(page, target, out.written)
    if open_page and target != STDIO:
        webbrowser.open(Path(target).absolute().as_uri())
    return 0


def _inputs(paths: Sequence[str], form: FileFormat | None, column: str | None) -> list[Input]:
    """The files that arguments name.

    Raises:
        UsageError: an argument names none.
    """
    return [
        found.input for path in paths for found in find_inputs(path, form, "--input-format", column)
    ]


class _Reader:
    """Reads files as records with their violations."""

    def __init__(self, type_name: str | None) -> None:
        self._kind = None if type_name is None else named_type(type_name)
        self._checkers: dict[str | None, Checker] = {}

    def pairs(
        self, files: list[Input], others: list[Input], page: Page
    ) -> Iterator[tuple[ViewedRecord, ViewedRecord]]:
        """Each record of the files, with that of the other files at its position.

        Records that the page has no room for are neither decoded nor checked.
        """
        missing = ViewedRecord("nothing", None, None, [])
        return zip_longest(self.records(files, page), self.records(others, page), fillvalue=missing)

    def records(self, files: list[Input], page: Page) -> Iterator[ViewedRecord]:
        """The records of files.

        Raises:
            UsageError: one cannot be read.
        """
        for given in files:
            yield from self._of_file(given, page)

    def _checker_of(self, given: Input) -> Checker:
        """What checks the records of a file. Those of a bundle name images by file name alone."""
        if given.bundle not in self._checkers:
            store = None
            if given.bundle is not None:
                with suppress(UsageError):  # it is damaged, as reading it says
                    store = open_store(given.bundle)
            self._checkers[given.bundle] = Checker(self._kind, store)
        return self._checkers[given.bundle]

    def _of_file(self, given: Input, page: Page) -> Iterator[ViewedRecord]:
        checker = self._checker_of(given)
        try:
            with open_source(given) as source:
                for record in source.records(may_be_empty=True):
                    if page.is_full:
                        yield ViewedRecord(given.name, record.line, None, [])
                        continue
                    value: Any = None
                    errors = [
                        found
                        for found in checker.findings(record, source.form)
                        if isinstance(found, RawMMError)
                    ]
                    with suppress(RawMMError):  # the checker has found it, too
                        value = decode_plain(record.data, source.form)
                    yield ViewedRecord(given.name, record.line, value, errors)
        except RawMMError as error:
            yield ViewedRecord(given.name, None, None, [error])


def _target(first: str, inputs: list[Input], to: str | None) -> str:
    """The file to write. Without a name, only a page is replaced.

    Raises:
        UsageError: a file with the default name is no page.
    """
    if to is not None:
        return to
    if first == STDIO:
        raise UsageError("standard input has no name for the page; give --output")
    if not os.path.lexists(first):  # a pattern
        first = inputs[0].path
    # The absolute path, as "." has no name.
    stem = PurePath(inner_name(os.path.abspath(first))).stem  # noqa: PTH100  (resolves "..")
    if not stem:
        raise UsageError(f"{printable(first)} has no name for the page; give --output")
    path = Path(f"{stem}.html")
    if path.exists() and not _holds_page(path):
        raise UsageError(
            f"{printable(str(path))} exists and is no page of rawmm view; give --output"
        )
    return str(path)


def _holds_page(path: Path) -> bool:
    if not path.is_file():  # to open a pipe would wait for its writer
        return False
    with path.open("rb") as file:
        return is_page(file.read(4096))


def _summary(page: Page, target: str, size: int) -> None:
    name = "standard output" if target == STDIO else printable(target)
    colour = "bold red" if page.violations else "bold green"
    output.info(
        f"{name}: {counted(page.records, 'record')}, {counted(page.messages, 'message')}, "
        f"{counted(page.images, 'different image')}, ",
        (counted(page.violations, "violation"), colour),
        f", {output.size(size)}",
    )
    if page.left_out:
        output.info(f"… {page.left_out} more (--max-records 0 shows all)")
