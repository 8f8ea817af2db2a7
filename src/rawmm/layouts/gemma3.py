"""The layout of Gemma 3."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from rawmm.layouts.base import Geometry, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Gemma3(Layout):
    """The layout of ``Gemma3ImageProcessor``. Payload: ``{"num_crops": [0]}``.

    Every image becomes a square of `image_size` pixels a side and `image_seq_length` tokens. The
    defaults are those of the published models. Pan and scan is not modelled: the prompt has text
    between its crops, so they are not one placeholder range.
    """

    family: ClassVar[str] = "gemma3"
    image_token: ClassVar[str] = "<image_soft_token>"
    processors: ClassVar[tuple[str, ...]] = ("Gemma3ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"image_size": ("size.height=width",)}
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"image_seq_length"})
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType(
        {**Layout.requires, "do_pan_and_scan": False}
    )

    image_size: int = 896
    patch_size: int = 14
    image_seq_length: int = 256

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_multiple("image_size", "patch_size")

    def _lay_out(self, width: int, height: int) -> Geometry:
        del width, height
        side = self.image_size // self.patch_size
        tokens = self.image_seq_length
        return Geometry([1, side, side], tokens, {"num_crops": [0]}, tokens)
