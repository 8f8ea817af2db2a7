"""Small images in files whose other content keeps a reader without a budget busy."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from tests.unit.images.pictures import picture, png_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH: Final = 24
HEIGHT: Final = 16


def png(inserted: bytes, *, last: bool = False) -> bytes:
    """A PNG with more chunks, before its pixels or after them."""
    raw = picture("PNG")
    place = raw.index(b"IEND" if last else b"IDAT") - 4
    return raw[:place] + inserted + raw[place:]


def jpeg(inserted: bytes) -> bytes:
    """A JPEG with something before its first segment."""
    raw = picture("JPEG")
    return raw[:2] + inserted + raw[2:]


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def gif(inserted: bytes, *, last: bool = False) -> bytes:
    """A GIF with more blocks, before its first frame or after it."""
    raw = picture("GIF")
    place = len(raw) - 1 if last else 13 + (3 << ((raw[10] & 7) + 1) if raw[10] & 0x80 else 0)
    return raw[:place] + inserted + raw[place:]


def _gif_frame() -> bytes:
    raw = picture("GIF")
    return raw[raw.index(b",", 13 + (3 << ((raw[10] & 7) + 1))) : -1]


def gif_extension(label: int, body: bytes) -> bytes:
    pieces = [body[start : start + 255] for start in range(0, len(body), 255)]
    blocks = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return bytes([0x21, label]) + blocks + b"\0"


def webp(inserted: bytes) -> bytes:
    """An extended WebP with more chunks before its pixels."""
    sides = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides + inserted + picture("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _filled(block: bytes, size: int) -> bytes:
    return block * (size // len(block) + 1)


_PROFILE: Final = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20), 9))
_RESOURCES: Final = jpeg_segment(
    0xED, b"Photoshop 3.0\0" + (b"8BIM" + struct.pack(">HHI", 1, 0, 0)) * 5000
)
_SCAN: Final = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0")
_BODY: Final = picture("JPEG")

HOSTILE: Final[dict[str, Callable[[int], bytes]]] = {
    "png, empty chunks": lambda size: png(_filled(png_chunk(b"teSt", b""), size)),
    "png, empty chunks after the pixels": lambda size: png(
        _filled(png_chunk(b"teSt", b""), size), last=True
    ),
    "png, empty pixels": lambda size: png(_filled(png_chunk(b"IDAT", b""), size)),
    "png, profiles": lambda size: png(_filled(_PROFILE, size)),
    "png, texts": lambda size: png(_filled(png_chunk(b"tEXt", b"a\0b"), size)),
    "jpeg, fill bytes": lambda size: jpeg(_filled(b"\xff", size)),
    "jpeg, bytes between segments": lambda size: jpeg(
        jpeg_segment(0xFE, b"") + _filled(b"\0", size)
    ),
    "jpeg, stuffed bytes": lambda size: jpeg(_filled(b"\xff\0", size)),
    "jpeg, restarts": lambda size: jpeg(_filled(b"\xff\xd0", size)),
    "jpeg, comments": lambda size: jpeg(_filled(jpeg_segment(0xFE, b""), size)),
    "jpeg, EXIF without end": lambda size: jpeg(
        _filled(jpeg_segment(0xE1, b"Exif\0\0".ljust(65_533, b"\0")), max(size, 9 << 20))
    ),
    "jpeg, resources": lambda size: jpeg(_filled(_RESOURCES, size)),
    "jpeg, scans": lambda size: _BODY[:-2] + _filled(_SCAN, size) + _BODY[-2:],
    "gif, blocks of a byte": lambda size: gif(b"\x21\xf0" + b"\1x" * (size // 2) + b"\0"),
    "gif, extensions": lambda size: gif(_filled(gif_extension(0xF9, bytes(4)), size)),
    "gif, extensions after the frame": lambda size: gif(
        _filled(gif_extension(0xF9, bytes(4)), size), last=True
    ),
    "gif, comment": lambda size: gif(gif_extension(0xFE, b"x" * size)),
    "gif, comments": lambda size: gif(_filled(gif_extension(0xFE, b"x"), size)),
    "webp, empty chunks": lambda size: webp(_filled(webp_chunk(b"teSt", b""), size)),
}
"""Files of at least so many bytes."""

_MEGABYTES: Final = 5 << 20


def _many_segments(marker: int, head: bytes, size: int) -> bytes:
    body = 65_533 - len(head)
    return b"".join(
        jpeg_segment(marker, head + b"x" * min(body, size - start))
        for start in range(0, size, body)
    )


ORDINARY: Final[dict[str, Callable[[], bytes]]] = {
    "png, EXIF": lambda: png(png_chunk(b"eXIf", b"II*\0".ljust(_MEGABYTES, b"\0"))),
    "png, XMP": lambda: png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * _MEGABYTES)),
    "png, many texts": lambda: png(png_chunk(b"tEXt", b"a\0b") * 500),
    "png, pixels in tiny chunks": lambda: png(png_chunk(b"IDAT", b"") * 60_000),
    "png, 8 KiB chunks up to the limit": lambda: png(
        png_chunk(b"IDAT", bytes(8192)) * 8100, last=True
    ),
    "jpeg, EXIF": lambda: jpeg(_many_segments(0xE1, b"Exif\0\0", _MEGABYTES)),
    "jpeg, profile": lambda: jpeg(_many_segments(0xE2, b"ICC_PROFILE\0\1\1", 16 << 20)),
    "jpeg, XMP": lambda: jpeg(
        _many_segments(0xE1, b"http://ns.adobe.com/xmp/extension/\0", 16 << 20)
    ),
    "jpeg, padding": lambda: jpeg(b"\xff" * 4096),
    "jpeg, a film after the end": lambda: picture("JPEG") + b"\xff\xda\xff\xfe" * (4 << 20),
    "gif, XMP": lambda: gif(gif_extension(0xFF, b"XMP DataXMP" + b"x" * _MEGABYTES)),
    "gif, frames": lambda: gif((gif_extension(0xF9, bytes(4)) + _gif_frame()) * 10_000, last=True),
    "gif, a comment": lambda: gif(gif_extension(0xFE, b"x" * 100_000)),
    "webp, EXIF": lambda: webp(webp_chunk(b"EXIF", bytes(_MEGABYTES))),
    "webp, profile": lambda: webp(webp_chunk(b"ICCP", bytes(_MEGABYTES))),
}
"""Files with much metadata, or many frames, that cameras and editors write."""
