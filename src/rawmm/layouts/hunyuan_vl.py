"""The layout of HunYuan-VL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.patch_grid import PatchGrid
from rawmm.layouts.settings import ABSENT

if TYPE_CHECKING:
    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class HunYuanVL(PatchGrid):
    """The layout of ``HunYuanVLProcessor``.

    Each row of tokens has one more at its end, and with `cat_extra_token` the image has two more.
    All are the token of patches.
    """

    family: ClassVar[str] = "hunyuan_vl"
    image_token: ClassVar[str] = "<image>"
    processors: ClassVar[tuple[str, ...]] = ("HunYuanVLImageProcessor",)
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"cat_extra_token"})

    patch_size: int = 16
    merge_size: int = 2
    temporal_patch_size: int = 1
    min_pixels: int = 262_144
    max_pixels: int = 4_194_304
    cat_extra_token: bool = True

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        if settings.own("spatial_patch_size") not in {ABSENT, 1}:
            raise settings.refused("spatial_patch_size", "1")
        return super(HunYuanVL, cls).stated_by(settings)

    def _num_tokens(self, rows: int, columns: int) -> int:
        return rows * (columns + 1) + 2 * self.cat_extra_token
