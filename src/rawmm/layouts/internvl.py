"""InternVL 2.5, 3 and 3.5, as converted for transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from rawmm.layouts.base import Geometry, Layout

_MARKS: Final = 2
"""``<img>`` and ``</img>``, which the family types as image."""
_MOST_TILES: Final = 4096
"""Each arrangement of so many tiles is compared; the published models have 12, or 40 for video."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InternVL(Layout):
    """The layout of ``InternVLProcessor`` over ``GotOcr2ImageProcessor``.

    Payload: ``{"num_patches": [tiles]}``; "patches" is the family's word for tiles.

    An image is cut into `min_patches` to `max_patches` tiles of `image_size` pixels a side, in
    the arrangement nearest to its aspect ratio; if these are more than one, a thumbnail follows.
    The grid has all tiles as frames. A tile is `image_seq_length` tokens, and `num_tokens` counts
    the ``<img>`` and ``</img>`` around them. With ``max_patches=1`` no image is cut, as with the
    processor's ``crop_to_patches=False``.
    """

    family: ClassVar[str] = "internvl"

    image_size: int = 448
    patch_size: int = 14
    image_seq_length: int = 256
    min_patches: int = 1
    max_patches: int = 12

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        if self.max_patches > _MOST_TILES:
            expected = f"an integer from 1 to {_MOST_TILES}"
            raise self._refused("max_patches", "out_of_range", expected, self.max_patches)
        self._check_at_most("min_patches", "max_patches")
        self._check_multiple("image_size", "patch_size")

    def _lay_out(self, width: int, height: int) -> Geometry:
        tiles = self._tiles(width, height)
        tiles += tiles > 1
        side = self.image_size // self.patch_size
        num_tokens = tiles * self.image_seq_length + _MARKS
        return Geometry([tiles, side, side], num_tokens, {"num_patches": [tiles]}, num_tokens)

    def _tiles(self, width: int, height: int) -> int:
        """The number of tiles in the arrangement nearest to the image's aspect ratio.

        Of two that are equally near, it is the larger one if at least half its area is filled.
        """
        ratio, area = width / height, width * height
        nearest, best = float("inf"), 1
        for arrangement, tiles in _arrangements(self.min_patches, self.max_patches):
            distance = abs(ratio - arrangement)
            if distance < nearest:
                nearest, best = distance, tiles
            elif distance == nearest and area > 0.5 * self.image_size * self.image_size * tiles:
                best = tiles
        return best


@lru_cache(maxsize=16)
def _arrangements(fewest: int, most: int) -> tuple[tuple[float, int], ...]:
    """Aspect ratio and number of tiles of each arrangement; few tiles first, then narrow ones."""
    found = [
        (columns * rows, columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if columns * rows >= fewest
    ]
    return tuple((columns / rows, tiles) for tiles, columns, rows in sorted(found))
