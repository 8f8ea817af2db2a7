"""``rawmm check``: every error of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from rawmm.cli.bugs import Bug, InternalError, bugs_named
from rawmm.cli.documents import decode_plain, key_errors
from rawmm.cli.images import ImageChecker, NotChecked
from rawmm.cli.kinds import CHAT_REQUEST, TYPE_HINT, kind_of, named_kind
from rawmm.cli.malformed import placed
from rawmm.cli.output import UsageError, complain, say
from rawmm.cli.parallel import Workers
from rawmm.cli.records import Format, Input, Record, Source, open_source
from rawmm.cli.report import MaxErrors, Report, Style
from rawmm.cli.requests import open_store, request_errors
from rawmm.codec import decode_msgpack, from_decoded
from rawmm.errors import RawMMError
from rawmm.offload import available_cpus
from rawmm.validation import iter_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.parallel import Check
    from rawmm.store import ImageStore


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
        Style,
        Parameter(
            name="--format",
            help="Format of the report: lines of text, JSON Lines, or annotations for GitHub.",
        ),
    ] = "text",
    max_errors: MaxErrors = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Look for the images that records refer to in this directory. Without it no "
            "file is looked for, and the summary counts the images that were not checked. Inline "
            "images are always checked in full. The bytes of stored images are for rawmm fsck.",
        ),
    ] = None,
    require_images: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Make it an error when an image that a record refers to is not checked.",
        ),
    ] = False,
    jobs: Annotated[
        int,
        Parameter(
            name=["--jobs", "-j"],
            help="Processes that check the records of JSON Lines and MessagePack streams; "
            "0 is one for each core.",
        ),
    ] = 1,
) -> int:
    """Check files against the contract, and list every error as FILE:LINE:COLUMN::$.path: message.

    JSON, JSON Lines and MessagePack files of traces, nodes, messages, sidecars, references or
    OpenAI chat requests. LINE is the line in JSON Lines and the document in a MessagePack
    stream; where a text is not JSON, LINE and COLUMN are those of the first fault.
    """
    if not files:
        raise UsageError("nothing to check: give one or more files, or - for standard input")
    if jobs < 0:
        raise UsageError("--jobs takes a number from 0, which is one for each core")
    report = Report(style, max_errors)
    args = (type_name, image_dir, require_images)
    with Workers(jobs or available_cpus(), checker_of, *args) as workers:
        for path in files:
            report.files += 1
            try:
                with open_source(Input(path, input_format_name, "--input-format")) as source:
                    _check_file(source, workers, report)
            except UsageError as error:
                complain(str(error))
                report.unreadable += 1
    report.finish()
    return 2 if report.unreadable or report.bugs else 1 if report.errors else 0


def _check_file(source: Source, workers: Workers, report: Report) -> None:
    before = report.records
    try:
        for line, finding in workers.findings(report.counting(_read(source)), source.form):
            if isinstance(finding, NotChecked):
                report.not_checked = report.not_checked.plus(finding)
            elif isinstance(finding, Bug):
                report.add_bug(source.name, line, finding)
            else:
                report.add(source.name, line, finding)
    except RawMMError as error:
        # The file as a whole: empty, or of another type.
        report.add(source.name, None, error)
    except InternalError as error:
        report.add_bug(source.name, None, error.bug)
    else:
        if report.records == before:
            say(f"{source.name}: no records")


def _read(source: Source) -> Iterator[Record]:
    """The records of a file. A bug in reading it does not stop the others."""
    with bugs_named():
        yield from source.records(may_be_empty=True)


def checker_of(type_name: str | None, image_dir: str | None, require_images: bool) -> Check:  # noqa: FBT001
    """What checks a record, from what the user said.

    Raises:
        UsageError: there is no such type, or no ``file://`` URL can name the directory.
    """
    return Checker(
        None if type_name is None else named_kind(type_name),
        None if image_dir is None else open_store(image_dir),
        require_images=require_images,
    ).findings


class Checker:
    """Checks records.

    Args:
        kind: the type of each, or None to tell it from each.
        store: where stored images must be; None to look at no file.
        require_images: whether an image that is not looked at is an error.
    """

    def __init__(
        self, kind: Any, store: ImageStore | None, *, require_images: bool = False
    ) -> None:
        self._kind = kind
        self._images = ImageChecker(store, required=require_images)

    def findings(self, record: Record, form: Format) -> Iterator[RawMMError | NotChecked]:
        """Every error of one record, then what was not looked at."""
        try:
            yield from self._findings(record.data, form)
        except RawMMError as error:
            told = error.at(hint=TYPE_HINT) if error.code == "unknown_type" else error
            yield placed(told, record.data, form)

    def _findings(self, data: bytes, form: Format) -> Iterator[RawMMError | NotChecked]:
        binary = form == "msgpack"
        plain = decode_plain(data, form)
        yield from key_errors(data, form, plain)
        kind = kind_of(plain) if self._kind is None else self._kind
        if kind is CHAT_REQUEST:
            yield from request_errors(plain)
            yield from self._images.findings(plain, is_request=True)
            return
        try:
            # JSON is parsed once; the structs of MessagePack are not those of its plain data,
            # which has dates and extension types.
            value = decode_msgpack(data, kind) if binary else from_decoded(plain, kind)
        except RawMMError as refusal:
            yield from _all_errors(plain, kind, refusal)
            return
        yield from self._images.findings(value, is_request=False)


def _all_errors(value: Any, kind: Any, refusal: RawMMError) -> Iterator[RawMMError]:
    """Every error of what the decoder refused; at least the one it gave."""
    found = False
    for error in iter_errors(value, kind):
        found = True
        yield error
    if not found:
        yield refusal
