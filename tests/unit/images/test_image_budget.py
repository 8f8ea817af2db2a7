"""Files of many tiny blocks are refused within a budget of steps; ordinary metadata passes."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL
import pytest

import rawmm.images
from rawmm.errors import OffloadError
from rawmm.images.blocks import BYTES_PER_BLOCK, MAX_BLOCKS
from rawmm.images.header import ImageHeader, check_complete, read_header
from tests.unit.images.hostile_images import HEIGHT, HOSTILE, ORDINARY, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 4 << 20
LINES_OF_A_BLOCK = 16
COUNTED = tuple(str(Path(module.__file__).parent) for module in (rawmm.images, PIL))


def check(raw: bytes) -> ImageHeader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about EXIF of zeros
        header = read_header(raw)
        check_complete(raw, header)
    return header


def steps_of(action: Callable[[], object]) -> int:
    """The lines of Python that run in rawmm and Pillow."""
    steps = 0

    def count(_frame: Any, event: str, _argument: object) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    def enter(frame: Any, _event: str, _argument: object) -> Any:
        return count if frame.f_code.co_filename.startswith(COUNTED) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        action()
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("name", HOSTILE)
def test_many_tiny_blocks_are_refused_within_a_budget_of_steps(name: str) -> None:
    raw = HOSTILE[name](SIZE)
    caught: list[OffloadError] = []

    def refuse() -> None:
        with pytest.raises(OffloadError) as error:
            check(raw)
        caught.append(error.value)

    assert steps_of(refuse) < LINES_OF_A_BLOCK * (MAX_BLOCKS + len(raw) // BYTES_PER_BLOCK)
    assert caught[0].code == "image_limit"
    assert str(caught[0]).endswith(" from its pixels, without metadata [image_limit]")


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_metadata_and_frames_pass(name: str) -> None:
    header = check(ORDINARY[name]())
    assert (header.width, header.height) == (WIDTH, HEIGHT)


def test_sentence_names_the_budget() -> None:
    with pytest.raises(OffloadError) as caught:
        check(HOSTILE["png, texts"](SIZE))
    said = str(caught.value)
    assert said.startswith(
        "$: expected at most 1024 metadata blocks in an image/png file, got more; "
    )
    assert said.endswith(" from its pixels, without metadata [image_limit]")
