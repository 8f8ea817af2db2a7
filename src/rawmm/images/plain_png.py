"""Judges plain PNG files as Pillow does, without Pillow.

Most screenshots are such files: IHDR, a few chunks that say nothing about pixels, then the pixels.
Every other file is opened with Pillow.

Source: PNG (W3C, third edition), 5.3, 5.5 and 11.2.1.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from rawmm.images.blocks import PNG_MAGIC

_CHUNK: Final = struct.Struct(">I4s")
_IHDR: Final = struct.Struct(">IIBBBBB")
_DEPTHS: Final = {
    0: frozenset({1, 2, 4, 8, 16}),
    2: frozenset({8, 16}),
    4: frozenset({8, 16}),
    6: frozenset({8, 16}),
}
"""Bits of a sample by colour type: grey, RGB, and both with alpha. A palette is not plain."""
_WITH_ALPHA: Final = frozenset({4, 6})
_SIZES: Final = {b"pHYs": 9, b"gAMA": 4, b"sRGB": 1}
"""Chunks before the pixels that state no orientation and no transparency."""
_KEYWORDS: Final = frozenset(
    {b"Author", b"Comment", b"Creation Time", b"Description", b"Software", b"Source", b"Title"}
)
"""Keywords of texts that Pillow does not interpret."""
_MAX_TEXT: Final = 4096
_MAX_CHUNKS: Final = 16
"""The most chunks, except those with pixels."""
_MAX_ALL: Final = 4096


def plain_png_transparency(raw: bytes) -> bool | None:
    """Whether a plain PNG has an alpha channel; None for any other file.

    A plain PNG is upright and complete, and Pillow can open it. The pixels are not examined.
    """
    try:
        return _transparency(raw)
    except struct.error:  # truncated
        return None


def _transparency(raw: bytes) -> bool | None:
    position, others, has_pixels = len(PNG_MAGIC), 0, False
    transparent = None
    for _ in range(_MAX_ALL):
        length, kind = _CHUNK.unpack_from(raw, position)
        begin = position + 8
        position = begin + length + 4
        if position > len(raw):
            return None
        if kind == b"IDAT":
            if transparent is None:
                return None
            has_pixels = True
            continue
        if kind == b"IEND":
            return transparent if has_pixels else None
        others += 1
        if others > _MAX_CHUNKS:
            return None
        if kind == b"IHDR":
            if others > 1 or length != _IHDR.size:
                return None
            _, _, depth, colour, compression, filtering, interlace = _IHDR.unpack_from(raw, begin)
            if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
                return None
            transparent = colour in _WITH_ALPHA
        elif kind == b"tEXt":
            text = raw[begin : begin + min(length, _MAX_TEXT + 1)]
            if length > _MAX_TEXT or text.partition(b"\0")[0] not in _KEYWORDS:
                return None
        elif has_pixels or _SIZES.get(kind) != length:
            return None
        checksum = zlib.crc32(memoryview(raw)[begin - 4 : begin + length])
        if checksum != int.from_bytes(raw[begin + length : position], "big"):
            return None
    return None
