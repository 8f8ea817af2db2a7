"""The layout of Qwen2-VL, Qwen2.5-VL and Qwen3-VL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.patch_grid import PatchGrid


@dataclass(frozen=True, kw_only=True, slots=True)
class QwenVL(PatchGrid):
    """The layout of ``Qwen2VLImageProcessor``.

    The defaults are those of Qwen3-VL. Qwen2-VL and Qwen2.5-VL have ``patch_size=14,
    min_pixels=3136, max_pixels=12845056``.
    """

    family: ClassVar[str] = "qwen_vl"
    image_token: ClassVar[str] = "<|image_pad|>"
    processors: ClassVar[tuple[str, ...]] = (
        "Qwen2VLImageProcessor",
        "Ernie4_5_VLMoeImageProcessor",
        "VideoLlama3ImageProcessor",
    )

    patch_size: int = 16
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 65_536
    max_pixels: int = 16_777_216
