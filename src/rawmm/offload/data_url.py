"""Data URLs of images, read strictly: ``data:image/<subtype>;base64,<text>`` (RFC 2397).

The lenient decoders of most libraries drop what they do not know, so that ``aGVs*bG8=``
becomes ``hello`` and a damaged image becomes another image. Here every character counts:
the standard alphabet (RFC 4648 section 4), full padding, zero trailing bits (section 3.5),
no white space, not empty.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple

from rawmm.errors import OffloadError, shown_text
from rawmm.real_class import is_a

_HEAD: Final = re.compile(r"data:(image/[a-z0-9][a-z0-9.+-]*);base64,", re.ASCII | re.IGNORECASE)
_LONGEST_HEAD: Final = 64
_TAIL: Final = 64
# The last character before the padding carries 2 or 4 bits that belong to no byte.
_LAST_OF_TWO_BYTES: Final = frozenset("AEIMQUYcgkosw048")
_LAST_OF_ONE_BYTE: Final = frozenset("AQgw")


class Sketch(NamedTuple):
    """What tells most texts apart at no cost: an image file ends with checksums, or entropy."""

    media_type: str
    length: int
    tail: str


class DataUrl(NamedTuple):
    """A data URL whose head is right; its text is not decoded yet.

    ``url`` is a string, or the bytes of one where they stand. ``media_type`` is the declared
    type in lower case, e.g. ``image/png``; ``start`` is where the base64 text begins.
    ``sketch`` is equal for equal texts of one type, and seldom for others.
    """

    url: str | memoryview
    media_type: str
    start: int
    sketch: Sketch

    @property
    def text(self) -> str | memoryview:
        """The base64 text: a copy of a string's, a view of bytes."""
        return self.url[self.start :]

    def same_as(self, other: DataUrl) -> bool:
        """Whether text and type are the same."""
        if self.sketch != other.sketch:
            return False
        mine, theirs = self.text, other.text
        if is_a(mine, str) or is_a(theirs, str):
            return mine == theirs
        # Views are compared item by item, which takes longer than hashing. Bytes are not.
        return bytes(mine).startswith(theirs)

    @property
    def most_bytes(self) -> int:
        """How many bytes the text can decode to, from its length alone (2 too many at most)."""
        return (len(self.url) - self.start) // 4 * 3


def is_image_data_url(value: object) -> bool:
    """Whether a value is a string that claims to be an image's data URL."""
    return is_a(value, str) and str.__getitem__(value, slice(11)).lower() == "data:image/"


def parse_data_url(url: str | memoryview) -> DataUrl:
    """Read the head of an image's data URL, given as a string or as its UTF-8 bytes.

    Raises:
        OffloadError: ``bad_locator`` when the media type is no image type or the data is not
            declared as base64.
    """
    if is_a(url, str):
        url = str.__str__(url)  # whatever a subclass says of itself
    match = _HEAD.match(_as_str(url[: _LONGEST_HEAD + 1]))
    if match is None:
        raise OffloadError(
            "bad_locator",
            expected="a URL that begins with data:image/<subtype>;base64,",
            got=shown_text(_as_str(url)),
            hint="encode the raw image file with base64 and declare its media type",
        )
    media_type, start = match[1].lower(), match.end()
    tail = _as_str(url[max(start, len(url) - _TAIL) :])
    return DataUrl(url, media_type, start, Sketch(media_type, len(url) - start, tail))


def decode_data_url(data_url: DataUrl) -> bytes:
    """The bytes of a data URL.

    Raises:
        OffloadError: ``bad_base64`` when the text is anything but strict base64.
    """
    import pybase64

    text = data_url.text
    if not text:
        raise _bad_base64("no text after the comma")
    if len(text) % 4:
        raise _bad_base64(f"{len(text)} characters, which is not a multiple of 4")
    raw = None
    with suppress(ValueError):
        # binascii.Error or UnicodeEncodeError; the latter holds the text, so neither is kept.
        raw = pybase64.b64decode(text, validate=True)
    if raw is None:
        raise _bad_base64(_fault(_as_str(text)))
    tail = _as_str(text[-3:])
    if tail[-1] == "=":
        last, allowed = (
            (tail[-3], _LAST_OF_ONE_BYTE) if tail[-2] == "=" else (tail[-2], _LAST_OF_TWO_BYTES)
        )
        if last not in allowed:
            raise _bad_base64("text whose trailing bits are not zero")
    return raw


def _as_str(text: str | memoryview) -> str:
    # A cut may go through a character; what is not ASCII is refused in any case.
    return text if is_a(text, str) else str(text, "utf-8", "replace")


def _bad_base64(got: str) -> OffloadError:
    return OffloadError(
        "bad_base64",
        expected="strict base64 after the comma (RFC 4648 section 4, padded)",
        got=got,
        hint="encode the whole raw image file again; the text is damaged or cut off",
    )


def _fault(text: str) -> str:
    """What is wrong with text that does not decode, without quoting it."""
    if re.search(r"\s", text):
        return "text with white space"
    if re.search(r"[-_]", text) and not re.search(r"[^A-Za-z0-9_=-]", text):
        return "text in the URL-safe alphabet"
    if re.search(r"[^A-Za-z0-9+/=]", text):
        return "text with characters outside the base64 alphabet"
    return "text with misplaced padding"
