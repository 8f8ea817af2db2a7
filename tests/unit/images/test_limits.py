"""Limits on images: bytes, edges and pixels."""

from __future__ import annotations

import tracemalloc

import pytest

from rawmm.errors import ContractError, OffloadError
from rawmm.images import Limits
from rawmm.images.prepare import check_image, prepare_image
from tests.unit.images.pictures import assert_silent, data_url, huge_png, picture


def refused(raw: bytes, limits: Limits) -> str:
    said = set()
    for source in (raw, data_url(raw)):
        with pytest.raises(OffloadError) as caught:
            check_image(source, limits)
        assert caught.value.code == "image_limit"
        assert_silent(caught.value, data_url(raw))
        said.add(str(caught.value))
    assert len(said) == 1
    return said.pop()


def test_image_of_30000_by_30000_is_refused_by_default() -> None:
    assert refused(huge_png(30_000, 30_000), Limits()) == (
        "$: expected at most 89478485 pixels in an image, got 900000000 (30000 x 30000 pixels); "
        "resize the image, or raise Limits.max_pixels [image_limit]"
    )


def test_long_image_is_refused_by_its_edge() -> None:
    assert refused(huge_png(40_000, 1), Limits()) == (
        "$: expected sides of at most 32768 pixels, got 40000 x 1 pixels; resize the image, or "
        "raise Limits.max_edge [image_limit]"
    )


def test_one_pixel_is_accepted_by_default_and_refused_on_demand() -> None:
    raw = picture(size=(1, 1))
    assert check_image(raw, Limits()).header.width == 1
    assert refused(raw, Limits(min_edge=28)) == (
        "$: expected sides of at least 28 pixels, got 1 x 1 pixels; leave the image out or "
        "enlarge it, or lower Limits.min_edge [image_limit]"
    )


def test_bytes_are_counted_exactly() -> None:
    raw = picture()
    size = len(raw)
    for source in (raw, data_url(raw)):
        assert check_image(source, Limits(max_bytes=size)).raw == raw
        with pytest.raises(OffloadError, match=r"at most \d+ bytes in an image"):
            check_image(source, Limits(max_bytes=size - 1))


def test_long_text_is_refused_before_it_is_decoded() -> None:
    url = "data:image/png;base64," + "A" * 40_000_000
    tracemalloc.start()
    with pytest.raises(OffloadError) as caught:
        check_image(url, Limits(max_bytes=1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "image_limit"
    assert caught.value.expected == "at most 1000000 bytes in an image"
    assert peak < 1_000_000


def test_limits_of_the_caller_may_be_above_those_of_pillow() -> None:
    generous = Limits(max_pixels=10**9)
    assert check_image(huge_png(30_000, 30_000), generous).header.height == 30_000


def test_limit_comes_before_the_missing_end() -> None:
    assert "900000000" in refused(huge_png(30_000, 30_000)[:64], Limits())


@pytest.mark.parametrize("source", [None, 3, ["x"], object()])
def test_other_sources_are_refused(source: object) -> None:
    with pytest.raises(OffloadError) as caught:
        check_image(source, Limits())
    assert caught.value.code == "wrong_type"


def test_bytes_are_not_copied_and_mutable_buffers_are() -> None:
    raw = picture()
    assert prepare_image(raw, Limits()).raw is raw
    buffer = bytearray(raw)
    image = prepare_image(memoryview(buffer), Limits())
    buffer[:] = bytes(len(buffer))
    assert image.raw == raw
    assert "raw=" not in repr(image)


def test_label_that_disagrees_is_accepted_unless_limits_refuse_it() -> None:
    raw = picture("JPEG")
    url = data_url(raw, "image/png")
    assert check_image(url, Limits()).header.media_type == "image/jpeg"
    with pytest.raises(OffloadError) as caught:
        check_image(url, Limits(mislabelled="refuse"))
    assert caught.value.code == "image_type_mismatch"
    assert check_image(data_url(raw, "image/pjpeg"), Limits(mislabelled="refuse")).raw == raw


@pytest.mark.parametrize(("kind", "cut"), [("PNG", 12), ("PNG", 3), ("GIF", 1)])
def test_missing_end_marker_is_accepted_unless_limits_refuse_it(kind: str, cut: int) -> None:
    raw = picture(kind)[:-cut]
    assert not check_image(raw, Limits()).has_end
    with pytest.raises(OffloadError) as caught:
        check_image(raw, Limits(truncated="refuse"))
    assert caught.value.code == "not_an_image"
    assert caught.value.got.startswith("a file without its end")


@pytest.mark.parametrize("name", ["mislabelled", "truncated", "other_media"])
@pytest.mark.parametrize("value", ["Refuse", True, None, ["refuse"]])
def test_choice_takes_two_words_only(name: str, value: object) -> None:
    with pytest.raises(ContractError) as caught:
        Limits(**{name: value})
    assert (caught.value.code, caught.value.path) == ("bad_value", f"$.{name}")
