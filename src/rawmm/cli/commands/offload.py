"""``rawmm offload``: stores the images of a file and replaces them by references."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from cyclopts import Parameter

from rawmm.checks import is_chat_request
from rawmm.cli import output as terminal
from rawmm.cli.bugs import InternalError
from rawmm.cli.dry_store import DryStore
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.image_dir import open_store, open_writable_store
from rawmm.cli.inputs import check_not_read, find_inputs
from rawmm.cli.layout import DECODINGS, Decoding, ImageTokens, named_layout
from rawmm.cli.malformed import with_fault
from rawmm.cli.many import Manifest as ManifestFile
from rawmm.cli.many import Totals, files_text, rewrite_many
from rawmm.cli.output import UsageError, console, counted, size, summary_table
from rawmm.cli.records import STDIO, format_of
from rawmm.cli.refused import RefusedRecords
from rawmm.cli.report import located
from rawmm.cli.rewrite import (
    Column,
    Durable,
    InputFormat,
    InputName,
    Manifest,
    OptionalOutputName,
    OutputFormat,
    Rewrite,
    check_output,
    decode_record,
    decode_text,
)
from rawmm.describe import describe_document
from rawmm.errors import OffloadError, RawMMError, contract_error, printable
from rawmm.locators import stored_hash
from rawmm.media import IMAGE
from rawmm.offload import (
    ImageOffloadStats,
    ImageParts,
    OffloadedRequest,
    adopt_images,
    adopt_in_request,
    offload_images_inplace,
    offload_request,
)
from rawmm.real_class import is_a
from rawmm.store import ImageStore, ObjectImageStore, Store, run_image_dir
from rawmm.validation import detect, iter_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.cli.many import Pass
    from rawmm.cli.records import Format, Record
    from rawmm.images import ImageDecoding
    from rawmm.layouts import Layout


_DAMAGED: Final = "damaged"
"""The count of damaged files in the store that were replaced."""
_Options: TypeAlias = (
    "tuple[str | None, str, str | None, list[int] | None, Decoding, bool, tuple[str, ...]]"
)


def offload(
    source: InputName,
    /,
    *,
    output: OptionalOutputName = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory for the images, or the URL of another store. By default it "
            "comes from the first of the environment variables VF_RENDERER_IMAGE_OFFLOAD_DIR, "
            "PRIME_RL_RUN_DIR and RUN_ID that is set."
        ),
    ] = None,
    mode: Annotated[
        Literal["offload", "inline"],
        Parameter(help="inline makes the same checks, but leaves images in the messages."),
    ] = "offload",
    form: InputFormat = None,
    output_format: OutputFormat = None,
    layout: Annotated[
        str | None,
        Parameter(
            help="The model's image layout, to give traces and nodes without sidecars their "
            "sidecars: a family and its parameters, e.g. qwen_vl,patch_size=14. A record that "
            "cannot be described is refused.",
        ),
    ] = None,
    image_token: ImageTokens = None,
    decoding: Decoding = "engine",
    column: Column = None,
    fetch: Annotated[
        list[str] | None,
        Parameter(
            help="Fetch and store https:// images of this host, e.g. images.example.org, or "
            "*.example.org for every host below it. May be repeated.",
            negative=(),
        ),
    ] = None,
    keep_going: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Leave out records that cannot be offloaded, and write them with their errors to "
            "the file of --refused.",
        ),
    ] = False,
    refused: Annotated[
        str | None,
        Parameter(
            help="File for the records that --keep-going leaves out, as JSON Lines. By default "
            "the name of OUT and .refused.jsonl. There is none if no record is left out."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            negative=(), help="Write nothing, but list the records that cannot be offloaded."
        ),
    ] = False,
    max_errors: Annotated[int, Parameter(help="Records to list as refused; 0 lists all.")] = 20,
    durable: Durable = True,
    manifest: Manifest = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Store inline images by content, and replace them by file:// references.

    Records are chat requests, message lists, traces, episodes or nodes, as JSON, JSON Lines or
    MessagePack. Everything else in them is unchanged: in JSON byte for byte, unless --layout or
    another format of OUT has them written anew. A stored image of another directory is looked
    for by its name in the image directory, or copied there. Only names with a hash are taken. A
    record of the contract that is valid stays valid.
    """
    if output is not None:
        check_output(source, output, output_format)
    elif not dry_run:
        raise UsageError("give --output, or --dry-run to write nothing")
    left_out = _refused_file(source, output, refused, keep_going=keep_going and not dry_run)
    if mode == "inline" and layout is not None:
        raise UsageError("--mode inline writes no sidecars; leave --layout out")
    if layout is not None:
        named_layout(layout)
    options = (image_dir, mode, layout, image_token, decoding, durable, tuple(fetch or ()))
    if manifest is None and engine is None and jobs is None:
        with Rewrite(source, form, "offload", column) as run, ExitStack() as stack:
            run.output, run.output_format = output, output_format
            store = _opened(options, dry_run=dry_run)
            listed = _Listed(run, max_errors)
            if left_out is not None:
                check_not_read(left_out, "--refused", (found.input for found in run.inputs))
                listed.file = stack.enter_context(RefusedRecords(left_out, durable=durable))
            if dry_run:
                failure, counts = _tried_file(run, options, store, listed)
            else:
                failure, counts = _offload_file(run, options, store, listed)
            if failure is not None and listed.file is not None:
                listed.file.discard()
        if failure is not None:
            return run.failed(failure)
        listed.summary()
        _summary(run, counts, mode, listed, dry_run=dry_run)
        return 2 if listed.bugs else 1 if listed.count else 0
    if keep_going or output is None or dry_run:
        raise UsageError(
            "--keep-going and --dry-run work in this process; leave out --manifest, --engine and "
            "--jobs"
        )
    found = find_inputs(source, form, "--input-format", column)
    store = _opened(options)
    if store is not None:  # as other machines, and runs that go on, have another environment
        options = (str(store.root), *options[1:])
    header = {"rawmm": "offload", "options": [*options, output_format, column]}
    done = rewrite_many(
        "offload", found, output, output_format, _pass_of, (options,),
        open_engine(engine, jobs, address, image_dir), ManifestFile(manifest, header),
    )  # fmt: skip
    _summary(done, done.counts, mode)
    return done.code


