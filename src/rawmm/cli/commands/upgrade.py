"""``rawmm upgrade``: converts files from historical wire forms to the form of the contract."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from rawmm.checks import CHAT_REQUEST, is_chat_request
from rawmm.cli import output as terminal
from rawmm.cli.bugs import InternalError
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.foreign import type_hint
from rawmm.cli.image_dir import open_store, open_writable_store
from rawmm.cli.inputs import find_inputs
from rawmm.cli.layout import DECODINGS, Decoding, ImageTokens, named_layout
from rawmm.cli.many import Manifest as ManifestFile
from rawmm.cli.many import files_text, rewrite_many
from rawmm.cli.output import UsageError, console, counted
from rawmm.cli.record_types import named_type
from rawmm.cli.report import located, location_of
from rawmm.cli.rewrite import (
    Column,
    Durable,
    InputFormat,
    InputName,
    Manifest,
    OptionalOutputName,
    OutputFormat,
    RecordType,
    Rewrite,
    check_output,
)
from rawmm.codec import decode_json, decode_msgpack
from rawmm.errors import RawMMError, contract_error
from rawmm.model.kinds import schema_of
from rawmm.upgrades import FORMS, RELEASED, TRAINING_SAMPLE, Walk, kind_of, reference_kind

if TYPE_CHECKING:
    from rawmm.cli.many import Pass, Totals
    from rawmm.images import ImageDecoding
    from rawmm.layouts import Layout
    from rawmm.store import Store


_Options: TypeAlias = "tuple[str | None, str | None, str | None, list[int] | None, Decoding, bool]"


def upgrade(
    source: InputName,
    /,
    *,
    output: OptionalOutputName = None,
    type_name: RecordType = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, for images that a historical form contains; "
            "their descriptors get a raw_image_id. Without it they stay inline, as a "
            "data: URL in raw_image_uri.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        Parameter(
            help="The model's image layout: a family and its parameters, e.g. "
            "qwen_vl,patch_size=14. Trainer references of the form inline_urls require it. "
            "Messages of the form released get their sidecars, and descriptors and references "
            "get its fingerprint if they lack one.",
        ),
    ] = None,
    image_token: ImageTokens = None,
    decoding: Decoding = "engine",
    dry_run: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Write nothing, but list the records that cannot be upgraded.",
        ),
    ] = False,
    notes: Annotated[
        bool, Parameter(negative=(), help="List every change as FILE:LINE::$.path: change.")
    ] = False,
    max_errors: Annotated[
        int, Parameter(help="Records that a dry run lists as refused; 0 lists all.")
    ] = 20,
    form: InputFormat = None,
    output_format: OutputFormat = None,
    column: Column = None,
    durable: Durable = True,
    manifest: Manifest = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Convert records from historical wire forms to the form of the contract.

    Historical forms are: sidecar items descriptor_only, uri, inline and pruned_item; mmraw:
    references of any version; trainer references descriptor_and_uris and, with --layout and
    --image-dir, inline_urls.
    Each may be a record, or part of a node, trace, request or training sample. The form is
    detected. Everything else is unchanged. Every upgraded record is checked before it is written.
    Processed payloads and mmfile: references cannot be upgraded; run again from the source images.
    The report goes to standard error.
    """
    if output is None and not dry_run:
        raise UsageError("give --output, or --dry-run to write nothing")
    if max_errors < 0:
        raise UsageError("--max-errors takes 0, which lists all, or a positive number")
    if output is not None:
        check_output(source, output, output_format)
    if type_name is not None:
        _kind(type_name)
    if layout is not None:
        named_layout(layout)
    options = (type_name, image_dir, layout, image_token, decoding, durable)
    if manifest is None and engine is None and jobs is None:
        with Rewrite(source, form, "upgrade", column) as run:
            run.output, run.output_format = output, output_format
            upgrader = _upgrader(run, options, notes=notes, dry_run=dry_run, most=max_errors)
            failure = upgrader.run()
        if failure is not None:
            return run.failed(failure)
        upgrader.summary()
        return 2 if upgrader.bugs else 1 if upgrader.refused else 0
    if output is None or dry_run or notes:
        raise UsageError("--manifest and --engine write files; leave --dry-run and --notes out")
    found = find_inputs(source, form, "--input-format", column)
    store = _opened(options, dry_run=False)
    if store is not None:  # as runs that go on may be in another folder
        options = (type_name, str(store.root), *options[2:])
    header = {"rawmm": "upgrade", "options": [*options, output_format, column]}
    done = rewrite_many(
        "upgrade", found, output, output_format, _pass_of, (options,),
        open_engine(engine, jobs, address, image_dir), ManifestFile(manifest, header),
    )  # fmt: skip
    _summary_of_many(done, writes_images=image_dir is not None)
    return done.code


