"""The layout of Idefics 3 and SmolVLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.settings import ABSENT
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.layouts.settings import Settings

_LONGEST: Final = 4_096
"""The image processor scales longer sides to this number of pixels."""

_MOST_MARKS: Final = 32
"""Bounds the marks that are looked for in a tokenizer. Those of published models end at 6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Idefics3(Layout):
    """The layout of ``Idefics3Processor`` and ``SmolVLMProcessor``.

    Payload: ``{"rows": [[rows]], "cols": [[columns]]}`` of tiles, both 0 for an image that is not
    cut. Image processors return them with ``return_row_col_info=True`` only.

    The longer side of an image is scaled to `longest_edge`, then both sides up to multiples of
    `max_image_size`, the side of a tile. If there are more tiles than one, an overview follows
    them. Each has `image_seq_len` tokens, after ``<fake_token_around_image>`` and
    ``<row_R_col_C>`` or ``<global-img>``. Another ``<fake_token_around_image>`` ends the image.
    ``do_image_splitting=False`` cuts no image.

    A line feed ends each row of tiles, and an empty line precedes the overview. The tokenizer
    decides whether these two line feeds are one token, `joins_line_feeds`, and up to which row and
    column a tile's mark is one, `marked_tiles`. An image with more rows or columns is refused.
    `layout_of` takes both from the processor's tokenizer.
    """

    family: ClassVar[str] = "idefics3"
    image_token: ClassVar[str] = "<image>"
    row_separators: ClassVar[bool] = True
    processors: ClassVar[tuple[str, ...]] = ("Idefics3ImageProcessor", "SmolVLMImageProcessor")
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "longest_edge": ("size.longest_edge",),
            "max_image_size": ("max_image_size.longest_edge",),
        }
    )
    prompt_parameters: ClassVar[frozenset[str]] = frozenset(
        {"patch_size", "image_seq_len", "joins_line_feeds", "marked_tiles"}
    )
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType({"do_resize": True, "do_pad": True})
    options: ClassVar[frozenset[str]] = frozenset({"return_row_col_info"})
    output_settings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"rows": "return_row_col_info", "cols": "return_row_col_info"}
    )

    longest_edge: int = 1_456
    max_image_size: int = 364
    do_image_splitting: bool = True
    patch_size: int = 14
    image_seq_len: int = 169
    joins_line_feeds: bool = True
    marked_tiles: int = 6

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        A configuration states ``scale_factor`` in place of `image_seq_len`.
        """
        found = super(Idefics3, cls).stated_by(settings)
        if (splits := settings.get("do_image_splitting")) is not ABSENT:
            found["do_image_splitting"] = bool(splits)
        if "image_seq_len" not in found and (scale := settings.own("scale_factor")) is not ABSENT:
            found["image_seq_len"] = cls._tokens_of_a_tile(found, settings, scale)
        return found | _of_tokenizer(settings)

    @classmethod
    def _tokens_of_a_tile(cls, found: Mapping[str, Any], settings: Settings, scale: Any) -> int:
        vision = settings.own("vision_config")
        patch = vision.get("patch_size") if is_a(vision, Mapping) else None
        own = {**cls.defaults(), "patch_size": patch or cls.defaults()["patch_size"], **found}
        sizes = {name: own[name] for name in ("max_image_size", "patch_size")}
        for name, value in {**sizes, "scale_factor": scale}.items():
            if type(value) is not int or value < 1:
                raise settings.refused(name, "a positive integer")
        tokens: int = (sizes["max_image_size"] // sizes["patch_size"]) ** 2 // scale**2
        return tokens

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        ((rows,),), ((columns,),) = geometry.payload["rows"], geometry.payload["cols"]
        fake, image = Run("<fake_token_around_image>", 1), Run(self.image_token, self.image_seq_len)
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                yield from (fake, Run(f"<row_{row}_col_{column}>", 1), image)
            if row < rows:
                yield Run("\n", 1)
        if rows:
            yield Run("\n\n", 1) if self.joins_line_feeds else Run("\n", 2)
        yield from (fake, Run("<global-img>", 1), image, fake)

    def _lay_out(self, width: int, height: int) -> Geometry:
        rows, columns = self._tiles(width, height) if self.do_image_splitting else (0, 0)
        if max(rows, columns) > self.marked_tiles:
            expected = (
                f"at most {self.marked_tiles} rows and columns of tiles, whose marks are tokens"
            )
            raise self._limit(expected, width, height)
        frames = rows * columns + 1
        side = max(1, self.max_image_size // self.patch_size)  # as a convolution of that stride
        tokens = frames * (self.image_seq_len + 2) + 1
        if rows:
            tokens += rows - 1 + (1 if self.joins_line_feeds else 2)
        payload = {"rows": [[rows]], "cols": [[columns]]}
        return Geometry([frames, side, side], tokens, payload, tokens)

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles, which are 0 if the image is not cut."""
        # Every float operation is in the original's order; another order rounds differently.
        tile, ratio = self.max_image_size, width / height
        if width >= height:
            width, height = self.longest_edge, _even(int(self.longest_edge / ratio))
        else:
            width, height = _even(int(self.longest_edge * ratio)), self.longest_edge
        width, height = max(width, 1), max(height, 1)
        ratio = width / height
        if width >= height and width > _LONGEST:
            width, height = _LONGEST, int(_LONGEST / ratio)
        elif height > width and height > _LONGEST:
            width, height = int(_LONGEST * ratio), _LONGEST
        width, height = max(width, 1), max(height, 1)
        ratio = width / height
        if width >= height:
            columns = -(-width // tile)
            rows = -(-int(columns * tile / ratio) // tile)
        else:
            rows = -(-height // tile)
            columns = -(-int(rows * tile * ratio) // tile)
        return (rows, columns) if max(rows, columns) > 1 else (0, 0)


def _even(side: int) -> int:
    return side + side % 2


def _of_tokenizer(settings: Settings) -> dict[str, Any]:
    """The parameters that the processor's tokenizer states; none without one.

    Raises:
        ContractError: ``bad_value`` for a tokenizer without the marks of the family.
    """
    start = settings.mark("fake_image_token", "<fake_token_around_image>")
    end = settings.mark("image_token", "<image>")
    name = settings.mark("global_image_tag", "<global-img>")  # of Idefics 3
    name = settings.mark("global_image_token", name)  # of SmolVLM
    marks = [
        f"<row_{number}_col_{other}>"
        for number in range(1, _MOST_MARKS + 1)
        for other in range(1, _MOST_MARKS + 1)
    ]
    texts = ["", "\n", "\n\n", name, *marks]
    counts = settings.token_counts([f"{start}{text}{end}" for text in texts])
    if counts is None:
        return {}
    edges, line, lines, overview, *tiles = counts
    if (edges, line, overview) != (2, 3, 3) or lines not in (3, 4):
        expected = f"one token for {start}, {end}, {name} and a line feed"
        raise settings.refused_tokenizer(expected)
    single = {mark for mark, count in zip(marks, tiles, strict=True) if count == edges + 1}
    number = 0
    while (
        number < _MOST_MARKS
        and {
            mark
            for other in range(1, number + 2)
            for mark in (f"<row_{other}_col_{number + 1}>", f"<row_{number + 1}_col_{other}>")
        }
        <= single
    ):
        number += 1
    if not number:
        raise settings.refused_tokenizer("one token for <row_1_col_1>")
    return {"joins_line_feeds": lines == edges + 1, "marked_tiles": number}