def _pass_of(options: _Options) -> Pass:
    """What offloads the images of a file. Runs in the processes of an engine."""
    store = _opened(options)
    return lambda run: _offload_file(run, options, store)


def _opened(options: _Options, *, dry_run: bool = False) -> Store | None:
    image_dir, mode, *_, durable, fetch = options
    writes = mode == "offload" and not dry_run
    store = _store(image_dir, durable=durable, writes=writes, fetch=fetch)
    return DryStore(store) if dry_run and store is not None else store


class _Changes(NamedTuple):
    """What offloads one record: as a value, and as text if it is not described; and counts."""

    value: Callable[[Any], Any]
    text: Callable[[bytes], bytes] | None
    stats: ImageOffloadStats


def _changes(run: Rewrite, options: _Options, store: Store | None) -> _Changes:
    _, mode, layout, image_token, decoding, _, _ = options
    known_layout = None if layout is None else named_layout(layout)
    stats = ImageOffloadStats()

    def offloaded(value: Any) -> Any:
        described = None
        if known_layout is not None:
            described = _described(value, known_layout, image_token, DECODINGS[decoding], store)
        if mode == "offload" and store is not None:
            adopt_images(value, store)
        done = offload_images_inplace(value, store=store, mode=mode)
        stats.add(done)
        if described is not None:
            _add_sidecars(value, described)
        if described is not None or (mode == "offload" and done.images_seen):
            _check_still_valid(value, run)
        return value

    def offloaded_text(data: bytes) -> bytes:
        if mode == "inline" or store is None:
            offloaded(decode_text(data, run.source.form))
            return data
        done = _offloaded_text(data, run.source.form, store)
        stats.add(done.stats)
        if done.stats.images_seen:
            _check_still_valid(decode_text(done.body, run.source.form), run)
        return done.body

    return _Changes(offloaded, offloaded_text if known_layout is None else None, stats)


def _offload_file(
    run: Rewrite, options: _Options, store: Store | None, listed: _Listed | None = None
) -> tuple[RawMMError | InternalError | None, dict[str, int]]:
    """Offload the images of the files of a pass; return the error that stopped it, and counts."""
    changes, damaged = _changes(run, options, store), _damaged(store)
    assert run.output is not None
    failure = run.write(
        run.output,
        run.output_format,
        changes.value,
        durable=options[5],
        change_text=changes.text,
        refused=None if listed is None or listed.file is None else listed.leave_out,
    )
    return failure, _counts(changes.stats, _damaged(store) - damaged)


def _tried_file(
    run: Rewrite, options: _Options, store: Store | None, listed: _Listed
) -> tuple[RawMMError | InternalError | None, dict[str, int]]:
    """List the records that cannot be offloaded; write nothing."""
    changes = _changes(run, options, store)
    failure = run.try_all(changes.value, listed.add, changes.text)
    return failure, _counts(changes.stats, 0)


