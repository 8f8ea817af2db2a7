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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import OffloadError, shown_text
from rawmm.images.blocks import ENDS, PNG_MAGIC, SIZES, has_all_frames, incomplete
from rawmm.images.metadata import is_transparent, orientation_of, with_early_metadata
from rawmm.images.plain_png import plain_png_transparency

if TYPE_CHECKING:
    from PIL import Image

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
    """What the header of an image file states.

    Attributes:
        media_type: such as ``image/png``.
        width, height: in pixels as stored: the orientation is not applied.
        orientation: by EXIF or XMP, from 1 to 8; 1 until `check_complete` has read it.
        transparent: whether the file has an alpha channel or transparent colours. Whether a pixel
            uses them is not examined. False until `check_complete` has read it.
    """

    media_type: str
    width: int
    height: int
    orientation: int = 1
    transparent: bool = False

    @property
    def extension(self) -> str:
        """``png``, ``jpg``, ``webp`` or ``gif``."""
        return EXTENSIONS[self.media_type]

    @property
    def ambiguous(self) -> list[str]:
        """What two decodings may show differently: ``orientation``, ``transparency``, or both."""
        found = {"orientation": self.orientation != 1, "transparency": self.transparent}
        return [name for name, holds in found.items() if holds]


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


_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/vnd.mozilla.apng": "image/png",
}
"""Other names of the media types that can be stored."""


ANY_TYPE: Final = frozenset(
    {"", "image", "image/*", "application/octet-stream", "binary/octet-stream"}
)
"""Declared media types that do not say what type an image has."""


def is_mislabelled(declared: str, media_type: str) -> bool:
    """Whether the declared type of an image, in lower case, is another one than its own.

    ``image``, ``image/*`` and ``application/octet-stream`` name no type.
    """
    if declared in ANY_TYPE:
        return False
    return _ALIASES.get(declared, declared) != media_type


def check_declared_type(declared: str, header: ImageHeader) -> None:
    """Check the declared media type of a data URL.

    Raises:
        OffloadError: ``image_type_mismatch``.
    """
    if is_mislabelled(declared, header.media_type):
        raise OffloadError(
            "image_type_mismatch",
            expected=f"the declared type {shown_text(declared)}",
            got=f"a file of type '{header.media_type}'",
            hint=f"declare {header.media_type}, or allow it with Limits(mislabelled='accept')",
        )


class CompleteImage(NamedTuple):
    """The whole header of a complete file, and whether the file reaches its end marker."""

    header: ImageHeader
    has_end: bool


def check_complete(raw: bytes, header: ImageHeader) -> CompleteImage:
    """Check that every frame of the file is complete and that Pillow can open its header.

    Bytes after the end marker are ignored, as decoders ignore them. All decoders read a PNG without
    its last chunk and a GIF without its last byte, if the pixels before it are complete.

    Returns:
        The header with orientation and transparency, and whether the file reaches its end marker.

    Raises:
        OffloadError: ``not_an_image``, or ``image_limit`` for a file over a budget of
            `rawmm.images.blocks`.
    """
    if header.media_type == "image/png":
        transparent = plain_png_transparency(raw)
        if transparent is not None:
            whole = replace(header, transparent=True) if transparent else header
            return CompleteImage(whole, has_end=True)
    return complete_by_pillow(raw, header)


def complete_by_pillow(raw: bytes, header: ImageHeader) -> CompleteImage:
    """`check_complete`, with Pillow for every file.

    Raises:
        OffloadError: as `check_complete`.
    """
    has_end = False
    with suppress(struct.error, IndexError):
        has_end = ENDS[header.media_type](raw)
    if not has_end and not has_all_frames(raw, header.media_type, header.width, header.height):
        raise incomplete(header.media_type, "a truncated or damaged file")
    return CompleteImage(opened_by_pillow(raw, header), has_end)


def check_end(header: ImageHeader, *, has_end: bool) -> None:
    """Check that a file reaches its end marker, where `Limits.truncated` demands it.

    Raises:
        OffloadError: ``not_an_image``.
    """
    if not has_end:
        raise incomplete(header.media_type, "a file without its end marker")


_OTHER_MAGIC: Final = (b"II*\0", b"MM\0*", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ")
_BRANDS: Final = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1"})


def is_image(head: bytes) -> bool:
    """Whether 36 bytes begin an image, of the stored formats or TIFF, AVIF, HEIC, JPEG XL, BMP."""
    return (
        _media_type(head) is not None
        or head.startswith(_OTHER_MAGIC)
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
        # BMP: two reserved zeros, and the size of a known header.
        or (head[:2] == b"BM" and head[6:10] == bytes(4) and head[14:18] in _BMP_HEADERS)
    )


_BMP_HEADERS: Final = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 108, 124))


def _media_type(raw: bytes) -> str | None:
    if raw.startswith(PNG_MAGIC):
        return "image/png"
    if raw.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if raw.startswith(b"RIFF") and raw[8:12] == b"WEBP":
        return "image/webp"
    return None


def _sniff(raw: bytes) -> str:
    media_type = _media_type(raw)
    if media_type is None:
        raise OffloadError(
            "not_an_image",
            expected="a PNG, JPEG, WebP or GIF file",
            got=f"{len(raw)} bytes of something else",
            hint="convert the image to one of these formats first",
        )
    return media_type


def opened_by_pillow(raw: bytes, header: ImageHeader) -> ImageHeader:
    """The header with what Pillow reads from it.

    Raises:
        OffloadError: ``not_an_image``.
    """
    from PIL import Image

    pixels = header.width * header.height
    if header.extension == "webp" and 0 < (Image.MAX_IMAGE_PIXELS or 0) < pixels:
        return header  # Pillow allocates the canvas of a WebP to open it
    size = None
    try:
        with _open(with_early_metadata(raw, header.media_type), header.media_type) as image:
            size, found = image.size, (orientation_of(image.info), is_transparent(image))
    except (OSError, ValueError, SyntaxError, IndexError, TypeError, struct.error):
        # OSError: short reads. ValueError: short or oversized PNG chunks. The others: parse
        # errors. Their texts may quote the file, so our error is raised outside of this handler
        # and has no context.
        pass
    except (Image.DecompressionBombError, Warning):
        # A GIF is larger than Pillow's limit, or a warnings filter turns warnings about EXIF or
        # animation into errors. Decoding will raise them again.
        return header
    if size is None:
        raise incomplete(header.media_type, "a file whose header Pillow cannot read")
    if size != (header.width, header.height):
        raise incomplete(header.media_type, "headers that disagree about the size")
    orientation, transparent = found
    return replace(header, orientation=orientation, transparent=transparent)


def _open(raw: bytes, media_type: str) -> Image.Image:
    """Open a file with Pillow, without Pillow's limit of pixels: the caller's limits passed."""
    from PIL import Image

    name = media_type.removeprefix("image/").upper()
    Image.preinit()
    if name not in Image.OPEN:
        Image.init()
    factory, _ = Image.OPEN[name]
    return factory(io.BytesIO(raw), "")
