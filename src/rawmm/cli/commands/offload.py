"""``rawmm offload``: stores the images of a file and replaces them by references."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.image_dir import open_store, open_writable_store
from rawmm.cli.output import UsageError, console, counted, size, summary_table
from rawmm.cli.records import Input, open_source
from rawmm.cli.rewrite import (
    Durable,
    InputFormat,
    InputName,
    OutputFormat,
    Rewrite,
    check_output,
    written_as,
)
from rawmm.errors import OffloadError
from rawmm.offload import ImageOffloadStats, offload_images_inplace
from rawmm.store import ImageStore, run_image_dir


def offload(
    source: InputName,
    /,
    *,
    output: Annotated[
        str,
        Parameter(
            name=["--output", "-o"],
            help="File to write; - is standard output. It may be IN. It is replaced at the end, if "
            "there was no error.",
        ),
    ],
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory for the images. By default it comes from the first of the environment "
            "variables VF_RENDERER_IMAGE_OFFLOAD_DIR, PRIME_RL_RUN_DIR and RUN_ID that is set."
        ),
    ] = None,
    mode: Annotated[
        Literal["offload", "inline"],
        Parameter(help="inline makes the same checks, but leaves images in the messages."),
    ] = "offload",
    form: InputFormat = None,
    output_format: OutputFormat = None,
    durable: Durable = True,
) -> int:
    """Store inline images by content, and replace them by file:// references.

    Records are chat requests, message lists, traces or nodes, as JSON, JSON Lines or MessagePack.
    Everything else in them is unchanged.
    """
    check_output(source, output, output_format)
    stats = ImageOffloadStats()

    def offloaded(value: Any) -> Any:
        stats.add(offload_images_inplace(value, store=store, mode=mode))
        return value

    with open_source(Input(source, form, "--input-format")) as opened:
        store = _store(image_dir, durable=durable, writes=mode == "offload")
        run = Rewrite(opened, "offload")
        writes = output_format or written_as(source, output, opened.form)
        failure = run.write(output, writes, offloaded, durable=durable)
    if failure is not None:
        return run.failed(failure)
    _summary(run, stats, mode, store.counters.verify_failures if store else 0)
    return 0


def _store(image_dir: str | None, *, durable: bool, writes: bool) -> ImageStore | None:
    """The store. None if no directory is named and nothing will be written."""
    opener = open_writable_store if writes else open_store
    if image_dir is not None:
        return opener(image_dir, durable=durable)
    try:
        return opener(run_image_dir(), durable=durable)
    except OffloadError as error:
        if error.code == "no_image_dir" and not writes:
            return None
        raise UsageError(error.message.replace("pass image_dir", "give --image-dir")) from None


def _summary(run: Rewrite, stats: ImageOffloadStats, mode: str, damaged: int) -> None:
    """Print what was done: a table on a terminal, else a line.

    `damaged` is the number of damaged files in the store that were replaced.
    """
    before = run.source.done
    if mode == "inline":
        records, images = counted(run.records, "record"), counted(stats.images_seen, "image")
        terminal.info(f"{records}, {images}{_noted(stats)}: no errors")
        return
    saved = before - run.written - stats.bytes_written
    gain = f"{size(saved)} of {size(before)}" if saved > 0 else "nothing"
    stored = stats.images_rewritten - stats.images_deduplicated
    screen = console()
    if not screen.is_terminal:
        terminal.info(
            f"{counted(run.records, 'record')}, {counted(stats.images_seen, 'image')} seen, "
            f"{stored} stored, {stats.images_deduplicated} deduplicated, "
            f"{f'{damaged} damaged and replaced, ' if damaged else ''}"
            f"{size(stats.bytes_in)} in, {size(stats.bytes_written)} written, {gain} saved"
            f"{_noted(stats)}"
        )
        return
    table = summary_table()
    table.add_row("records", f"{run.records:,}")
    table.add_row("images seen", f"{stats.images_seen:,}", size(stats.bytes_in))
    table.add_row("stored", f"{stored:,}", size(stats.bytes_written))
    table.add_row("deduplicated", f"{stats.images_deduplicated:,}")
    if damaged:
        table.add_row("damaged, replaced", f"{damaged:,}")
    for name, number in _notes(stats):
        table.add_row(name, f"{number:,}")
    table.add_row("saved", f"{max(saved, 0) / max(before, 1):.0%}", gain)
    screen.print(table)


def _notes(stats: ImageOffloadStats) -> list[tuple[str, int]]:
    """What a user may not expect, and how often it was there."""
    notes = (
        ("mislabelled", stats.images_mislabelled),
        ("other media", stats.other_media),
        ("data URLs in text", stats.text_data_urls),
    )
    return [(name, number) for name, number in notes if number]


def _noted(stats: ImageOffloadStats) -> str:
    return "".join(f", {number:,} {name}" for name, number in _notes(stats))
