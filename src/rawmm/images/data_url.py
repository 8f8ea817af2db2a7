"""Data URLs of images and bare base64 (RFC 2397, RFC 4648).

The head is read as engines read it: any case, parameters before ``;base64``, and media types by
which no engine decides, such as ``application/octet-stream``. The text is read strictly, because
most base64 decoders skip characters they do not know, so that ``aGVs*bG8=`` decodes to ``hello``
and a damaged image decodes to a different image. This parser accepts the standard alphabet
(RFC 4648 section 4) with full padding and zero trailing bits (section 3.5), and nothing else: no
white space and no empty text.
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from rawmm.errors import OffloadError, shown_text
from rawmm.images.header import ANY_TYPE, is_image
from rawmm.real_class import is_a

_TYPE: Final = r"[a-z0-9][a-z0-9!#$&^_.+-]*"
_HEAD: Final = re.compile(
    rf"data:(image|{_TYPE}/(?:{_TYPE}|\*)|)((?:;[^,;]*)*);base64,", re.ASCII | re.IGNORECASE
)
_LOOSE_HEAD: Final = re.compile(r"\s*data\s*:\s*([^,;\s]*)([^,]*),", re.IGNORECASE)
_START: Final = re.compile(
    r"([\W_]*(?:url[\W_]*)?)(?:data|d%61ta|%64ata)\s*(?::|%3a)", re.IGNORECASE
)
"""A data URL, after a byte order mark, a quote, ``<``, ``url(`` or any other signs."""
_SIGNS: Final = re.compile(r"[^\w/+-]*+")
"""What can stand before base64 and is none."""
HEAD_SHOWN: Final = 1024
"""Characters within which the head of a data URL ends."""
_SNIFFED: Final = 64
_TAIL: Final = 64
# The last character before the padding carries 2 or 4 bits that belong to no byte.
_LAST_OF_TWO_BYTES: Final = frozenset("AEIMQUYcgkosw048")
_LAST_OF_ONE_BYTE: Final = frozenset("AQgw")
_BASE64_HEAD: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}=*\Z")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]++={0,2}\s*+\Z")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+\Z")
_SHORTEST: Final = 100
"""Characters of base64 that are more than a checksum or an identifier."""

CheapKey: TypeAlias = tuple[str, int, str]
"""Media type, length and last characters of a data URL's text."""


class DataUrl(NamedTuple):
    """A data URL with a valid head, or bare base64. Its text is not decoded yet.

    Attributes:
        url: the URL as a string, or a view of its bytes inside a larger text.
        media_type: the declared type in lower case, e.g. ``image/png``; empty if none is declared.
        start: the index at which the base64 text begins; 0 for bare base64.
        cheap_key: equal for equal texts of one type, and rarely equal for others, because image
            files end with checksums or entropy-coded data.
        url_safe: whether the text may be in the URL-safe alphabet.
    """

    url: str | memoryview
    media_type: str
    start: int
    cheap_key: CheapKey
    url_safe: bool = False

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
    if not is_a(value, str):
        return False
    head = str.__getitem__(value, slice(11)).lower()
    return head == "data:image/" or head.startswith(("data:image;", "data:image,"))


class Head(NamedTuple):
    """What the beginning of a string says about it.

    Attributes:
        is_image: whether it is an image: a data URL whose label or first bytes say so, or bare
            base64 whose first bytes do.
        is_data_url: whether it is a data URL.
    """

    is_image: bool
    is_data_url: bool


_NOTHING: Final = Head(is_image=False, is_data_url=False)


def read_head(head: str) -> Head:
    """Recognize a data URL or the base64 of an image by its beginning, however it is spelled.

    Lenient, because it finds what other code must not miss: white space, signs before it,
    percent-encoding and the URL-safe alphabet do not hide an image here.

    Args:
        head: the first `HEAD_SHOWN` characters.
    """
    if (start := _START.match(head)) is not None:
        head = head[start.end(1) :]
        match = _LOOSE_HEAD.match(unquote(head))
        if match is None:
            return Head(is_image="image/" in head.lower()[:32], is_data_url=False)
        media_type = match[1].lower()
        text = unquote(head)[match.end() :]
        image = media_type.partition("/")[0] == "image" or is_image_base64(text)
        # Text after signs may be anything, so only an image counts there.
        return Head(image, is_data_url=not start[1].strip())
    head = head[signs_before(head) :]
    return Head(is_image=True, is_data_url=False) if is_image_base64(head) else _NOTHING


def signs_before(text: str) -> int:
    """The number of characters at the beginning that belong to no base64 and no word."""
    match = _SIGNS.match(text)
    return match.end() if match else 0


def is_image_base64(head: str) -> bool:
    """Whether text begins as the base64 of an image, in either alphabet."""
    text = (head[: 2 * _SNIFFED].split(None, 1) or [""])[0][:_SNIFFED]
    if not _BASE64_HEAD.match(text):
        return False
    text = text.rstrip("=")[:48].translate(_STANDARD)
    return is_image(b64decode(text[: len(text) // 4 * 4]))


_STANDARD: Final = str.maketrans("-_", "+/")


def looks_like_base64(text: str) -> bool:
    """Whether text is base64 of more bytes than a checksum has, in either alphabet."""
    return len(text) >= _SHORTEST and bool(_BASE64.match(text)) and not _HEX.match(text)


def parse_data_url(url: str | memoryview) -> DataUrl:
    """Parse the head of an image's data URL, given as a string or as UTF-8 bytes.

    Raises:
        OffloadError: ``bad_locator`` if the media type cannot be that of an image, or if the URL
            does not declare base64.
    """
    if is_a(url, str):
        url = str.__str__(url)  # ignore what a subclass overrides
    # Most heads are short.
    shown, comma, _ = _as_str(url[:_TAIL]).partition(",")
    if not comma:
        shown, comma, _ = _as_str(url[: HEAD_SHOWN + 1]).partition(",")
    media_type = _media_type(shown + comma)
    if media_type is None:
        raise OffloadError(
            "bad_locator",
            expected="a URL that begins with data:image/<subtype>;base64,",
            got=shown_text(_as_str(url)),
            hint="encode the raw image file with base64 and declare its media type",
        )
    return _data_url(url, media_type, len(shown) + 1)


@lru_cache(maxsize=32)
def _media_type(head: str) -> str | None:
    """The media type of a data URL, from all up to its first comma, if it can be an image's."""
    match = _HEAD.fullmatch(head)
    media_type = match[1].lower() if match else "none"
    return media_type if may_be_image(media_type) else None


def bare_base64(text: str | memoryview, media_type: str = "", *, url_safe: bool = False) -> DataUrl:
    """The base64 of an image without the head of a data URL, and its declared type, if any."""
    if is_a(text, str):
        text = str.__str__(text)
    return _data_url(text, media_type.lower(), 0)._replace(url_safe=url_safe)


def may_be_image(media_type: str) -> bool:
    """Whether a declared media type, in lower case, can be that of an image."""
    return media_type.partition("/")[0] == "image" or media_type in ANY_TYPE


def _data_url(url: str | memoryview, media_type: str, start: int) -> DataUrl:
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
        raise _bad_base64(_Fault("no text", _AGAIN))
    raw = None
    with suppress(ValueError):
        # binascii.Error or UnicodeEncodeError. The latter holds the text, so it must not
        # become the context of our error.
        raw = pybase64.b64decode(text, validate=True)
    if raw is None and data_url.url_safe:
        with suppress(ValueError):
            raw = pybase64.b64decode(text, b"-_", validate=True)
    if raw is None:
        raise _bad_base64(_base64_fault(_as_str(text)))
    tail = _as_str(text[-3:])
    if tail[-1] == "=":
        last, allowed = (
            (tail[-3], _LAST_OF_ONE_BYTE) if tail[-2] == "=" else (tail[-2], _LAST_OF_TWO_BYTES)
        )
        if last not in allowed:
            raise _bad_base64(_Fault("text whose trailing bits are not zero", _AGAIN))
    return raw


def _as_str(text: str | memoryview) -> str:
    # A slice may split a multi-byte character. Only ASCII is valid here, so replacing is safe.
    return text if is_a(text, str) else str(text, "utf-8", "replace")


class _Fault(NamedTuple):
    """Why text does not decode, and what to do."""

    got: str
    hint: str


_AGAIN: Final = "encode the whole raw image file again; the text is damaged or truncated"
_FAULTS: Final = (
    (re.compile(r"\s"), _Fault("text with white space", "remove the line breaks and spaces")),
    (
        re.compile(r"%[0-9A-Fa-f]{2}"),
        _Fault("percent-encoded text", "decode it first, e.g. with urllib.parse.unquote"),
    ),
    (re.compile(r"[^A-Za-z0-9+/=_-]"), _Fault("characters outside the base64 alphabet", _AGAIN)),
    (
        re.compile(r"[-_]"),
        _Fault(
            "text in the URL-safe alphabet",
            "encode it with base64.b64encode, or replace '-' by '+' and '_' by '/'",
        ),
    ),
    (re.compile(r"=[^=]|={3}"), _Fault("text with misplaced padding", _AGAIN)),
)


def _base64_fault(text: str) -> _Fault:
    """The first cause that explains why text does not decode, without quoting it."""
    for pattern, fault in _FAULTS:
        if pattern.search(text):
            return fault
    if "=" not in text and len(text) % 4 in (2, 3):
        missing = "=" * (4 - len(text) % 4)
        return _Fault("text without its padding", f"append {missing!r}")
    if len(text) % 4:
        return _Fault(f"{len(text)} characters, which is not a multiple of 4", _AGAIN)
    return _Fault("text with misplaced padding", _AGAIN)


def _bad_base64(fault: _Fault) -> OffloadError:
    return OffloadError(
        "bad_base64",
        expected="strict base64 of an image (RFC 4648 section 4, padded)",
        got=fault.got,
        hint=fault.hint,
    )
