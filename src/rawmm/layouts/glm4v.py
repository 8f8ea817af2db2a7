"""GLM-4.1V, GLM-4.5V and GLM-4.6V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.smart_resize import smart_resize


@dataclass(frozen=True, kw_only=True, slots=True)
class Glm4v(Layout):
    """The layout of ``Glm4vImageProcessor`` and ``Glm46VImageProcessor``.

    Payload: ``{"image_grid_thw": [[1, rows, columns]]}``.

    Unlike Qwen's, an image counts `temporal_patch_size` times against the bounds on pixels, and
    sides shorter than a token are enlarged first. Defaults are those of the published models; the
    class of transformers has ``max_pixels=11760000``.
    """

    family: ClassVar[str] = "glm4v"

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 12_544
    max_pixels: int = 9_633_792

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
            frames=self.temporal_patch_size,
            enlarge=True,
        )
        rows, columns = height // self.patch_size, width // self.patch_size
        num_tokens = rows * columns // self.merge_size**2
        payload = {"image_grid_thw": [[1, rows, columns]]}
        return Geometry([1, rows, columns], num_tokens, payload, num_tokens)
