"""The layout of Llama 4."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.float32 import quotient
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama4(Layout):
    """The layout of ``Llama4Processor``. Payload: ``{"aspect_ratios": [[rows, columns]]}``.

    An image is scaled to the canvas of at most `max_patches` tiles of `image_size` pixels a side
    that shrinks it least, or enlarges it least, or most with `resize_to_max_canvas`. If there are
    more tiles than one, an overview follows them. The payload counts rows and columns of tiles.
    Each tile has a token for `downsample_ratio` patches.
    ``<|tile_x_separator|>`` stands between tiles of a row, ``<|tile_y_separator|>`` after a row,
    ``<|image|>`` before the overview, and ``<|image_start|>`` and ``<|image_end|>`` around all.
    """

    family: ClassVar[str] = "llama4"
    image_token: ClassVar[str] = "<|patch|>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Llama4ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"patch_size", "downsample_ratio"})
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({"do_resize": True})

    image_size: int = 336
    max_patches: int = 16
    resize_to_max_canvas: bool = False
    patch_size: int = 14
    downsample_ratio: int = 4

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_patches", MOST_TILES)
        self._check_multiple("image_size", "patch_size")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        A configuration states ``pixel_shuffle_ratio`` in place of `downsample_ratio`.
        """
        found = super(Llama4, cls).stated_by(settings)
        ratio = settings.own("pixel_shuffle_ratio")
        if "downsample_ratio" not in found and ratio is not ABSENT:
            if not is_a(ratio, float) or not 0 < ratio <= 1:
                raise settings.refused("pixel_shuffle_ratio", "a number over 0 to 1")
            found["downsample_ratio"] = round(1.0 / (ratio**2))
        return found

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        ((rows, columns),) = geometry.payload["aspect_ratios"]
        tile = Run(self.image_token, self._tokens())
        yield Run("<|image_start|>", 1)
        for _ in range(rows if rows * columns > 1 else 0):
            for column in range(columns):
                yield tile
                last = column == columns - 1
                yield Run("<|tile_y_separator|>" if last else "<|tile_x_separator|>", 1)
        yield from (Run("<|image|>", 1), tile, Run("<|image_end|>", 1))

    def _tokens(self) -> int:
        side = self.image_size // self.patch_size
        return side * side // self.downsample_ratio

    def _lay_out(self, width: int, height: int) -> Geometry:
        rows, columns = self._tiles(width, height)
        tiles = rows * columns
        marks = 3 + (tiles if tiles > 1 else 0)
        frames = tiles + (tiles > 1)
        side = self.image_size // self.patch_size
        tokens = frames * self._tokens() + marks
        return Geometry([frames, side, side], tokens, {"aspect_ratios": [[rows, columns]]}, tokens)

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles."""
        size = self.image_size
        scaled = [
            (min(quotient(rows * size, height), quotient(columns * size, width)), rows, columns)
            for rows, columns in _canvases(self.max_patches)
        ]
        enlarging = [scale for scale, _, _ in scaled if scale >= 1]
        if not enlarging:
            wanted = max(scale for scale, _, _ in scaled)
        else:
            wanted = max(enlarging) if self.resize_to_max_canvas else min(enlarging)
        fitting = [(rows, columns) for scale, rows, columns in scaled if scale == wanted]
        return min(fitting, key=lambda one: one[0] * one[1])


@lru_cache(maxsize=16)
def _canvases(most: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of each canvas in the original's order, which breaks ties."""
    by_ratio: dict[float, list[tuple[int, int]]] = {}
    for tiles in range(most, 0, -1):
        for rows in range(1, tiles + 1):
            if not tiles % rows:
                columns = tiles // rows
                by_ratio.setdefault(rows / columns, []).append((rows, columns))
    return tuple(one for canvases in by_ratio.values() for one in canvases)
