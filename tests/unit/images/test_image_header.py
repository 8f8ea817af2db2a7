"""Image headers: type, size and completeness."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawmm.errors import OffloadError
from rawmm.images.header import (
    ImageHeader,
    check_complete,
    check_declared_type,
    check_end,
    read_header,
)
from tests.cases import every
from tests.unit.images.pictures import (
    FORMATS,
    assert_silent,
    data_url,
    huge_png,
    picture,
    png_chunk,
)

EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a description"

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {}),
    "PNG with metadata": ("PNG", {"dpi": (72, 72), "exif": EXIF, "icc_profile": b"x" * 40}),
    "JPEG": ("JPEG", {}),
    "JPEG progressive": ("JPEG", {"progressive": True, "comment": b"\xff\xd9 hello"}),
    "JPEG with EXIF": ("JPEG", {"exif": EXIF, "icc_profile": b"x" * 70_000}),
    "WebP lossy": ("WEBP", {}),
    "WebP lossless": ("WEBP", {"lossless": True}),
    "WebP extended": ("WEBP", {"exif": EXIF}),
    "GIF": ("GIF", {"comment": b"; ! ,"}),
    "GIF animated": ("GIF", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
    "WebP animated": ("WEBP", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
    "PNG animated": ("PNG", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
}


def check(raw: bytes) -> ImageHeader:
    return check_complete(raw, read_header(raw)).header


def refused(raw: bytes) -> OffloadError:
    with pytest.raises(OffloadError) as caught:
        check(raw)
    assert caught.value.code == "not_an_image"
    assert caught.value.hint
    assert caught.value.__cause__ is None
    assert_silent(caught.value, data_url(raw))
    return caught.value


@pytest.mark.parametrize(("kind", "options"), VARIANTS.values(), ids=VARIANTS)
def test_type_and_size_are_read(kind: str, options: dict[str, Any]) -> None:
    header = check(picture(kind, **options))
    orientation = 6 if options.get("exif") else 1
    assert header == ImageHeader(f"image/{kind.lower()}", 24, 16, orientation)
    assert header.extension == FORMATS[kind]


@pytest.mark.parametrize(("kind", "options"), VARIANTS.values(), ids=VARIANTS)
def test_no_pixel_is_decoded(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = picture(kind, **options)

    def load(image: object) -> None:
        pytest.fail(f"{image} was decoded")

    plugins = ("PngImagePlugin.PngImageFile", "WebPImagePlugin.WebPImageFile")
    for name in (*plugins, "ImageFile.ImageFile"):
        monkeypatch.setattr(f"PIL.{name}.load", load)
    check(raw)


@every(4)
@pytest.mark.parametrize(("kind", "options"), VARIANTS.values(), ids=VARIANTS)
def test_every_truncation_is_seen(kind: str, options: dict[str, Any], step: int) -> None:
    raw = picture(kind, **options)
    first = min(64, len(raw))
    end = {"PNG": 12, "GIF": 1}.get(kind, 0)
    # Each length of a short file, and some of a long one.
    apart = 1 if len(raw) <= 1000 else len(raw) * step // 200 + 1
    for length in [*range(first), *range(first, len(raw), apart), len(raw) - 1]:
        # A GIF does not say how many frames it has.
        is_frame = kind == "GIF" and raw[length : length + 2] == b"!\xf9" and b"," in raw[:length]
        if len(raw) - length > end and not is_frame:
            refused(raw[:length])
            continue
        # Only the end marker is cut, and every decoder reads the file.
        header = read_header(raw[:length])
        assert not check_complete(raw[:length], header).has_end
        with Image.open(io.BytesIO(raw[:length])) as image:
            image.load()
        with pytest.raises(OffloadError) as caught:
            check_end(header, has_end=False)
        assert caught.value.got == "a file without its end marker"


def test_frame_that_is_declared_must_be_there() -> None:
    gif = picture("GIF", save_all=True, append_images=[Image.new("RGB", (24, 16))])
    second = gif.rindex(b"!\xf9\x04")
    # The control block of the second frame announces it.
    refused(gif[: second + 8])
    assert not check_complete(gif[:second], read_header(gif)).has_end
    png = picture("PNG", save_all=True, append_images=[Image.new("RGB", (24, 16))])
    last = png.rindex(b"fdAT") - 4
    for end in (last, last - 38, png.index(b"IDAT") - 4):
        refused(png[:end])


def test_png_whose_pixels_end_early_is_refused_without_its_end() -> None:
    pixels = zlib.compress(bytes(3 * 10))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 3, 8, 0, 0, 0, 0))
    for body in (pixels[:-5], b"", pixels[:9] + b"\xff" * 9):
        refused(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", body))
    whole = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", pixels)
    assert not check_complete(whole, read_header(whole)).has_end


def test_bomb_without_an_end_marker_is_refused_after_the_pixels_of_its_header() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 3, 8, 0, 0, 0, 0))
    refused(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", bomb))


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_after_the_end_are_ignored(kind: str) -> None:
    assert check(picture(kind) + b"\0" * 100).width == 24


def test_thumbnail_in_the_metadata_does_not_end_the_file() -> None:
    thumbnail = b"Exif\0\0" + picture("JPEG", (8, 8))
    raw = picture("JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = raw[:2] + segment + raw[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert check(whole).width == 24
        refused(whole[:-2])


@pytest.mark.parametrize(
    "raw",
    [b"", b"hello", b"BM" + bytes(60), b"II*\0" + bytes(60), b"<svg/>", b"\x89PNG", bytes(100)],
    ids=["empty", "text", "bmp", "tiff", "svg", "magic cut off", "zeros"],
)
def test_other_formats_are_refused(raw: bytes) -> None:
    error = refused(raw)
    assert str(error) == (
        f"$: expected a PNG, JPEG, WebP or GIF file, got {len(raw)} bytes of something else; "
        "convert the image to one of these formats first [not_an_image]"
    )


def test_damaged_file_has_a_whole_sentence() -> None:
    assert str(refused(picture()[:-20])) == (
        "$: expected a complete image/png file, got a truncated or damaged file; "
        "write the image again from its source [not_an_image]"
    )
    assert refused(picture("GIF")[:12]).got == "a truncated header"


def test_png_without_pixels_or_with_two_headers_is_refused() -> None:
    magic, end = b"\x89PNG\r\n\x1a\n", png_chunk(b"IEND", b"")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 0))
    other = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", b"")
    refused(magic + header + end)
    assert refused(magic + header + other + data + end).got == (
        "headers that disagree about the size"
    )
    bomb = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    refused(magic + header + bomb + data + end)
    warned = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0))
    refused(magic + header + warned + data + end)
    refused(magic + data + header + end)
    assert refused(
        magic + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 3, 8, 0, 0, 0, 0)) + data + end
    ).got == ("a size of 0 x 3 pixels")


def test_header_that_pillow_cannot_read_is_refused() -> None:
    raw = bytearray(picture())
    raw[29] ^= 1  # the checksum of IHDR
    assert refused(bytes(raw)).got == "a file whose header Pillow cannot read"
    raw = bytearray(picture("JPEG"))
    raw[raw.index(b"\xff\xc0") + 4] = 12  # bits per sample
    assert refused(bytes(raw)).got == "a file whose header Pillow cannot read"


def test_large_image_passes_pillows_bomb_check() -> None:
    # The test suite turns warnings into errors, so a warning would fail here, too.
    assert check(huge_png(30_000, 30_000)) == ImageHeader("image/png", 30_000, 30_000)
    assert check(huge_png(10_000, 10_000)).width == 10_000


def test_warning_of_pillow_does_not_refuse_a_file() -> None:
    raw = picture("PNG")
    animation = png_chunk(b"acTL", struct.pack(">II", 0, 0))
    assert check(raw[:33] + animation + raw[33:]).width == 24


def test_gif_grows_with_its_first_frame() -> None:
    raw = bytearray(picture("GIF"))
    raw[6:10] = struct.pack("<HH", 2, 2)
    assert check(bytes(raw)) == ImageHeader("image/gif", 24, 16)


@pytest.mark.parametrize("kind", FORMATS)
def test_declared_type_must_match_the_file(kind: str) -> None:
    header = read_header(picture(kind))
    for other in FORMATS:
        declared = f"image/{other.lower()}"
        if other == kind:
            check_declared_type(declared, header)
            continue
        with pytest.raises(OffloadError) as caught:
            check_declared_type(declared, header)
        assert caught.value.code == "image_type_mismatch"
        assert str(caught.value) == (
            f"$: expected the declared type '{declared}', got a file of type "
            f"'image/{kind.lower()}'; declare image/{kind.lower()}, or allow it with "
            "Limits(mislabelled='accept') [image_type_mismatch]"
        )


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("image/jpg", "JPEG"),
        ("image/pjpeg", "JPEG"),
        ("image/x-png", "PNG"),
        ("image/apng", "PNG"),
    ],
)
def test_other_name_of_a_type_is_that_type_and_no_other(declared: str, kind: str) -> None:
    check_declared_type(declared, read_header(picture(kind)))
    with pytest.raises(OffloadError):
        check_declared_type(declared, read_header(picture("GIF")))


@pytest.mark.parametrize("declared", ["", "image", "image/*", "application/octet-stream"])
def test_type_that_says_nothing_fits_every_image(declared: str) -> None:
    for kind in FORMATS:
        check_declared_type(declared, read_header(picture(kind)))


@given(
    kind=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 400),
)
def test_damage_is_refused_or_harmless_never_anything_else(
    kind: str, changes: list[tuple[int, int]], cut: int
) -> None:
    raw = bytearray(picture(kind))
    for place, byte in changes:
        raw[place % len(raw)] = byte
    damaged = bytes(raw[: len(raw) - cut])
    caught = None
    try:
        check(damaged)
    except OffloadError as error:
        caught = error
    if caught:
        assert caught.code == "not_an_image"
        assert_silent(caught, data_url(damaged))
