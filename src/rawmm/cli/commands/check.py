"""``rawmm check``: reports every error in files of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from rawmm import layouts
from rawmm.cli import output
from rawmm.cli.bugs import Bug, InternalError, report_bugs
from rawmm.cli.chat_requests import request_errors
from rawmm.cli.documents import decode_plain, key_errors
from rawmm.cli.image_dir import open_store
from rawmm.cli.images import ImageChecker, NotChecked, ambiguous_items
from rawmm.cli.malformed import with_fault
from rawmm.cli.output import UsageError
from rawmm.cli.parallel import Workers
from rawmm.cli.record_types import CHAT_REQUEST, TYPE_HINT, detect_type, named_type
from rawmm.cli.records import Format, Input, Record, Source, open_source
from rawmm.cli.report import MaxErrors, Report, ReportFormat, location_of
from rawmm.cli.schema_version import named_version
from rawmm.codec import decode_msgpack, decode_plainly_valid, from_decoded
from rawmm.errors import RawMMError
from rawmm.model.types import SCHEMA_VERSION, Episode, MessageNode, Trace
from rawmm.native import unique_keys
from rawmm.offload import available_cpus
from rawmm.rules import BY_ITSELF, MediaChecks
from rawmm.validation import checking, iter_errors_by, media_checks
from rawmm.versions import DeprecatedField, deprecated_fields, version_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.parallel import Check, Note
    from rawmm.store import Store


_FIRST: Final = (Trace, Episode, MessageNode)
"""Types that records are decoded as before they are identified."""


def check(
    *files: Annotated[str, Parameter(help="Files to check; - is standard input.")],
    type_name: Annotated[
        str | None,
        Parameter(
            name=["--type", "-t"],
            help="Type of every record, e.g. Trace, list[MessageNode] or ChatRequest. "
            "Detected from each record by default.",
        ),
    ] = None,
    input_format_name: Annotated[
        Format | None,
        Parameter(
            name="--input-format", help="Format of the files, by default that of their extension."
        ),
    ] = None,
    style: ReportFormat = "text",
    max_errors: MaxErrors = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, of the images that records refer to; each "
            "image must exist there. "
            "Without it, the summary counts the images that were not checked. Inline images are "
            "always checked. To verify the content of stored images, use rawmm fsck.",
        ),
    ] = None,
    require_images: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Report an error for each image that cannot be checked.",
        ),
    ] = False,
    require_sidecars: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Report an error for each message that has media and tokens, but no items.",
        ),
    ] = False,
    refuse_ambiguous: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Report an error for each item whose image programs may decode differently, "
            "because of its EXIF orientation or its transparency.",
        ),
    ] = False,
    image_tokens: Annotated[
        list[int] | None,
        Parameter(
            name="--image-token",
            negative=(),
            help="Id of an image token, for traces that do not state it. Repeat it for several.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        Parameter(
            help="Layout family of the model, such as pixtral, where other tokens separate the "
            "rows of an image.",
        ),
    ] = None,
    schema_version: Annotated[
        str | None,
        Parameter(
            help="Check as this version of the contract did, such as 1.0. By default the version "
            "of this package.",
        ),
    ] = None,
    jobs: Annotated[
        int,
        Parameter(
            name=["--jobs", "-j"],
            help="Processes that check JSON Lines and MessagePack streams; 0 starts one per core.",
        ),
    ] = 1,
) -> int:
    """Check files against the contract and list every error as FILE:LINE:COLUMN::$.path: message.

    Files are JSON, JSON Lines or MessagePack, and contain traces, nodes, messages, sidecars,
    references or OpenAI chat requests. LINE is the line in JSON Lines, or the number of the
    document in a MessagePack stream. For malformed JSON, LINE and COLUMN locate the first fault.
    """
    if not files:
        raise UsageError("nothing to check: give one or more files, or - for standard input")
    if jobs < 0:
        raise UsageError("--jobs takes 0, which starts one process per core, or a positive number")
    checks = _media_checks(image_tokens or [], layout, require_sidecars=require_sidecars)
    version = named_version(schema_version, "--schema-version")
    args = (type_name, image_dir, require_images, checks, refuse_ambiguous, version)
    with (
        Workers(jobs or available_cpus(), checker_of, *args) as workers,
        Report(style, max_errors) as report,
    ):
        for path in files:
            given = Input(path, input_format_name, "--input-format")
            report.begin_file(given.name)
            try:
                with open_source(given) as source:
                    _check_file(source, workers, report)
            except UsageError as error:
                report.add_unreadable(given.name, error)
    report.summary()
    return 2 if report.unreadable or report.bugs else 1 if report.errors else 0


def _media_checks(
    image_tokens: list[int], family: str | None, *, require_sidecars: bool
) -> MediaChecks:
    """How to judge messages with media.

    Raises:
        UsageError: a token id or the family is invalid.
    """
    try:
        return media_checks(
            image_tokens,
            require_sidecars=require_sidecars,
            layout=None if family is None else layouts.get(family),
        )
    except RawMMError as error:
        option = "--layout" if error.path == "$.family" else "--image-token"
        problem = f"{option} takes {error.expected}, not {error.got}"
    raise UsageError(problem)


def _check_file(source: Source, workers: Workers, report: Report) -> None:
    before = report.records
    try:
        for line, finding in workers.findings(report.counting(_read(source)), source.form):
            if isinstance(finding, NotChecked):
                report.not_checked = report.not_checked.plus(finding)
            elif isinstance(finding, DeprecatedField):
                report.deprecated[finding] += 1
            elif isinstance(finding, Bug):
                report.add_bug(source.name, line, finding)
            else:
                report.add(source.name, line, finding)
    except RawMMError as error:
        # The file is empty or of another type.
        report.add(source.name, None, error)
    except InternalError as error:
        report.add_bug(source.name, None, error.bug)
    else:
        if report.records == before:
            output.info(f"{source.name}: no records")


def _read(source: Source) -> Iterator[Record]:
    """The records of a file. A bug while reading it stops only this file."""
    with report_bugs():
        yield from source.records(may_be_empty=True)


def checker_of(
    type_name: str | None,
    image_dir: str | None,
    require_images: bool,  # noqa: FBT001
    checks: MediaChecks = BY_ITSELF,
    refuse_ambiguous: bool = False,  # noqa: FBT001, FBT002
    version: str = SCHEMA_VERSION,
) -> Check:
    """The check of one record, for the options of the command. Worker processes call this.

    Raises:
        UsageError: the type or the directory is invalid.
    """
    return Checker(
        None if type_name is None else named_type(type_name),
        None if image_dir is None else open_store(image_dir),
        require_images=require_images,
        checks=checks,
        refuse_ambiguous=refuse_ambiguous,
        version=version,
    ).findings


def lines_of_file(path: str, image_dir: str | None) -> Iterator[str]:
    """Each error of a file as a line of text, or why the file cannot be read."""
    try:
        check_record = checker_of(None, image_dir, require_images=False)
        with open_source(Input(path, None, "--input-format")) as source:
            for record in source.records(may_be_empty=True):
                for found in check_record(record, source.form):
                    if isinstance(found, RawMMError):
                        yield f"{location_of(path, record.line, found)}::{found}"
    except RawMMError as error:
        yield f"{path}::{error}"
    except UsageError as error:
        yield str(error)


class Checker:
    """Checks records.

    Args:
        kind: the type of every record, or None to detect it.
        store: where stored images must be; None checks no files.
        require_images: whether an image that cannot be checked is an error.
        checks: how to judge messages with media.
        refuse_ambiguous: whether an item whose image is ambiguous is an error.
        version: the version of the contract that judges.
    """

    def __init__(
        self,
        kind: Any,
        store: Store | None,
        *,
        require_images: bool = False,
        checks: MediaChecks = BY_ITSELF,
        refuse_ambiguous: bool = False,
        version: str = SCHEMA_VERSION,
    ) -> None:
        self._kind = kind
        self._checks = checks
        self._images = ImageChecker(store, required=require_images)
        self._refuse_ambiguous = refuse_ambiguous
        self._version = version
        self._guess: Any = Trace
        """The type of the last record that was decoded before it was identified."""

    def findings(self, record: Record, form: Format) -> Iterator[RawMMError | Note]:
        """Every error of one record, its deprecated fields, the number of unchecked images."""
        try:
            yield from self._findings(record.data, form)
        except RawMMError as error:
            shown_error = error.at(hint=TYPE_HINT) if error.code == "unknown_type" else error
            yield with_fault(shown_error, record.data, form)

    def _findings(self, data: bytes, form: Format) -> Iterator[RawMMError | Note]:
        binary = form == "msgpack"
        if not binary and (value := self._decoded_at_once(data)) is not None:
            yield from self._notes(value)
            return
        plain = decode_plain(data, form)
        yield from key_errors(data, form, plain)
        kind = detect_type(plain) if self._kind is None else self._kind
        if kind is CHAT_REQUEST:
            yield from request_errors(plain)
            yield from self._images.findings(plain, is_request=True)
            return
        if self._version != SCHEMA_VERSION:
            refused = False
            for error in version_errors(plain, kind, self._version, self._checks):
                refused = True
                yield error
            if refused:
                return
        try:
            # JSON is parsed only once. MessagePack is decoded again, because its plain data has
            # dates and extension types where the structs have others.
            with checking(self._checks):
                value = decode_msgpack(data, kind) if binary else from_decoded(plain, kind)
        except RawMMError as refusal:
            if self._version == SCHEMA_VERSION:
                yield from _all_errors(plain, kind, refusal, self._checks)
            return  # an earlier version accepts it; images of such a record are not found
        if self._kind is None and kind in _FIRST:
            self._guess = kind
        yield from self._notes(value)

    def _decoded_at_once(self, data: bytes) -> Any:
        """A valid JSON record, straight from its bytes; None if only its plain data tells.

        The report is that of the plain data. A record without unknown fields that decodes as one
        of `_FIRST` has the keys by which it would be identified, and no others.
        """
        if unique_keys is None or self._version != SCHEMA_VERSION or self._kind is CHAT_REQUEST:
            return None
        with checking(self._checks):
            value = decode_plainly_valid(data, self._kind or self._guess)
        return value if value is not None and unique_keys(data) else None

    def _notes(self, value: Any) -> Iterator[RawMMError | Note]:
        """What there is to say about a valid record."""
        yield from deprecated_fields(value)
        yield from self._images.findings(value, is_request=False)
        if self._refuse_ambiguous:
            yield from ambiguous_items(value)


def _all_errors(
    value: Any, kind: Any, refusal: RawMMError, checks: MediaChecks
) -> Iterator[RawMMError]:
    """Every error of a record that the decoder refused; at least the decoder's."""
    found = False
    for error in iter_errors_by(checks, value, kind):
        found = True
        yield error
    if not found:
        yield refusal
