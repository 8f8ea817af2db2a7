"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.smart_resize import smart_resize


@dataclass(frozen=True, kw_only=True, slots=True)
class QwenVL(Layout):
    """The layout of ``Qwen2VLImageProcessor``.

    Payload: ``{"image_grid_thw": [[1, rows, columns]]}``.

    Defaults are those of Qwen3-VL. Qwen2-VL and Qwen2.5-VL have ``patch_size=14,
    min_pixels=3136, max_pixels=12845056``. A processor's configuration may have the bounds as
    ``size.shortest_edge`` and ``size.longest_edge``; these are pixels of area, too.
    """

    family: ClassVar[str] = "qwen_vl"

    patch_size: int = 16
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 65_536
    max_pixels: int = 16_777_216

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_at_most("min_pixels", "max_pixels")

    def _lay_out(self, width: int, height: int) -> Geometry:
        width, height = smart_resize(
            width,
            height,
            factor=self.patch_size * self.merge_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )
        rows, columns = height // self.patch_size, width // self.patch_size
        num_tokens = rows * columns // self.merge_size**2
        payload = {"image_grid_thw": [[1, rows, columns]]}
        return Geometry([1, rows, columns], num_tokens, payload, num_tokens)
