"""A small picture of an image, for people to look at."""

from __future__ import annotations

import io
from typing import Final

from rawmm.images.decoding import ENGINE, decode_pixels

_QUALITY: Final = 80


def thumbnail(raw: bytes, side: int) -> bytes:
    """A JPEG of a checked image file, as `ENGINE` decodes it, of at most `side` x `side` pixels.

    A smaller image keeps its size.

    Raises:
        OffloadError: as `decode_pixels`.
    """
    pixels = decode_pixels(raw, ENGINE, at_least=side)
    pixels.thumbnail((side, side))
    out = io.BytesIO()
    pixels.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()
