"""From references to pixels: read, verify, decode, process, and check against the descriptor.

The last step before the trainer's forward::

    cache = ProcessedImageCache(max_bytes=1 << 30)
    images = materialize(
        batch.mm_refs,
        image_processor=AutoImageProcessor.from_pretrained(...),
        mm_token_type_ids=batch.mm_token_type_ids,
        cache=cache,
    )
    model(input_ids=..., **images.model_inputs())

An image that is missing, changed, damaged, or laid out differently from its descriptor and its
tokens is an error that identifies the image. No other image is put in its place.
"""

from rawmm.layouts import layout_of
from rawmm.materialize.cache import CacheCounters, ProcessedImageCache
from rawmm.materialize.images import Materialized, MaterializedImage, materialize
from rawmm.store import ImageReader

__all__ = [
    "CacheCounters",
    "ImageReader",
    "Materialized",
    "MaterializedImage",
    "ProcessedImageCache",
    "layout_of",
    "materialize",
]