def _counts(stats: ImageOffloadStats, damaged: int) -> dict[str, int]:
    return {**{name: getattr(stats, name) for name in stats.__slots__}, _DAMAGED: damaged}


def _damaged(store: Store | None) -> int:
    """The number of damaged files in the store that were replaced."""
    return store.counters.verify_failures if is_a(store, (ImageStore, ObjectImageStore)) else 0


class _Listed:
    """Lists the records that cannot be offloaded.

    Raises:
        UsageError: `most` is negative.

    Attributes:
        count: how many there are.
        bugs: records at which rawmm itself failed.
        file: where they are written to, if they are.
    """

    def __init__(self, run: Rewrite, most: int) -> None:
        self.count = 0
        self.bugs = 0
        self.file: RefusedRecords | None = None
        self._run = run
        self._most = most
        if most < 0:
            raise UsageError("--max-errors takes 0, which lists all, or a positive number")

    def add(self, error: RawMMError | InternalError) -> None:
        """Print the error of the current record."""
        if isinstance(error, InternalError):
            self._run.failed(error)
            self.bugs += 1
            return
        self.count += 1
        if not self._most or self.count <= self._most:
            console(for_errors=True).print(located(self._run.source.name, self._run.line, error))

    def leave_out(self, record: Record, error: RawMMError) -> None:
        """Print the error of a record, and write both."""
        self.add(error)
        if self.file is not None:
            self.file.add(self._run.source, record, error)

    def summary(self) -> None:
        """Print how many records were not listed."""
        if self._most and self.count > self._most:
            terminal.info(f"… {self.count - self._most} more refused (--max-errors 0 lists all)")

    @property
    def noted(self) -> str:
        """How many records were refused, and where they are."""
        if not self.count:
            return ""
        where = "" if self.file is None else f" (in {_name_of(self.file)})"
        return f", {self.count:,} refused{where}"


def _refused_file(
    source: str, output: str | None, given: str | None, *, keep_going: bool
) -> str | None:
    """The file for refused records; None if the first one stops the command.

    Raises:
        UsageError: its name is missing or without use.
    """
    if not keep_going:
        if given is not None:
            raise UsageError("--refused is for --keep-going, which leaves records out")
        return None
    if given == STDIO != output:
        return given
    if given is None and output == STDIO:
        raise UsageError("give --refused, the file for the records that --keep-going leaves out")
    if given is not None and (not given or given == output or _is_one_of(given, source, output)):
        raise UsageError("--refused takes the name of another file than IN and OUT")
    if given is not None and format_of(given) not in {None, "jsonl"}:
        raise UsageError("--refused writes JSON Lines; give a name that ends in .jsonl")
    return given or f"{str(output).rstrip('/')}.refused.jsonl"


def _offloaded_text(data: bytes, form: Format, store: Store) -> OffloadedRequest:
    """A record of a JSON file with its images in the store, and otherwise as it was.

    Raises:
        RawMMError: it is malformed, or an image cannot be offloaded.
    """
    try:
        try:
            return offload_request(data, store=store)
        except OffloadError:
            # The only one that can be helped: the image is in another directory.
            moved = adopt_in_request(data, store)
            if moved is data:
                raise
        return offload_request(moved, store=store)
    except RawMMError as error:
        fault = with_fault(error, data, form)
    raise fault


def _described(
    value: Any,
    layout: Layout,
    image_token_ids: list[int] | None,
    decoding: ImageDecoding,
    store: Store | None,
) -> Any:
    """A copy of a record with the sidecars of its messages. The record is unchanged.

    Raises:
        RawMMError: it is not a trace, an episode or nodes, or it cannot be described.
    """
    if is_chat_request(value):
        raise contract_error(
            "unknown_type",
            (),
            expected="a trace, an episode or nodes, which have tokens",
            got="a chat request",
            hint="leave --layout out",
        )
    detect(value)
    described, _ = describe_document(
        value,
        layout,
        image_token_ids=image_token_ids,
        store=store,
        keep=lambda image: {"raw_image_id": image.raw_image_id},
        decoding=decoding,
    )
    return described


