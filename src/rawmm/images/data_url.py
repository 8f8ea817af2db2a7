"""Data URLs of images, parsed strictly: ``data:image/<subtype>;base64,<text>`` (RFC 2397).

Most base64 decoders skip characters they do not know, so that ``aGVs*bG8=`` decodes to ``hello``
and a damaged image decodes to a different image. This parser accepts the standard alphabet
(RFC 4648 section 4) with full padding and zero trailing bits (section 3.5), and nothing else: no
white space and no empty text.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from rawmm.errors import OffloadError, shown_text
from rawmm.real_class import is_a

_HEAD: Final = re.compile(r"data:(image/[a-z0-9][a-z0-9.+-]*);base64,", re.ASCII | re.IGNORECASE)
_MAX_HEAD: Final = 64
_TAIL: Final = 64
# The last character before the padding carries 2 or 4 bits that belong to no byte.
_LAST_OF_TWO_BYTES: Final = frozenset("AEIMQUYcgkosw048")
_LAST_OF_ONE_BYTE: Final = frozenset("AQgw")

CheapKey: TypeAlias = tuple[str, int, str]
"""Media type, length and last characters of a data URL's text."""


class DataUrl(NamedTuple):
    """A data URL with a valid head. Its text is not decoded yet.

    Attributes:
        url: the URL as a string, or a view of its bytes inside a larger text.
        media_type: the declared type in lower case, e.g. ``image/png``.
        start: the index at which the base64 text begins.
        cheap_key: equal for equal texts of one type, and rarely equal for others, because image
            files end with checksums or entropy-coded data.
    """

    url: str | memoryview
    media_type: str
    start: int
    cheap_key: CheapKey

    @property
    def text(self) -> str | memoryview:
        """The base64 text: a copy if the URL is a string, otherwise a view."""
        return self.url[self.start :]

    def same_as(self, other: DataUrl) -> bool:
        """Whether text and declared type are equal."""
        if self.cheap_key != other.cheap_key:
            return False
        mine, theirs = self.text, other.text
        if is_a(mine, str) or is_a(theirs, str):
            return mine == theirs
        # Comparing two views item by item is slower than hashing them; comparing bytes is not.
        return bytes(mine).startswith(theirs)

    @property
    def max_bytes(self) -> int:
        """An upper bound of the decoded size, from the length of the text; at most 2 too high."""
        return (len(self.url) - self.start) // 4 * 3


def is_image_data_url(value: object) -> bool:
    """Whether a value is a string that starts like an image's data URL."""
    return is_a(value, str) and str.__getitem__(value, slice(11)).lower() == "data:image/"


def parse_data_url(url: str | memoryview) -> DataUrl:
    """Parse the head of an image's data URL, given as a string or as UTF-8 bytes.

    Raises:
        OffloadError: ``bad_locator`` if the media type is not an image type, or if the URL does
            not declare base64.
    """
    if is_a(url, str):
        url = str.__str__(url)  # ignore what a subclass overrides
    match = _HEAD.match(_as_str(url[: _MAX_HEAD + 1]))
    if match is None:
        raise OffloadError(
            "bad_locator",
            expected="a URL that begins with data:image/<subtype>;base64,",
            got=shown_text(_as_str(url)),
            hint="encode the raw image file with base64 and declare its media type",
        )
    media_type, start = match[1].lower(), match.end()
    tail = _as_str(url[max(start, len(url) - _TAIL) :])
    return DataUrl(url, media_type, start, (media_type, len(url) - start, tail))


def decode_data_url(data_url: DataUrl) -> bytes:
    """Decode the text of a data URL.

    Raises:
        OffloadError: ``bad_base64`` if the text is not strict base64.
    """
    import pybase64

    text = data_url.text
    if not text:
        raise _bad_base64("no text after the comma")
    if len(text) % 4:
        raise _bad_base64(f"{len(text)} characters, which is not a multiple of 4")
    raw = None
    with suppress(ValueError):
        # binascii.Error or UnicodeEncodeError. The latter holds the text, so it must not
        # become the context of our error.
        raw = pybase64.b64decode(text, validate=True)
    if raw is None:
        raise _bad_base64(_base64_fault(_as_str(text)))
    tail = _as_str(text[-3:])
    if tail[-1] == "=":
        last, allowed = (
            (tail[-3], _LAST_OF_ONE_BYTE) if tail[-2] == "=" else (tail[-2], _LAST_OF_TWO_BYTES)
        )
        if last not in allowed:
            raise _bad_base64("text whose trailing bits are not zero")
    return raw


def _as_str(text: str | memoryview) -> str:
    # A slice may split a multi-byte character. Only ASCII is valid here, so replacing is safe.
    return text if is_a(text, str) else str(text, "utf-8", "replace")


def _bad_base64(got: str) -> OffloadError:
    return OffloadError(
        "bad_base64",
        expected="strict base64 after the comma (RFC 4648 section 4, padded)",
        got=got,
        hint="encode the whole raw image file again; the text is damaged or truncated",
    )


def _base64_fault(text: str) -> str:
    """Describe why text does not decode, without quoting it."""
    if re.search(r"\s", text):
        return "text with white space"
    if re.search(r"[-_]", text) and not re.search(r"[^A-Za-z0-9_=-]", text):
        return "text in the URL-safe alphabet"
    if re.search(r"[^A-Za-z0-9+/=]", text):
        return "text with characters outside the base64 alphabet"
    return "text with misplaced padding"
