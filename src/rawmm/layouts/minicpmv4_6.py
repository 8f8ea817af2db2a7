"""The layout of MiniCPM-V 4.6 and 4.7."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT
from rawmm.layouts.tiles import MOST_TILES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.layouts.settings import Settings

_MERGED: Final = MappingProxyType({"16x": 4, "4x": 2})
"""Patches a side of a token, by `MiniCPMV4_6.downsample_mode`."""

_NUMBERS: Final = (*range(101), 110, 125, 200, 512, 999, 1000, 1001, 1234, 2048, 9999)
"""The numbers of images that a tokenizer is asked for."""

_MOST_DIGITS: Final = 4
"""Those of the number of an image. No prompt has 10,000."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniCPMV4_6(Layout):  # noqa: N801  (the models' own name)
    """The layout of ``MiniCPMV4_6Processor`` and ``MiniCPMV4_7Processor``.

    Payload: ``{"target_sizes": [[rows, columns], ...], "grids": [[rows, columns]],
    "num_patches_per_image": [1 + slices]}``: the patches of the overview and of each slice, and the
    arrangement of slices, 0 and 0 if there are none.

    An image of more than `scale_resolution` pixels squared is cut into at most `max_slice_nums`
    slices, unless `slice_mode` is false. An overview precedes them. A token is 4 patches a side,
    or 2 with ``downsample_mode="4x"``. ``<image>`` and ``</image>`` enclose the overview,
    ``<slice>`` and ``</slice>`` each slice, and a line feed separates rows of slices.

    With `use_image_id`, ``<image_id>``, the number of images before this one in the prompt, and
    ``</image_id>`` precede all. A token has `digits_per_token` digits of the number: an image after
    ten others has one token more. `layout_of` takes it from the processor's tokenizer.
    """

    family: ClassVar[str] = "minicpmv4_6"
    image_token: ClassVar[str] = "<|image_pad|>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("MiniCPMV4_6ImageProcessor",)
    prompt_parameters: ClassVar[frozenset[str]] = frozenset({"digits_per_token"})

    patch_size: int = 14
    scale_resolution: int = 448
    max_slice_nums: int = 9
    slice_mode: bool = True
    downsample_mode: str = "16x"
    use_image_id: bool = True
    digits_per_token: int = 1

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        self._check_bound("max_slice_nums", MOST_TILES)
        mode: object = self.downsample_mode
        if type(mode) is not str:
            raise self._error("downsample_mode", "wrong_type", "16x or 4x", mode)
        if mode not in _MERGED:
            raise self._error("downsample_mode", "bad_value", "16x or 4x", mode)

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        The processor takes ``slice_mode`` and ``use_image_id`` from the image processor when it is
        made.
        """
        found = super(MiniCPMV4_6, cls).stated_by(settings)
        for name in ("slice_mode", "use_image_id"):
            if name in found:
                found[name] = bool(found[name])
        if settings.has_processor:
            if found.get("slice_mode", True) and settings.own("slice_mode") in (False, 0):
                raise settings.refused("slice_mode", "the value with which the processor was made")
            if not settings.is_given("use_image_id"):
                for name in ("use_image_id", "default_use_image_id"):
                    if (value := settings.of_processor(name)) is not ABSENT:
                        found["use_image_id"] = bool(value)
                        break
        return found | _of_tokenizer(settings)

    def accepts(self, geometry: Geometry, length: int) -> bool:
        """Whether a placeholder may have this length at this or a later place in a prompt."""
        more = -(-_MOST_DIGITS // self.digits_per_token) - 1 if self.use_image_id else 0
        return geometry.num_tokens <= length <= geometry.num_tokens + more

    def placeholder(
        self, width: int, height: int, *, index: int = 0, images: int | None = None
    ) -> list[Run]:
        """The tokens that stand for an image in an expanded prompt, in order.

        Raises:
            ContractError: as `describe` does.
        """
        geometry = self.describe(width, height, index=index, images=images)
        return list(self._numbered_runs(geometry, str(int(index))))

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        """The tokens, where zeros stand for the image's number, which a payload does not have."""
        others = sum(run.length for run in self._numbered_runs(geometry, ""))
        return self._numbered_runs(
            geometry, "0" * self.digits_per_token * (geometry.num_tokens - others)
        )

    def _numbered_runs(self, geometry: Geometry, number: str) -> Iterable[Run]:
        overview, *slices = geometry.payload["target_sizes"]
        ((_, columns),) = geometry.payload["grids"]
        if self.use_image_id:
            yield Run("<image_id>", 1)
            for start in range(0, len(number), self.digits_per_token):
                yield Run(number[start : start + self.digits_per_token], 1)
            yield Run("</image_id>", 1)
        yield from (Run("<image>", 1), self._image_run(overview), Run("</image>", 1))
        for place, one in enumerate(slices):
            if place and not place % columns:
                yield Run("\n", 1)
            yield from (Run("<slice>", 1), self._image_run(one), Run("</slice>", 1))

    def _image_run(self, size: list[int]) -> Run:
        return Run(self.image_token, math.prod(size) // _MERGED[self.downsample_mode] ** 2)

    def _lay_out_in_prompt(
        self, width: int, height: int, index: int, images: int | None
    ) -> Geometry:
        alone = super(MiniCPMV4_6, self)._lay_out_in_prompt(width, height, index, images)
        number = -(-len(str(index)) // self.digits_per_token) - 1 if self.use_image_id else 0
        tokens = alone.num_tokens + number
        return alone._replace(num_tokens=tokens, placeholder_length=tokens)

    def _lay_out(self, width: int, height: int) -> Geometry:
        grid = self._slices(width, height) if self.slice_mode else None
        overview = self._scaled(width, height, enlarges=grid is None)
        rows, columns = grid or (0, 0)
        sizes = [overview]
        patches = [1, *overview]
        if grid is not None:
            tall = _whole(height, rows) / rows
            wide = _whole(width, columns) / columns
            one = self._scaled(wide, tall, enlarges=True)
            sizes += [list(one) for _ in range(rows * columns)]
            patches = [1, 1, sum(map(math.prod, sizes))]
        payload = {
            "target_sizes": sizes,
            "grids": [[rows, columns]],
            "num_patches_per_image": [len(sizes)],
        }
        tokens = sum(self._image_run(size).length + 2 for size in sizes) + max(rows - 1, 0)
        tokens += 3 * self.use_image_id
        return Geometry(patches, tokens, payload, tokens)

    def _scaled(self, width: float, height: float, *, enlarges: bool) -> list[int]:
        """Rows and columns of patches."""
        # Every float operation is in the original's order; another order rounds differently.
        if height * width > self.scale_resolution * self.scale_resolution or enlarges:
            ratio = width / height
            height = int(self.scale_resolution / math.sqrt(ratio))
            width = int(height * ratio)
        merged = _MERGED[self.downsample_mode]
        token = self.patch_size * merged
        return [_whole(side, token) // self.patch_size for side in (height, width)]

    def _slices(self, width: int, height: int) -> tuple[int, int] | None:
        """Rows and columns of slices; None if the image is not cut."""
        ratio = math.log(width / height)
        area = width * height / (self.scale_resolution * self.scale_resolution)
        wanted = min(math.ceil(area), self.max_slice_nums)
        if wanted <= 1:
            return None
        best, smallest = (1, 1), math.inf
        for number in (wanted - 1, wanted, wanted + 1):
            if number == 1 or number > self.max_slice_nums:
                continue
            for rows in range(1, number + 1):
                columns, rest = divmod(number, rows)
                if rest:
                    continue
                error = abs(ratio - math.log(columns / rows))
                if error < smallest or (error == smallest and rows > best[0]):
                    best, smallest = (rows, columns), error
        return best


def _whole(side: float, unit: int) -> int:
    """The multiple of a unit that is nearest to a side, at least one."""
    return max(round(side / unit) * unit, unit)


def _of_tokenizer(settings: Settings) -> dict[str, Any]:
    """The parameters that the processor's tokenizer states; none without one.

    Raises:
        ContractError: ``bad_value`` for a tokenizer without the marks of the family.
    """
    start, end = (
        settings.mark(f"image_id_{name}_token", f"<{slash}image_id>")
        for name, slash in (("start", ""), ("end", "/"))
    )
    marks = [
        settings.mark(name, mark)
        for name, mark in (
            ("image_token", "<|image_pad|>"),
            ("image_start_token", "<image>"),
            ("image_end_token", "</image>"),
            ("slice_start_token", "<slice>"),
            ("slice_end_token", "</slice>"),
        )
    ]
    texts = ["", *marks, "\n", *map(str, _NUMBERS)]
    counts = settings.token_counts([f"{start}{text}{end}" for text in texts])
    if counts is None:
        return {}
    edges, *others = counts
    if edges != 2 or any(one != 3 for one in others[: len(marks) + 1]):
        raise settings.refused_tokenizer(
            f"one token for {start}, {end}, {', '.join(marks)} and a line feed"
        )
    numbers = others[len(marks) + 1 :]
    for digits in range(1, _MOST_DIGITS + 1):
        if all(
            count - edges == -(-len(str(number)) // digits)
            for number, count in zip(_NUMBERS, numbers, strict=True)
        ):
            return {"digits_per_token": digits}
    raise settings.refused_tokenizer("as many tokens for all numbers with as many digits")
