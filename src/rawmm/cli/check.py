"""``rawmm check``: every error of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from rawmm.cli.documents import decode_plain, key_errors
from rawmm.cli.kinds import CHAT_REQUEST, TYPE_HINT, kind_of, named_kind
from rawmm.cli.output import UsageError, complain
from rawmm.cli.parallel import Workers, available_cores
from rawmm.cli.records import Format, Input, Record, Source, is_json_lines, open_source
from rawmm.cli.report import Report
from rawmm.cli.requests import image_errors, open_store, request_errors
from rawmm.codec import decode_msgpack, from_decoded
from rawmm.errors import RawMMError
from rawmm.validate import iter_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    jobs: Annotated[
        int,
        Parameter(
            name=["--jobs", "-j"],
            help="Processes that check the records of JSON Lines and MessagePack streams; "
            "0 is one for each core.",
        ),
    ] = 1,
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
    if jobs < 0:
        raise UsageError("--jobs takes a number from 0, which is one for each core")
    report = Report(style, max_errors)
    with Workers(jobs or available_cores(), checker_of, type_name, image_dir) as workers:
        for path in files:
            report.files += 1
            try:
                with open_source(Input(path, input_format_name, "--input-format")) as source:
                    _check_file(source, workers, report)
            except UsageError as error:
                complain(str(error))
                report.unreadable += 1
    report.finish()
    return 2 if report.unreadable else 1 if report.errors else 0


def _check_file(source: Source, workers: Workers, report: Report) -> None:
    try:
        for line, error in workers.errors(report.counting(source.records()), source.form):
            report.add(source.name, line, error)
    except RawMMError as error:
        # The file as a whole: empty, or of another type.
        report.add(source.name, None, error)


def checker_of(
    type_name: str | None, image_dir: str | None
) -> Callable[[Record, Format], Iterator[RawMMError]]:
    """What checks a record, from what the user said.

    Raises:
        UsageError: there is no such type, or no ``file://`` URL can name the directory.
    """
    return Checker(
        None if type_name is None else named_kind(type_name),
        None if image_dir is None else open_store(image_dir),
    ).errors


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
        binary = form == "msgpack"
        plain = decode_plain(data, form)
        yield from key_errors(data, form, plain)
        kind = kind_of(plain) if self._kind is None else self._kind
        if kind is CHAT_REQUEST:
            yield from request_errors(plain, self._store)
            return
        try:
            # JSON is parsed once; the structs of MessagePack are not those of its plain data,
            # which has dates and extension types.
            value = decode_msgpack(data, kind) if binary else from_decoded(plain, kind)
        except RawMMError as refusal:
            yield from _all_errors(plain, kind, refusal)
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
