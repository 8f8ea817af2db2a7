"""Read and verify the bytes of an image by its locator."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from rawmm.errors import MaterializeError, shown_name
from rawmm.images import check_image
from rawmm.locators import names_image, scheme_of
from rawmm.store import ImageReader, read_bytes, store_for

if TYPE_CHECKING:
    from rawmm.images import ImageHeader, Limits


class VerifiedImage(NamedTuple):
    """The bytes of an image file that match its hash; ``sha256`` has all 64 digits."""

    raw: bytes
    header: ImageHeader
    sha256: str


def read_image(
    locator: str, mm_hash: str, reader: ImageReader | None, limits: Limits
) -> VerifiedImage:
    """Read an image and compare its bytes with its hash.

    Raises:
        RawMMError: the errors of the reader and of `check_image`; ``hash_mismatch``.
    """
    if scheme_of(locator) == "data":
        raw, header, _ = check_image(locator, limits)
        return VerifiedImage(raw, header, _verified(raw, locator, mm_hash))
    reader = store_for(locator) if reader is None else reader
    raw = read_bytes(reader, locator, mm_hash)
    # The hash is checked first, because it explains all other defects of a damaged file.
    sha256 = _verified(raw, locator, mm_hash)
    return VerifiedImage(raw, check_image(raw, limits).header, sha256)


def _verified(raw: bytes, locator: str, mm_hash: str) -> str:
    sha256 = hashlib.sha256(raw).hexdigest()
    if not sha256.startswith(mm_hash):
        expected = f"bytes whose SHA-256 begins with {shown_name(mm_hash)}"
    elif not names_image(locator, sha256):
        expected = "bytes whose SHA-256 is the file's name"
    else:
        return sha256
    raise MaterializeError(
        "hash_mismatch",
        expected=expected,
        got=f"{len(raw)} bytes with another SHA-256",
        hint="delete the file and offload the image again",
    )
