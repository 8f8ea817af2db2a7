"""Descriptors of files against what the image processor makes of them, opened as consumers do."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from transformers.image_utils import load_image

from rawmm import STORED, layouts
from rawmm.describe import describe_image
from tests.integrations.transformers import real
from tests.unit.images.pictures import data_url

FAMILIES = {
    "qwen_vl": real.qwen_vl,
    "glm4v": real.glm4v,
    "gemma3": real.gemma3,
    "internvl": real.internvl,
    "pixtral": real.pixtral,
}


def file(kind: str, mode: str, size: tuple[int, int], orientation: int | None = None) -> bytes:
    out, options = io.BytesIO(), {}
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


def payload_of(family: str, image: Image.Image) -> dict[str, Any]:
    """The processor's outputs other than the pixels."""
    out = FAMILIES[family]().image_processor(images=[image], return_tensors="np")
    return {key: value.tolist() for key, value in out.items() if key != "pixel_values"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "L"), ("WEBP", "RGB"), ("GIF", "P")],
)
def test_descriptors_of_files_agree(family: str, kind: str, mode: str) -> None:
    raw = file(kind, mode, (150, 70))
    with Image.open(io.BytesIO(raw)) as image:
        assert describe_image(raw, family).item.payload == payload_of(family, image.convert("RGB"))


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_stored_is_what_bare_processors_see(orientation: int) -> None:
    raw = file("JPEG", "RGB", (150, 70), orientation)
    payload = describe_image(raw, "pixtral", decoding=STORED).item.payload
    with Image.open(io.BytesIO(raw)) as image:
        assert (
            payload == payload_of("pixtral", image.convert("RGB")) == {"image_sizes": [[80, 160]]}
        )
        assert payload == payload_of("pixtral", image)


def test_load_image_of_transformers_turns_as_the_engine_does() -> None:
    raw = file("JPEG", "RGB", (150, 70), 6)
    image = load_image(data_url(raw, "image/jpeg"))
    described = describe_image(raw, "pixtral").item.payload
    assert payload_of("pixtral", image) == described == {"image_sizes": [[160, 80]]}


def test_first_families_are_compared() -> None:
    """The others are compared by size in test_parity; how a file is opened is the same for all."""
    assert {*FAMILIES} < set(layouts.FAMILIES)
