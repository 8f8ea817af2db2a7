"""The layout of Muse Glimmer."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.base import Geometry, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class MuseGlimmer(Layout):
    """The layout of ``MuseGlimmerImageProcessor``.

    Payload: ``{"image_grid_thw": [[1, rows, columns]]}``.

    An image is scaled down to `max_image_tokens`. Of the grids of tokens around its size, the
    nearest to its aspect ratio counts. The start and end tokens around them are not part of the
    placeholder.
    """

    family: ClassVar[str] = "muse_glimmer"
    image_token: ClassVar[str] = "<|patch|>"
    processors: ClassVar[tuple[str, ...]] = ("MuseGlimmerImageProcessor",)

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    max_image_tokens: int = 4_096

    def _lay_out(self, width: int, height: int) -> Geometry:
        # Every float operation is in the original's order; another order rounds differently.
        side = self.patch_size * self.merge_size
        ideal_rows, ideal_columns = height / side, width / side
        ratio = ideal_columns / ideal_rows
        if ideal_rows * ideal_columns > self.max_image_tokens:
            ideal_rows = (self.max_image_tokens / ratio) ** 0.5
            ideal_columns = ideal_rows * ratio
        # The original breaks ties by the order of this set, too.
        around = set(
            itertools.product(
                [math.floor(ideal_rows), math.ceil(ideal_rows)],
                [math.floor(ideal_columns), math.ceil(ideal_columns)],
            )
        )
        choices = [
            (rows, columns)
            for rows, columns in around
            if rows >= 1 and columns >= 1 and rows * columns <= self.max_image_tokens
        ]
        if not choices:
            choices = [(max(1, round(ideal_rows)), max(1, round(ideal_columns)))]
        rows, columns = min(choices, key=lambda one: abs(one[0] / one[1] - height / width))
        grid = [1, rows * self.merge_size, columns * self.merge_size]
        tokens = rows * columns
        return Geometry(grid, tokens, {"image_grid_thw": [list(grid)]}, tokens)
