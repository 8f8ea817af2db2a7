"""The layout of InternVL 2.5, 3 and 3.5, as converted for transformers."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES, arrangements, nearest_arrangement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings

_MARKS: Final = 2
"""The tokens ``<img>`` and ``</img>``, which the family types as image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InternVL(Layout):
    """The layout of ``InternVLProcessor`` over ``GotOcr2ImageProcessor``.

    Payload: ``{"num_patches": [tiles]}``; the family calls tiles "patches".

    An image is cut into `min_patches` to `max_patches` tiles of `image_size` pixels a side, in
    the arrangement nearest to its aspect ratio. A thumbnail follows if there is more than one
    tile. All tiles are frames of the grid. A tile has `image_seq_length` tokens, and `num_tokens`
    includes the ``<img>`` and ``</img>`` around them. ``max_patches=1`` cuts no image, like
    the processor's ``crop_to_patches=False``.
    """

    family: ClassVar[str] = "internvl"
    image_token: ClassVar[str] = "<IMG_CONTEXT>"
    processors: ClassVar[tuple[str, ...]] = ("GotOcr2ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"image_seq_length"})
    options: ClassVar[frozenset[str]] = frozenset({"crop_to_patches"})

    image_size: int = 448
    patch_size: int = 14
    image_seq_length: int = 256
    min_patches: int = 1
    max_patches: int = 12

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_patches", MOST_TILES)
        self._check_at_most("min_patches", "max_patches")
        self._check_multiple("image_size", "patch_size")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        found = super(InternVL, cls).stated_by(settings)
        crops = settings.get("crop_to_patches")
        if found.get("max_patches") == 1 or (crops is not ABSENT and not crops):
            found |= {"min_patches": 1, "max_patches": 1}
        return found

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        patches = Run(self.image_token, geometry.num_tokens - _MARKS)
        return Run("<img>", 1), patches, Run("</img>", 1)

    def _lay_out(self, width: int, height: int) -> Geometry:
        tiles = self._tiles(width, height)
        tiles += tiles > 1
        side = self.image_size // self.patch_size
        num_tokens = tiles * self.image_seq_length + _MARKS
        return Geometry([tiles, side, side], num_tokens, {"num_patches": [tiles]}, num_tokens)

    def _tiles(self, width: int, height: int) -> int:
        columns, rows = nearest_arrangement(
            width, height, arrangements(self.min_patches, self.max_patches), self.image_size
        )
        return columns * rows
