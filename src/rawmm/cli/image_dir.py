"""Opens the image directory that the user named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawmm.cli.output import UsageError
from rawmm.cli.records import STDIO
from rawmm.errors import RawMMError
from rawmm.store import ImageStore

if TYPE_CHECKING:
    import os


def check_dir_name(image_dir: object) -> None:
    """Refuse an empty name, which would be the working directory, and ``-``.

    Raises:
        UsageError: the name is empty or ``-``.
    """
    if not image_dir:
        raise UsageError("the name of the image directory is empty; is a variable unset?")
    if image_dir == STDIO:
        raise UsageError(
            "- is standard input, not an image directory; write ./- for a directory of that name"
        )


def open_store(image_dir: str | os.PathLike[str], *, durable: bool = True) -> ImageStore:
    """The store in a directory, which need not exist.

    Raises:
        UsageError: the name is empty, or no ``file://`` URL can express it.
    """
    check_dir_name(image_dir)
    try:
        return ImageStore(image_dir, durable=durable)
    except RawMMError as error:
        raise UsageError(error.message) from None


def open_writable_store(image_dir: str | os.PathLike[str], *, durable: bool) -> ImageStore:
    """The store in a directory, which is created if necessary.

    Raises:
        UsageError: as `open_store`, or the directory cannot be written.
    """
    store = open_store(image_dir, durable=durable)
    try:
        store.probe()
    except RawMMError as error:
        raise UsageError(error.message) from None
    return store
