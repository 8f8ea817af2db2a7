"""One image file in memory: header, block structure, data URL and limits. No I/O."""

from __future__ import annotations

from rawmm.images.data_url import CheapKey as CheapKey
from rawmm.images.data_url import DataUrl as DataUrl
from rawmm.images.data_url import decode_data_url as decode_data_url
from rawmm.images.data_url import is_image_data_url as is_image_data_url
from rawmm.images.data_url import parse_data_url as parse_data_url
from rawmm.images.header import EXTENSIONS as EXTENSIONS
from rawmm.images.header import FORMATS as FORMATS
from rawmm.images.header import ImageHeader as ImageHeader
from rawmm.images.header import check_complete as check_complete
from rawmm.images.header import read_header as read_header
from rawmm.images.limits import Limits
from rawmm.images.limits import checked_limits as checked_limits
from rawmm.images.prepare import ImageInfo as ImageInfo
from rawmm.images.prepare import ImageSource as ImageSource
from rawmm.images.prepare import PreparedImage as PreparedImage
from rawmm.images.prepare import check_image as check_image
from rawmm.images.prepare import frozen_bytes as frozen_bytes
from rawmm.images.prepare import prepare_image as prepare_image

__all__ = ["Limits"]
