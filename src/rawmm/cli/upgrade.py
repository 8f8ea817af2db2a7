"""``rawmm upgrade``: files in the wire forms from before the contract, in the contract's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from rawmm import layouts
from rawmm.cli.bugs import InternalError, bugs_named
from rawmm.cli.kinds import CHAT_REQUEST, TYPE_HINT, is_chat_request, named_kind
from rawmm.cli.output import UsageError, console, counted, progress, say
from rawmm.cli.passes import (
    Durable,
    InputFormat,
    InputName,
    OutputFormat,
    Pass,
    check_output,
    decode_record,
    written_as,
)
from rawmm.cli.records import Input, open_source
from rawmm.cli.report import error_text, place_of
from rawmm.cli.requests import open_store, open_writable_store
from rawmm.codec import decode_json, decode_msgpack
from rawmm.errors import RawMMError, contract_error, shown_text
from rawmm.model.kinds import schema_of
from rawmm.upgrades import FORMS, TRAINING_SAMPLE, Walk, kind_of, reference_kind

if TYPE_CHECKING:
    from rawmm.layouts import Layout
    from rawmm.store import ImageStore


def upgrade(
    source: InputName,
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"],
            help="File to write; - is standard output. It may be IN. It is replaced at the end, "
            "if all went well. Only a dry run goes without.",
        ),
    ] = None,
    type_name: Annotated[
        str | None,
        Parameter(
            name=["--type", "-t"],
            help="Type of every record, e.g. Trace or list[MessageNode]. Told from each record "
            "by default.",
        ),
    ] = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory for images that an old form has inline; descriptors get a "
            "raw_image_id. Without it they stay inline, as a data: URL in raw_image_uri.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        Parameter(
            help="The model's image layout, for trainer references that are URLs alone: a "
            "family and its knobs, e.g. qwen_vl,patch_size=14.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Write nothing: look at every record, and list those that would be refused.",
        ),
    ] = False,
    notes: Annotated[
        bool, Parameter(negative=(), help="List every change as FILE:LINE::$.path: change.")
    ] = False,
    max_errors: Annotated[
        int, Parameter(help="Refused records that a dry run lists; 0 lists all.")
    ] = 20,
    form: InputFormat = None,
    output_format: OutputFormat = None,
    durable: Durable = True,
) -> int:
    """Take records from the wire forms before the contract to the form of the contract.

    Sidecars of the forms descriptor_only, uri and inline; references mmraw: of any version;
    trainer references descriptor_and_uris and, with --layout and --image-dir, inline_urls. They
    may stand alone, or in nodes, traces, request features and training samples. The form is told
    from each record. What is canonical or released stays as it is, and so does all else in the
    data; what was upgraded is checked before it is written. Processed payloads and mmfile:
    references are refused: run again from the source images. The report is on standard error.
    """
    if output is None and not dry_run:
        raise UsageError("give --output, or --dry-run to write nothing")
    if max_errors < 0:
        raise UsageError("--max-errors takes a number from 0, which lists all")
    if output is not None:
        check_output(source, output, output_format)
    kind = None if type_name is None else _kind(type_name)
    known_layout = None if layout is None else _layout(layout)
    with open_source(Input(source, form, "--input-format")) as opened:
        opener = open_store if dry_run else open_writable_store
        store = None if image_dir is None else opener(image_dir, durable=durable)
        run = Pass(opened, "upgrade")
        upgrader = _Upgrader(
            run, kind, store, known_layout, notes=notes, dry_run=dry_run, most=max_errors
        )
        if output is None or dry_run:
            failure: RawMMError | InternalError | None = upgrader.look()
        else:
            writes = output_format or written_as(source, output, opened.form)
            failure = run.write(output, writes, upgrader.upgraded, durable=durable)
    if failure is not None:
        return run.failed(failure)
    upgrader.summary()
    return 2 if upgrader.bugs else 1 if upgrader.refused else 0


class _Upgrader:
    """Upgrades the records of one pass, and keeps count.

    Attributes:
        refused: records that a dry run found no way to upgrade.
        bugs: records at which a dry run met a bug of rawmm.
    """

    def __init__(
        self,
        run: Pass,
        kind: Any,
        store: ImageStore | None,
        layout: Layout | None,
        *,
        notes: bool,
        dry_run: bool,
        most: int,
    ) -> None:
        self.refused = 0
        self.bugs = 0
        self._most = most
        self._run = run
        self._kind = kind
        self._store = store
        self._layout = layout
        self._notes = notes
        self._dry_run = dry_run
        self._records: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()
        self._stored = 0

    def upgraded(self, value: Any) -> Any:
        """A record in its canonical form, checked, with its images stored."""
        kind = _told(value) if self._kind is None else self._kind
        walk = Walk(self._store, self._layout, keep_strings=True)
        if kind is TRAINING_SAMPLE:
            canonical = walk.upgraded_sample(value)
        else:
            canonical = walk.upgraded(value, schema_of(kind))
            self._check(canonical, kind)
        if not self._dry_run:
            self._stored += walk.store_images()
        record = walk.record
        self._records[record.form] += 1
        self._changes[record.form] += len(record.notes)
        for note in record.notes if self._notes else ():
            console().print(Text(f"{place_of(self._run.source.name, self._run.line)}::{note}"))
        return canonical

    def look(self) -> RawMMError | None:
        """Upgrade every record and write nothing; an error of the file as a whole, or None."""
        source = self._run.source
        with progress("upgrade", source.size) as advance:
            try:
                for record in source.records(may_be_empty=True):
                    self._run.line = record.line
                    try:
                        with bugs_named():
                            self.upgraded(decode_record(record, source.form))
                    except RawMMError as error:
                        self._refuse(error)
                    except InternalError as error:
                        self._run.failed(error)
                        self.bugs += 1
                    self._run.line = None
                    advance(source.done)
            except RawMMError as error:
                return error
        return None

    def _refuse(self, error: RawMMError) -> None:
        self.refused += 1
        if not self._most or self.refused <= self._most:
            console().print(error_text(self._run.source.name, self._run.line, error))

    def _check(self, value: Any, kind: Any) -> None:
        """Raise what a reader of the written record would."""
        if reference_kind(value) is not None:
            return  # strings, which were read and written again
        if self._run.source.form == "msgpack":
            decode_msgpack(msgspec.msgpack.encode(value), kind)
        else:
            decode_json(msgspec.json.encode(value), kind)

    def summary(self) -> None:
        """What was done, on standard error: a table on a terminal, else a line."""
        if self._most and self.refused > self._most:
            say(f"… {self.refused - self._most} more refused (--max-errors 0 lists all)")
        counts = {form: self._records[form] for form in FORMS if self._records[form]}
        if self.refused:
            counts["refused"] = self.refused
        if self.bugs:
            counts["with an internal error"] = self.bugs
        stored = self._stored if self._store and not self._dry_run else None
        screen = console()
        if screen.is_terminal:
            screen.print(self._table(counts, stored))
            return
        listed = ", ".join(f"{count} {form}" for form, count in counts.items())
        say(
            "dry run: " if self._dry_run else "",
            f"{counted(sum(counts.values()), 'record')}{f' ({listed})' if listed else ''}, ",
            counted(self._changes.total(), "change"),
            "" if stored is None else f", {counted(stored, 'image')} stored",
        )

    def _table(self, counts: dict[str, int], stored: int | None) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column(style="dim")
        table.add_row("form", "records", "changes", style="dim")
        for form, count in counts.items():
            table.add_row(form, f"{count:,}", f"{self._changes[form]:,}", FORMS.get(form))
        if stored is not None:
            table.add_row("images stored", f"{stored:,}")
        return table


def _kind(name: str) -> Any:
    kind = named_kind(name)
    if kind is CHAT_REQUEST:
        raise UsageError(f"a {CHAT_REQUEST} has no sidecar, and so nothing to upgrade")
    return kind


def _told(value: Any) -> Any:
    if is_chat_request(value):
        raise contract_error(
            "unknown_type",
            (),
            expected="a trace, node, sidecar, descriptor or reference",
            got="a chat request",
            hint="it has no sidecar, and so nothing to upgrade; rawmm offload stores its images",
        )
    try:
        return kind_of(value)
    except RawMMError as error:
        raise error.at(hint=TYPE_HINT) from None


_LONGEST_KNOB: Final = 18
"""Digits of an integer of 64 bits."""


def _layout(text: str) -> Layout:
    family, *given = text.split(",")
    knobs = {}
    for knob in given:
        name, _, number = knob.partition("=")
        is_number = number.isascii() and number.isdigit() and len(number) <= _LONGEST_KNOB
        if not is_number or name == "family":
            raise UsageError(f"--layout takes FAMILY,KNOB=INTEGER,...; got {shown_text(knob)}")
        knobs[name] = int(number)
    try:
        return layouts.get(family, **knobs)
    except RawMMError as error:
        raise UsageError(f"--layout: {error.message}") from None
