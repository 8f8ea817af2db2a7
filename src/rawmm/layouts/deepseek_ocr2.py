"""The layout of DeepSeek-OCR 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES, arrangements, nearest_arrangement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepseekOcr2(Layout):
    """The layout of ``DeepseekOcr2Processor``. Payload: ``{"num_local_patches": [tiles]}``.

    An overview of `image_size` pixels a side stands for each image. If a side is longer than
    `tile_size`, the image is also cut into `min_patches` to `max_patches` tiles of that size. One
    more token separates the two. All are the token of patches.
    """

    family: ClassVar[str] = "deepseek_ocr2"
    image_token: ClassVar[str] = "<image>"
    processors: ClassVar[tuple[str, ...]] = ("DeepseekOcr2ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"patch_size", "downsample_ratio"})
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({})
    options: ClassVar[frozenset[str]] = frozenset({"crop_to_patches"})

    image_size: int = 1_024
    tile_size: int = 768
    patch_size: int = 16
    downsample_ratio: int = 4
    min_patches: int = 2
    max_patches: int = 6

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_patches", MOST_TILES)
        self._check_at_most("min_patches", "max_patches")
        for name in ("image_size", "tile_size"):
            self._check_multiple(name, "patch_size")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        crops = settings.get("crop_to_patches")
        if crops is not ABSENT and not crops:
            raise settings.refused("crop_to_patches", "true")
        return super(DeepseekOcr2, cls).stated_by(settings)

    def _lay_out(self, width: int, height: int) -> Geometry:
        scale = self.image_size / max(width, height)
        if not round(width * scale) or not round(height * scale):
            raise self._limit("sides of at least a pixel in the overview", width, height)
        tiles = self._tiles(width, height)
        patches = (self.image_size // self.patch_size) ** 2
        patches += tiles * (self.tile_size // self.patch_size) ** 2
        tokens = self._tokens(self.image_size) + tiles * self._tokens(self.tile_size) + 1
        return Geometry([1, 1, patches], tokens, {"num_local_patches": [tiles]}, tokens)

    def _tiles(self, width: int, height: int) -> int:
        if max(width, height) <= self.tile_size:
            return 0
        choices = arrangements(self.min_patches, self.max_patches)
        columns, rows = nearest_arrangement(width, height, choices, self.tile_size)
        return columns * rows

    def _tokens(self, side: int) -> int:
        return math.ceil(side / self.patch_size / self.downsample_ratio) ** 2
