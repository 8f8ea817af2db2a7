"""The layout of Pixtral, and of Mistral Small 3.1 and later, as converted for transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.layouts.base import Geometry, Layout, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixtral(Layout):
    """The layout of ``PixtralProcessor``.

    Payload: ``{"image_sizes": [[height, width]]}``, in pixels.

    An image is scaled down to `longest_edge`, then enlarged to whole tokens. Each row of tokens
    ends in ``[IMG_BREAK]``, the last in ``[IMG_END]``. The family types these as image. Mistral
    Small 3.1 has ``patch_size=14, spatial_merge_size=2, longest_edge=1540``.
    """

    family: ClassVar[str] = "pixtral"
    image_token: ClassVar[str] = "[IMG]"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("PixtralImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "longest_edge": ("size.longest_edge", "size.height=width"),
            "patch_size": ("patch_size.height=width",),
        }
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"spatial_merge_size"})

    patch_size: int = 16
    spatial_merge_size: int = 1
    longest_edge: int = 1024

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        ``PixtralProcessor`` passes its own patch size to the image processor.
        """
        found = super(Pixtral, cls).stated_by(settings)
        if settings.has_processor:
            found["patch_size"] = settings.own("patch_size")
        return found

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        _, rows, columns = geometry.grid
        last = rows // self.spatial_merge_size - 1
        for row in range(last + 1):
            yield Run(self.image_token, columns // self.spatial_merge_size)
            yield Run("[IMG_END]" if row == last else "[IMG_BREAK]", 1)

    def _lay_out(self, width: int, height: int) -> Geometry:
        scaled_width, scaled_height = width, height
        scale = max(height / self.longest_edge, width / self.longest_edge)
        if scale > 1:
            scaled_width, scaled_height = math.floor(width / scale), math.floor(height / scale)
        if not scaled_width or not scaled_height:
            longest = f"sides of at least a pixel when the longer is {self.longest_edge}"
            raise self._limit(longest, width, height)
        merge = self.spatial_merge_size
        token = self.patch_size * merge
        rows, columns = -(-scaled_height // token), -(-scaled_width // token)
        num_tokens = rows * (columns + 1)
        payload = {"image_sizes": [[rows * token, columns * token]]}
        return Geometry([1, rows * merge, columns * merge], num_tokens, payload, num_tokens)
