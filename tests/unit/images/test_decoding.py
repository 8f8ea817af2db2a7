"""`ImageDecoding` and `decode_image`: which pixels a file stands for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import rawmm
from rawmm import ENGINE, STORED, ContractError, ImageDecoding, Limits, OffloadError, layouts
from rawmm.images import ImageHeader, prepare_image
from tests.cases import each
from tests.unit.images.odd_pictures import ODD, gradient, saved
from tests.unit.images.pictures import assert_silent, data_url, exif_of, huge_png, png_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}
"""What each orientation does, as EXIF 2.32 says."""


# Pillow warns of malformed EXIF.
pytestmark = pytest.mark.filterwarnings("ignore")


def pixels(image: Image.Image) -> Any:
    assert image.mode == "RGB"
    return np.asarray(image)


class TestValues:
    def test_default_is_the_engine(self) -> None:
        assert ImageDecoding() == ENGINE
        assert (ENGINE.orientation, ENGINE.background) == ("exif", (255, 255, 255))
        assert (STORED.orientation, STORED.background) == ("stored", None)

    def test_list_as_background_is_a_tuple(self) -> None:
        given: Any = [1, 2, 3]
        assert ImageDecoding(background=given) == ImageDecoding(background=(1, 2, 3))
        assert hash(ImageDecoding(background=given))

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"orientation": "up"}, "bad_value"),
            ({"orientation": None}, "bad_value"),
            ({"orientation": []}, "bad_value"),
            ({"background": (1, 2)}, "wrong_type"),
            ({"background": "white"}, "wrong_type"),
            ({"background": (True, 0, 0)}, "wrong_type"),
            ({"background": (0.0, 0, 0)}, "wrong_type"),
            ({"background": (0, 0, 256)}, "out_of_range"),
            ({"background": (0, -1, 0)}, "out_of_range"),
        ],
    )
    def test_other_value_is_refused(self, values: dict[str, Any], code: str) -> None:
        with pytest.raises(ContractError) as caught:
            ImageDecoding(**values)
        assert (caught.value.code, caught.value.path) == (code, f"$.{next(iter(values))}")

    def test_fingerprint_has_what_is_not_the_default(self) -> None:
        layout = layouts.get("qwen_vl")

        def named(**values: Any) -> str:
            return rawmm.image_layout_fingerprint(family="qwen_vl", **layout.parameters, **values)

        assert layout.fingerprint(ENGINE) == layout.fingerprint() == named()
        assert layout.fingerprint(STORED) == named(
            decoding_orientation="stored", decoding_background=None
        )
        assert layout.fingerprint(ImageDecoding("stored")) == named(decoding_orientation="stored")
        black = ImageDecoding(background=(0, 0, 0))
        assert layout.fingerprint(black) == named(decoding_background=[0, 0, 0])


class TestPixels:
    @each("orientation", range(1, 9))
    @each("kind", ["PNG", "JPEG", "WEBP"])
    def test_orientation_is_applied_or_not(self, kind: str, orientation: int) -> None:
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        raw = saved(gradient(), kind, exif=exif_of(orientation), **options)
        with Image.open(io.BytesIO(raw)) as image:
            stored = np.asarray(image.convert("RGB"))
        turned = TURNS[orientation](stored)
        for decoding, wanted in ((ENGINE, turned), (STORED, stored)):
            found = rawmm.decode_image(raw, decoding)
            np.testing.assert_array_equal(pixels(found), wanted)
            # An image processor has nothing to turn.
            assert not found.getexif()
            assert not found.info

    def test_transparency_has_the_background(self) -> None:
        raw = saved(Image.new("RGBA", (1, 1), (100, 0, 200, 51)))
        for decoding, wanted in (
            (ENGINE, [224, 204, 244]),
            (STORED, [100, 0, 200]),
            (ImageDecoding(background=(0, 0, 0)), [20, 0, 40]),
            (ImageDecoding(background=None), [100, 0, 200]),
        ):
            assert pixels(rawmm.decode_image(raw, decoding)).tolist() == [[wanted]]

    def test_orientation_and_transparency_are_independent(self) -> None:
        raw = saved(gradient("RGBA"), exif=exif_of(6))
        only_turned = rawmm.decode_image(raw, ImageDecoding("exif", None))
        wanted = np.rot90(pixels(rawmm.decode_image(raw, STORED)), -1)
        np.testing.assert_array_equal(pixels(only_turned), wanted)
        only_white = rawmm.decode_image(raw, ImageDecoding("stored"))
        assert only_white.size == only_turned.size[::-1]

    @each("case", ODD)
    def test_stored_is_what_convert_returns(self, case: str) -> None:
        raw = ODD[case]
        with Image.open(io.BytesIO(raw)) as image:
            wanted = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(pixels(rawmm.decode_image(raw, STORED)), wanted)

    @each("case", ODD)
    def test_size_is_known_from_the_header(self, case: str) -> None:
        header = prepare_image(ODD[case], Limits()).header
        for decoding in (ENGINE, STORED):
            assert rawmm.decode_image(ODD[case], decoding).size == decoding.size_of(header)

    def test_data_url_is_decoded(self) -> None:
        raw = saved(gradient())
        np.testing.assert_array_equal(
            pixels(rawmm.decode_image(data_url(raw))), pixels(rawmm.decode_image(raw))
        )


class TestRefusals:
    def test_argument_of_another_type(self) -> None:
        wrong: Any = "exif"
        picture: Any = Image.new("RGB", (1, 1))
        for decoding, limits, at in ((wrong, None, "decoding"), (ENGINE, wrong, "limits")):
            with pytest.raises(ContractError) as caught:
                rawmm.decode_image(saved(gradient()), decoding, limits=limits)
            assert (caught.value.code, caught.value.path) == ("wrong_type", f"$.{at}")
        with pytest.raises(OffloadError) as refused:
            rawmm.decode_image(picture)
        assert refused.value.code == "wrong_type"

    def test_image_over_a_limit(self) -> None:
        for raw, limits in (
            (huge_png(40_000, 40_000), None),
            (saved(gradient()), Limits(max_edge=6)),
        ):
            with pytest.raises(OffloadError) as caught:
                rawmm.decode_image(raw, limits=limits)
            assert caught.value.code == "image_limit"

    def test_bomb_of_pillow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(OffloadError) as caught:
            rawmm.decode_image(saved(gradient()))
        assert caught.value.code == "image_limit"
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
    def test_cut_image(self, kind: str) -> None:
        raw = saved(gradient(), kind)
        for end in (0, 5, len(raw) // 2, len(raw) - 20):
            with pytest.raises(OffloadError) as caught:
                rawmm.decode_image(raw[:end])
            assert caught.value.code == "not_an_image"
            assert_silent(caught.value, data_url(raw))


def with_idat(body: bytes) -> bytes:
    """A PNG with other compressed pixels, and a good checksum."""
    raw = saved(gradient())
    start, end = raw.index(b"IDAT") - 4, raw.index(b"IEND") - 4
    return raw[:start] + png_chunk(b"IDAT", body) + raw[end:]


def damaged_bodies() -> dict[str, bytes]:
    raw = saved(gradient())
    at, end = raw.index(b"IDAT"), raw.index(b"IEND") - 4
    body = raw[at + 4 : end - 4]
    webp = bytearray(saved(gradient(size=(64, 64)), "WEBP", lossless=True))
    webp[40:90] = bytes(50)
    return {
        "a wrong checksum of the pixels": raw[: end - 4] + bytes(4) + raw[end:],
        "a flipped bit of the pixels": with_idat(body[:9] + bytes([body[9] ^ 1]) + body[10:]),
        "pixels cut": with_idat(body[: len(body) // 2]),
        "no pixels": with_idat(b""),
        "pixels that are not compressed": with_idat(bytes(90)),
        "a wrong checksum of metadata behind the pixels": raw[:end]
        + png_chunk(b"tEXt", b"a\0b")[:-4]
        + bytes(4)
        + raw[end:],
        "WebP": bytes(webp),
    }


class TestDecodeLimit:
    """`Limits.decode`, which finds a damaged body behind a good header."""

    @pytest.mark.parametrize(("case", "raw"), damaged_bodies().items())
    def test_damaged_body_is_found(self, case: str, raw: bytes) -> None:
        assert prepare_image(raw, Limits()).header.width, case
        with pytest.raises(OffloadError) as caught:
            prepare_image(raw, Limits(decode=True))
        assert caught.value.code == "not_an_image"
        assert_silent(caught.value, data_url(raw))
        part = [{"type": "image_url", "image_url": {"url": data_url(raw)}}]
        with pytest.raises(OffloadError) as caught:
            rawmm.offload_images_inplace(part, mode="inline", limits=Limits(decode=True))
        assert caught.value.path == "$[0].image_url.url"

    @each("case", [case for case in ODD if "wrong checksum" not in case])
    def test_good_body_passes(self, case: str) -> None:
        assert prepare_image(ODD[case], Limits(decode=True)) == prepare_image(ODD[case], Limits())

    def test_png_without_its_end_passes(self) -> None:
        raw = saved(gradient())
        assert not prepare_image(raw[:-12], Limits(decode=True)).has_end

    def test_other_value_is_refused(self) -> None:
        wrong: Any
        for wrong in (1, "yes", None):
            with pytest.raises(ContractError) as caught:
                Limits(decode=wrong)
            assert (caught.value.code, caught.value.path) == ("wrong_type", "$.decode")


def test_header_names_what_is_ambiguous() -> None:
    header = ImageHeader("image/png", 1, 1)
    assert header.ambiguous == []
    turned = ImageHeader("image/png", 1, 1, orientation=6, transparent=True)
    assert turned.ambiguous == ["orientation", "transparency"]
