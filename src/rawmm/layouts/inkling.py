"""The layout of images of Inkling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Inkling(Layout):
    """The layout of ``InklingImageProcessor``. Payload: ``{"num_patches": [patches]}``.

    An image is cut into patches of `patch_size` pixels a side, one token each, and the last of a
    row and column are padded. A row has one more patch than whole ones fit, even if none is left
    over. The image is scaled before by `rescale_image_frac`, if it is set, but not enlarged beyond
    a long edge of `rescale_image_max_upscaled_long_edge` pixels.
    """

    family: ClassVar[str] = "inkling"
    image_token: ClassVar[str] = "<|unused_200054|>"
    processors: ClassVar[tuple[str, ...]] = ("InklingImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"patch_size": ("size.height=width",)}
    )
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({"do_center_crop": False})
    nullable: ClassVar[frozenset[str]] = frozenset(
        {"rescale_image_frac", "rescale_image_max_upscaled_long_edge"}
    )

    patch_size: int = 40
    rescale_image_frac: float | None = None
    rescale_image_max_upscaled_long_edge: int | None = 2_048

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        scale, longest = self.rescale_image_frac, self.rescale_image_max_upscaled_long_edge
        if scale is not None and type(scale) is not float:
            raise self._error("rescale_image_frac", "wrong_type", "a float or null", scale)
        if scale is not None and not 0 < scale <= 1024:
            raise self._error("rescale_image_frac", "out_of_range", "over 0 to 1024", scale)
        if longest is not None:
            self._check_count("rescale_image_max_upscaled_long_edge", longest)

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        if settings.get("do_resize") is False:
            raise settings.refused("do_resize", "true, or nothing")
        return super(Inkling, cls).stated_by(settings)

    def _lay_out(self, width: int, height: int) -> Geometry:
        scaled_width, scaled_height = self._scaled(width, height)
        if not scaled_width or not scaled_height:
            raise self._limit("sides of at least a pixel when scaled", width, height)
        rows = -(-scaled_height // self.patch_size)
        columns = scaled_width // self.patch_size + 1
        tokens = rows * columns
        return Geometry([1, rows, columns], tokens, {"num_patches": [tokens]}, tokens)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        # Every float operation is in the original's order; another order rounds differently.
        if self.rescale_image_frac is None:
            return width, height
        long_edge = max(height, width)
        target = long_edge * self.rescale_image_frac
        if (longest := self.rescale_image_max_upscaled_long_edge) is not None:
            target = min(target, max(longest, long_edge))
        ratio = target / long_edge
        return math.floor(width * ratio + 0.5), math.floor(height * ratio + 0.5)
