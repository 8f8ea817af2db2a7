"""The layout of LLaVA-OneVision."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.layouts.settings import Settings

_SIDES: Final = range(384, 2_305, 384)
_ASPECT: Final = re.compile(r"anyres_max_([1-9][0-9]{0,5})\Z")
_STRATEGIES: Final = ("full", "default")


@dataclass(frozen=True, kw_only=True, slots=True)
class LlavaOnevision(Layout):
    """The layout of ``LlavaOnevisionProcessor``.

    Payload: ``{"image_sizes": [[height, width]], "batch_num_images": [images]}``, in pixels.

    An image is scaled into that of `image_grid_pinpoints`, heights and widths, which keeps most of
    its pixels, and cut into tiles of `image_size` pixels a side. An overview precedes them. It has
    `num_image_tokens`, and so has each tile. Those of padding are dropped, and a token ends each
    row. If the rest are more than those of as many tiles as `vision_aspect_ratio` says, they are
    scaled down. With ``vision_feature_select_strategy="default"`` an image has one token less.

    An image is not cut if `describe` gets a number of `images` over 1: the processor was called
    with a list of images for each prompt, and this prompt has several. An image then has
    `num_image_tokens` and one more. vLLM 0.33 calls it with one list of all images, and each is
    cut.
    """

    family: ClassVar[str] = "llava_onevision"
    image_token: ClassVar[str] = "<image>"
    processors: ClassVar[tuple[str, ...]] = ("LlavaOnevisionImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset(
        {
            "patch_size",
            "num_image_tokens",
            "vision_aspect_ratio",
            "vision_feature_select_strategy",
        }
    )
    options: ClassVar[frozenset[str]] = frozenset({"do_pad"})

    image_size: int = 384
    image_grid_pinpoints: tuple[tuple[int, int], ...] = tuple(
        (height, width) for height in _SIDES for width in _SIDES
    )
    patch_size: int = 14
    num_image_tokens: int = 729
    vision_aspect_ratio: str = "anyres_max_9"
    vision_feature_select_strategy: str = "full"

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        # A list is not hashable.
        object.__setattr__(self, "image_grid_pinpoints", self._pinpoints())
        for name in ("vision_aspect_ratio", "vision_feature_select_strategy"):
            value: object = getattr(self, name)
            if type(value) is not str:
                raise self._error(name, "wrong_type", "a string", value)
        if not _ASPECT.match(self.vision_aspect_ratio):
            name, expected = "vision_aspect_ratio", "anyres_max_N"
            raise self._error(name, "bad_value", expected, self.vision_aspect_ratio)
        if self.vision_feature_select_strategy not in _STRATEGIES:
            name, expected = "vision_feature_select_strategy", " or ".join(_STRATEGIES)
            raise self._error(name, "bad_value", expected, self.vision_feature_select_strategy)

    def _pinpoints(self) -> tuple[tuple[int, int], ...]:
        name, given = "image_grid_pinpoints", self.image_grid_pinpoints
        expected = "an array of arrays of two integers, a height and a width"
        if not is_a(given, list | tuple) or not all(is_a(one, list | tuple) for one in given):
            raise self._error(name, "wrong_type", expected, given)
        if not 1 <= len(given) <= MOST_TILES or any(len(one) != 2 for one in given):
            raise self._error(name, "bad_length", expected, given)
        for side in (side for one in given for side in one):
            if type(side) is not int:
                raise self._error(name, "wrong_type", expected, side)
            if not self.image_size <= side <= MOST_TILES * self.image_size:
                sides = f"sides of 1 to {MOST_TILES} tiles of {self.image_size} pixels"
                raise self._error(name, "out_of_range", sides, side)
        return tuple((height, width) for height, width in given)

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        The processor reads ``image_grid_pinpoints`` of the image processor, whatever the call
        says.
        """
        found = super(LlavaOnevision, cls).stated_by(settings)
        name = "image_grid_pinpoints"
        if name in found:
            given = found[name]
            of_call = settings.is_given(name)
            if not is_a(given, list) or (of_call and not all(is_a(one, list) for one in given)):
                raise settings.refused(name, "a list of lists")
            if settings.has_processor and of_call:
                raise settings.refused(name, "that of the image processor")
        if settings.get("crop_size") not in (ABSENT, None):
            raise settings.refused("crop_size", "null")
        return found

    def _lay_out_in_prompt(
        self, width: int, height: int, index: int, images: int | None
    ) -> Geometry:
        if images is None or images == 1:
            return super(LlavaOnevision, self)._lay_out_in_prompt(width, height, index, images)
        return self._geometry(width, height, 1, self.num_image_tokens + 1, images)

    def _lay_out(self, width: int, height: int) -> Geometry:
        tall, wide = self._resolution(width, height)
        tiles = -(-tall // self.image_size) * -(-wide // self.image_size)
        rows, columns = tall // self.image_size, wide // self.image_size
        tokens = self.num_image_tokens + self._tile_tokens(width, height, rows, columns)
        return self._geometry(width, height, 1 + tiles, tokens, 1)

    def _geometry(self, width: int, height: int, frames: int, tokens: int, images: int) -> Geometry:
        tokens -= self.vision_feature_select_strategy == "default"
        side = max(1, self.image_size // self.patch_size)  # as a convolution of that stride
        payload = {"image_sizes": [[height, width]], "batch_num_images": [images]}
        return Geometry([frames, side, side], tokens, payload, tokens)

    def _resolution(self, width: int, height: int) -> tuple[int, int]:
        """Height and width in pixels of what the image is scaled into."""
        best, kept, wasted = (0, 0), 0, math.inf
        for tall, wide in self.image_grid_pinpoints:
            scale = min(wide / width, tall / height)
            pixels = min(int(width * scale) * int(height * scale), width * height)
            waste = tall * wide - pixels
            if pixels > kept or (pixels == kept and waste < wasted):
                best, kept, wasted = (tall, wide), pixels, waste
        return best

    def _tile_tokens(self, width: int, height: int, rows: int, columns: int) -> int:
        """The tokens of all tiles, given how many tiles fit into a column and a row."""
        # Every float operation is in the original's order; another order rounds differently.
        side = int(math.sqrt(self.num_image_tokens))
        tall, wide = side * rows, side * columns
        if width / height > wide / tall:
            tall -= (tall - int(round(height * (wide / width), 7))) // 2 * 2
        else:
            wide -= (wide - int(round(width * (tall / height), 7))) // 2 * 2
        most = int(self.vision_aspect_ratio.removeprefix("anyres_max_"))
        ratio = math.sqrt(tall * wide / (most * side**2))
        if ratio > 1.1:
            tall, wide = int(tall // ratio), int(wide // ratio)
        return tall * wide + tall
