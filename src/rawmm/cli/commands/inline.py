"""``rawmm inline``: puts stored images back into records, as data URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pybase64
from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.image_dir import open_store
from rawmm.cli.moving import Images
from rawmm.cli.output import counted, size
from rawmm.cli.rewrite import (
    Column,
    Durable,
    InputFormat,
    InputName,
    OutputFormat,
    OutputName,
    Rewrite,
    check_output,
)
from rawmm.errors import OffloadError
from rawmm.images import read_header
from rawmm.offload import replace_locators

if TYPE_CHECKING:
    from rawmm.offload import FoundLocator
    from rawmm.store import Store


def inline(
    source: InputName,
    /,
    *,
    output: OutputName,
    image_dir: Annotated[
        str | None,
        Parameter(
            help="Directory, or URL of another store, of images that are named without a place, "
            "or that are no longer where their URLs say. By default the bundle that has the "
            "records."
        ),
    ] = None,
    form: InputFormat = None,
    output_format: OutputFormat = None,
    column: Column = None,
    durable: Durable = True,
) -> int:
    """Put stored images back into records, as data URLs. The opposite of offload.

    Every image is compared with the hash in its name. Messages, descriptors and references are
    changed; references of a trainer, which cannot hold an image, are an error.
    """
    check_output(source, output, output_format)
    given = None if image_dir is None else open_store(image_dir)
    with Rewrite(source, form, "inline", column) as run:
        filler = _Filler(run, given)
        failure = run.write(output, output_format, filler.filled, durable=durable)
    if failure is not None:
        return run.failed(failure)
    terminal.info(
        f"{counted(run.records, 'record')}, {counted(filler.images, 'image')} inlined, "
        f"{size(run.content)} in, {size(run.written)} out"
    )
    return 0


class _Filler:
    """Replaces locators by data URLs. `images` counts them.

    Args:
        run: the pass; images of a file in a bundle are in the bundle.
        given: where all images are, if the user said so.
    """

    def __init__(self, run: Rewrite, given: Store | None) -> None:
        self.images = 0
        self._run = run
        self._given = given
        self._of: dict[str | None, Images] = {}
        self._urls: dict[str, str] = {}

    @property
    def _images(self) -> Images:
        bundle = self._run.found.input.bundle
        if bundle not in self._of:
            store = self._given
            if store is None and bundle is not None:
                store = open_store(bundle)
            self._of[bundle] = Images(store)
        return self._of[bundle]

    def filled(self, value: Any) -> Any:
        """A record with its images inline, in place."""
        self._urls.clear()  # an image is often repeated in a record
        self.images += replace_locators(value, self._url)
        return value

    def _url(self, found: FoundLocator) -> str:
        if not found.takes_data:
            raise OffloadError(
                "bad_locator",
                expected="a place for an image: a content part, a descriptor or a reference",
                got="the URL of a trainer reference",
                hint="write the traces inline, and build the references again",
            )
        url = self._urls.get(found.locator)
        if url is None:
            raw = self._images.read(found.locator)
            encoded = pybase64.b64encode(raw).decode("ascii")
            url = f"data:{read_header(raw).media_type};base64,{encoded}"
            self._urls[found.locator] = url
        return url
