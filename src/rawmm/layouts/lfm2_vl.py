"""The layout of LFM2-VL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES, nearest_arrangement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Lfm2VL(Layout):
    """The layout of ``Lfm2VlProcessor``. Payload: ``{"spatial_shapes": [[rows, columns], ...]}``.

    An image is scaled to between `min_image_tokens` and `max_image_tokens`. If it has more than
    `max_pixels_tolerance` times the most of these, it is cut into `min_tiles` to `max_tiles` tiles
    of `tile_size` pixels a side instead, which the scaled image follows with `use_thumbnail`. The
    payload lists the patches of each. ``min_tiles=1, max_tiles=1`` cuts no image, like the
    processor's ``do_image_splitting=False``. With `use_image_special_tokens`, a token that names
    row and column precedes each tile, ``<|img_thumbnail|>`` the scaled image, and
    ``<|image_start|>`` and ``<|image_end|>`` enclose all.
    """

    family: ClassVar[str] = "lfm2_vl"
    image_token: ClassVar[str] = "<image>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Lfm2VlImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"patch_size": ("encoder_patch_size",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"use_image_special_tokens"})
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({"do_pad": True})
    options: ClassVar[frozenset[str]] = frozenset({"do_image_splitting"})

    downsample_factor: int = 2
    min_tiles: int = 2
    max_tiles: int = 10
    use_thumbnail: bool = True
    min_image_tokens: int = 64
    max_image_tokens: int = 256
    patch_size: int = 16
    tile_size: int = 512
    max_pixels_tolerance: float = 2.0
    use_image_special_tokens: bool = True

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_tiles", MOST_TILES)
        self._check_at_most("min_tiles", "max_tiles")
        self._check_multiple("tile_size", "patch_size")
        tolerance = self.max_pixels_tolerance
        if type(tolerance) is not float:
            raise self._error("max_pixels_tolerance", "wrong_type", "a float", tolerance)
        if not 0 < tolerance <= 1_024:
            raise self._error("max_pixels_tolerance", "out_of_range", "over 0 to 1024", tolerance)

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        found = super(Lfm2VL, cls).stated_by(settings)
        splits = settings.get("do_image_splitting")
        return found if splits is ABSENT or splits else found | {"min_tiles": 1, "max_tiles": 1}

    def placeholder(
        self, width: int, height: int, *, index: int = 0, images: int | None = None
    ) -> list[Run]:
        """The tokens that stand for an image in an expanded prompt, in order.

        Raises:
            ContractError: as `describe` does.
        """
        geometry = self.describe(width, height, index=index, images=images)
        _, columns = self._tiles(int(width), int(height))
        return list(self._named_runs(geometry, columns))

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        """The tokens, where each tile counts as a row of its own: a payload names no columns."""
        return self._named_runs(geometry, 1)

    def _named_runs(self, geometry: Geometry, columns: int) -> Iterable[Run]:
        marks = self.use_image_special_tokens
        *tiles, last = geometry.payload["spatial_shapes"]
        if tiles and not self.use_thumbnail:
            tiles.append(last)
        if marks:
            yield Run("<|image_start|>", 1)
        for number in range(len(tiles)):
            if marks:
                row, column = divmod(number, columns)
                yield Run(f"<|img_row_{row + 1}_col_{column + 1}|>", 1)
            yield Run(self.image_token, self._tile_tokens())
        if tiles and self.use_thumbnail and marks:
            yield Run("<|img_thumbnail|>", 1)
        if not tiles or self.use_thumbnail:
            rest = geometry.num_tokens - len(tiles) * (self._tile_tokens() + marks)
            rest -= (2 + bool(tiles)) * marks
            yield Run(self.image_token, rest)
        if marks:
            yield Run("<|image_end|>", 1)

    def _tile_tokens(self) -> int:
        side: int = -(-(self.tile_size // self.patch_size) // self.downsample_factor)
        return side * side

    def _lay_out(self, width: int, height: int) -> Geometry:
        patch, factor = self.patch_size, self.downsample_factor
        scaled_width, scaled_height = self._scaled(width, height)
        rows, columns = scaled_height // patch, scaled_width // patch
        tokens = -(-rows // factor) * -(-columns // factor)
        marks = int(self.use_image_special_tokens)
        tiles = math.prod(self._tiles(width, height))
        side = self.tile_size // patch
        if tiles <= 1:
            # A single tile has the size of a tile, and the prompt the tokens of the scaled image.
            shape = [side, side] if tiles else [rows, columns]
            payload = {"spatial_shapes": [shape]}
            tokens += 2 * marks
            return Geometry([1, *shape], tokens, payload, tokens)
        shapes = [[side, side] for _ in range(tiles)]
        grid = [tiles, side, side]
        total = tiles * (self._tile_tokens() + marks) + 2 * marks
        if self.use_thumbnail:
            shapes.append([rows, columns])
            grid = [1, 1, tiles * side * side + rows * columns]
            total += tokens + marks
        return Geometry(grid, total, {"spatial_shapes": shapes}, total)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        # Every float operation is in the original's order; another order rounds differently.
        unit = self.patch_size * self.downsample_factor
        fewest, most = self.min_image_tokens * unit**2, self.max_image_tokens * unit**2
        tall = max(unit, round(height / unit) * unit)
        wide = max(unit, round(width / unit) * unit)
        if tall * wide > most:
            beta = math.sqrt((height * width) / most)
            tall = max(unit, math.floor(height / beta / unit) * unit)
            wide = max(unit, math.floor(width / beta / unit) * unit)
        elif tall * wide < fewest:
            beta = math.sqrt(fewest / (height * width))
            tall = math.ceil(height * beta / unit) * unit
            wide = math.ceil(width * beta / unit) * unit
        return wide, tall

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles, which are 0 if the image is not cut."""
        if self.min_tiles == self.max_tiles == 1:
            return 0, 0
        patch = self.patch_size
        unit = patch * self.downsample_factor
        tall = max(patch, round(height / unit) * unit)
        wide = max(patch, round(width / unit) * unit)
        if tall * wide <= self.max_image_tokens * unit**2 * self.max_pixels_tolerance:
            return 0, 0
        choices = _arrangements(self.min_tiles, self.max_tiles)
        columns, rows = nearest_arrangement(width, height, choices, self.tile_size)
        return rows, columns


@lru_cache(maxsize=16)
def _arrangements(fewest: int, most: int) -> tuple[tuple[int, int], ...]:
    """Columns and rows of each arrangement, by number of tiles, then by the order of a set.

    The original breaks ties by the order of this set, which its order of insertion decides.
    """
    found = [
        (columns, rows)
        for longest in range(fewest, most + 1)
        for columns in range(1, longest + 1)
        for rows in (
            range(1, min(longest, most // columns) + 1)
            if longest in {fewest, columns}
            else (longest,)
        )
        if fewest <= columns * rows <= most
    ]
    return tuple(sorted(set(found), key=lambda one: one[0] * one[1]))
