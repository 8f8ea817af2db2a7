"""The base of layouts that use Qwen2-VL's ``smart_resize``: those of Qwen and GLM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.errors import contract_error
from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.settings import ABSENT
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.layouts.settings import Settings

_MAX_RATIO: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchGrid(Layout):
    """A grid of patches, of which a square of `merge_size` a side makes one token.

    Payload: ``{"image_grid_thw": [[1, rows, columns]]}``.
    """

    # In these processors the edges of `size` are areas in pixels, and where they know min_pixels
    # and max_pixels, those count first.
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "min_pixels": ("min_pixels", "size.shortest_edge"),
            "max_pixels": ("max_pixels", "size.longest_edge"),
        }
    )

    counts_frames: ClassVar[bool] = False
    """Whether an image counts `temporal_patch_size` times against the bounds on pixels."""
    enlarges: ClassVar[bool] = False
    """Whether sides shorter than a token are enlarged first."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_at_most("min_pixels", "max_pixels")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name."""
        pixels = [name for name in ("min_pixels", "max_pixels") if cls.attributes[name][0] == name]
        bounded = any(settings.read(name) is not ABSENT for name in pixels)
        # The bounds become entries of `size`, and the processor drops a size that is not a dict.
        if bounded and is_a(settings.get("size"), int | list | tuple):
            raise settings.refused("size", "a dict, beside min_pixels or max_pixels")
        return super(PatchGrid, cls).stated_by(settings)

    def _lay_out(self, width: int, height: int) -> Geometry:
        width, height = smart_resize(
            width,
            height,
            factor=self.patch_size * self.merge_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            frames=self.temporal_patch_size if self.counts_frames else 1,
            enlarge=self.enlarges,
        )
        rows, columns = height // self.patch_size, width // self.patch_size
        num_tokens = self._num_tokens(rows // self.merge_size, columns // self.merge_size)
        payload = {"image_grid_thw": [[1, rows, columns]]}
        return Geometry([1, rows, columns], num_tokens, payload, num_tokens)

    def _num_tokens(self, rows: int, columns: int) -> int:
        """The number of tokens for a grid of tokens of patches."""
        return rows * columns


def smart_resize(
    image_width: int,
    image_height: int,
    *,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    frames: int = 1,
    enlarge: bool = False,
) -> tuple[int, int]:
    """The width and height in pixels that an image is resized to.

    Both are rounded to the nearest multiple of `factor`, half to even. If the pixels of all
    `frames` are then more than `max_pixels` or fewer than `min_pixels`, the image is scaled to
    that bound instead, and rounded to the inside of it. With `enlarge`, an image with a side
    below `factor` is first enlarged to it.

    Raises:
        ContractError: ``image_limit`` for an aspect ratio of more than 200 to 1.
    """
    width, height = image_width, image_height
    # Every float operation is in the original's order, because another order rounds differently.
    if enlarge and min(width, height) < factor:
        scale = factor / min(width, height)
        width, height = int(width * scale), int(height * scale)
    if max(width, height) > _MAX_RATIO * min(width, height):
        raise contract_error(
            "image_limit",
            (),
            expected=f"sides of at most {_MAX_RATIO} to 1",
            got=f"{image_width} x {image_height} pixels",
            hint="crop or pad the image",
        )
    new_width = round(width / factor) * factor
    new_height = round(height / factor) * factor
    if frames * new_height * new_width > max_pixels:
        scale = math.sqrt((frames * height * width) / max_pixels)
        new_width = max(factor, math.floor(width / scale / factor) * factor)
        new_height = max(factor, math.floor(height / scale / factor) * factor)
    elif frames * new_height * new_width < min_pixels:
        scale = math.sqrt(min_pixels / (frames * height * width))
        new_width = math.ceil(width * scale / factor) * factor
        new_height = math.ceil(height * scale / factor) * factor
    return new_width, new_height
