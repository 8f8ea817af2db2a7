"""Pixels: vLLM turns images upright and puts transparent ones on white, and so does the engine."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from vllm.multimodal.image import open_image
from vllm.multimodal.media.image import ImageMediaIO

from tests.integrations.engine.pixels import decode_image

if TYPE_CHECKING:
    from collections.abc import Callable

ORIENTATION = 0x0112
WIDTH, HEIGHT = 6, 4


def gradient(mode: str = "RGB") -> Image.Image:
    """Every pixel has a colour of its own; the alpha of RGBA is a gradient, too."""
    rows = [
        (40 * x, 60 * y, 7, 20 * (x + y)) for y in range(HEIGHT) for x in range(WIDTH)
    ]  # fmt: skip
    image = Image.new("RGBA", (WIDTH, HEIGHT))
    image.putdata(rows)
    return image if mode == "RGBA" else image.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def oriented(value: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return saved(gradient(), kind, exif=exif.tobytes())


def palette_with_alpha() -> bytes:
    image = gradient("RGB").quantize(8)
    return saved(image, transparency=bytes([0, 128, 255]))


PICTURES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved(gradient()),
    "RGBA": lambda: saved(gradient("RGBA")),
    "LA": lambda: saved(gradient("LA")),
    "L": lambda: saved(gradient("L")),
    "1": lambda: saved(gradient("1")),
    "P": lambda: saved(gradient("P")),
    "P with a transparent index": lambda: saved(gradient("P"), transparency=3),
    "P with alpha": palette_with_alpha,
    "RGB with a transparent colour": lambda: saved(gradient(), transparency=(40, 60, 7)),
    "L with a transparent grey": lambda: saved(gradient("L"), transparency=0),
    "16 bit": lambda: saved(gradient("L").convert("I;16")),
    "WebP with alpha": lambda: saved(gradient("RGBA"), "WEBP", lossless=True),
    "GIF": lambda: saved(gradient(), "GIF"),
    "CMYK": lambda: saved(gradient("CMYK"), "JPEG"),
    "JPEG": lambda: saved(gradient(), "JPEG"),
    **{
        f"{kind} of orientation {value}": partial(oriented, value, kind)
        for value in range(10)
        for kind in ("PNG", "JPEG", "WEBP")
    },
    "an EXIF block that is none": lambda: saved(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\xff"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_engine_decodes_as_vllm_does(case: str) -> None:
    raw = PICTURES[case]()
    real = ImageMediaIO().load_bytes(raw).media
    own = decode_image(raw, open_image)
    assert (own.mode, own.size) == (real.mode, real.size)
    np.testing.assert_array_equal(np.asarray(own), np.asarray(real))


def test_images_are_turned_upright() -> None:
    upright = ImageMediaIO().load_bytes(oriented(6)).media
    assert upright.size == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(np.asarray(upright), np.rot90(np.asarray(gradient()), -1))


def test_transparency_is_put_on_white() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    pixels = np.asarray(ImageMediaIO().load_bytes(saved(image)).media)
    assert pixels.tolist() == [[[255, 255, 255]]]
