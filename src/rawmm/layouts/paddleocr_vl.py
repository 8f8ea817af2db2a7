"""The layout of PaddleOCR-VL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rawmm.layouts.patch_grid import PatchGrid

if TYPE_CHECKING:
    from rawmm.layouts.base import Geometry


@dataclass(frozen=True, kw_only=True, slots=True)
class PaddleOCRVL(PatchGrid):
    """The layout of ``PaddleOCRVLImageProcessor``.

    Unlike with Qwen, a side shorter than a token is enlarged first.
    """

    family: ClassVar[str] = "paddleocr_vl"
    image_token: ClassVar[str] = "<|IMAGE_PLACEHOLDER|>"
    processors: ClassVar[tuple[str, ...]] = ("PaddleOCRVLImageProcessor",)

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 1
    min_pixels: int = 147_456
    max_pixels: int = 2_359_296

    def _lay_out(self, width: int, height: int) -> Geometry:
        factor = self.patch_size * self.merge_size
        if height < factor:
            width, height = round((width * factor) / height), factor
        if width < factor:
            width, height = factor, round((height * factor) / width)
        return super(PaddleOCRVL, self)._lay_out(width, height)
