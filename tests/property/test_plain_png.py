"""Plain PNG files are judged as Pillow judges them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawmm.errors import OffloadError
from rawmm.images.header import (
    CompleteImage,
    ImageHeader,
    check_complete,
    complete_by_pillow,
    read_header,
)
from rawmm.images.plain_png import plain_png_transparency
from tests.unit.images.pictures import exif_of, picture, png_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"\x89PNG\r\n\x1a\n"
PIXELS = zlib.compress(bytes(64))


def ihdr(depth: int = 8, colour: int = 2, *rest: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, depth, colour, *(rest or (0, 0, 0))))


SMALL = st.integers(0, 2)
headers = st.builds(ihdr, st.sampled_from([1, 2, 4, 8, 16, 3]), st.integers(0, 7)) | st.builds(
    ihdr, st.just(8), st.sampled_from([2, 6]), SMALL, SMALL, SMALL
)
keywords = st.sampled_from(
    [b"Comment", b"Software", b"Title", b"transparency", b"exif", b"Raw profile type exif",
     b"XML:com.adobe.xmp", b"", b"comment", b"Author"]
)  # fmt: skip
bodies = st.binary(max_size=12) | st.just(exif_of(6)) | st.just(bytes(9)) | st.just(bytes(4))
texts = st.builds(
    lambda kind, key, end: png_chunk(kind, key + end),
    st.sampled_from([b"tEXt", b"zTXt", b"iTXt"]),
    keywords,
    st.sampled_from([b"\0a", b"", b"\0\0\0\0\0a", b"\0" + b"a" * 5000, b"\0\xff"]),
)
KINDS = [b"pHYs", b"gAMA", b"sRGB", b"tRNS", b"eXIf", b"PLTE", b"IDAT", b"acTL", b"fcTL", b"bKGD"]
chunks = texts | st.builds(png_chunk, st.sampled_from([*KINDS, b"IEND", b"ab1d"]), bodies)
damaged = st.builds(lambda chunk, cut: chunk[:-1] + bytes([cut]), chunks, st.integers(0, 255))
pixels = st.just(png_chunk(b"IDAT", PIXELS))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    others = st.lists(chunks | damaged, max_size=2).map(b"".join)
    pieces = (draw(headers), draw(others), draw(pixels), draw(others), png_chunk(b"IEND", b""))
    return MAGIC + b"".join(pieces)


def judged(raw: bytes, judge: Callable[[bytes, ImageHeader], CompleteImage]) -> CompleteImage | str:
    try:
        return judge(raw, read_header(raw))
    except OffloadError as error:
        return error.code


@given(files())
@example(picture())
@example(MAGIC + ihdr() + png_chunk(b"IDAT", PIXELS) + png_chunk(b"IEND", b""))
@example(
    MAGIC + ihdr() + png_chunk(b"tEXt", b"Comment\0a") * 20 + png_chunk(b"IDAT", PIXELS)
    + png_chunk(b"IEND", b"")
)  # fmt: skip
def test_plain_file_is_judged_as_pillow_judges_it(raw: bytes) -> None:
    assert judged(raw, check_complete) == judged(raw, complete_by_pillow)


@given(files(), st.integers(0, 40))
def test_cut_file_is_judged_as_pillow_judges_it(raw: bytes, cut: int) -> None:
    raw = raw[: len(raw) - cut]
    assert judged(raw, check_complete) == judged(raw, complete_by_pillow)


@pytest.mark.parametrize("number", [5000, 70_000])
def test_file_of_too_many_blocks_is_not_plain(number: int) -> None:
    raw = MAGIC + ihdr() + png_chunk(b"IDAT", b"") * number + png_chunk(b"IEND", b"")
    assert plain_png_transparency(raw) is None


@given(st.integers(0, 80))
def test_truncated_file_is_not_plain(end: int) -> None:
    assert plain_png_transparency(picture()[: min(end, len(picture()) - 1)]) is None


def test_screenshot_is_plain() -> None:
    assert plain_png_transparency(picture()) is False
    body = MAGIC + ihdr(8, 6) + png_chunk(b"pHYs", bytes(9)) + png_chunk(b"IDAT", PIXELS)
    late = png_chunk(b"tEXt", b"Comment\0late") + png_chunk(b"IEND", b"")
    assert plain_png_transparency(body + late) is True
    assert plain_png_transparency(body + png_chunk(b"eXIf", exif_of(6)) + late) is None
