"""Sizes of images on which layouts and real image processors must agree, ``(width, height)``."""

from __future__ import annotations

import random
from math import isqrt
from typing import Final, TypeAlias

Size: TypeAlias = tuple[int, int]

_SIDES: Final = (1, 2, 3, 5, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 55, 56, 57, 223, 224, 255)
_PRIMES: Final = (
    7, 11, 19, 101, 199, 211, 397, 499, 613, 769, 1009, 1279, 1543, 2003, 4099, 7919, 9973, 15013,
    24989, 32749,
)  # fmt: skip
_TOKENS: Final = (14, 16, 28, 32, 48)
"""Sides of a token in pixels. Halves of them are where rounding decides."""
_AREAS: Final = (
    3_136, 12_544, 65_536, 1_003_520, 12_845_056, 16_777_216,  # Qwen's bounds
    6_272, 4_816_896, 5_880_000,  # GLM's, for two frames
    16_384 * 14 * 14, 1024 * 1024, 1540 * 1540,  # Kimi's and Pixtral's
)  # fmt: skip
_LONG: Final = (1023, 1024, 1025, 1540, 1541, 7167, 7168, 7169, 7182, 100_000, 2**31 - 1)
"""Longest sides, and one more."""
_EXACT: Final = {(576, 36_864), (768, 49_152), (3_520, 225_280), (112, 126)}
"""Where another order of the same float operations, or "over" read as "from", gives another grid."""


def _both_ways(sizes: set[Size]) -> set[Size]:
    return sizes | {(height, width) for width, height in sizes}


def _sizes() -> list[Size]:
    sizes = _EXACT | {(width, height) for width in _SIDES for height in _SIDES}
    sizes |= {(width, height) for width in _PRIMES for height in _PRIMES}
    for token in _TOKENS:
        halves = [token * k + token // 2 for k in range(12)]
        sizes |= {(halves[k], halves[-k]) for k in range(1, 12)}
        sizes |= {(half, token * 9 + off) for half in halves for off in (-1, 0, 1)}
    for short in (1, 2, 3, 9, 14, 27, 28, 32, 83, 160):
        sizes |= {(200 * short + off, short) for off in (-1, 0, 1, short // 2, short, 40 * short)}
    for area in _AREAS:
        side = isqrt(area)
        sizes |= {(side + x, side + y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
        sizes |= {(area // height + off, height) for height in (97, 480, 1200) for off in (0, 1)}
    sizes |= {(long, short) for long in _LONG for short in (1, 3, 14, 512, 1024, long)}
    chosen = random.Random(20260926)  # the same sizes on every machine
    sizes |= {
        (int(2 ** chosen.uniform(0, 15)), int(2 ** chosen.uniform(0, 15))) for _ in range(1200)
    }
    return sorted(_both_ways(sizes))


SIZES: Final = _sizes()
"""One pixel, primes, half-way roundings, 200 to 1 and just over, every limit and one more."""

SMALL: Final = [size for size in SIZES if size[0] * size[1] <= 250_000]
"""Those that fit in memory."""
