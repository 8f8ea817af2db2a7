"""Opens the image directory, or the store at another URL, that the user named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawmm import store as stores
from rawmm.cli.output import UsageError
from rawmm.cli.records import STDIO
from rawmm.errors import RawMMError
from rawmm.real_class import is_a

if TYPE_CHECKING:
    import os

    from rawmm.store import Store


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


def open_store(image_dir: str | os.PathLike[str], *, durable: bool = True) -> Store:
    """The store in a directory, which need not exist, or at a URL whose scheme is registered.

    Raises:
        UsageError: the name is empty, no ``file://`` URL can express it, no store serves its
            scheme, or the store has no option ``durable`` and it is False.
    """
    check_dir_name(image_dir)
    try:
        return stores.open_store(image_dir, **({} if durable else {"durable": False}))
    except RawMMError as error:
        raise UsageError(error.message) from None


def open_writable_store(image_dir: str | os.PathLike[str], *, durable: bool) -> Store:
    """The same, for writing. A directory is created if necessary.

    Raises:
        UsageError: as `open_store`, or the store cannot be written.
    """
    store = open_store(image_dir, durable=durable)
    try:
        if is_a(store, (stores.ImageStore, stores.ObjectImageStore)):
            store.probe()
    except RawMMError as error:
        raise UsageError(error.message) from None
    return store
