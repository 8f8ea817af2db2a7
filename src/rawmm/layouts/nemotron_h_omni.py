"""The layout of Nemotron 3.5 with vision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from rawmm.layouts.base import Geometry, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class NemotronHOmni(Layout):
    """The layout of ``NemotronH_Omni_Reasoning_V3ImageProcessor``.

    Payload: ``{"image_grid_hw": [[rows, columns]]}``.

    An image is scaled to between `min_num_patches` and `max_num_patches` patches. If
    `max_model_len` tokens hold fewer, these are its limit, or `min_num_patches` for each of the
    `images` of the call, by default one, if that is more. ``<img>`` and ``</img>`` around the
    tokens are not part of the placeholder.
    """

    family: ClassVar[str] = "nemotron_h_omni"
    image_token: ClassVar[str] = "<image>"
    processors: ClassVar[tuple[str, ...]] = ("NemotronH_Omni_Reasoning_V3ImageProcessor",)
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({})

    patch_size: int = 16
    downsample_ratio: float = 0.5
    min_num_patches: int = 1_024
    max_num_patches: int = 13_312
    max_model_len: int = 16_384

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        ratio = self.downsample_ratio
        if type(ratio) is not float:
            raise self._error("downsample_ratio", "wrong_type", "a number below 1", ratio)
        if not 0 < ratio <= 1:
            raise self._error("downsample_ratio", "out_of_range", "over 0 to 1", ratio)

    def _lay_out_in_prompt(
        self,
        width: int,
        height: int,
        index: int,  # noqa: ARG002
        images: int | None,
    ) -> Geometry:
        return self._among(images or 1, width, height)

    def _lay_out(self, width: int, height: int) -> Geometry:
        return self._among(1, width, height)

    def _among(self, images: int, width: int, height: int) -> Geometry:
        # Every float operation is in the original's order; another order rounds differently.
        merge, fewest = round(1 / self.downsample_ratio), self.min_num_patches
        most = max((self.max_model_len - 4) * merge**2, fewest * images)
        most = max(min(most, self.max_num_patches), fewest)
        rows = round(height / self.patch_size + 0.5)
        columns = round(width / self.patch_size + 0.5)
        factor = min(math.sqrt(most / (rows * columns)), 1.0)
        rows, columns = math.floor(factor * rows), math.floor(factor * columns)
        if not rows or not columns:
            raise self._limit(f"sides of at least a patch, of {most} in all", width, height)
        if most > fewest and rows * columns < fewest:
            factor = math.sqrt(fewest / (rows * columns))
            rows, columns = math.ceil(factor * rows), math.ceil(factor * columns)
        rows = _whole(rows, columns, merge, most)
        columns = _whole(columns, rows, merge, most)
        tokens = rows * columns // merge**2
        return Geometry([1, rows, columns], tokens, {"image_grid_hw": [[rows, columns]]}, tokens)


def _whole(side: int, other: int, merge: int, most: int) -> int:
    """A side in patches as whole tokens, rounded up if `most` patches allow it."""
    if not (remainder := side % merge):
        return side
    longer = side + merge - remainder
    return longer if longer * other <= most else max(merge, side - remainder)
