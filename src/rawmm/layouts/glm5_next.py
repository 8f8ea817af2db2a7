"""The layout of GLM-5 with vision, and of GLM-5.3-Flash."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.base import Geometry, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Glm5Next(Layout):
    """The layout of ``Glm5NextImageProcessor``.

    Payload: ``{"image_grid_thw": [[1, rows, columns]]}``.

    An image is padded to whole tokens. If these are fewer than `min_image_tokens` it is enlarged,
    and if more than `max_image_tokens` it is scaled down to the most rows that fit.
    """

    family: ClassVar[str] = "glm5_next"
    image_token: ClassVar[str] = "<|image|>"
    processors: ClassVar[tuple[str, ...]] = ("Glm5NextImageProcessor",)

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_image_tokens: int = 16
    max_image_tokens: int = 8_000

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_at_most("min_image_tokens", "max_image_tokens")

    def _lay_out(self, width: int, height: int) -> Geometry:
        # Every float operation is in the original's order; another order rounds differently.
        frames, factor = self.temporal_patch_size, self.patch_size * self.merge_size
        min_pixels = self.min_image_tokens * frames * factor**2
        rows, columns = math.ceil(height / factor), math.ceil(width / factor)
        if frames * rows * factor * columns * factor < min_pixels:
            scale = math.sqrt(min_pixels / (frames * height * width))
            rows = math.ceil(max(1, math.ceil(height * scale)) / factor)
            columns = math.ceil(max(1, math.ceil(width * scale)) / factor)
        if rows * columns > self.max_image_tokens:
            rows, columns = self._fitted(width, height)
        grid = [1, rows * self.merge_size, columns * self.merge_size]
        tokens = rows * columns
        return Geometry(grid, tokens, {"image_grid_thw": [list(grid)]}, tokens)

    def _fitted(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tokens of the largest scaled image within `max_image_tokens`."""
        factor = self.patch_size * self.merge_size
        best, low, high = (1, 1), 1, height
        while low <= high:
            content_height = (low + high) // 2
            content_width = max(1, math.floor(width * content_height / height))
            rows, columns = math.ceil(content_height / factor), math.ceil(content_width / factor)
            if rows * columns <= self.max_image_tokens:
                best, low = (rows, columns), content_height + 1
            else:
                high = content_height - 1
        return best
