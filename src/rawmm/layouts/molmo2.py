"""The layout of Molmo 2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.float32 import quotient
from rawmm.layouts.tiles import MOST_TILES
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOO_SMALL: Final = 10e9
"""Replaces scales below 1 where another is not. It is exact in 32 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Molmo2(Layout):
    """The layout of ``Molmo2Processor``.

    Payload: ``{"image_grids": [[rows and columns of the overview, of the image]],
    "image_num_crops": [crops]}``, in tokens.

    An overview of `image_size` pixels a side comes first. Then the image is cut into at most
    `max_crops` crops of that size, which overlap by `overlap_margins` patches, first and last.
    Patches are pooled to tokens by `pooling_size`, vertical and horizontal. Each row ends in
    ``<im_col>``, unless `image_use_col_tokens` or, for the overview, `use_single_crop_col_tokens`
    is false. ``<low_res_im_start>`` or ``<im_start>``, and ``<im_end>``, enclose both. The payload
    lacks ``image_token_pooling``, which follows from the grid.
    """

    family: ClassVar[str] = "molmo2"
    image_token: ClassVar[str] = "<im_patch>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Molmo2ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset(
        {"image_use_col_tokens", "use_single_crop_col_tokens", "use_single_crop_start_token"}
    )
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({})

    image_size: int = 378
    max_crops: int = 8
    overlap_margins: tuple[int, int] = (4, 4)
    patch_size: int = 14
    pooling_size: tuple[int, int] = (2, 2)
    image_use_col_tokens: bool = True
    use_single_crop_col_tokens: bool | None = None
    use_single_crop_start_token: bool = True

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_crops", MOST_TILES)
        self._check_multiple("image_size", "patch_size")
        for name, least in (("overlap_margins", 0), ("pooling_size", 1)):
            # A list is not hashable.
            object.__setattr__(self, name, self._pair(name, least))
        side = self.image_size // self.patch_size
        if sum(self.overlap_margins) >= side:
            expected = f"fewer patches than a crop's side, which is {side}"
            raise self._error("overlap_margins", "out_of_range", expected, self.overlap_margins)
        value: object = self.use_single_crop_col_tokens
        if value is not None and type(value) is not bool:
            name, expected = "use_single_crop_col_tokens", "true, false or null"
            raise self._error(name, "wrong_type", expected, value)

    def _pair(self, name: str, least: int) -> tuple[int, int]:
        value = getattr(self, name)
        if not is_a(value, list | tuple) or any(type(one) is not int for one in value):
            raise self._error(name, "wrong_type", "an array of two integers", value)
        if len(value) != 2:
            raise self._error(name, "bad_length", "an array of two integers", value)
        if not all(least <= one <= self.image_size for one in value):
            raise self._error(name, "out_of_range", f"{least} to {self.image_size}", value)
        return value[0], value[1]

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        ((low_rows, low_columns, rows, columns),) = geometry.payload["image_grids"]
        single = self.use_single_crop_start_token
        yield Run("<low_res_im_start>" if single else "<im_start>", 1)
        yield from self._rows(low_rows, low_columns, ends=self._ends_low_rows())
        yield from (Run("<im_end>", 1), Run("<im_start>", 1))
        yield from self._rows(rows, columns, ends=self.image_use_col_tokens)
        yield Run("<im_end>", 1)

    def _rows(self, rows: int, columns: int, *, ends: bool) -> Iterable[Run]:
        if not ends:
            yield Run(self.image_token, rows * columns)
            return
        for _ in range(rows):
            yield Run(self.image_token, columns)
            yield Run("<im_col>", 1)

    def _ends_low_rows(self) -> bool:
        own = self.use_single_crop_col_tokens
        return self.image_use_col_tokens if own is None else own

    def _lay_out(self, width: int, height: int) -> Geometry:
        side, margin = self.image_size // self.patch_size, sum(self.overlap_margins)
        window = side - margin
        tall, wide = _tiling(
            height - margin * self.patch_size,
            width - margin * self.patch_size,
            window * self.patch_size,
            self.max_crops,
        )
        vertical, horizontal = self.pooling_size
        low_rows, low_columns = -(-side // vertical), -(-side // horizontal)
        rows = -(-(tall * window + margin) // vertical)
        columns = -(-(wide * window + margin) // horizontal)
        tokens = low_rows * (low_columns + self._ends_low_rows()) + 4
        tokens += rows * (columns + self.image_use_col_tokens)
        crops = tall * wide + 1
        payload = {
            "image_grids": [[low_rows, low_columns, rows, columns]],
            "image_num_crops": [crops],
        }
        return Geometry([crops, side, side], tokens, payload, tokens)


def _tiling(height: int, width: int, window: int, most: int) -> tuple[int, int]:
    """Rows and columns of crops for an image without its margins, whose sides may be negative."""
    choices = _choices(most)
    scales = [
        min(quotient(rows * window, height), quotient(columns * window, width))
        for rows, columns in choices
    ]
    if all(scale < 1 for scale in scales):
        return choices[scales.index(max(scales))]
    scales = [_TOO_SMALL if scale < 1 else scale for scale in scales]
    return choices[scales.index(min(scales))]


@lru_cache(maxsize=16)
def _choices(most: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns, by number of crops, then rows."""
    found = [(tall, wide) for tall in range(1, most + 1) for wide in range(1, most // tall + 1)]
    return tuple(sorted(found, key=lambda one: (one[0] * one[1], one[0])))
