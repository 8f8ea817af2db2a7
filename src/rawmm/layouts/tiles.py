"""How images are cut into tiles: arrangements in rows and columns, and the choice of one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TILES: Final = 4096
"""Bounds the arrangements to compare. The published models have at most 40 tiles."""


@lru_cache(maxsize=16)
def arrangements(fewest: int, most: int) -> tuple[tuple[int, int], ...]:
    """Columns and rows of each arrangement, by number of tiles, then columns."""
    found = [
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if columns * rows >= fewest
    ]
    return tuple(sorted(found, key=lambda one: (one[0] * one[1], one[0])))


def nearest_arrangement(
    width: int, height: int, choices: Iterable[tuple[int, int]], tile: int
) -> tuple[int, int]:
    """Columns and rows of the arrangement nearest to an image's aspect ratio.

    Of two equally near ones the later counts if the image fills more than half its area.
    """
    ratio, area = width / height, width * height
    nearest, best = float("inf"), (1, 1)
    for columns, rows in choices:
        distance = abs(ratio - columns / rows)
        if distance < nearest or (
            distance == nearest and area > 0.5 * tile * tile * columns * rows
        ):
            nearest, best = distance, (columns, rows)
    return best
