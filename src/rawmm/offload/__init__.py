"""Offload: write inline images to a store, and replace them by references.

`offload_images_inplace` and, on an event loop, `offload_images_async` rewrite Python values;
`offload_request` rewrites the bytes of a request body.
"""

from __future__ import annotations

from rawmm.offload.adopt import adopt_images as adopt_images
from rawmm.offload.batch import inline_url as inline_url
from rawmm.offload.image_parts import ImageParts as ImageParts
from rawmm.offload.locations import FoundLocator as FoundLocator
from rawmm.offload.locations import replace_locators as replace_locators
from rawmm.offload.parallel import available_cpus as available_cpus
from rawmm.offload.record_parts import record_parts as record_parts
from rawmm.offload.request import OffloadedRequest, offload_request
from rawmm.offload.request import adopt_in_request as adopt_in_request
from rawmm.offload.rewrite import (
    offload_image_to_run_assets,
    offload_images_async,
    offload_images_inplace,
)
from rawmm.offload.stats import ImageOffloadStats

# Public names. Names that are imported as themselves are for other packages of rawmm.
__all__ = [
    "ImageOffloadStats",
    "OffloadedRequest",
    "offload_image_to_run_assets",
    "offload_images_async",
    "offload_images_inplace",
    "offload_request",
]
