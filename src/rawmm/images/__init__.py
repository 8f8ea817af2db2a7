"""One image file in memory: header, block structure, data URL and limits. No I/O."""

from __future__ import annotations

from rawmm.images.data_url import (
    HEAD_SHOWN,
    CheapKey,
    DataUrl,
    Head,
    bare_base64,
    decode_data_url,
    is_image_base64,
    is_image_data_url,
    looks_like_base64,
    may_be_image,
    parse_data_url,
    read_head,
    signs_before,
)
from rawmm.images.decoding import (
    ENGINE,
    STORED,
    ImageDecoding,
    checked_decoding,
    decode_pixels,
)
from rawmm.images.header import (
    EXTENSIONS,
    FORMATS,
    ImageHeader,
    check_complete,
    is_image,
    is_mislabelled,
    read_header,
)
from rawmm.images.limits import Limits, checked_limits
from rawmm.images.pictures import as_png
from rawmm.images.pixels import decode_image, normalized_image
from rawmm.images.prepare import (
    CheckedImage,
    ImageInfo,
    ImageSource,
    PreparedImage,
    check_image,
    frozen_bytes,
    prepare_image,
)
from rawmm.images.thumbnails import thumbnail

__all__ = [
    "ENGINE",
    "EXTENSIONS",
    "FORMATS",
    "HEAD_SHOWN",
    "STORED",
    "CheapKey",
    "CheckedImage",
    "DataUrl",
    "Head",
    "ImageDecoding",
    "ImageHeader",
    "ImageInfo",
    "ImageSource",
    "Limits",
    "PreparedImage",
    "as_png",
    "bare_base64",
    "check_complete",
    "check_image",
    "checked_decoding",
    "checked_limits",
    "decode_data_url",
    "decode_image",
    "decode_pixels",
    "frozen_bytes",
    "is_image",
    "is_image_base64",
    "is_image_data_url",
    "is_mislabelled",
    "looks_like_base64",
    "may_be_image",
    "normalized_image",
    "parse_data_url",
    "prepare_image",
    "read_head",
    "read_header",
    "signs_before",
    "thumbnail",
]
