"""From references to pixels: read, verified, decoded, processed, checked against the descriptor.

The last stop before the trainer's forward::

    cache = ProcessedImageCache(max_bytes=1 << 30)
    images = materialize(
        batch.mm_refs,
        image_processor=AutoImageProcessor.from_pretrained(...),
        mm_token_type_ids=batch.mm_token_type_ids,
        cache=cache,
    )
    model(input_ids=..., **images.model_inputs())

An image that is missing, changed, damaged, or laid out in another way than its descriptor and its
tokens say is an error that names it. There is no image in its place.
"""

from rawmm.materialize.cache import CacheCounters, ProcessedImageCache
from rawmm.materialize.images import Materialized, MaterializedImage, materialize
from rawmm.materialize.processing import layout_of
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
