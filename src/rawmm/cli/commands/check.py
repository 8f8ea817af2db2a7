"""``rawmm check``: reports every error in files of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from rawmm import layouts
from rawmm.checks import CHAT_REQUEST, RecordChecker
from rawmm.cli import output
from rawmm.cli.audit import Audit, Ignored, write_summary
from rawmm.cli.config import Config, find_config, read_config
from rawmm.cli.documents import decode_plain, key_errors
from rawmm.cli.engines import Address, EngineName, Jobs, open_engine
from rawmm.cli.foreign import type_hint_of
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, FilesFormat, all_inputs, check_not_read
from rawmm.cli.layout import allowed_layouts
from rawmm.cli.malformed import with_fault
from rawmm.cli.output import UsageError
from rawmm.cli.record_types import named_type
from rawmm.cli.records import STDIO, Input, open_source
from rawmm.cli.report import MaxErrors, Report, ReportFormat, location_of
from rawmm.cli.schema_version import named_version
from rawmm.codec import decode_msgpack, decode_plainly_valid, from_decoded
from rawmm.errors import RawMMError
from rawmm.model.types import SCHEMA_VERSION, Episode, MessageNode, Trace
from rawmm.native import unique_keys
from rawmm.rules import BY_ITSELF, MediaChecks
from rawmm.store import is_object_url
from rawmm.validation import checking, media_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.checks import Note
    from rawmm.cli.audit import Check
    from rawmm.cli.records import Format, Record
    from rawmm.store import Store


_FIRST: Final = (Trace, Episode, MessageNode)
"""Types that records are decoded as before they are identified."""


def check(
    *files: Annotated[
        str, Parameter(help="Files, folders, patterns or bundles; - is standard input.")
    ],
    type_name: Annotated[
        str | None,
        Parameter(
            name=["--type", "-t"],
            help="Type of every record, e.g. Trace, list[MessageNode] or ChatRequest. "
            "Detected from each record by default.",
        ),
    ] = None,
    input_format_name: FilesFormat = None,
    column: Column = None,
    style: ReportFormat = "text",
    max_errors: MaxErrors = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, of the images that records refer to; each "
            "image must exist there. "
            "Without it, the summary counts the images that were not checked. Inline images are "
            "always checked, and those of a bundle are read and compared with their hash. To "
            "verify the content of other stored images, use rawmm fsck.",
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
    require_layout: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Layout that items must have: FAMILY, or FAMILY,NAME=INTEGER,... Repeat it to "
            "allow several.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        Parameter(
            help="File whose table [tool.rawmm] says how to check. By default the nearest "
            "pyproject.toml that has one.",
        ),
    ] = None,
    no_config: Annotated[bool, Parameter(negative=(), help="Read no configuration.")] = False,
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

    Files are JSON, JSON Lines, MessagePack or Parquet, and contain traces, nodes, messages,
    sidecars, references or OpenAI chat requests. LINE is the line in JSON Lines, or the number of
    the document in a MessagePack stream. For malformed JSON, LINE and COLUMN locate the first
    fault.
    """
    if not files:
        raise UsageError("nothing to check: give one or more files, or - for standard input")
    checks = _media_checks(image_tokens or [], layout, require_sidecars=require_sidecars)
    version = named_version(schema_version, "--schema-version")
    settings = _settings(config, no_config=no_config)
    args = (
        type_name,
        settings.image_dir if image_dir is None else image_dir,
        require_images,
        checks,
        refuse_ambiguous,
        version,
        tuple(require_layout or settings.layouts),
        frozenset(code for code, _ in settings.ignored),
    )
    checker_of(*args)  # says what is wrong with the options
    inputs = [
        (
            name,
            given if isinstance(given, UsageError) else _own(given, settings, type_name, image_dir),
        )
        for name, given in all_inputs(files, input_format_name, "--input-format", column)
    ]
    if summary is not None:
        check_not_read(summary, "--summary", (given for _, given in inputs))
    with (
        Report(style, max_errors) as report,
        open_engine(engine, jobs, address, image_dir) as opened_engine,
    ):
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


