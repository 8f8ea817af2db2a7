"""What an image file is, from its header alone: type, width, height, completeness.

Four formats are known, by their first bytes. The size is read here, before Pillow sees the
file, because Pillow refuses a large image without telling its size, and because its WebP
opener allocates the canvas. Pillow then opens the header (`PIL.Image.open` never decodes
pixels): what it cannot open, no consumer can train on.

Sources: PNG (W3C, third edition) 5.2, 5.3, 11.2.1; JPEG (ITU T.81) B.1.1, B.2.2;
GIF89a 17 to 27; WebP (RFC 9649) 2.3 to 2.7 and RFC 6386 9.1.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from rawmm.errors import OffloadError, raise_alone, shown_text

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""The media types that are stored, with the file extension of each."""

FORMATS: Final = tuple(name.removeprefix("image/").upper() for name in EXTENSIONS)
"""Pillow's names of them."""

_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_NO_FRAME: Final = frozenset({0xC4, 0xC8, 0xCC})
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


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
        OffloadError: ``not_an_image`` for any other format and for a header that is cut off.
    """
    media_type = _sniff(raw)
    try:
        width, height = _SIZES[media_type](raw)
    except (struct.error, IndexError):
        raise_alone(_incomplete(media_type, "a header that is cut off"))
    if not width or not height:
        raise _incomplete(media_type, f"a size of {width} x {height} pixels")
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
        OffloadError: ``not_an_image``.
    """
    try:
        complete = _ENDS[header.media_type](raw)
    except (struct.error, IndexError):
        complete = False
    if not complete:
        raise _incomplete(header.media_type, "one that is cut off or damaged")
    _check_opens(raw, header)


def _sniff(raw: bytes) -> str:
    if raw.startswith(_PNG_MAGIC):
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


def _incomplete(media_type: str, got: str) -> OffloadError:
    return OffloadError(
        "not_an_image",
        expected=f"a complete {media_type} file",
        got=got,
        hint="write the image again from its source",
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
        raise _incomplete(header.media_type, "one whose header Pillow cannot read")
    if size != (header.width, header.height):
        raise _incomplete(header.media_type, "headers that disagree about the size")


def _png_size(raw: bytes) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", raw, 8)
    if (length, kind) != (13, b"IHDR"):
        raise _incomplete("image/png", "one that does not begin with IHDR")
    return width, height


def _png_ends(raw: bytes) -> bool:
    position, has_data = len(_PNG_MAGIC), False
    while True:
        length, kind = struct.unpack_from(">I4s", raw, position)
        position += 12 + length
        if position > len(raw):
            return False
        if kind == b"IEND":
            return has_data
        has_data = has_data or kind == b"IDAT"


class _JpegMarks(NamedTuple):
    """The size from the frame header, and where the first scan header begins (or -1)."""

    width: int
    height: int
    scan: int


def _jpeg_marks(raw: bytes, *, to_scan: bool) -> _JpegMarks:
    width = height = 0
    position = 2
    while True:
        # Readers skip whatever stands before a marker, and fill bytes before its code.
        position = raw.find(b"\xff", position)
        if position < 0:
            raise IndexError
        while raw[position] == 0xFF:
            position += 1
        marker = raw[position]
        position += 1
        if marker == 0xD9:
            raise IndexError
        if marker == 0xDA:
            return _JpegMarks(width, height, position)
        if marker == 0 or marker in _JPEG_ALONE or marker == 0xD8:
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_FRAME:
            height, width = struct.unpack_from(">HH", raw, position + 3)
            if not to_scan:
                return _JpegMarks(width, height, -1)
        position += struct.unpack_from(">H", raw, position)[0]


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    return _jpeg_marks(raw, to_scan=False)[:2]


def _jpeg_ends(raw: bytes) -> bool:
    # Thumbnails in EXIF have end marks of their own, so only one after the scan counts.
    scan = _jpeg_marks(raw, to_scan=True).scan
    start = scan + struct.unpack_from(">H", raw, scan)[0]
    return raw.rfind(b"\xff\xd9", start) >= 0


def _gif_skip_table(position: int, flags: int) -> int:
    return position + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)


def _gif_skip_blocks(raw: bytes, position: int) -> int:
    while size := raw[position]:
        position += 1 + size
    return position + 1


def _gif_next_frame(raw: bytes, position: int) -> int:
    """Where the next image descriptor begins, or -1 at the trailer."""
    while raw[position] == 0x21:
        position = _gif_skip_blocks(raw, position + 2)
    if raw[position] == 0x2C:
        return position
    if raw[position] == 0x3B:
        return -1
    raise IndexError


def _gif_size(raw: bytes) -> tuple[int, int]:
    width, height, flags = struct.unpack_from("<HHB", raw, 6)
    frame = _gif_next_frame(raw, _gif_skip_table(13, flags))
    if frame < 0:
        raise _incomplete("image/gif", "one without a frame")
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", raw, frame + 1)
    # A first frame that leaves the screen makes it larger, in Pillow and in browsers.
    return max(width, left + frame_width), max(height, top + frame_height)


def _gif_ends(raw: bytes) -> bool:
    frame = _gif_next_frame(raw, _gif_skip_table(13, raw[10]))
    while frame >= 0:
        data = _gif_skip_table(frame + 10, raw[frame + 9])
        frame = _gif_next_frame(raw, _gif_skip_blocks(raw, data + 1))
    return True


def _webp_size(raw: bytes) -> tuple[int, int]:
    kind = raw[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", raw, 24)
        return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
    if kind == b"VP8L" and raw[20] == 0x2F:
        bits: int = struct.unpack_from("<I", raw, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and raw[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", raw, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise _incomplete("image/webp", "one without a VP8, VP8L or VP8X header")


def _webp_ends(raw: bytes) -> bool:
    size: int = struct.unpack_from("<I", raw, 4)[0]
    return 8 + size <= len(raw)


_SIZES: Final = {
    "image/png": _png_size,
    "image/jpeg": _jpeg_size,
    "image/gif": _gif_size,
    "image/webp": _webp_size,
}
_ENDS: Final = {
    "image/png": _png_ends,
    "image/jpeg": _jpeg_ends,
    "image/gif": _gif_ends,
    "image/webp": _webp_ends,
}