def _add_sidecars(value: Any, described: Any) -> None:
    """Add the sidecars of a described copy to a record whose images are now in the store."""
    if isinstance(value, list):
        for one, other in zip(value, described, strict=True):
            _add_sidecars(one, other)
        return
    if not isinstance(value, dict) or described is value:
        return  # it has no media, or had its sidecars
    for name in ("nodes", "traces"):
        if isinstance(value.get(name), list):
            _add_sidecars(value[name], described[name])
    types, sidecar = described.get("mm_token_type_id_map"), described.get("multi_modal_data")
    if types is not None:
        value["mm_token_type_id_map"] = types
    if sidecar is None or "message" not in value:
        return
    value["multi_modal_data"] = sidecar
    parts = ImageParts(value["message"]).parts
    for part, item in zip(parts, sidecar["mm_items"].get(IMAGE.name, ()), strict=False):
        name = part.source.rpartition("/")[2]
        if "raw_image_uri" in item and stored_hash(name):
            item["raw_image_id"] = name
            del item["raw_image_uri"]


def _check_still_valid(value: Any, run: Rewrite) -> None:
    """Check that a record of the contract which was valid is valid without its inline images.

    Raises:
        RawMMError: the first error of `value`, unless the record had one before.
    """
    try:
        kind = detect(value)
    except RawMMError:
        return
    error = next(iter_errors(value, kind), None)
    if error is None or run.record is None:
        return
    if next(iter_errors(decode_record(run.record, run.source.form), kind), None) is None:
        raise error.at(hint=f"{error.hint}; give --layout" if error.hint else "give --layout")


def _store(
    image_dir: str | None, *, durable: bool, writes: bool, fetch: Sequence[str]
) -> Store | None:
    """The store. None if no directory is named and nothing will be written."""
    opener = open_writable_store if writes else open_store
    if image_dir is not None:
        return opener(image_dir, durable=durable, fetch=fetch)
    try:
        return opener(run_image_dir(), durable=durable, fetch=fetch)
    except OffloadError as error:
        if error.code == "no_image_dir" and not writes:
            return None
        raise UsageError(error.message.replace("pass image_dir", "give --image-dir")) from None


def _name_of(file: RefusedRecords) -> str:
    return "standard output" if file.path == STDIO else printable(file.path)


def _is_one_of(name: str, *others: str | None) -> bool:
    paths = {os.path.realpath(other) for other in others if other not in {None, STDIO}}
    return os.path.realpath(name) in paths


def _summary(
    run: Rewrite | Totals,
    counts: dict[str, int],
    mode: str,
    listed: _Listed | None = None,
    *,
    dry_run: bool = False,
) -> None:
    """Print what was done: a table on a terminal, else a line."""
    damaged = counts[_DAMAGED]
    stats = ImageOffloadStats(**{name: counts[name] for name in ImageOffloadStats.__slots__})
    files = files_text(run) if isinstance(run, Totals) else ""
    refused = "" if listed is None else listed.noted
    before = run.content
    if dry_run:
        stored = stats.images_rewritten - stats.images_deduplicated
        terminal.info(
            f"dry run: {counted(run.records, 'record')}, {counted(stats.images_seen, 'image')} "
            f"seen, {stored} to be stored ({size(stats.bytes_written)}){_noted(stats)}{refused}"
        )
        return
    if mode == "inline":
        records, images = counted(run.records, "record"), counted(stats.images_seen, "image")
        terminal.info(f"{files}{records}, {images}{_noted(stats)}{refused or ': no errors'}")
        return
    saved = before - run.written - stats.bytes_written
    gain = f"{size(saved)} of {size(before)}" if saved > 0 else "nothing"
    stored = stats.images_rewritten - stats.images_deduplicated
    screen = console()
    if not screen.is_terminal:
        terminal.info(
            f"{files}{counted(run.records, 'record')}, {counted(stats.images_seen, 'image')} seen, "
            f"{stored} stored, {stats.images_deduplicated} deduplicated, "
            f"{f'{damaged} damaged and replaced, ' if damaged else ''}"
            f"{size(stats.bytes_in)} in, {size(stats.bytes_written)} written, {gain} saved"
            f"{_noted(stats)}{refused}"
        )
        return
    table = summary_table()
    if isinstance(run, Totals):
        table.add_row("files", f"{run.files:,}", files.removesuffix(", "))
    table.add_row("records", f"{run.records:,}")
    table.add_row("images seen", f"{stats.images_seen:,}", size(stats.bytes_in))
    table.add_row("stored", f"{stored:,}", size(stats.bytes_written))
    table.add_row("deduplicated", f"{stats.images_deduplicated:,}")
    if damaged:
        table.add_row("damaged, replaced", f"{damaged:,}")
    if listed is not None and listed.count:
        where = "" if listed.file is None else _name_of(listed.file)
        table.add_row("refused", f"{listed.count:,}", where, style="bold red")
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