def _pass_of(options: _Options) -> Pass:
    """What upgrades a file. Runs in the processes of an engine."""

    def upgraded(run: Rewrite) -> tuple[RawMMError | InternalError | None, dict[str, int]]:
        upgrader = _upgrader(run, options, notes=False, dry_run=False, most=0)
        failure = upgrader.run()
        return failure, upgrader.counts()

    return upgraded


def _opened(options: _Options, *, dry_run: bool) -> Store | None:
    """The store; None if no directory is named."""
    _, image_dir, *_, durable = options
    opener = open_store if dry_run else open_writable_store
    return None if image_dir is None else opener(image_dir, durable=durable)


def _upgrader(
    run: Rewrite, options: _Options, *, notes: bool, dry_run: bool, most: int
) -> _Upgrader:
    type_name, _, layout, image_token, decoding, durable = options
    return _Upgrader(
        run,
        None if type_name is None else _kind(type_name),
        _opened(options, dry_run=dry_run),
        None if layout is None else named_layout(layout),
        image_token,
        DECODINGS[decoding],
        notes=notes,
        dry_run=dry_run,
        durable=durable,
        most=most,
    )


class _Upgrader:
    """Upgrades the records of one pass and counts them.

    Attributes:
        refused: records that a dry run could not upgrade.
        bugs: records for which a dry run raised an unexpected exception.
    """

    def __init__(
        self,
        run: Rewrite,
        kind: Any,
        store: Store | None,
        layout: Layout | None,
        image_token_ids: list[int] | None,
        decoding: ImageDecoding,
        *,
        notes: bool,
        dry_run: bool,
        durable: bool,
        most: int,
    ) -> None:
        self._durable = durable
        self.refused = 0
        self.bugs = 0
        self._most = most
        self._run = run
        self._kind = kind
        self._store = store
        self._layout = layout
        self._image_token_ids = image_token_ids
        self._decoding = decoding
        self._notes = notes
        self._dry_run = dry_run
        self._records: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()
        self._stored = 0

    def upgraded(self, value: Any) -> Any:
        """The upgraded, validated record. Its images are stored."""
        kind = _detected(value) if self._kind is None else self._kind
        walk = Walk(self._store, self._layout, self._decoding, keep_strings=True)
        if kind is TRAINING_SAMPLE:
            canonical = walk.upgraded_sample(value)
        else:
            canonical = walk.upgraded(value, schema_of(kind))
            canonical = walk.described(canonical, self._image_token_ids)
            self._check(canonical, kind)
        if not self._dry_run:
            self._stored += walk.store_images()
        record = walk.record
        self._records[record.form] += 1
        self._changes[record.form] += len(record.notes)
        notes: list[Any] = [*record.notes]
        if self._layout is None and record.has_seen(RELEASED):
            notes.append("$: no sidecar made, as no --layout is given [released]")
        for note in notes if self._notes else ():
            console().print(Text(f"{location_of(self._run.source.name, self._run.line)}::{note}"))
        return canonical

    def run(self) -> RawMMError | InternalError | None:
        """Upgrade all records of the pass; return an error that stopped it, or None."""
        run = self._run
        if run.output is None or self._dry_run:
            return run.try_all(self.upgraded, self._refuse)
        return run.write(run.output, run.output_format, self.upgraded, durable=self._durable)

    def counts(self) -> dict[str, int]:
        """The number of records and changes of each form, and of images stored."""
        records = {f"records {form}": number for form, number in self._records.items()}
        changes = {f"changes {form}": number for form, number in self._changes.items()}
        return {**records, **changes, "stored": self._stored}

    def _refuse(self, error: RawMMError | InternalError) -> None:
        if isinstance(error, InternalError):
            self._run.failed(error)
            self.bugs += 1
            return
        self.refused += 1
        if not self._most or self.refused <= self._most:
            console(for_errors=True).print(located(self._run.source.name, self._run.line, error))

    def _check(self, value: Any, kind: Any) -> None:
        """Raise the error that a reader of the written record would raise."""
        if reference_kind(value) is not None:
            return  # reference strings, which were parsed already
        if self._run.source.form == "msgpack":
            decode_msgpack(msgspec.msgpack.encode(value), kind)
        else:
            decode_json(msgspec.json.encode(value), kind)

    def summary(self) -> None:
        """Print what was done: a table on a terminal, else a line."""
        if self._most and self.refused > self._most:
            terminal.info(f"… {self.refused - self._most} more refused (--max-errors 0 lists all)")
        others = {"refused": self.refused, "with an internal error": self.bugs}
        _print_summary(
            self._records,
            self._changes,
            {name: number for name, number in others.items() if number},
            self._stored if self._store and not self._dry_run else None,
            "dry run: " if self._dry_run else "",
        )


