"""What an image file is, from its header alone: type, width, height, completeness.

Four formats are known, by their first bytes. The size is read here, before Pillow sees the
file, because Pillow refuses a large image without telling its size, and because its WebP
opener allocates the canvas. Pillow then opens the header (`PIL.Image.open` never decodes
pixels): what it cannot open, no consumer can train on.

How the file is walked, and within which budgets, is in `image_blocks`.
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
"""The media types that are stored, with the file extension of each."""

FORMATS: Final = tuple(name.removeprefix("image/").upper() for name in EXTENSIONS)
"""Pillow's names of them."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Type and size of an image. Width and height are in pixels, before any orientation tag."""

    media_type: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """``png``, ``jpg``, ``webp`` or ``gif``."""
        return EXTENSIONS[self.media_type]


def read_header(raw: bytes) -> ImageHeader:
    """Type, width and height of an image file, from its first bytes.

    Raises:
        OffloadError: ``not_an_image`` for any other format and for a header that is cut off,
            ``image_limit`` for a header over a budget of `image_blocks`.
    """
    media_type = _sniff(raw)
    size = None
    with suppress(struct.error, IndexError):
        size = SIZES[media_type](raw)
    if size is None:
        raise incomplete(media_type, "a header that is cut off")
    width, height = size
    if not width or not height:
        raise incomplete(media_type, f"a size of {width} x {height} pixels")
    return ImageHeader(media_type, width, height)


def check_declared_type(declared: str, header: ImageHeader) -> None:
    """Check the media type of a data URL against the real one; ``image/jpg`` is JPEG.

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
    """Check that the file reaches its end mark, and that Pillow can open its header.

    Bytes after the end mark are let pass, as every decoder does.

    Raises:
        OffloadError: ``not_an_image``, or ``image_limit`` for a file over a budget of
            `image_blocks`.
    """
    complete = False
    with suppress(struct.error, IndexError):
        complete = ENDS[header.media_type](raw)
    if not complete:
        raise incomplete(header.media_type, "one that is cut off or damaged")
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

    # Over this size Pillow warns or refuses. Our limits have passed, and theirs are global.
    if Image.MAX_IMAGE_PIXELS and header.width * header.height > Image.MAX_IMAGE_PIXELS:
        return
    name = header.media_type.removeprefix("image/").upper()
    size = None
    try:
        with Image.open(io.BytesIO(raw), formats=[name]) as image:
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        # OSError: UnidentifiedImageError, which SyntaxError and the like become, and short
        # reads. ValueError: short or oversized PNG chunks. The bomb: a second header.
        # Their texts may quote the file, so none is kept as context.
        pass
    except Warning:
        # A filter may turn warnings (odd EXIF, odd animation) into errors; it still opens.
        return
    if size is None:
        raise incomplete(header.media_type, "one whose header Pillow cannot read")
    if size != (header.width, header.height):
        raise incomplete(header.media_type, "headers that disagree about the size")
