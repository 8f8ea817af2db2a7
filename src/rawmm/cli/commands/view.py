"""``rawmm view``: writes a page that shows records, and the violations in them."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.commands.check import Checker
from rawmm.cli.compressed import inner_name
from rawmm.cli.documents import decode_plain
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import find_inputs
from rawmm.cli.layout import named_layout
from rawmm.cli.output import UsageError, counted
from rawmm.cli.record_types import named_type
from rawmm.cli.records import STDIO, Format, Input, open_source
from rawmm.cli.writer import Target
from rawmm.errors import RawMMError
from rawmm.store import is_bundle
from rawmm.view import DEFAULT_BUDGET, Page, ViewedRecord, is_page

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_RECORDS: Final = 1_000


def view(
    *files: Annotated[str, Parameter(help="Files or bundles to show; - is standard input.")],
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
            help="Another file. Its records are shown beside those of FILE, and the first "
            "difference is marked.",
        ),
    ] = None,
    type_name: Annotated[
        str | None,
        Parameter(name=["--type", "-t"], help="Type of every record. Detected by default."),
    ] = None,
    input_format_name: Annotated[
        Format | None,
        Parameter(
            name="--input-format", help="Format of the files, by default that of their extension."
        ),
    ] = None,
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
    max_records: Annotated[int, Parameter(help="Records in the page; 0 shows all.")] = _MAX_RECORDS,
) -> int:
    """Write a page that shows records: messages, branches, images, tokens and violations.

    The page is one file. It loads nothing, so it can be sent to others, with the content of the
    records in it.
    """
    if not files:
        raise UsageError("nothing to show: give one or more files, or - for standard input")
    if compare is not None and len(files) != 1:
        raise UsageError("--compare takes one file to compare with one other")
    if image_megabytes < 0 or max_records < 0:
        raise UsageError("--image-megabytes and --max-records take 0 or a positive number")
    target = _target(files[0], to)
    reader = _Reader(type_name, input_format_name)
    bundles = (path for path in files if is_bundle(path))
    place = next(bundles, None) if image_dir is None else image_dir
    store = None if place is None else open_store(place)
    family = None if layout is None else named_layout(layout)
    named = files if compare is None else (*files, compare)
    title = ", ".join(Input(path, input_format_name, "").name for path in named[:3])
    with Page(title, store, megabytes=image_megabytes, layout=family) as page:
        for one, other in reader.pairs(files, compare):
            if max_records and page.records >= max_records:
                page.left_out += 1
            elif compare is None:
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


class _Reader:
    """Reads files as records with their violations."""

    def __init__(self, type_name: str | None, form: Format | None) -> None:
        self._form = form
        self._checker = Checker(None if type_name is None else named_type(type_name), None)

    def pairs(
        self, files: tuple[str, ...], compare: str | None
    ) -> Iterator[tuple[ViewedRecord, ViewedRecord]]:
        """Each record of the files, with that of the other file at its position."""
        others: Iterator[ViewedRecord] = iter(()) if compare is None else self.records(compare)
        missing = ViewedRecord("nothing", None, None, [])
        for path in files:
            yield from zip_longest(self.records(path), others, fillvalue=missing)

    def records(self, path: str) -> Iterator[ViewedRecord]:
        """The records of a file.

        Raises:
            UsageError: it cannot be read.
        """
        inputs = [Input(path, self._form, "--input-format")]
        if is_bundle(path):
            inputs = [found.input for found in find_inputs(path, self._form, "", None)]
        for given in inputs:
            yield from self._of_file(given)

    def _of_file(self, given: Input) -> Iterator[ViewedRecord]:
        try:
            with open_source(given) as source:
                for record in source.records(may_be_empty=True):
                    value: Any = None
                    errors = [
                        found
                        for found in self._checker.findings(record, source.form)
                        if isinstance(found, RawMMError)
                    ]
                    with suppress(RawMMError):  # the checker has found it, too
                        value = decode_plain(record.data, source.form)
                    yield ViewedRecord(given.name, record.line, value, errors)
        except RawMMError as error:
            yield ViewedRecord(given.name, None, None, [error])


def _target(first: str, to: str | None) -> str:
    """The file to write. Without a name, only a page is replaced.

    Raises:
        UsageError: a file with the default name is no page.
    """
    if to is not None:
        return to
    if first == STDIO:
        raise UsageError("standard input has no name for the page; give --output")
    path = Path(f"{PurePath(inner_name(first)).stem}.html")
    if path.exists():
        with path.open("rb") as file:
            if not is_page(file.read(4096)):
                raise UsageError(f"{path} exists and is no page of rawmm view; give --output")
    return str(path)


def _summary(page: Page, target: str, size: int) -> None:
    name = "standard output" if target == STDIO else target
    colour = "bold red" if page.violations else "bold green"
    output.info(
        f"{name}: {counted(page.records, 'record')}, {counted(page.messages, 'message')}, "
        f"{counted(page.images, 'different image')}, ",
        (counted(page.violations, "violation"), colour),
        f", {output.size(size)}",
    )
    if page.left_out:
        output.info(f"… {page.left_out} more (--max-records 0 shows all)")
