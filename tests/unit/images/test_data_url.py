"""Data URLs: strict base64 and the head of the URL."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import OffloadError
from rawmm.images.data_url import (
    HEAD_SHOWN,
    decode_data_url,
    is_image_data_url,
    parse_data_url,
    read_head,
)
from tests.cases import each
from tests.unit.images.pictures import assert_silent, picture

HEAD = "data:image/png;base64,"
AGAIN = "encode the whole raw image file again; the text is damaged or truncated"
SAFE = "encode it with base64.b64encode, or replace '-' by '+' and '_' by '/'"
PERCENT = "decode it first, e.g. with urllib.parse.unquote"


def decode(text: str) -> bytes:
    return decode_data_url(parse_data_url(HEAD + text))


@each(
    ("text", "got", "hint"),
    [
        ("", "no text", AGAIN),
        ("aGVs*bG8=", "characters outside the base64 alphabet", AGAIN),
        ("aGV*bG8=", "characters outside the base64 alphabet", AGAIN),
        ("aGVsbG8", "text without its padding", "append '='"),
        ("aGVsbA", "text without its padding", "append '=='"),
        ("aGVsb", "5 characters, which is not a multiple of 4", AGAIN),
        ("aGVsbG8==", "9 characters, which is not a multiple of 4", AGAIN),
        ("aGVsb===", "text with misplaced padding", AGAIN),
        ("aG==bG8=", "text with misplaced padding", AGAIN),
        ("====", "text with misplaced padding", AGAIN),
        ("=aGVsbG8", "text with misplaced padding", AGAIN),
        ("aGVs\nbG8", "text with white space", "remove the line breaks and spaces"),
        ("aGVsbG8 ", "text with white space", "remove the line breaks and spaces"),
        ("aGVsbG8=\n", "text with white space", "remove the line breaks and spaces"),
        (" aGVsbG8=", "text with white space", "remove the line breaks and spaces"),
        ("aGV-b_8=", "text in the URL-safe alphabet", SAFE),
        ("aGV-b_8", "text in the URL-safe alphabet", SAFE),
        ("aGVsbG9=", "text whose trailing bits are not zero", AGAIN),
        ("aGVsbH==", "text whose trailing bits are not zero", AGAIN),
        ("aGVsbGé=", "characters outside the base64 alphabet", AGAIN),
        ("aGVsbG\ud800=", "characters outside the base64 alphabet", AGAIN),
        ("aGVsbG8=,aGVsbG8", "characters outside the base64 alphabet", AGAIN),
        ("%61GVsbG8=", "percent-encoded text", PERCENT),
        ("aGVsbG8%3D", "percent-encoded text", PERCENT),
    ],
)
def test_only_strict_base64_is_decoded(text: str, got: str, hint: str) -> None:
    with pytest.raises(OffloadError) as caught:
        decode(text)
    error = caught.value
    assert error.code == "bad_base64"
    assert str(error) == (
        f"$: expected strict base64 of an image (RFC 4648 section 4, padded), got {got}; {hint} "
        "[bad_base64]"
    )
    # Not even suppressed: a UnicodeEncodeError holds the whole text.
    assert error.__cause__ is None
    assert error.__context__ is None
    assert_silent(error, HEAD + text)


@given(st.binary(min_size=1, max_size=50))
def test_encoded_bytes_are_decoded(raw: bytes) -> None:
    assert decode(base64.b64encode(raw).decode()) == raw


@given(st.text("AQgwZz019+/=-_ \n*", min_size=1, max_size=12))
def test_text_that_decodes_is_the_only_text_of_its_bytes(text: str) -> None:
    with contextlib.suppress(OffloadError):
        assert base64.b64encode(decode(text)).decode() == text


@pytest.mark.parametrize(
    ("url", "got"),
    [
        ("data:image/png,aGVsbG8=", "'data:image/png,' (23 characters)"),
        ("data:text/plain;base64,aGVsbG8=", "'data:text/plain;base64,' (31 characters)"),
        ("data:audio/wav;base64,aGVsbG8=", "'data:audio/wav;base64,' (30 characters)"),
        ("data:image/png;base64;charset=utf-8,aGVs", "a data URL"),
        ("data:image/;base64,aGVsbG8=", "'data:image/;base64,' (27 characters)"),
        ("data:image/png;base64aGVsbG8aGVsbG8aGVsbG8", "a data URL (42 characters)"),
        ("data:image/png;base64" + "aGVsbG8" * 20 + ",", "a data URL (162 characters)"),
        ("data:image/\u017fvg;base64,aGVs", "'data:image/\u017fvg;base64,'"),
    ],
)
def test_head_without_image_type_or_base64_is_refused(url: str, got: str) -> None:
    with pytest.raises(OffloadError) as caught:
        parse_data_url(url)
    assert caught.value.code == "bad_locator"
    assert caught.value.got.startswith(got)
    assert "data:image/<subtype>;base64," in caught.value.expected
    assert "aGVsbG8" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        ("DATA:Image/PNG;Base64,", "image/png"),
        ("data:image/png;charset=utf-8;base64,", "image/png"),
        ("data:image/png;name=screen shot.png;charset=US-ASCII;base64,", "image/png"),
        (f"data:image/jpg;name={'x' * 900};base64,", "image/jpg"),
        ("data:image;base64,", "image"),
        ("data:image/*;base64,", "image/*"),
        ("data:;base64,", ""),
        ("data:application/octet-stream;base64,", "application/octet-stream"),
    ],
)
def test_head_is_read_as_engines_read_it(head: str, media_type: str) -> None:
    for url in (head + "aGVsbG8=", memoryview((head + "aGVsbG8=").encode())):
        parsed = parse_data_url(url)
        assert parsed.media_type == media_type
        assert decode_data_url(parsed) == b"hello"


PNG = picture("PNG")
TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("text", "is_image", "is_data_url"),
    [
        (TEXT, True, False),
        (base64.b64encode(picture("JPEG")).decode(), True, False),
        (base64.urlsafe_b64encode(picture("JPEG")).decode(), True, False),
        (base64.encodebytes(picture("GIF")).decode(), True, False),
        (base64.b64encode(picture("WEBP")).decode(), True, False),
        (base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)).decode(), False, False),
        (base64.b64encode(b"%PDF-1.7" + bytes(40)).decode(), False, False),
        ("/9j/ is how a JPEG begins", False, False),
        ("iVBORw0KGgo", False, False),
        ("data:image/png;base64,AAAA", True, True),
        ("data:image/svg+xml,<svg/>", True, True),
        (" data:image/png;base64,AAAA", True, True),
        ("data: image/png ; base64,AAAA", True, True),
        ("data:image%2Fpng;base64,AAAA", True, True),
        ("data%3Aimage/png;base64,AAAA", True, True),
        (f"data:application/octet-stream;base64,{TEXT}", True, True),
        (f"data:text/plain;base64,{TEXT}", True, True),
        (f"data:;base64,{TEXT}", True, True),
        ("data:application/octet-stream;base64,AAAAAAAAAAAAAAAAAAAAAAAA", False, True),
        ("data:application/pdf;base64,JVBERi0xLjcK", False, True),
        ("data:audio/wav;base64,AAAA", False, True),
        ("database: image/png, or not", False, False),
        ("", False, False),
    ],
)
def test_beginning_of_a_string_says_what_it_is(
    text: str,
    is_image: bool,  # noqa: FBT001
    is_data_url: bool,  # noqa: FBT001
) -> None:
    assert read_head(text[:HEAD_SHOWN]) == (is_image, is_data_url)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("data:image/png;base64,AAAA", True),
        ("Data:Image/x", True),
        ("data:image;base64,AAAA", True),
        ("data:imagery/x,", False),
        ("data:text/plain,x", False),
        ("file:///x", False),
        (b"data:image/png", False),
        (None, False),
    ],
)
def test_image_data_urls_are_recognized(value: object, answer: bool) -> None:  # noqa: FBT001
    assert is_image_data_url(value) is answer


@given(st.integers(1, 200))
def test_max_bytes_bounds_the_decoded_size(size: int) -> None:
    url = parse_data_url(HEAD + base64.b64encode(bytes(size)).decode())
    assert size <= url.max_bytes <= size + 2
