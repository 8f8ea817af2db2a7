"""``rawmm check``: reports every error in files of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from rawmm import layouts
from rawmm.checks import RecordChecker
from rawmm.cli import output
from rawmm.cli.audit import Audit, write_summary
from rawmm.cli.documents import decode_plain, key_errors
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.foreign import type_hint_of
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, all_inputs
from rawmm.cli.malformed import with_fault
from rawmm.cli.output import UsageError
from rawmm.cli.record_types import named_type
from rawmm.cli.records import FileFormat, Input, open_source
from rawmm.cli.report import MaxErrors, Report, ReportFormat, location_of
from rawmm.cli.schema_version import named_version
from rawmm.codec import decode_msgpack, from_decoded
from rawmm.errors import RawMMError
from rawmm.model.types import SCHEMA_VERSION
from rawmm.rules import BY_ITSELF, MediaChecks
from rawmm.validation import media_checks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.checks import Note
    from rawmm.cli.audit import Check
    from rawmm.cli.records import Format, Record
    from rawmm.store import Store


def check(
    *files: Annotated[str, Parameter(help="Files, folders or patterns; - is standard input.")],
    type_name: Annotated[
        str | None,
        Parameter(
            name=["--type", "-t"],
            help="Type of every record, e.g. Trace, list[MessageNode] or ChatRequest. "
            "Detected from each record by default.",
        ),
    ] = None,
    input_format_name: Annotated[
        FileFormat | None,
        Parameter(
            name="--input-format", help="Format of the files, by default that of their extension."
        ),
    ] = None,
    column: Column = None,
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
    summary: Annotated[
        str | None,
        Parameter(
            help="File for a summary as JSON: counts, and the first places of each code. It is the "
            "same for every engine.",
        ),
    ] = None,
    engine: EngineName = None,
    jobs: Jobs = None,
    address: Address = None,
) -> int:
    """Check files against the contract and list every error as FILE:LINE:COLUMN::$.path: message.

    Files are JSON, JSON Lines or MessagePack, and contain traces, nodes, messages, sidecars,
    references or OpenAI chat requests. LINE is the line in JSON Lines, or the number of the
    document in a MessagePack stream. For malformed JSON, LINE and COLUMN locate the first fault.
    """
    if not files:
        raise UsageError("nothing to check: give one or more files, or - for standard input")
    checks = _media_checks(image_tokens or [], layout, require_sidecars=require_sidecars)
    version = named_version(schema_version, "--schema-version")
    args = (type_name, image_dir, require_images, checks, refuse_ambiguous, version)
    checker_of(*args)  # says what is wrong with the options
    inputs = list(all_inputs(files, input_format_name, "--input-format", column))
    with Report(style, max_errors) as report, open_engine(engine, jobs, address) as opened_engine:
        audit = Audit(inputs, opened_engine, report)
        try:
            audit.run(checker_of, args)
        except KeyboardInterrupt:
            output.info(f"interrupted; so far {audit.so_far()}")
            raise
    report.summary()
    if summary is not None:
        write_summary(summary, audit.as_json())
    return 2 if report.unreadable or report.bugs or report.lost else 1 if report.errors else 0


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
    """Checks records that are bytes. The arguments are those of `RecordChecker`."""

    def __init__(self, kind: Any, store: Store | None, **options: Any) -> None:
        self._checker = RecordChecker(kind, store, **options)

    def findings(self, record: Record, form: Format) -> Iterator[RawMMError | Note]:
        """Every error of one record, its deprecated fields, the number of unchecked images."""
        try:
            yield from self._findings(record.data, form)
        except RawMMError as error:
            if error.code == "unknown_type":
                yield error.at(hint=type_hint_of(record.data, form))
            else:
                yield with_fault(error, record.data, form)

    def _findings(self, data: bytes, form: Format) -> Iterator[RawMMError | Note]:
        plain = decode_plain(data, form)
        yield from key_errors(data, form, plain)
        # JSON is parsed only once. MessagePack is decoded again, because its plain data has
        # dates and extension types where the structs have others.
        binary = form == "msgpack"
        yield from self._checker.findings(
            plain, (lambda _, kind: decode_msgpack(data, kind)) if binary else from_decoded
        )
