"""``rawmm offload``: write the images of a file once, and refer to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from rawmm.cli.documents import decode_strict
from rawmm.cli.output import UsageError, complain, console, counted, progress, say, size
from rawmm.cli.records import STDIO, Format, Input, format_of, is_json_lines, open_source
from rawmm.cli.report import error_text
from rawmm.cli.requests import open_store
from rawmm.cli.writing import Target, Writer
from rawmm.errors import OffloadError, RawMMError
from rawmm.offload import ImageOffloadStats, ImageStore, offload_images_inplace, run_image_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.cli.records import Source

# Not the data's fault: the same file works once the directory does.
_ENVIRONMENT = frozenset({"no_image_dir", "store_failed"})


def offload(
    source: Annotated[str, Parameter(name="IN", help="File to read; - is standard input.")],
    /,
    *,
    output: Annotated[
        str,
        Parameter(
            name=["--output", "-o"],
            help="File to write; - is standard output. It may be IN. It is replaced at the end, "
            "if all went well.",
        ),
    ],
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory of the images. By default the first that is set of "
            "VF_RENDERER_IMAGE_OFFLOAD_DIR, PRIME_RL_RUN_DIR and RUN_ID says it."
        ),
    ] = None,
    mode: Annotated[
        Literal["offload", "inline"],
        Parameter(help="inline: the same checks, but images stay in the messages."),
    ] = "offload",
    form: Annotated[
        Format | None,
        Parameter(
            name=["--format", "--input-format"], help="Format of IN. Its extension by default."
        ),
    ] = None,
    output_format: Annotated[
        Format | None,
        Parameter(help="Format of OUT. By default what its extension says, or that of IN."),
    ] = None,
    durable: Annotated[
        bool,
        Parameter(
            negative="--no-durable",
            help="Sync images and OUT to disk, to survive a power failure.",
        ),
    ] = True,
) -> int:
    """Store inline images once, by content, and put file:// references in their place.

    Chat requests, message lists, traces and nodes, as JSON, JSON Lines or MessagePack. All else
    in the data stays as it is.
    """
    store = _store(image_dir, durable=durable, needed=mode == "offload")
    with open_source(Input(source, form, "--format")) as opened:
        run = _Run(opened, mode, store)
        writes = output_format or _output_format(source, output, opened.form)
        with progress("offload", opened.size) as advance:
            try:
                with Target(output, durable=durable) as target:
                    run.each(Writer(target, writes, opened.form), advance)
            except RawMMError as error:
                failure: RawMMError | None = error
            else:
                failure = None
    if failure is not None:
        return run.failed(failure)
    _summary(run, target.written, mode)
    return 0


class _Run:
    """One pass over a file.

    Attributes:
        records: documents that were written.
        stats: their images.
    """

    def __init__(self, source: Source, mode: str, store: ImageStore | None) -> None:
        self.source = source
        self.records = 0
        self.stats = ImageOffloadStats()
        self._mode = mode
        self._store = store
        self._line: int | None = None

    def each(self, writer: Writer, advance: Callable[[int], None]) -> None:
        """Offload every record and write it. Raises what the first bad one raises."""
        for record in self.source.records():
            self._line = record.line
            try:
                value = decode_strict(record.data, self.source.form)
            except RawMMError as error:
                if self.source.form == "json" and is_json_lines(record.data):
                    error.hint = "if it is JSON Lines, say that its format is jsonl"
                raise
            self.stats.add(offload_images_inplace(value, store=self._store, mode=self._mode))
            writer.write(value)
            self.records += 1
            self._line = None
            advance(self.source.done)

    def failed(self, error: RawMMError) -> int:
        """Say what stopped the pass; the exit code."""
        if error.code in _ENVIRONMENT:
            complain(error.message)
            return 2
        console().print(error_text(self.source.name, self._line, error))
        return 1


def _store(image_dir: str | None, *, durable: bool, needed: bool) -> ImageStore | None:
    """The store. When it is not `needed`, None if nothing names its directory."""
    if image_dir is not None:
        return open_store(image_dir, durable=durable)
    try:
        return open_store(run_image_dir(), durable=durable)
    except OffloadError as error:
        if error.code == "no_image_dir" and not needed:
            return None
        raise UsageError(error.message.replace("pass image_dir", "give --image-dir")) from None


def _output_format(source: str, output: str, form: Format) -> Format:
    same = STDIO not in (source, output) and os.path.realpath(source) == os.path.realpath(output)
    return form if same else format_of(output) or form


def _summary(run: _Run, written: int, mode: str) -> None:
    """What was done, on standard error: a table on a terminal, else a line."""
    stats, before = run.stats, run.source.done
    if mode == "inline":
        records, images = counted(run.records, "record"), counted(stats.images_seen, "image")
        say(f"{records}, {images}: all in order")
        return
    saved = before - written - stats.bytes_written
    gain = f"{size(saved)} of {size(before)}" if saved > 0 else "nothing"
    stored = stats.images_rewritten - stats.images_deduplicated
    screen = console()
    if not screen.is_terminal:
        say(
            f"{counted(run.records, 'record')}, {counted(stats.images_seen, 'image')} seen, "
            f"{stored} stored, {stats.images_deduplicated} deduplicated, {gain} saved"
        )
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("records", f"{run.records:,}")
    table.add_row("images seen", f"{stats.images_seen:,}", size(stats.bytes_in))
    table.add_row("stored", f"{stored:,}", size(stats.bytes_written))
    table.add_row("deduplicated", f"{stats.images_deduplicated:,}")
    table.add_row("saved", f"{max(saved, 0) / before:.0%}", gain)
    screen.print(table)
