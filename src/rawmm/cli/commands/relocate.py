"""``rawmm relocate``: rewrites the references of records whose images have moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from rawmm.cli import output as terminal
from rawmm.cli.image_dir import check_dir_name, open_store, open_writable_store
from rawmm.cli.moving import Images, file_name_of, is_below, verified
from rawmm.cli.output import counted
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
from rawmm.errors import OffloadError, RawMMError
from rawmm.locators import scheme_of, stored_hash
from rawmm.offload import replace_locators
from rawmm.store import put_image, url_of_id

if TYPE_CHECKING:
    from rawmm.offload import FoundLocator
    from rawmm.store import Store


def relocate(
    source: InputName,
    /,
    *,
    output: OutputName,
    origin: Annotated[
        str,
        Parameter(
            name="--from",
            help="The directory, or URL of a store, that the records name. It need not exist.",
        ),
    ],
    to: Annotated[
        str, Parameter(help="The directory, or URL of a store, where the images are now.")
    ],
    copy: Annotated[
        bool,
        Parameter(negative=(), help="Copy images that are not at the new place from the old one."),
    ] = False,
    form: InputFormat = None,
    output_format: OutputFormat = None,
    column: Column = None,
    durable: Durable = True,
) -> int:
    """Rewrite the references of records whose images have moved to another place.

    Every image is read at the new place, and its bytes are compared with the hash in its name.
    A record with an image that is missing or changed stops the command, and OUT stays as it was.
    A raw_image_id names no place, so it stays; its image must be at the new place, too. References
    to other places stay.
    """
    check_output(source, output, output_format)
    check_dir_name(origin)
    opener = open_writable_store if copy else open_store
    mover = _Mover(
        origin if scheme_of(origin) else str(Path(origin).absolute()),
        opener(to, durable=durable),
        copies=copy,
    )
    with Rewrite(source, form, "relocate", column) as run:
        failure = run.write(output, output_format, mover.moved, durable=durable)
    if failure is not None:
        return run.failed(failure)
    terminal.info(
        f"{counted(run.records, 'record')}, {counted(mover.changed, 'reference')} rewritten, "
        f"{counted(len(mover.verified), 'image')} verified"
        f"{f', {mover.copied} copied' if copy else ''}"
        f"{f', {mover.elsewhere} elsewhere' if mover.elsewhere else ''}"
    )
    return 0


class _Mover:
    """Rewrites references.

    Attributes:
        changed: references rewritten.
        copied: images copied.
        elsewhere: references to other places, which stay.
        verified: the names of the images that were read at the new place.
    """

    def __init__(self, origin: str, store: Store, *, copies: bool) -> None:
        self.changed = 0
        self.copied = 0
        self.elsewhere = 0
        self.verified: set[str] = set()
        self._origin = origin
        self._store = store
        self._copies = copies

    def moved(self, value: Any) -> Any:
        """A record with its references rewritten, in place."""
        self.changed += replace_locators(value, self._new)
        return value

    def _new(self, found: FoundLocator) -> str:
        locator = found.locator
        by_name = not scheme_of(locator)
        if not by_name and not is_below(locator, self._origin):
            self.elsewhere += 1
            return locator
        name = file_name_of(locator)
        if name not in self.verified:
            self._verify(name)
            self.verified.add(name)
        in_descriptor = found.path and found.path[-1] == "raw_image_id"
        return locator if by_name and in_descriptor else url_of_id(self._store, name)

    def _verify(self, name: str) -> None:
        if stored_hash(name) is None:
            raise OffloadError(
                "bad_locator",
                expected="the name of a stored image, which has its hash",
                got="another name",
                hint="store the image with rawmm offload, which gives it such a name",
            )
        try:
            verified(self._store, name)
        except RawMMError as error:
            if error.code != "missing_image" or not self._copies:
                raise
        else:
            return
        put_image(self._store, Images(None).read(_below(self._origin, name)))
        self.copied += 1
        verified(self._store, name)


def _below(folder: str, name: str) -> str:
    """The URL of an image at a place."""
    return url_of_id(open_store(folder), name)
