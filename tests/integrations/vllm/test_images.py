"""Pixels: what rawmm and the test engine decode is what vLLM decodes, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from vllm.multimodal.image import open_image
from vllm.multimodal.media.image import ImageMediaIO

import rawmm
from rawmm import ENGINE, STORED, ImageDecoding, ImageStore, Limits, layouts
from rawmm.images import normalized_image, prepare_image
from rawmm.materialize import materialize
from tests.integrations.engine.pixels import decode_image
from tests.unit.images.odd_pictures import ODD, SIZE, gradient, saved
from tests.unit.images.pictures import exif_of

if TYPE_CHECKING:
    from pathlib import Path


# Pillow warns of malformed EXIF. The engine does not turn warnings into errors.
pytestmark = pytest.mark.filterwarnings("ignore")


def real(raw: bytes, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """What vLLM decodes."""
    loader = ImageMediaIO(rgba_background_color=background)
    image = loader.load_bytes(raw).media
    assert isinstance(image, Image.Image)
    return image


def assert_same(one: Image.Image, other: Image.Image) -> None:
    assert (one.mode, one.size) == (other.mode, other.size)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("case", ODD)
def test_pixels_are_those_of_vllm(case: str) -> None:
    raw = ODD[case]
    wanted = real(raw)
    assert_same(rawmm.decode_image(raw), wanted)
    assert_same(decode_image(raw, open_image), wanted)
    header = prepare_image(raw, Limits(decode="wrong checksum" not in case)).header
    assert ENGINE.size_of(header) == wanted.size
    # An image processor that turns images has nothing left to turn.
    assert not rawmm.decode_image(raw).getexif()


@pytest.mark.parametrize("case", ODD)
def test_image_is_ambiguous_where_decodings_differ(case: str) -> None:
    raw = ODD[case]
    prepared = prepare_image(raw, Limits())
    wanted = real(raw)
    if not prepared.header.ambiguous:
        assert_same(rawmm.decode_image(raw, STORED), wanted)
    normalized = normalized_image(prepared, Limits())
    for decoding in (ENGINE, STORED):
        assert_same(rawmm.decode_image(normalized.raw, decoding), wanted)
    assert not normalized.header.ambiguous
    assert (normalized is prepared) == (not prepared.header.ambiguous)


@pytest.mark.parametrize("case", [name for name in ODD if "EXIF" not in name])
def test_background_is_that_of_the_media_options(case: str) -> None:
    raw = ODD[case]
    decoded = rawmm.decode_image(raw, ImageDecoding(background=(1, 200, 90)))
    assert_same(decoded, real(raw, (1, 200, 90)))


def test_processor_gets_the_pixels_of_vllm(tmp_path: Path) -> None:
    raw = saved(gradient("RGBA", (80, 48)), exif=exif_of(6))
    store = ImageStore(tmp_path)
    seen: list[Image.Image] = []
    layout = layouts.get("qwen_vl", patch_size=14, min_pixels=3_136)
    described = rawmm.describe_image(store.put(raw), layout)

    def processor(images: list[Image.Image], return_tensors: str | None) -> dict[str, Any]:
        assert return_tensors == "np"
        seen.extend(images)
        grid = described.item.payload["image_grid_thw"]
        return {"pixel_values": np.asarray(images[0]), "image_grid_thw": np.asarray(grid)}

    sidecar = rawmm.MultiModalData(
        mm_hashes={"image": [described.mm_hash]},
        mm_items={"image": [described.item]},
        mm_placeholders={"image": [rawmm.PlaceholderRange(offset=0, length=described.num_tokens)]},
    )
    materialize(sidecar, image_processor=processor, layout=layout, store=store, return_tensors="np")
    assert_same(seen[0], real(raw))
    assert seen[0].size == (48, 80)


def test_images_are_turned_upright() -> None:
    upright = real(saved(gradient(), exif=exif_of(6)))
    assert upright.size == SIZE[::-1]
    np.testing.assert_array_equal(np.asarray(upright), np.rot90(np.asarray(gradient()), -1))


def test_transparency_is_put_on_white() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert np.asarray(real(saved(image))).tolist() == [[[255, 255, 255]]]