def _summary_of_many(done: Totals, *, writes_images: bool) -> None:
    """Print what a run over many files did."""
    numbers: dict[str, Counter[str]] = {"records": Counter(), "changes": Counter()}
    for name, number in done.counts.items():
        what, _, form = name.partition(" ")
        if what in numbers:
            numbers[what][form] = number
    stored = done.counts.get("stored", 0) if writes_images else None
    _print_summary(numbers["records"], numbers["changes"], {}, stored, files_text(done))


def _print_summary(
    records: Counter[str],
    changes: Counter[str],
    others: dict[str, int],
    stored: int | None,
    before: str,
) -> None:
    """Print what was done: a table on a terminal, else a line."""
    counts = {form: records[form] for form in FORMS if records[form]} | others
    screen = console()
    if screen.is_terminal:
        screen.print(_table(counts, changes, stored))
        return
    listed = ", ".join(f"{count} {form}" for form, count in counts.items())
    terminal.info(
        before,
        f"{counted(sum(counts.values()), 'record')}{f' ({listed})' if listed else ''}, ",
        counted(changes.total(), "change"),
        "" if stored is None else f", {counted(stored, 'image')} stored",
    )


def _table(counts: dict[str, int], changes: Counter[str], stored: int | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("form", "records", "changes", style="dim")
    for form, count in counts.items():
        table.add_row(form, f"{count:,}", f"{changes[form]:,}", FORMS.get(form))
    if stored is not None:
        table.add_row("images stored", f"{stored:,}")
    return table


def _kind(name: str) -> Any:
    kind = named_type(name)
    if kind is CHAT_REQUEST:
        raise UsageError(f"a {CHAT_REQUEST} has no sidecar to upgrade")
    return kind


def _detected(value: Any) -> Any:
    if is_chat_request(value):
        raise contract_error(
            "unknown_type",
            (),
            expected="a trace, node, sidecar, descriptor or reference",
            got="a chat request",
            hint="it has no sidecar to upgrade; rawmm offload stores its images",
        )
    try:
        return kind_of(value)
    except RawMMError as error:
        raise error.at(hint=type_hint(value)) from None
