"""Encode pictures of Pillow, which are pixels and not files, as PNG without loss."""

from __future__ import annotations

import io
from typing import Any, Final

from rawmm.errors import OffloadError, raise_alone, shown

_MODES: Final = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
"""Modes whose pixels a PNG holds exactly."""


def as_png(picture: Any) -> bytes:
    """The PNG file of a picture. It has the pixels as they are, without EXIF.

    Raises:
        OffloadError: ``wrong_type`` for a mode that PNG does not have, or a picture that cannot be
            read.
    """
    from PIL import Image

    if picture.mode not in _MODES:
        raise OffloadError(
            "wrong_type",
            expected=f"a picture of a mode that PNG holds without loss: {', '.join(_MODES)}",
            got=f"the mode {shown(picture.mode)}",
            hint="convert it, e.g. with picture.convert('RGB')",
        )
    file = io.BytesIO()
    try:
        # Not `picture.save`, which a subclass may override. Level 1 is fast, and any is exact.
        Image.Image.save(picture, file, format="PNG", compress_level=1)
    except Exception:  # noqa: BLE001  (foreign code may raise anything, and quote the file)
        raise_alone(
            OffloadError(
                "wrong_type",
                expected="a picture that can be read",
                got="one whose pixels cannot be loaded",
                hint="give the bytes of its file",
            )
        )
    return file.getvalue()
