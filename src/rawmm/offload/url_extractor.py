"""Replace the URLs in a JSON text by short strings, so that the rest is small enough to parse.

Every string value that begins with ``data:``, with a scheme of a store, or as the base64 of an
image, with or without escapes, is replaced. The rest is valid JSON exactly if the whole text is and
each extracted span is a JSON string: outside of strings no backslash precedes a quote, so an
unescaped quote opens a string, or closes one, and then neither a URL nor its replacement may
follow.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rawmm.errors import ContractError
from rawmm.images import HEAD_SHOWN
from rawmm.values.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def _spellings(text: str) -> bytes:
    """Return a pattern of all ways to write ASCII text in a JSON string, in any case."""
    ways = (
        "|".join(
            f"{re.escape(form)}|\\\\u00(?i:{ord(form):02x})"
            for form in dict.fromkeys((char.lower(), char.upper()))
        )
        for char in text
    )
    return "".join(f"(?:{way})" for way in ways).encode()


@cache
def _url_pattern(schemes: tuple[str, ...]) -> re.Pattern[bytes]:
    """Return a pattern of the opening quote and scheme of a URL, or the first bytes of an image."""
    ways = [_spellings(f"{name}:") for name in schemes] + [_exactly(one) for one in _IMAGE_STARTS]
    # Most strings begin differently, and the first character rules them out.
    first = {one[0] for one in _IMAGE_STARTS} | {name[0].swapcase() for name in schemes}
    first |= {name[0] for name in schemes}
    one_of = re.escape("".join(sorted(first))).encode()
    return re.compile(b'"(?=[' + one_of + b"\\\\])(?:" + b"|".join(ways) + b")")


_IMAGE_STARTS: Final = ("iVBORw0KGgo", "/9j/", "_9j_", "R0lGOD", "UklGR")
"""The base64 of the first bytes of each image format that a store takes."""


def _exactly(text: str) -> bytes:
    """Return a pattern of all ways to write ASCII text in a JSON string."""
    ways = (
        f"(?:\\\\?{re.escape(char)}|\\\\u00(?i:{ord(char):02x}))"
        if char == "/"
        else f"(?:{re.escape(char)}|\\\\u00(?i:{ord(char):02x}))"
        for char in text
    )
    return "".join(ways).encode()


_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")
_OBJECT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}]', re.DOTALL)
_PLAIN_DATA: Final = re.compile(
    rb'"(?:(?i:data:)[^"\\,\x00-\x1f\x80-\xff]*,|iVBORw0KGgo|/9j/|_9j_|R0lGOD|UklGR)'
)
"""A URL whose head is printable ASCII. The base64 after it is read strictly, so all is JSON."""
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")
_SHORT: Final = 4096
_MAX_UTF8: Final = 4
"""Bytes of a character in UTF-8, at most."""
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError)


class Span(NamedTuple):
    """An extracted string.

    Attributes:
        start, end: its span in the whole text, including the quotes.
        position: the start of its replacement in the rest.
    """

    start: int
    end: int
    position: int


class UrlExtractor:
    """A JSON text without its URLs.

    Args:
        text: the JSON text.
        schemes: the schemes of the URLs to extract.
        to_quote: as `rawmm.store.digest_to_quote` returns it; None to hash no text.

    Attributes:
        whole: the original text.
        rest: the text with a replacement for each URL.
        spans: the URLs, in order.
        digests: those of the base64 of plain data URLs, by the index of the span.
        mark: the beginning of every replacement. Random, so that the text cannot contain it.
    """

    def __init__(
        self,
        text: bytes,
        schemes: tuple[str, ...] = ("data", "file"),
        to_quote: Callable[[bytes, int], tuple[int, bytes] | None] | None = None,
    ) -> None:
        self.mark = secrets.token_hex(16)
        self._view = memoryview(text)
        self.whole = text
        self.spans: list[Span] = []
        self.digests: dict[int, bytes] = {}
        self._to_quote = to_quote
        self.rest = self._extract(text, _url_pattern(schemes))

    def parsed(self) -> Any:
        """Parse the rest. This does not check the spans: see `check`.

        Raises:
            ContractError: as `read_json` for the whole text.
        """
        try:
            return read_json(self.rest)
        except ContractError:
            read_json(self.whole)  # finds this error or an earlier one, with the right position
            raise

    def index(self, text: object) -> int | None:
        """Return the index of the span that a string of the parsed rest replaces, or None."""
        if not isinstance(text, str) or not text.startswith(self.mark):
            return None
        mark, _, index = text.partition(":")
        return int(index) if mark == self.mark else None

    def url(self, index: int) -> str | memoryview:
        """Return a URL: a view of the text for a plain data URL, otherwise the unescaped string.

        The view is not checked. If it contains an escape, it is not base64: see `unescaped`.

        Raises:
            ContractError: ``malformed``; never for a view.
        """
        start, end, _ = self.spans[index]
        if _PLAIN_DATA.match(self.whole, start):
            return self._view[start + 1 : end - 1]
        return self.decoded(index)

    def head(self, index: int) -> str:
        """Return the first `HEAD_SHOWN` characters of a URL."""
        start, end, _ = self.spans[index]
        head = self.whole[start + 1 : min(end - 1, start + 1 + _MAX_UTF8 * HEAD_SHOWN)]
        if b"\\" in head:
            return self.decoded(index)[:HEAD_SHOWN]
        return head.decode("utf-8", "replace")[:HEAD_SHOWN]

    def decoded(self, index: int) -> str:
        """Return a URL as a string.

        Raises:
            ContractError: ``malformed``.
        """
        with suppress(*_NOT_JSON):
            return msgspec.json.decode(self._literal(index), type=str)
        read_json(self.whole)
        raise AssertionError("the text is valid JSON although a string in it is not")

    def unescaped(self, indices: Iterable[int]) -> dict[int, str]:
        """Return those of the URLs that contain escapes, without the escapes.

        Raises:
            ContractError: ``malformed``.
        """
        spans = ((index, *self.spans[index][:2]) for index in indices)
        return {
            index: self.decoded(index)
            for index, start, end in spans
            if self.whole.find(b"\\", start, end) >= 0
        }

    def check(self, indices: Iterable[int]) -> None:
        """Check that spans are JSON strings.

        Raises:
            ContractError: as `read_json` for the whole text.
        """
        short: list[memoryview] = []
        for index in indices:
            start, end, _ = self.spans[index]
            if end - start > _SHORT:
                self.decoded(index)
            else:
                short.append(self._literal(index))
        if not short:
            return
        # Decoded at once, because there may be one in every ten bytes of the text.
        with suppress(*_NOT_JSON):
            msgspec.json.decode(b"[" + b",".join(short) + b"]", type=list[str])
            return
        read_json(self.whole)
        raise AssertionError("the text is valid JSON although a string in it is not")

    def splice(self, rest: bytes, new: dict[int, bytes]) -> bytes:
        """Put a literal in place of each replacement in a rest: the new one, or the original."""
        head, *tails = rest.split(f'"{self.mark}:'.encode())
        pieces: list[bytes | memoryview] = [head]
        for tail in tails:
            index, _, after = tail.partition(b'"')
            pieces += new.get(int(index)) or self._literal(int(index)), after
        return b"".join(pieces)

    def _literal(self, index: int) -> memoryview:
        start, end, _ = self.spans[index]
        return self._view[start:end]

    def _extract(self, text: bytes, url: re.Pattern[bytes]) -> bytes:
        pieces: list[bytes | memoryview] = []
        prefix = self.mark.encode()
        size = done = position = 0
        while match := url.search(text, position):
            start = match.start()
            if start and text[start - 1] == _BACKSLASH:
                position = start + 1  # an escaped quote inside of a string
                continue
            end, digest = self._end(text, start)
            if end < 0:
                break
            position = end
            if _COLON.match(text, end):
                continue  # a key
            if digest is not None:
                self.digests[len(self.spans)] = digest
            mark = b'"%b:%d"' % (prefix, len(self.spans))
            pieces += self._view[done:start], mark
            size += start - done
            self.spans.append(Span(start, end, size))
            size += len(mark)
            done = end
        if not self.spans:
            return text
        pieces.append(self._view[done:])
        return b"".join(pieces)

    def _end(self, text: bytes, start: int) -> tuple[int, bytes | None]:
        """The end of the string that begins at `start`, or -1; and the digest of its base64."""
        head = None if self._to_quote is None else _PLAIN_DATA.match(text, start)
        if self._to_quote is not None and head is not None:
            begin = head.end() if text[head.end() - 1] == _COMMA else start + 1
            found = self._to_quote(text, begin)
            if found is None:
                return -1, None
            if text[found[0] - 1] != _BACKSLASH:
                return found[0] + 1, found[1]
        return _end_of_string(text, start), None


def _end_of_string(text: bytes, start: int) -> int:
    """Return the end of the string that begins at `start`, or -1 if it is not closed."""
    quote = text.find(b'"', start + 1)
    if quote < 0 or text[quote - 1] != _BACKSLASH:
        return quote + 1 or -1
    match = _REST_OF_STRING.match(text, start + 1)
    return match.end() if match else -1


class ObjectChange(NamedTuple):
    """A change of the object that contains a string, or of one `levels` further out.

    ``change`` returns the new text of the object for the old one.
    """

    levels: int
    change: Callable[[memoryview], bytes]


class _ObjectSpan(NamedTuple):
    """An object to change, and those inside of it."""

    begin: int
    end: int
    change: Callable[[memoryview], bytes]
    inner: list[_ObjectSpan]


def change_objects(rest: bytes, changes: Mapping[int, ObjectChange]) -> bytes:
    """Replace objects in a JSON text. The keys of `changes` are start positions of strings."""
    open_at: list[int] = []
    wanted: dict[int, Callable[[memoryview], bytes]] = {}
    done: list[_ObjectSpan] = []
    for match in _OBJECT.finditer(rest):
        start = match.start()
        token = rest[start]
        if token == ord('"'):
            if start in changes:
                levels, change = changes[start]
                wanted[open_at[-1 - levels]] = change
        elif token == ord("{"):
            open_at.append(start)
        elif (begin := open_at.pop()) in wanted:
            inner = []
            while done and done[-1].begin > begin:
                inner.append(done.pop())
            span = _ObjectSpan(begin, match.end(), wanted.pop(begin), inner[::-1])
            done.append(span)
    return _with_changes(rest, 0, len(rest), done)


def _with_changes(rest: bytes, begin: int, end: int, spans: list[_ObjectSpan]) -> bytes:
    pieces: list[bytes | memoryview] = []
    view, done = memoryview(rest), begin
    for span in spans:
        whole = _with_changes(rest, span.begin, span.end, span.inner)
        pieces += view[done : span.begin], span.change(memoryview(whole))
        done = span.end
    pieces.append(view[done:end])
    return b"".join(pieces)
