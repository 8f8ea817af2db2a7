"""The resizing rule of Qwen2-VL, ``smart_resize``, which GLM-4V shares."""

from __future__ import annotations

import math
from typing import Final

from rawmm.errors import contract_error

_MAX_RATIO: Final = 200


def smart_resize(
    image_width: int,
    image_height: int,
    *,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    frames: int = 1,
    enlarge: bool = False,
) -> tuple[int, int]:
    """The width and height in pixels that an image is resized to.

    Both are the multiples of `factor` nearest to the size; half-way, the even ones. Where the
    pixels of all `frames` are over `max_pixels` or under `min_pixels`, the image is scaled to
    these instead, and rounded inwards. With `enlarge`, sides below `factor` are brought up to it
    first.

    Raises:
        ContractError: ``image_limit`` for sides of more than 200 to 1.
    """
    width, height = image_width, image_height
    # The order of each float operation is the original's: another one rounds differently.
    if enlarge and min(width, height) < factor:
        scale = factor / min(width, height)
        width, height = int(width * scale), int(height * scale)
    if max(width, height) > _MAX_RATIO * min(width, height):
        raise contract_error(
            "image_limit",
            (),
            expected=f"sides of at most {_MAX_RATIO} to 1",
            got=f"{image_width} x {image_height} pixels",
            hint="crop or pad the image",
        )
    new_width = round(width / factor) * factor
    new_height = round(height / factor) * factor
    if frames * new_height * new_width > max_pixels:
        scale = math.sqrt((frames * height * width) / max_pixels)
        new_width = max(factor, math.floor(width / scale / factor) * factor)
        new_height = max(factor, math.floor(height / scale / factor) * factor)
    elif frames * new_height * new_width < min_pixels:
        scale = math.sqrt(min_pixels / (frames * height * width))
        new_width = math.ceil(width * scale / factor) * factor
        new_height = math.ceil(height * scale / factor) * factor
    return new_width, new_height
