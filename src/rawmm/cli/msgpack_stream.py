"""Splits a MessagePack stream into documents, because msgspec decodes complete documents only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgpack import OutOfData, Unpacker
from msgpack.exceptions import UnpackException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK: Final = 1 << 20
_LARGEST: Final = 1 << 33
"""More than any one value, whose length has 32 bits. The buffer grows only with what is read."""
CONTAINERS: Final = frozenset([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
"""First bytes of maps and arrays. No UTF-8 text begins with one of them."""


class NotADocumentError(Exception):
    """A value at the top of the stream is neither a map nor an array."""


class TooLargeError(Exception):
    """A document is larger than the given limit."""


def elements(read: Callable[[int], bytes], most: int | None = None) -> Iterator[tuple[bytes, bool]]:
    """Each element of a file that is one list; the bool is False.

    An incomplete element at the end comes as it is; it is empty if elements are missing.

    Raises:
        NotADocumentError: the file is not one list, or more follows.
        TooLargeError: as `documents`.
    """
    head = b""
    while len(head) < 5 and (more := read(5 - len(head))):
        head += more
    kind = head[:1]
    width = {b"\xdc": 3, b"\xdd": 5}.get(kind, 1)
    if not (kind and 0x90 <= kind[0] <= 0x9F) and (width == 1 or len(head) < width):
        raise NotADocumentError("no list at byte 0")
    left = kind[0] & 0x0F if width == 1 else int.from_bytes(head[1:width], "big")
    rest = head[width:]

    def read_on(size: int) -> bytes:
        nonlocal rest
        if rest:
            data, rest = rest, b""
            return data
        return read(size)

    found = documents(read_on, most) if left else iter(())
    for data, _ in found:
        if not left:
            raise NotADocumentError("more than the list")
        left -= 1
        yield data, False
    if left:
        yield b"", False
    elif rest or read(1):
        raise NotADocumentError("more than the list")


def documents(
    read: Callable[[int], bytes], most: int | None = None
) -> Iterator[tuple[bytes, bool]]:
    """Each document, and whether it is the only one.

    An incomplete document at the end comes last as it is. A document that breaks the format, or
    nests deeper than 1,024 levels, has no known end, so everything read so far comes last as it is.
    Memory is bounded by the largest document.

    Args:
        read: returns up to the given number of bytes, or none at the end.
        most: the most bytes of a document.

    Raises:
        NotADocumentError: a value at the top is neither a map nor an array.
        TooLargeError: a document has more than `most` bytes.
    """
    unpacker = Unpacker(max_buffer_size=_LARGEST)
    buffer = bytearray()
    begin, first = 0, True

    def read_more() -> bool:
        more = read(_CHUNK)
        buffer.extend(more)
        if more:
            unpacker.feed(more)
        return bool(more)

    while buffer or read_more():
        if buffer[0] not in CONTAINERS:
            raise NotADocumentError(f"neither a map nor an array at byte {begin}")
        try:
            unpacker.skip()
        except OutOfData:
            if most is not None and len(buffer) > most:
                raise TooLargeError from None
            if read_more():
                continue
            yield bytes(buffer), first
            return
        except (UnpackException, ValueError):
            yield bytes(buffer), first
            return
        length = unpacker.tell() - begin
        data = bytes(memoryview(buffer)[:length])
        del buffer[:length]
        begin += length
        if not buffer:
            read_more()
        yield data, first and not buffer
        first = False
