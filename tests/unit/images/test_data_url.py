"""Data URLs: strict base64 and the head of the URL."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import OffloadError
from rawmm.images.data_url import decode_data_url, is_image_data_url, parse_data_url
from tests.unit.images.pictures import assert_silent

HEAD = "data:image/png;base64,"


def decode(text: str) -> bytes:
    return decode_data_url(parse_data_url(HEAD + text))


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "no text after the comma"),
        ("aGVs*bG8=", "9 characters, which is not a multiple of 4"),
        ("aGV*bG8=", "text with characters outside the base64 alphabet"),
        ("aGVsbG8", "7 characters, which is not a multiple of 4"),
        ("aGVsbG8==", "9 characters, which is not a multiple of 4"),
        ("aGVsb===", "text with misplaced padding"),
        ("aG==bG8=", "text with misplaced padding"),
        ("====", "text with misplaced padding"),
        ("=aGVsbG8", "text with misplaced padding"),
        ("aGVs\nbG8", "text with white space"),
        ("aGVsbG8 ", "text with white space"),
        ("aGVsbG8=\n", "9 characters, which is not a multiple of 4"),
        ("aGV-b_8=", "text in the URL-safe alphabet"),
        ("aGVsbG9=", "text whose trailing bits are not zero"),
        ("aGVsbH==", "text whose trailing bits are not zero"),
        ("aGVsbGé=", "text with characters outside the base64 alphabet"),
        ("aGVsbG\ud800=", "text with characters outside the base64 alphabet"),
        ("aGVsbG8=,aGVsbG8", "text with characters outside the base64 alphabet"),
        ("%61GVsbG8=", "10 characters, which is not a multiple of 4"),
        ("%61GVsbG", "text with characters outside the base64 alphabet"),
    ],
)
def test_only_strict_base64_is_decoded(text: str, got: str) -> None:
    with pytest.raises(OffloadError) as caught:
        decode(text)
    error = caught.value
    assert error.code == "bad_base64"
    assert str(error) == (
        f"$: expected strict base64 after the comma (RFC 4648 section 4, padded), got {got}; "
        "encode the whole raw image file again; the text is damaged or truncated [bad_base64]"
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
        ("data:image/png;charset=utf-8;base64,aGVs", "'data:image/png;charset=utf-8;base64,' "),
        ("data:text/plain;base64,aGVsbG8=", "'data:text/plain;base64,' (31 characters)"),
        ("data:;base64,aGVsbG8=", "'data:;base64,' (21 characters)"),
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


def test_head_is_read_without_regard_to_case() -> None:
    assert parse_data_url("DATA:Image/PNG;Base64,AAAA").media_type == "image/png"


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("data:image/png;base64,AAAA", True),
        ("Data:Image/x", True),
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
