"""``rawmm check``: every error of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from rawmm.cli.documents import decode_plain
from rawmm.cli.kinds import CHAT_REQUEST, TYPE_HINT, kind_of, named_kind
from rawmm.cli.output import UsageError, complain
from rawmm.cli.records import Format, Input, Record, Source, is_json_lines, open_source
from rawmm.cli.report import Report
from rawmm.cli.requests import image_errors, open_store, request_errors
from rawmm.codec import decode_json, decode_msgpack
from rawmm.errors import RawMMError
from rawmm.plain_json import DuplicateKeyError, duplicate_keys, outline
from rawmm.validate import iter_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.offload import ImageStore


def check(
    *files: Annotated[str, Parameter(help="Files to check; - is standard input.")],
    type_name: Annotated[
        str | None,
        Parameter(
            name=["--type", "-t"],
            help="Type of every record, e.g. Trace, list[MessageNode] or ChatRequest. "
            "Told from each record by default.",
        ),
    ] = None,
    input_format_name: Annotated[
        Format | None,
        Parameter(name="--input-format", help="Format of the files. Their extension by default."),
    ] = None,
    style: Annotated[
        Literal["text", "json", "github"],
        Parameter(
            name="--format",
            help="Format of the report: lines of text, JSON Lines, or annotations for GitHub.",
        ),
    ] = "text",
    max_errors: Annotated[
        int, Parameter(help="Errors to list, in all files together; 0 lists all.")
    ] = 20,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Check the images of every record: inline ones in full, file:// ones to be "
            "here. Without it only chat requests have their images checked, and no "
            "file:// image is looked for.",
        ),
    ] = None,
) -> int:
    """Check files against the contract, and list every error as FILE:LINE::$.path: message.

    JSON, JSON Lines and MessagePack files of traces, nodes, messages, sidecars, references or
    OpenAI chat requests. LINE is the line in JSON Lines and the document in a MessagePack
    stream.
    """
    if not files:
        raise UsageError("nothing to check: give one or more files, or - for standard input")
    if max_errors < 0:
        raise UsageError("--max-errors takes a number from 0, which lists all")
    checker = Checker(
        None if type_name is None else named_kind(type_name),
        None if image_dir is None else open_store(image_dir),
    )
    report = Report(style, max_errors)
    for path in files:
        report.files += 1
        try:
            with open_source(Input(path, input_format_name, "--input-format")) as source:
                _check_file(source, checker, report)
        except UsageError as error:
            complain(str(error))
            report.unreadable += 1
    report.finish()
    return 2 if report.unreadable else 1 if report.errors else 0


def _check_file(source: Source, checker: Checker, report: Report) -> None:
    try:
        for record in source.records():
            report.records += 1
            for error in checker.errors(record, source.form):
                report.add(source.name, record.line, error)
    except RawMMError as error:
        # The file as a whole: empty, or of another type.
        report.add(source.name, None, error)


class Checker:
    """Checks records.

    Args:
        kind: the type of each, or None to tell it from each.
        store: where ``file://`` images must be; None to leave images of contract types alone.
    """

    def __init__(self, kind: Any, store: ImageStore | None) -> None:
        self._kind = kind
        self._store = store

    def errors(self, record: Record, form: Format) -> Iterator[RawMMError]:
        """Every error of one record."""
        try:
            yield from self._errors(record.data, form)
        except RawMMError as error:
            if error.code == "malformed" and form == "json" and is_json_lines(record.data):
                error.hint = "if it is JSON Lines, say that its format is jsonl"
            elif error.code == "unknown_type":
                error.hint = TYPE_HINT
            yield error

    def _errors(self, data: bytes, form: Format) -> Iterator[RawMMError]:
        if form == "msgpack":
            shape = decode_plain(data, form) if self._kind is None else None
        else:
            try:
                shape = outline(data)
            except DuplicateKeyError:
                yield from duplicate_keys(data)
                shape = decode_plain(data, form)
            except (ValueError, RecursionError):
                shape = decode_plain(data, form)
        kind = kind_of(shape) if self._kind is None else self._kind
        if kind is CHAT_REQUEST:
            yield from request_errors(decode_plain(data, form), self._store)
            return
        decode = decode_msgpack if form == "msgpack" else decode_json
        try:
            value = decode(data, kind)
        except RawMMError as refusal:
            yield from _all_errors(decode_plain(data, form), kind, refusal)
            return
        if self._store is not None:
            yield from image_errors(value, self._store)


def _all_errors(value: Any, kind: Any, refusal: RawMMError) -> Iterator[RawMMError]:
    """Every error of what the decoder refused; at least the one it gave."""
    found = False
    for error in iter_errors(value, kind):
        found = True
        yield error
    if not found:
        yield refusal
