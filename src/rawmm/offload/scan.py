"""Cut the URLs out of a JSON text, so that what is left is small enough to be parsed.

Every string value that begins with ``data:`` or ``file:``, however it is spelled, is replaced by
a short one. What is left is JSON exactly if the whole is and each cut is a JSON string: outside
of strings no backslash stands before a quote, so a quote without one is an opening one, or it
closes a string, and then neither a URL nor its replacement may follow.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rawmm.errors import ContractError
from rawmm.values.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def _spelled(text: str) -> bytes:
    """A pattern of every way in which a JSON string can spell ASCII text, in any case."""
    ways = (
        "|".join(
            f"{re.escape(form)}|\\\\u00(?i:{ord(form):02x})"
            for form in dict.fromkeys((char.lower(), char.upper()))
        )
        for char in text
    )
    return "".join(f"(?:{way})" for way in ways).encode()


_URL: Final = re.compile(rb'"(?:' + _spelled("data:") + b"|" + _spelled("file:") + b")")
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")
_OBJECT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}]', re.DOTALL)
_PLAIN_DATA: Final = re.compile(rb'"data:image/[^"\\,]*,', re.IGNORECASE)
_SHORT: Final = 4096
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError)


class Cut(NamedTuple):
    """Where a string stands in the text, quotes included, and where its replacement begins."""

    start: int
    end: int
    place: int


class CutText:
    """A JSON text whose URLs are cut out.

    Attributes:
        whole: the text.
        rest: the text with a replacement for each URL.
        cuts: the URLs, in order.
    """

    def __init__(self, text: bytes) -> None:
        # Nobody who wrote the text can have known it.
        self._mark = secrets.token_hex(16)
        self._view = memoryview(text)
        self.whole = text
        self.cuts: list[Cut] = []
        self.rest = self._cut(text)

    def parsed(self) -> Any:
        """The rest as plain data. What is wrong in a cut is not looked for: see `check`.

        Raises:
            ContractError: as `read_json` does for the whole.
        """
        try:
            return read_json(self.rest)
        except ContractError:
            read_json(self.whole)  # the same, or what is wrong before it, at its real place
            raise

    def number(self, text: object) -> int | None:
        """Which cut a string of the parsed rest stands for; None for anything else."""
        mark, _, number = text.partition(":") if isinstance(text, str) else ("", "", "")
        return int(number) if mark == self._mark else None

    def url(self, number: int) -> str | memoryview:
        """A URL: the bytes of a data URL where they stand, or what another spelling says.

        The bytes are not looked at. If they hold an escape they are no base64: see `respelled`.

        Raises:
            ContractError: ``malformed``; not for bytes, which may be anything.
        """
        start, end, _ = self.cuts[number]
        if _PLAIN_DATA.match(self.whole, start):
            return self._view[start + 1 : end - 1]
        return self._decoded(number)

    def respelled(self, numbers: Iterable[int]) -> dict[int, str]:
        """Those of the URLs that are written with escapes, as they read.

        Raises:
            ContractError: ``malformed``.
        """
        spans = ((number, *self.cuts[number][:2]) for number in numbers)
        return {
            number: self._decoded(number)
            for number, start, end in spans
            if self.whole.find(b"\\", start, end) >= 0
        }

    def check(self, numbers: Iterable[int]) -> None:
        """Check that cuts are JSON strings.

        Raises:
            ContractError: as `read_json` does for the whole.
        """
        short: list[memoryview] = []
        for number in numbers:
            start, end, _ = self.cuts[number]
            if end - start > _SHORT:
                self._decoded(number)
            else:
                short.append(self._literal(number))
        # All at once: there may be one in every ten bytes.
        with suppress(*_NOT_JSON):
            msgspec.json.decode(b"[" + b",".join(short) + b"]", type=list[str])
            return
        read_json(self.whole)
        raise AssertionError("a text is JSON although a string in it is none")

    def joined(self, rest: bytes, new: dict[int, bytes]) -> bytes:
        """A rest as a whole text: each replacement becomes its new literal, or its own again."""
        head, *tails = rest.split(f'"{self._mark}:'.encode())
        pieces: list[bytes | memoryview] = [head]
        for tail in tails:
            number, _, after = tail.partition(b'"')
            pieces += new.get(int(number)) or self._literal(int(number)), after
        return b"".join(pieces)

    def _literal(self, number: int) -> memoryview:
        start, end, _ = self.cuts[number]
        return self._view[start:end]

    def _decoded(self, number: int) -> str:
        with suppress(*_NOT_JSON):
            return msgspec.json.decode(self._literal(number), type=str)
        read_json(self.whole)
        raise AssertionError("a text is JSON although a string in it is none")

    def _cut(self, text: bytes) -> bytes:
        pieces: list[bytes | memoryview] = []
        size = done = position = 0
        while match := _URL.search(text, position):
            start = match.start()
            if text[start - 1 : start] == b"\\":
                position = start + 1  # a quote inside of a string, which goes on behind it
                continue
            position = end = _end_of_string(text, start)
            if end < 0:
                break
            if _COLON.match(text, end):
                continue  # a key
            mark = f'"{self._mark}:{len(self.cuts)}"'.encode()
            pieces += self._view[done:start], mark
            size += start - done
            self.cuts.append(Cut(start, end, size))
            size += len(mark)
            done = end
        if not self.cuts:
            return text
        pieces.append(self._view[done:])
        return b"".join(pieces)


def _end_of_string(text: bytes, start: int) -> int:
    """Where a string ends that begins at `start`; -1 if it does not."""
    quote = text.find(b'"', start + 1)
    if quote < 0 or text[quote - 1 : quote] != b"\\":
        return quote + 1 or -1
    match = _REST_OF_STRING.match(text, start + 1)
    return match.end() if match else -1


class ObjectChange(NamedTuple):
    """How one object changes: the one that a string stands in, or `up` objects above that.

    ``change`` makes the new object out of the text of the old one.
    """

    up: int
    change: Callable[[memoryview], bytes]


def change_objects(rest: bytes, changes: Mapping[int, ObjectChange]) -> bytes:
    """A JSON text in which some objects are replaced, by where a string in each begins."""
    open_at: list[int] = []
    wanted: dict[int, Callable[[memoryview], bytes]] = {}
    pieces: list[bytes | memoryview] = []
    view, done = memoryview(rest), 0
    for match in _OBJECT.finditer(rest):
        start = match.start()
        token = rest[start]
        if token == ord('"'):
            if start in changes:
                up, change = changes[start]
                wanted[open_at[-1 - up]] = change
        elif token == ord("{"):
            open_at.append(start)
        elif (begin := open_at.pop()) in wanted:
            pieces += view[done:begin], wanted.pop(begin)(view[begin : match.end()])
            done = match.end()
    pieces.append(view[done:])
    return b"".join(pieces)
