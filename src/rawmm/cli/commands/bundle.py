"""``rawmm bundle``: puts records and their images into one folder or ZIP file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.array_bytes import to_json
from rawmm.cli.bugs import InternalError, report_bugs
from rawmm.cli.bundles import Bundle, BundleWriter
from rawmm.cli.compressed import inner_name
from rawmm.cli.image_dir import open_store
from rawmm.cli.inputs import Column, FilesFormat, all_inputs, check_once
from rawmm.cli.moving import Images, verified
from rawmm.cli.output import UsageError, console, counted, progress, size
from rawmm.cli.records import STDIO, FileFormat, open_source
from rawmm.cli.report import located
from rawmm.cli.rewrite import decode_text
from rawmm.errors import OffloadError, RawMMError
from rawmm.locators import scheme_of
from rawmm.offload import offload_images_inplace, replace_locators
from rawmm.store import STORE_FAILURES, is_bundle, put_image, url_of_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.cli.records import Format, Source
    from rawmm.offload import FoundLocator
    from rawmm.store import ImageReader, Store


def bundle(
    *files: Annotated[
        str,
        Parameter(
            name="IN", help="Files, folders or patterns, and bundles to join; - is standard input."
        ),
    ],
    output: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"],
            help="A new folder, or a file ending in .zip. Required unless --verify is given.",
        ),
    ] = None,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, of images that are named without a place, "
            "or that are no longer where their URLs say."
        ),
    ] = None,
    verify: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Read bundles, compare all of them with their hashes, and write nothing.",
        ),
    ] = False,
    form: FilesFormat = None,
    column: Column = None,
) -> int:
    """Put records and all their images into one folder or ZIP file, which may be moved anywhere.

    Each image is stored once and named by its hash, and the records, as JSON Lines, refer to it by
    its file name alone. rawmm check, stats and view read bundles, and --image-dir takes one.
    Bundles given as IN are joined. Every byte that is read is compared with its hash. An engine
    that reads URLs needs them back: rawmm relocate DIR -o OUT --from DIR/images --to DIR/images.
    """
    if not files:
        raise UsageError("nothing to bundle: give one or more files or bundles")
    if (output is None) != verify:
        raise UsageError("give --output, or --verify to write nothing; not both")
    check_once(files)
    store = None if image_dir is None else open_store(image_dir)
    place = _Place()
    try:
        with report_bugs():
            return (
                _verify(files, place)
                if output is None
                else _write(files, output, store, form, column, place)
            )
    except InternalError as error:
        terminal.error(f"{place.file}: {error}")
        return 2
    except RawMMError as error:
        fault = error
    if fault.code in STORE_FAILURES:
        terminal.error(fault.message)
        return 2
    console(for_errors=True).print(located(place.file, place.line, fault))
    return 1


class _Place:
    """The file and record that the command is at."""

    file = ""
    line: int | None = None


def _verify(files: tuple[str, ...], place: _Place) -> int:
    records = images = 0
    for path in files:
        place.file = path
        if not is_bundle(path):
            raise UsageError(f"{path}: not a bundle; rawmm check reads files of records")
        with Bundle(path) as found:
            for record in _bundled(found, place):
                decode_text(record.data, "jsonl")
                records += 1
            place.file, place.line = path, None
            for name in found.image_names():
                verified(found.images, name)
                images += 1
    terminal.info(f"{counted(records, 'record')}, {counted(images, 'image')}: no errors")
    return 0


def _write(
    files: tuple[str, ...],
    output: str,
    store: Store | None,
    form: FileFormat | None,
    column: str | None,
    place: _Place,
) -> int:
    records = 0
    with BundleWriter(output) as writer:
        for path in files:
            for source, reader, encoding in _sources(path, store, form, column, place, writer):
                packer = _Packer(writer.store, reader)
                for data in source:
                    writer.write(packer.packed(data, encoding))
                    records += 1
    of_size = f" of {size(writer.size)}" if writer.images else ""
    terminal.info(f"{counted(records, 'record')}, {counted(writer.images, 'image')}{of_size}")
    return 0


def _sources(
    path: str,
    store: ImageReader | None,
    form: FileFormat | None,
    column: str | None,
    place: _Place,
    writer: BundleWriter,
) -> Iterator[tuple[Iterator[bytes], ImageReader | None, Format]]:
    """The records of each file, where their images are, and their encoding."""
    place.file, place.line = path, None
    if path != STDIO and is_bundle(path):
        with Bundle(path) as found:
            for name in found.manifest.records:
                writer.begin(name)
                yield (record.data for record in _named(found, name, place)), found.images, "jsonl"
        return
    for name, given in all_inputs([path], form, "--input-format", column):
        if isinstance(given, UsageError):
            raise given
        place.file = name
        writer.begin("records" if path == STDIO else PurePath(inner_name(given.path)).stem)
        with ExitStack() as stack:
            source = stack.enter_context(open_source(given))
            advance = stack.enter_context(progress(name, source.size))
            yield _each(source, advance, place), store, source.form


def _each(source: Source, advance: Callable[[int], None], place: _Place) -> Iterator[bytes]:
    for record in source.records(may_be_empty=True):
        place.line = record.line
        yield record.data
        place.line = None
        advance(source.done)


def _bundled(found: Bundle, place: _Place) -> Iterator[Any]:
    for name in found.manifest.records:
        yield from _named(found, name, place)


def _named(found: Bundle, name: str, place: _Place) -> Iterator[Any]:
    place.file, place.line = f"{found.name}/records/{name}", None
    with found.source(name) as source:
        for record in source.records():
            place.line = record.line
            yield record
            place.line = None


class _Packer:
    """Moves the images of records into the image directory of a bundle.

    Args:
        store: the image directory of the bundle.
        reader: where images are that are named without a place.
    """

    def __init__(self, store: Store, reader: ImageReader | None) -> None:
        self._store = store
        self._images = Images(reader)
        self._names: dict[str, str] = {}
        self._root = url_of_id(store, "")

    def packed(self, data: bytes, form: Format) -> bytes:
        """The line of a record whose images are in the bundle.

        Raises:
            RawMMError: the record is malformed, or an image is missing, damaged or refused.
        """
        value = decode_text(data, form)
        if form == "msgpack":
            value = to_json(value)
        replace_locators(value, self._stored)
        offload_images_inplace(value, store=self._store)
        replace_locators(value, self._relative)
        return msgspec.json.encode(value) + b"\n"

    def _stored(self, found: FoundLocator) -> str:
        """The URL of an image in the bundle, after it was stored there."""
        if not found.takes_id:
            raise OffloadError(
                "bad_locator",
                expected="a place that may hold a file name: a content part or a descriptor",
                got="the URL of a trainer reference",
                hint="bundle the traces, and build the references again",
            )
        name = self._names.get(found.locator)
        if name is None:
            name = put_image(self._store, self._images.read(found.locator)).raw_image_id
            self._names[found.locator] = name
        return url_of_id(self._store, name)

    def _relative(self, found: FoundLocator) -> str:
        locator = found.locator
        return locator.removeprefix(self._root) if scheme_of(locator) else locator
