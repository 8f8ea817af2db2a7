"""From a locator to the bytes of an image, verified, and to its pixels."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import (
    MaterializeError,
    RawMMError,
    raise_alone,
    shown,
    shown_name,
)
from rawmm.images import FORMATS, check_image
from rawmm.locators import names_image, scheme_of
from rawmm.real_class import is_a
from rawmm.store import ImageReader, store_for, unexpected

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
"""What Pillow's decoders raise for a damaged file, and warn of where a filter makes it an error."""


class VerifiedImage(NamedTuple):
    """The bytes of an image file that are those of its hash; ``sha256`` has all 64 digits."""

    raw: bytes
    header: ImageHeader
    sha256: str


def read_image(
    locator: str, mm_hash: str, reader: ImageReader | None, limits: Limits
) -> VerifiedImage:
    """Read an image and compare its bytes with its hash.

    Raises:
        RawMMError: what the reader raises; ``hash_mismatch``; and what `check_image` raises.
    """
    if scheme_of(locator) == "data":
        raw, header = check_image(locator, limits)
        return VerifiedImage(raw, header, _verified(raw, locator, mm_hash))
    reader = store_for(locator) if reader is None else reader
    raw = _read(reader, locator, mm_hash)
    if not is_a(raw, bytes):
        raise MaterializeError("wrong_type", expected="bytes from the store", got=shown(raw))
    # First the hash: a damaged file is another file, whatever else is wrong with it.
    sha256 = _verified(raw, locator, mm_hash)
    return VerifiedImage(raw, check_image(raw, limits).header, sha256)


def _read(reader: ImageReader, locator: str, mm_hash: str) -> Any:
    """What the reader gives. It may raise anything."""
    try:
        return reader.read(locator, mm_hash)
    except RawMMError:
        raise
    except Exception as error:  # noqa: BLE001  (another's code raises anything)
        raise_alone(
            unexpected(error, "the bytes of an image from the store", "read", MaterializeError)
        )


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
        got=f"{len(raw)} bytes that have another one",
        hint="delete the file and offload the image again",
    )


def decode_rgb(raw: bytes) -> Image.Image:
    """The pixels of a PNG, JPEG, WebP or GIF as stored, in RGB; of an animation the first frame.

    What the file says beside its pixels is dropped, so no image processor can turn the image by
    its orientation tag. `rawmm.describe` states that policy.

    Raises:
        MaterializeError: ``not_an_image``, or ``image_limit`` for what Pillow takes for a bomb.
    """
    from PIL import Image

    try:
        # Pillow's other decoders, some of which start programs, never see what a reader returns.
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            image.load()
            image.info.clear()
            return image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        code, expected = "image_limit", f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        got, hint = "more", "raise PIL.Image.MAX_IMAGE_PIXELS, as Limits.max_pixels was"
    except _DECODER_ERRORS:
        # Their texts may quote the file, so none is kept.
        code, expected = "not_an_image", "an image file whose pixels can be decoded"
        got, hint = f"{len(raw)} bytes that cannot", "leave the sample out: it was stored so"
    raise MaterializeError(code, expected=expected, got=got, hint=hint)
