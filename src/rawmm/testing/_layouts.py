"""Compares a layout with the image processor that it stands for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError
from rawmm.values.arrays import as_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from PIL import Image

    from rawmm.layouts import Geometry, Layout

_SIDES: Final = (1, 2, 13, 14, 15, 16, 27, 28, 29, 32, 33, 55, 56, 57, 223, 224, 225, 447, 448, 449)
_RATIOS: Final = (3, 10, 199, 200, 201)


def check_layout(
    layout: Layout,
    processor: Callable[..., Any],
    *,
    count: int = 200,
    max_pixels: int = 250_000,
    seed: int = 0,
    sizes: Iterable[tuple[int, int]] | None = None,
    num_tokens: Callable[[Image.Image], int] | None = None,
    **call: Any,
) -> int:
    """Check that a layout lays out images of many sizes as an image processor does.

    For each size, what the processor returns for `Layout.output_names` and the keys of the payload
    must be the payload, and what the processor refuses with a ValueError or ZeroDivisionError the
    layout must refuse with ``image_limit``.

    Args:
        layout: the layout.
        processor: the image processor, called as in transformers. It needs Pillow images.
        count: how many sizes to draw, beside the sides around common patches and aspect ratios.
        max_pixels: the largest image to draw.
        seed: the seed of the drawn sizes, so that every run compares the same ones.
        sizes: ``(width, height)`` of each image, in place of drawn ones.
        num_tokens: the number of tokens that the family's processor writes into a prompt for an
            image; compared with `Geometry.num_tokens`.
        call: more arguments for each call of the processor.

    Returns:
        The number of sizes on which both agree and that neither refuses.

    Raises:
        AssertionError: at the first size on which they differ, with both sides.
    """
    from PIL import Image

    agreed = 0
    call = dict.fromkeys(layout.output_settings.values(), True) | call
    for width, height in _drawn(count, max_pixels, seed) if sizes is None else sizes:
        image = Image.new("RGB", (width, height), (200, 100, 50))
        geometry = _described(layout, width, height)
        outputs: Any = {}
        refused = None
        try:
            outputs = processor(images=[image], return_tensors="np", **call)
        except (ValueError, ZeroDivisionError) as error:
            refused = type(error).__name__
        if geometry is None:
            if refused is None:
                raise AssertionError(
                    f"{width} x {height}: the layout refuses the image, the processor does not"
                )
            continue
        if refused is not None:
            raise AssertionError(
                f"{width} x {height}: the processor raises {refused}, "
                f"the layout says {geometry.payload}"
            )
        for key, ours in geometry.payload.items():
            name = key if key in outputs else layout.output_names.get(key, key)
            theirs = as_lists(outputs[name]) if name in outputs else None
            if theirs != ours:
                raise AssertionError(
                    f"{width} x {height}: the processor returns {name}={theirs}, "
                    f"the layout says {ours}"
                )
        runs = sum(run.length for run in layout.placeholder(width, height))
        written = runs if num_tokens is None else num_tokens(image)
        if not geometry.num_tokens == runs == written:
            raise AssertionError(
                f"{width} x {height}: the prompt has {written} tokens, the layout says "
                f"{geometry.num_tokens}, and its placeholder has {runs}"
            )
        agreed += 1
    return agreed


def _described(layout: Layout, width: int, height: int) -> Geometry | None:
    try:
        return layout.describe(width, height)
    except RawMMError as error:
        if error.code != "image_limit":
            raise
        return None


def _drawn(count: int, max_pixels: int, seed: int) -> Iterator[tuple[int, int]]:
    """Sizes around common patches and ratios, then `count` random ones of all orders."""
    fixed = [(one, other) for one in _SIDES for other in (28, 224, one)]
    fixed += [(ratio * short, short) for ratio in _RATIOS for short in (1, 7, 28)]
    fixed += [(height, width) for width, height in fixed]
    yield from (size for size in fixed if size[0] * size[1] <= max_pixels)
    chosen = random.Random(seed)  # noqa: S311  (sizes are not secrets)
    longest = max(1, max_pixels).bit_length()
    for _ in range(count):
        width = max(1, min(max_pixels, int(2 ** chosen.uniform(0, longest))))
        yield width, chosen.randint(1, max(1, max_pixels // width))
