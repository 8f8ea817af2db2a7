"""The layout of Step 3.7."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rawmm.layouts.settings import Settings

_MARKS: Final = 2
"""The tokens around a tile, and around the overview."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step3p7(Layout):
    """The layout of ``Step3p7Processor``. Payload: ``{"num_local_patches": [tiles]}``.

    An image over `max_image_size` is scaled down to it. If it is then longer than `image_size`, or
    elongated, it is cut into tiles, each scaled to `tile_size`. An overview of `image_size` pixels
    a side follows them. A token stands for a square of `downsampler_stride` patches of
    `patch_size` pixels a side. ``<patch_start>`` and ``<patch_end>`` enclose a tile,
    ``<patch_newline>`` ends each row of tiles but the last, and ``<im_start>`` and ``<im_end>``
    enclose the overview.
    """

    family: ClassVar[str] = "step3p7"
    image_token: ClassVar[str] = "<im_patch>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Step3p7ImageProcessor",)
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "image_size": ("size.height=width",),
            "tile_size": ("patch_size",),
            "patch_size": ("vision_patch_size",),
        }
    )
    # The image processor reads these, and `patch_size`, from its attributes whatever a call says.
    prompt_parameters: ClassVar[frozenset[str]] = frozenset(
        {"max_image_size", "downsampler_stride"}
    )
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({})

    image_size: int = 728
    tile_size: int = 504
    max_image_size: int = 3_024
    patch_size: int = 14
    downsampler_stride: int = 4

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        for name in ("image_size", "tile_size"):
            self._check_multiple(name, "patch_size")

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        ``Step3p7Processor`` computes its tokens when it is made, so a size that was set later is
        refused.
        """
        found = super(Step3p7, cls).stated_by(settings)
        if (patch := settings.own("vision_patch_size")) is not ABSENT:
            found["patch_size"] = patch
        stated = cls(**found)
        for name, tokens in (
            ("image_size", "num_image_feature_size"),
            ("tile_size", "num_patch_feature_size"),
        ):
            written = settings.own(tokens)
            if written is not ABSENT and written != stated._tokens(getattr(stated, name)):
                setting, _, _ = cls.attributes[name][0].partition(".")
                raise settings.refused(setting, f"the {setting} of which the processor was made")
        return found

    @classmethod
    def settings(cls) -> frozenset[str]:
        """The names of the settings that `stated_by` reads."""
        return super(Step3p7, cls).settings() - cls.prompt_parameters - {"vision_patch_size"}

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        (tiles,) = geometry.payload["num_local_patches"]
        tile, overview = self._tokens(self.tile_size), self._tokens(self.image_size)
        rows = 1 + geometry.num_tokens - tiles * (tile + _MARKS) - overview - _MARKS
        for number in range(1, tiles + 1):
            yield from (
                Run("<patch_start>", 1),
                Run(self.image_token, tile),
                Run("<patch_end>", 1),
            )
            if number < tiles and not number % (tiles // rows):
                yield Run("<patch_newline>", 1)
        yield from (Run("<im_start>", 1), Run(self.image_token, overview), Run("<im_end>", 1))

    def _tokens(self, side: int) -> int:
        tokens: int = (side // (self.patch_size * self.downsampler_stride)) ** 2
        return tokens

    def _lay_out(self, width: int, height: int) -> Geometry:
        rows, columns = self._tiles(width, height)
        tiles = rows * columns
        tokens = self._tokens(self.image_size) + _MARKS
        tokens += tiles * (self._tokens(self.tile_size) + _MARKS) + max(rows - 1, 0)
        patches = (self.image_size // self.patch_size) ** 2
        patches += tiles * (self.tile_size // self.patch_size) ** 2
        return Geometry([1, 1, patches], tokens, {"num_local_patches": [tiles]}, tokens)

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles, which are 0 if there are none."""
        # Every float operation is in the original's order; another order rounds differently.
        scaled_width, scaled_height = width, height
        if min(width, height) < 32 and max(width / height, height / width) > 4:
            scaled_width = scaled_height = max(width, height)
        longest = max(scaled_width, scaled_height)
        if longest > self.max_image_size:
            scale = self.max_image_size / longest
            scaled_width, scaled_height = int(scaled_width * scale), int(scaled_height * scale)
        short, long = sorted((scaled_width, scaled_height))
        if not short:
            raise self._limit("sides of at least a pixel when scaled", width, height)
        if long <= self.image_size:
            window = short if long / short > 1.5 else 0
        elif long / short > 4:
            window = min(short, self.tile_size)
        else:
            window = self.tile_size
        if not window:
            return 0, 0
        return _count(scaled_height, window), _count(scaled_width, window)


def _count(side: int, window: int) -> int:
    """How many windows a side has, where a rest of more than a fifth counts."""
    if side < window:
        return 1
    return side // window + (side % window > 0.2 * window)
