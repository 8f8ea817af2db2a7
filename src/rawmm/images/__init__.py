"""One image file in memory: header, block structure, data URL and limits. No I/O."""

from __future__ import annotations

from rawmm.images.data_url import (
    CheapKey,
    DataUrl,
    decode_data_url,
    is_image_data_url,
    parse_data_url,
)
from rawmm.images.header import EXTENSIONS, FORMATS, ImageHeader, check_complete, read_header
from rawmm.images.limits import Limits, checked_limits
from rawmm.images.prepare import (
    ImageInfo,
    ImageSource,
    PreparedImage,
    check_image,
    frozen_bytes,
    prepare_image,
)

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "CheapKey",
    "DataUrl",
    "ImageHeader",
    "ImageInfo",
    "ImageSource",
    "Limits",
    "PreparedImage",
    "check_complete",
    "check_image",
    "checked_limits",
    "decode_data_url",
    "frozen_bytes",
    "is_image_data_url",
    "parse_data_url",
    "prepare_image",
    "read_header",
]
