"""Reads stored images for `relocate`, `inline` and `bundle`, each once, and verifies them."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from rawmm.errors import MaterializeError, OffloadError, RawMMError, shown_text
from rawmm.locators import file_path, scheme_of, stored_hash, unquoted
from rawmm.store import read_bytes, served_schemes, store_for

if TYPE_CHECKING:
    from rawmm.store import ImageReader

_NOT_THERE: Final = frozenset({"missing_image", "path_escape", "bad_locator"})


def file_name_of(locator: str) -> str:
    """The file name in a ``raw_image_id`` or URL."""
    return (unquoted(locator) if scheme_of(locator) else locator).rpartition("/")[2]


class Images:
    """The images that locators name, with their bytes compared with the hash in the name.

    Args:
        store: where ids are, and images whose URL leads nowhere; None for neither.
    """

    def __init__(self, store: ImageReader | None) -> None:
        self._store = store

    def read(self, locator: str) -> bytes:
        """The bytes of an image: from where its URL says, or else by its name from the store.

        Raises:
            MaterializeError, OffloadError: it is in neither place, or its bytes have another hash.
        """
        name, scheme = file_name_of(locator), scheme_of(locator)
        if scheme and scheme not in served_schemes():
            raise OffloadError(
                "bad_locator",
                expected="an image in a store",
                got=f"the scheme {shown_text(scheme)}, which no store serves",
            )
        if self._store is not None and (not scheme or stored_hash(name)):
            try:
                return verified(self._store, name)
            except RawMMError as error:
                if not scheme or error.code not in _NOT_THERE:
                    raise
        elif not scheme:
            raise OffloadError(
                "no_image_dir",
                expected="a directory for images that are named without one",
                got="none",
                hint="give --image-dir",
            )
        return verified(store_for(locator), locator)


def verified(store: ImageReader, locator: str) -> bytes:
    """The bytes of an image, which have the hash in its name, if there is one.

    Raises:
        MaterializeError: ``hash_mismatch``, and as `rawmm.store.read_bytes`.
    """
    digits = stored_hash(locator)
    raw = read_bytes(store, locator, digits)
    if digits is not None and not hashlib.sha256(raw).hexdigest().startswith(digits):
        raise MaterializeError(
            "hash_mismatch",
            expected=f"bytes whose SHA-256 begins with {digits[:16]}",
            got=f"{len(raw)} bytes with another hash",
            hint="the image was changed after it was stored; rawmm fsck finds all such images",
        )
    return raw


def is_below(locator: str, folder: str) -> bool:
    """Whether a URL names a file in a directory, or right below the URL of another store."""
    if scheme_of(folder) and scheme_of(folder) != "file":
        return locator.rpartition("/")[0] == folder.rstrip("/")
    if scheme_of(locator) != "file":
        return False
    path = file_path(locator)
    if not isinstance(path, str):
        return False
    base = file_path(folder) if scheme_of(folder) else folder
    return isinstance(base, str) and PurePath(path).parent == PurePath(base)
