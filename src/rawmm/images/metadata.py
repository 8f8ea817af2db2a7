"""Orientation and transparency of an image file, from its header, as Pillow reads them.

The engine (vLLM 0.33) turns images with ``PIL.ImageOps.exif_transpose`` and leaves them as they
are if that fails. EXIF has many malformed forms, so this module does not parse it: it applies
the same function to an image of six pixels with the metadata of the file.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from rawmm.images.blocks import PNG_MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

_KEYS: Final = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Entries of Pillow's ``info`` that may state an orientation: EXIF in two forms, XMP in two."""

_PROBE_SIZE: Final = (2, 3)
_ORIENTATIONS: Final = {
    bytes(pixels): number
    for number, pixels in enumerate(
        (
            (0, 1, 2, 3, 4, 5),
            (1, 0, 3, 2, 5, 4),
            (5, 4, 3, 2, 1, 0),
            (4, 5, 2, 3, 0, 1),
            (0, 2, 4, 1, 3, 5),
            (4, 2, 0, 5, 3, 1),
            (5, 3, 1, 4, 2, 0),
            (1, 3, 5, 0, 2, 4),
        ),
        start=1,
    )
}
"""The pixels of the probe, turned by each orientation (EXIF 2.32, tag 274)."""

_PNG_LATE: Final = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tRNS"})


def orientation_of(info: Mapping[Any, Any]) -> int:
    """The EXIF orientation of an image with this ``info``, from 1 to 8.

    It is 1 if there is none, and for metadata that Pillow cannot apply.
    """
    stated = {key: info[key] for key in _KEYS if key in info}
    if not stated:
        return 1
    from PIL import Image, ImageOps

    probe = Image.frombytes("L", _PROBE_SIZE, bytes(range(6)))
    probe.info.update(stated)
    try:
        turned = ImageOps.exif_transpose(probe)
    except Exception:  # noqa: BLE001  (the engine suppresses every error here, too)
        return 1
    return _ORIENTATIONS[turned.tobytes()]


def is_transparent(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or transparent colours, as the engine decides it.

    Whether a pixel uses them is not examined.
    """
    return image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info


def with_early_metadata(raw: bytes, media_type: str) -> bytes:
    """A file whose header has all of its metadata: `raw`, unless a PNG has some after its pixels.

    Then it is a file without pixels, whose header is that of `raw`, followed by the metadata.
    Pillow reads metadata behind the pixels only when it decodes them.
    """
    if media_type != "image/png":
        return raw
    pixels, late, frames, position = 0, [], 1, len(PNG_MAGIC)
    while position + 8 <= len(raw):
        length, kind = struct.unpack_from(">I4s", raw, position)
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            pixels = pixels or position
        elif not pixels:
            if kind == b"acTL" and length >= 4:
                frames = struct.unpack_from(">I", raw, position + 8)[0]
        elif kind == b"fcTL" and frames > 1:
            break  # Pillow stops before the second frame
        elif kind in _PNG_LATE:
            # Pillow checks the checksums of a header, but not those behind the pixels.
            chunk = raw[position : position + 8 + length]
            late += [chunk, struct.pack(">I", zlib.crc32(chunk[4:]))]
        position += 12 + length
    if not late:
        return raw
    return b"".join((raw[:pixels], *late, struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))))
