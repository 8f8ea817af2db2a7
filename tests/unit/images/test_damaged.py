"""Damaged files: every exception of Pillow's decoders becomes one error without its text."""

from __future__ import annotations

import io
import random
import zlib
from typing import Any

import pytest
from PIL import Image

from rawmm import ENGINE, STORED, OffloadError
from rawmm.images import decode_pixels
from tests.unit.images.pictures import assert_silent, png_chunk

SIZE = (30, 20)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    """Random pixels."""
    bands = [Image.effect_noise(SIZE, 90) for _ in range(4)]
    return Image.merge("RGBA", bands).convert("RGB" if mode == "P" else "RGBA").convert(mode)


def damaged_pngs() -> list[bytes]:
    """PNG files with damaged chunks and valid checksums."""
    chosen = random.Random(7)
    raw = encoded(noise("P"), "PNG", transparency=bytes(9))
    out, body = [], []
    position = 8
    while position < len(raw):
        size = int.from_bytes(raw[position : position + 4], "big")
        body.append((raw[position + 4 : position + 8], raw[position + 8 : position + 8 + size]))
        position += 12 + size
    for _ in range(400):
        chunks = [list(chunk) for chunk in body]
        for chunk in chosen.sample(chunks[1:-1], 2):
            if chunk[1]:
                data = bytearray(chunk[1])
                data[chosen.randrange(len(data))] = chosen.randrange(256)
                chunk[1] = bytes(data[: chosen.choice([None, None, 3])])
        kinds = (b"zTXt", b"iCCP", b"pHYs", b"gAMA", b"eXIf", b"fcTL", b"acTL", b"cHRM")
        odd = [chosen.choice(kinds), chosen.randbytes(chosen.randrange(9))]
        chunks.insert(chosen.randrange(1, len(chunks)), odd)
        out.append(raw[:8] + b"".join(png_chunk(bytes(kind), data) for kind, data in chunks))
    return out


def damaged_files() -> list[bytes]:
    chosen = random.Random(8)
    out = damaged_pngs()
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        raw = encoded(noise(), kind)
        for _ in range(300):
            data = bytearray(raw)
            for _ in range(chosen.randrange(1, 5)):
                data[chosen.randrange(len(data))] = chosen.randrange(256)
            out.append(bytes(data[: chosen.choice([None, len(data) // 2])]))
    return out


def test_damaged_file_is_an_error_or_pixels() -> None:
    """Any exception of Pillow becomes one error without its text."""
    files = damaged_files()
    refused = []
    for index, raw in enumerate(files):
        try:
            assert decode_pixels(raw, (ENGINE, STORED)[index % 2]).mode == "RGB"
        except OffloadError as error:
            refused.append(error)
    assert len(files) / 3 < len(refused) < len(files)
    for found in refused:
        assert found.code in {"not_an_image", "image_limit"}
        assert found.__cause__ is found.__context__ is None
        assert_silent(found)


def test_endless_text_chunk_is_an_error() -> None:
    raw = encoded(noise(), "PNG")
    end = len(raw) - 12
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**21), 9))
    for place in (33, end):
        with pytest.raises(OffloadError) as caught:
            decode_pixels(raw[:place] + bomb + raw[place:], ENGINE)
        assert caught.value.code == "not_an_image"
