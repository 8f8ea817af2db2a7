"""The layout of Ovis 2 and 2.5, as converted for transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES, arrangements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings

_THRESHOLD = 0.9
"""The share of an image's area that tiles must cover."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ovis2(Layout):
    """The layout of ``Ovis2Processor``. Payload: ``{"grids": [[rows, columns]]}``, in tiles.

    An image is cut into the fewest tiles of `image_size` pixels a side, at most `max_patches`,
    that cover 90 % of its area. If these are more than one, an overview precedes them. Each has
    `image_seq_length` tokens. ``<IMG_START>`` and ``<IMG_GRID>`` enclose the overview,
    ``<IMG_COL>`` and ``<IMG_ROW>`` separate tiles, and ``<IMG_END>`` ends the image.
    ``max_patches=1`` cuts no image, like the processor's ``crop_to_patches=False``.
    """

    family: ClassVar[str] = "ovis2"
    image_token: ClassVar[str] = "<IMG_ATOM>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Ovis2ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"image_seq_length"})
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType(
        {**Layout.requires, "use_covering_area_grid": True}
    )
    options: ClassVar[frozenset[str]] = frozenset({"crop_to_patches"})

    image_size: int = 448
    patch_size: int = 14
    image_seq_length: int = 256
    max_patches: int = 9

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_patches", MOST_TILES)
        self._check_multiple("image_size", "patch_size")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        found = super(Ovis2, cls).stated_by(settings)
        crops = settings.get("crop_to_patches")
        return found if crops is ABSENT or crops else found | {"max_patches": 1}

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        ((rows, columns),) = geometry.payload["grids"]
        tile = Run(self.image_token, self.image_seq_length)
        yield from (Run("<IMG_START>", 1), tile, Run("<IMG_GRID>", 1))
        last = rows * columns
        for number in range(1, last + 1) if last > 1 else ():
            yield tile
            if number < last:
                yield Run("<IMG_COL>" if number % columns else "<IMG_ROW>", 1)
        yield Run("<IMG_END>", 1)

    def _lay_out(self, width: int, height: int) -> Geometry:
        columns, rows = self._tiles(width, height)
        tiles = rows * columns
        frames, separators = (1, 0) if tiles == 1 else (tiles + 1, tiles - 1)
        side = self.image_size // self.patch_size
        tokens = frames * self.image_seq_length + 3 + separators
        return Geometry([frames, side, side], tokens, {"grids": [[rows, columns]]}, tokens)

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        if self.max_patches == 1:
            return 1, 1
        return _covering(width, height, self.image_size, self.max_patches)


@lru_cache(maxsize=1024)
def _covering(width: int, height: int, side: int, most: int) -> tuple[int, int]:
    """Columns and rows of the fewest tiles that cover enough, or of those that cover most."""
    area = width * height
    # The original takes columns for rows here, and so do the tiles that it compares.
    covered = [(one, _area(width, height, *one, side) / area) for one in arrangements(1, most)]
    enough = [one for one in covered if one[1] > _THRESHOLD]
    if enough:
        return min(enough, key=lambda one: (one[0][0] * one[0][1], -one[1]))[0]
    return min(covered, key=lambda one: (-one[1], one[0][0] * one[0][1]))[0]


def _area(width: int, height: int, rows: int, columns: int, side: int) -> float:
    """The area that tiles of `side` pixels cover, in pixels of the image."""
    heights = [height // rows] * (rows - 1)
    widths = [width // columns] * (columns - 1)
    heights.append(height - sum(heights))
    widths.append(width - sum(widths))
    return sum(_tile_area(one, other, side) for other in heights for one in widths)


def _tile_area(width: int, height: int, side: int) -> float:
    longer, shorter = max(width, height), min(width, height)
    return shorter / longer * side * side if longer > side else longer * shorter
