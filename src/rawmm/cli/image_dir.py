"""Opens the image directory, or the store at another URL, that the user named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm import store as stores
from rawmm.cli.output import UsageError, note_memory
from rawmm.cli.records import STDIO
from rawmm.errors import RawMMError
from rawmm.real_class import is_a

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

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


def open_store(
    image_dir: str | os.PathLike[str], *, durable: bool = True, fetch: Sequence[str] = ()
) -> Store:
    """The store in a directory, which need not exist, or at a URL whose scheme is registered.

    Args:
        image_dir: the directory or URL.
        durable: an option of stores in directories.
        fetch: hosts whose ``https`` images the store fetches.

    Raises:
        UsageError: the name is empty, no ``file://`` URL can express it, no store serves its
            scheme, the store has no such option, or a host is none.
    """
    check_dir_name(image_dir)
    # What an object store has answered for is durable; the option is then of OUT alone.
    options: dict[str, Any] = {}
    if not durable and not stores.is_object_url(str(image_dir)):
        options["durable"] = False
    try:
        if fetch:
            options["fetcher"] = stores.HttpsFetcher(list(fetch))
        return stores.open_store(image_dir, **options)
    except RawMMError as error:
        raise UsageError(error.message) from None


def open_writable_store(
    image_dir: str | os.PathLike[str], *, durable: bool, fetch: Sequence[str] = ()
) -> Store:
    """The same, for writing. A directory is created if necessary.

    Raises:
        UsageError: as `open_store`, or the store cannot be written.
    """
    store = open_store(image_dir, durable=durable, fetch=fetch)
    try:
        if is_a(store, (stores.ImageStore, stores.ObjectImageStore)):
            store.probe()
        note_memory(str(store.root))
    except RawMMError as error:
        raise UsageError(error.message) from None
    return store
