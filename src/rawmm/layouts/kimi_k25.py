"""The layout of Kimi K2.5 and K2.6."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from rawmm.layouts.base import Geometry, Layout
from rawmm.values.plain import MAX_INT

if TYPE_CHECKING:
    from collections.abc import Mapping

_Channels: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class KimiK25(Layout):
    """The layout of the model's own image processor, and of its port in transformers.

    Payload: ``{"grid_thws": [[1, rows, columns]]}``.

    An image is scaled down to at most `in_patch_limit` patches in all and
    `patch_limit_on_one_side` a side, then padded to whole tokens. It is never enlarged. A message
    has one placeholder token for an image; the engine expands it. `fixed_output_tokens`, if set,
    is the token count of every image. `image_mean` and `image_std` are in the fingerprint only.

    The parameters have the names of ``media_proc_cfg`` in the model's processor configuration.
    """

    family: ClassVar[str] = "kimi_k25"
    image_token: ClassVar[str] = "<|media_pad|>"
    vllm_modality: ClassVar[str | None] = "vision_chunk"
    processors: ClassVar[tuple[str, ...]] = ("Kimi_K25ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "patch_size": ("patch_size", "media_proc_cfg.patch_size"),
            "merge_kernel_size": ("merge_size", "media_proc_cfg.merge_kernel_size"),
            "in_patch_limit": ("max_patches", "media_proc_cfg.in_patch_limit"),
            "patch_limit_on_one_side": (
                "size.max_height=max_width",
                "media_proc_cfg.patch_limit_on_one_side",
            ),
            "fixed_output_tokens": ("media_proc_cfg.fixed_output_tokens",),
            "image_mean": ("image_mean", "media_proc_cfg.image_mean"),
            "image_std": ("image_std", "media_proc_cfg.image_std"),
        }
    )
    output_names: ClassVar[Mapping[str, str]] = MappingProxyType({"grid_thws": "image_grid_thw"})

    patch_size: int = 14
    merge_kernel_size: int = 2
    in_patch_limit: int = 16_384
    patch_limit_on_one_side: int = 512
    fixed_output_tokens: int | None = None
    image_mean: _Channels = (0.5, 0.5, 0.5)
    image_std: _Channels = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        if self.fixed_output_tokens is not None:
            self._check_count("fixed_output_tokens", self.fixed_output_tokens)
        for name in ("image_mean", "image_std"):
            # 1 and 1.0 have different fingerprints, and a list is not hashable.
            object.__setattr__(self, name, self._channels(name, getattr(self, name)))

    def _channels(self, name: str, value: object) -> _Channels:
        if not isinstance(value, list | tuple):
            raise self._error(name, "wrong_type", "an array of three numbers", value)
        for channel in value:
            if type(channel) is not int and type(channel) is not float:
                raise self._error(name, "wrong_type", "an array of three numbers", channel)
            if not -MAX_INT <= channel <= MAX_INT:
                raise self._error(name, "out_of_range", "finite numbers", channel)
        if len(value) != 3:
            raise self._error(name, "bad_length", "an array of three numbers", value)
        return float(value[0]), float(value[1]), float(value[2])

    def _lay_out(self, width: int, height: int) -> Geometry:
        patch = self.patch_size
        longest = self.patch_limit_on_one_side * patch
        patches = max(1, height // patch) * max(1, width // patch)
        scale = min(
            1.0, math.sqrt(self.in_patch_limit / patches), longest / height, longest / width
        )
        rows = self._patches(max(1, int(height * scale)))
        columns = self._patches(max(1, int(width * scale)))
        num_tokens = self.fixed_output_tokens or rows * columns // self.merge_kernel_size**2
        payload = {"grid_thws": [[1, rows, columns]]}
        return Geometry([1, rows, columns], num_tokens, payload, 1)

    def _patches(self, pixels: int) -> int:
        """The patches of a side, padded to whole tokens."""
        return -(-pixels // (self.patch_size * self.merge_kernel_size)) * self.merge_kernel_size
