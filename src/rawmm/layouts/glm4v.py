"""The layout of GLM-4.1V, GLM-4.5V and GLM-4.6V."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from rawmm.layouts.patch_grid import PatchGrid

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Glm4v(PatchGrid):
    """The layout of ``Glm4vImageProcessor`` and ``Glm46VImageProcessor``.

    Unlike with Qwen, an image counts `temporal_patch_size` times against the bounds on pixels, and
    sides shorter than a token are enlarged first. The defaults are those of the published models;
    the class in transformers has ``max_pixels=11760000``.
    """

    family: ClassVar[str] = "glm4v"
    image_token: ClassVar[str] = "<|image|>"
    processors: ClassVar[tuple[str, ...]] = (
        "Glm4vImageProcessor",
        "Glm46VImageProcessor",
        "GlmgaImageProcessor",
    )

    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"min_pixels": ("size.shortest_edge",), "max_pixels": ("size.longest_edge",)}
    )
    counts_frames: ClassVar[bool] = True
    enlarges: ClassVar[bool] = True

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 12_544
    max_pixels: int = 9_633_792