def _settings(config: str | None, *, no_config: bool) -> Config:
    if config is not None and no_config:
        raise UsageError("--config and --no-config are opposites; give one of them")
    if no_config:
        return Config()
    return find_config() if config is None else read_config(config)


def _own(
    given: Input | UsageError, settings: Config, type_name: str | None, image_dir: str | None
) -> Input | UsageError:
    """A file with the type and the image directory that it has for itself."""
    if isinstance(given, UsageError):
        return given
    if image_dir is None and given.bundle is not None:
        given = given._replace(image_dir=given.bundle)
    if type_name is not None or given.path == STDIO or is_object_url(given.path):
        return given
    return given._replace(type_name=settings.type_of(given.path))


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
    required_layouts: Sequence[str] = (),
    ignored: frozenset[str] = frozenset(),
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
        layouts=allowed_layouts(required_layouts),
        version=version,
        ignored=ignored,
    ).findings


def lines_of_file(path: str, image_dir: str | None, folder: str | None = None) -> Iterator[str]:
    """Each error of a file as a line of text, or why the file cannot be read.

    Args:
        path: the file.
        image_dir: where its images must be.
        folder: a folder whose configuration counts.
    """
    try:
        settings = Config() if folder is None else find_config(folder)
        check_record = checker_of(
            settings.type_of(path),
            settings.image_dir if image_dir is None else image_dir,
            require_images=False,
            required_layouts=settings.layouts,
            ignored=frozenset(code for code, _ in settings.ignored),
        )
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
    """Checks records that are bytes. The arguments are those of `RecordChecker`.

    Args:
        ignored: codes of errors that are none; each is an `Ignored` instead.
    """

    def __init__(
        self,
        kind: Any,
        store: Store | None,
        *,
        checks: MediaChecks = BY_ITSELF,
        version: str = SCHEMA_VERSION,
        ignored: frozenset[str] = frozenset(),
        **options: Any,
    ) -> None:
        self._checker = RecordChecker(kind, store, checks=checks, version=version, **options)
        self._kind = kind
        self._checks = checks
        self._version = version
        self._ignored = ignored
        self._guess: Any = Trace
        """The type of the last record that was decoded before it was identified."""

    def findings(self, record: Record, form: Format) -> Iterator[RawMMError | Note | Ignored]:
        """Every error of one record, its deprecated fields, the number of unchecked images."""
        for found in self._all_findings(record, form):
            if isinstance(found, RawMMError) and found.code in self._ignored:
                yield Ignored(found.code)
            else:
                yield found

    def _all_findings(self, record: Record, form: Format) -> Iterator[RawMMError | Note]:
        try:
            yield from self._findings(record.data, form)
        except RawMMError as error:
            if error.code == "unknown_type":
                yield error.at(hint=type_hint_of(record.data, form))
            else:
                yield with_fault(error, record.data, form)

    def _findings(self, data: bytes, form: Format) -> Iterator[RawMMError | Note]:
        binary = form == "msgpack"
        if not binary and (value := self._decoded_at_once(data)) is not None:
            yield from self._checker.notes(value)
            return
        plain = decode_plain(data, form)
        yield from key_errors(data, form, plain)

        def structs(plain: Any, kind: Any) -> Any:
            # JSON is parsed only once. MessagePack is decoded again, because its plain data has
            # dates and extension types where the structs have others.
            value = decode_msgpack(data, kind) if binary else from_decoded(plain, kind)
            if self._kind is None and kind in _FIRST:
                self._guess = kind
            return value

        yield from self._checker.findings(plain, structs)

    def _decoded_at_once(self, data: bytes) -> Any:
        """A valid JSON record, straight from its bytes; None if only its plain data tells.

        The report is that of the plain data. A record without unknown fields that decodes as one
        of `_FIRST` has the keys by which it would be identified, and no others.
        """
        if unique_keys is None or self._version != SCHEMA_VERSION or self._kind == CHAT_REQUEST:
            return None
        with checking(self._checks):
            value = decode_plainly_valid(data, self._kind or self._guess)
        return value if value is not None and unique_keys(data) else None
