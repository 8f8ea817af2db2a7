"""From images to descriptors and sidecars, without decoding pixels.

`describe_image` describes one image. `describe_prompt` makes the sidecar of a prompt from its
messages and the placeholder ranges that an engine returned, and `describe_trace` those of a
recorded trace from its tokens.
"""

from __future__ import annotations

from rawmm.describe.documents import describe_document as describe_document
from rawmm.describe.image import DescribedImage, describe_image, raw_mm_item
from rawmm.describe.prompt import describe_prompt
from rawmm.describe.trace import describe_trace

# Public names. Names that are imported as themselves are for other packages of rawmm.
__all__ = ["DescribedImage", "describe_image", "describe_prompt", "describe_trace", "raw_mm_item"]
