"""The layout of Gemma 4."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from rawmm.layouts.base import Geometry, Layout

_TOKENS: Final = (70, 140, 280, 560, 1120)
"""The values of `max_soft_tokens` that the image processor accepts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gemma4(Layout):
    """The layout of ``Gemma4ImageProcessor``. Payload: ``{"num_soft_tokens_per_image": [tokens]}``.

    An image is scaled to the most tokens of `pooling_kernel_size` patches a side that fit into
    `max_soft_tokens`. ``<|image>`` and ``<image|>`` around them are not part of the placeholder.
    The payload lacks ``image_position_ids``, which follow from the grid.
    """

    family: ClassVar[str] = "gemma4"
    image_token: ClassVar[str] = "<|image|>"
    processors: ClassVar[tuple[str, ...]] = ("Gemma4ImageProcessor",)

    patch_size: int = 16
    pooling_kernel_size: int = 3
    max_soft_tokens: int = 280

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        if self.max_soft_tokens not in _TOKENS:
            expected = f"one of {', '.join(map(str, _TOKENS))}"
            raise self._error("max_soft_tokens", "bad_value", expected, self.max_soft_tokens)

    def _lay_out(self, width: int, height: int) -> Geometry:
        # Every float operation is in the original's order; another order rounds differently.
        pool = self.pooling_kernel_size
        side = pool * self.patch_size
        pixels = self.max_soft_tokens * pool**2 * self.patch_size**2
        factor = math.sqrt(pixels / (height * width))
        rows = math.floor(factor * height / side)
        columns = math.floor(factor * width / side)
        if rows == columns == 0:
            raise self._limit("an image of at least a token", width, height)
        if not rows:
            rows, columns = 1, min(math.floor(width / height), self.max_soft_tokens)
        elif not columns:
            rows, columns = min(math.floor(height / width), self.max_soft_tokens), 1
        tokens = rows * columns
        if tokens > self.max_soft_tokens:
            raise self._limit(f"at most {self.max_soft_tokens} tokens", width, height)
        grid = [1, rows * pool, columns * pool]
        return Geometry(grid, tokens, {"num_soft_tokens_per_image": [tokens]}, tokens)
