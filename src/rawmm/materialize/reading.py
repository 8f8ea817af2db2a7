"""Read and verify the bytes of an image by its locator, and decode its pixels."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import (
    MaterializeError,
    shown_name,
)
from rawmm.images import FORMATS, check_image
from rawmm.locators import names_image, scheme_of
from rawmm.store import ImageReader, read_bytes, store_for

if TYPE_CHECKING:
    from PIL import Image

    from rawmm.images import ImageHeader, Limits


_DECODER_ERRORS: Final = (
    OSError,
    IndexError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    Warning,
)
"""Exceptions of Pillow's decoders for damaged files, and warnings that a filter may raise."""


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


def decode_rgb(raw: bytes) -> Image.Image:
    """The pixels of a PNG, JPEG, WebP or GIF as stored, in RGB; the first frame of an animation.

    Metadata is dropped, so that no image processor rotates the image by its orientation tag. See
    `rawmm.describe` for that policy.

    Raises:
        MaterializeError: ``not_an_image``, or ``image_limit`` for a decompression bomb.
    """
    from PIL import Image

    try:
        # Other decoders of Pillow, some of which start programs, are not tried.
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            image.load()
            image.info.clear()
            return image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        code, expected = "image_limit", f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        got, hint = "more", "raise PIL.Image.MAX_IMAGE_PIXELS to Limits.max_pixels"
    except _DECODER_ERRORS:
        # Decoders may quote the file in their messages, so these are dropped.
        code, expected = "not_an_image", "an image file that can be decoded"
        got, hint = f"{len(raw)} damaged bytes", "leave the sample out: the file was stored so"
    raise MaterializeError(code, expected=expected, got=got, hint=hint)
