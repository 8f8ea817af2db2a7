"""Type, width, height and completeness of an image file, from its header and block structure.

Supports four formats, recognized by their first bytes. This module reads the size before Pillow
sees the file, because Pillow refuses a large image without reporting its size and because its
WebP opener allocates the canvas. Pillow then opens the header (`PIL.Image.open` does not decode
pixels), because consumers cannot train on a file that Pillow cannot open.

`rawmm.images.blocks` walks the blocks and defines the budgets.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rawmm.errors import OffloadError, shown_text
from rawmm.images.blocks import ENDS, PNG_MAGIC, SIZES, incomplete

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""File extensions of the media types that can be stored."""

FORMATS: Final = tuple(name.removeprefix("image/").upper() for name in EXTENSIONS)
"""Pillow's names of these formats."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Type and size of an image, in pixels as stored: an orientation tag is not applied."""

    media_type: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """``png``, ``jpg``, ``webp`` or ``gif``."""
        return EXTENSIONS[self.media_type]


def read_header(raw: bytes) -> ImageHeader:
    """Read type, width and height from the header of an image file.

    Raises:
        OffloadError: ``not_an_image`` for any other format and for a truncated header,
            ``image_limit`` for a header over a budget of `rawmm.images.blocks`.
    """
    media_type = _sniff(raw)
    size = None
    with suppress(struct.error, IndexError):
        size = SIZES[media_type](raw)
    if size is None:
        raise incomplete(media_type, "a truncated header")
    width, height = size
    if not width or not height:
        raise incomplete(media_type, f"a size of {width} x {height} pixels")
    return ImageHeader(media_type, width, height)


def check_declared_type(declared: str, header: ImageHeader) -> None:
    """Check the declared media type of a data URL; ``image/jpg`` is accepted for JPEG.

    Raises:
        OffloadError: ``image_type_mismatch``.
    """
    if declared != header.media_type and (declared, header.extension) != ("image/jpg", "jpg"):
        raise OffloadError(
            "image_type_mismatch",
            expected=f"the declared type {shown_text(declared)}",
            got=f"a file of type '{header.media_type}'",
            hint=f"declare data:{header.media_type};base64, or convert the image",
        )


def check_complete(raw: bytes, header: ImageHeader) -> None:
    """Check that the file reaches its end marker and that Pillow can open its header.

    Bytes after the end marker are ignored, as decoders ignore them.

    Raises:
        OffloadError: ``not_an_image``, or ``image_limit`` for a file over a budget of
            `rawmm.images.blocks`.
    """
    complete = False
    with suppress(struct.error, IndexError):
        complete = ENDS[header.media_type](raw)
    if not complete:
        raise incomplete(header.media_type, "a truncated or damaged file")
    _check_opens(raw, header)


def _sniff(raw: bytes) -> str:
    if raw.startswith(PNG_MAGIC):
        return "image/png"
    if raw.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if raw.startswith(b"RIFF") and raw[8:12] == b"WEBP":
        return "image/webp"
    raise OffloadError(
        "not_an_image",
        expected="a PNG, JPEG, WebP or GIF file",
        got=f"{len(raw)} bytes of something else",
        hint="convert the image to one of these formats first",
    )


def _check_opens(raw: bytes, header: ImageHeader) -> None:
    from PIL import Image

    # Pillow warns of or refuses larger images. Its limit is global; the caller's limits passed.
    if Image.MAX_IMAGE_PIXELS and header.width * header.height > Image.MAX_IMAGE_PIXELS:
        return
    name = header.media_type.removeprefix("image/").upper()
    size = None
    try:
        with Image.open(io.BytesIO(raw), formats=[name]) as image:
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        # OSError: short reads, and UnidentifiedImageError for parse errors. ValueError: short or
        # oversized PNG chunks. DecompressionBomb: a second header. Their texts may quote the
        # file, so our error is raised outside of this handler and has no context.
        pass
    except Warning:
        # A warnings filter may turn warnings about EXIF or animation into errors.
        return
    if size is None:
        raise incomplete(header.media_type, "a file whose header Pillow cannot read")
    if size != (header.width, header.height):
        raise incomplete(header.media_type, "headers that disagree about the size")
