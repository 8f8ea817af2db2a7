"""Decode an image that was not checked yet, and write one so that every reader sees the same."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rawmm.images.decoding import ENGINE, checked_decoding, decode_pixels
from rawmm.images.limits import Limits, checked_limits
from rawmm.images.prepare import check_image, prepare_image

if TYPE_CHECKING:
    from PIL import Image

    from rawmm.images.decoding import ImageDecoding
    from rawmm.images.prepare import ImageSource, PreparedImage


def decode_image(
    raw: ImageSource, decoding: ImageDecoding = ENGINE, *, limits: Limits | None = None
) -> Image.Image:
    """Return the pixels that an image file stands for, as a ``PIL.Image.Image`` in RGB.

    Of an animation it is the first frame. The result has no metadata. With the default they are
    the pixels of vLLM 0.33 (``ImageMediaIO``), bit for bit.

    Args:
        raw: the bytes of a PNG, JPEG, WebP or GIF file, or its data URL.
        decoding: what to make of EXIF orientation and transparency.
        limits: the limits of accepted images, checked before any pixel is decoded; `Limits()` by
            default.

    Raises:
        ContractError: ``wrong_type`` for another argument than these.
        OffloadError: ``not_an_image`` for a truncated or damaged file, ``image_limit``,
            ``image_type_mismatch``, ``bad_base64``, ``bad_locator`` or ``wrong_type``.
    """
    decoding = checked_decoding(decoding)
    return decode_pixels(check_image(raw, checked_limits(limits) or Limits()).raw, decoding)


def normalized_image(image: PreparedImage, limits: Limits) -> PreparedImage:
    """Return an image that looks the same to every reader: upright and opaque.

    An image that two decodings may show differently becomes a PNG of the pixels that `ENGINE`
    decodes. Any other image is returned as it is.

    Raises:
        OffloadError: ``not_an_image`` if it cannot be decoded, ``image_limit`` if the PNG is over
            a limit.
    """
    if not image.header.ambiguous:
        return image
    out = io.BytesIO()
    decode_pixels(image.raw, ENGINE).save(out, "PNG")
    return prepare_image(out.getvalue(), limits)
