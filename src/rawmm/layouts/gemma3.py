"""Gemma 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawmm.layouts.base import Geometry, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Gemma3(Layout):
    """The layout of ``Gemma3ImageProcessor``: every image alike. Payload: ``{"num_crops": [0]}``.

    The image becomes a square of `image_size` pixels and `image_seq_length` tokens. Defaults are
    those of the published models. Pan and scan is not modelled: its crops stand in the prompt
    with text between them, which is no placeholder range.
    """

    family: ClassVar[str] = "gemma3"

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
