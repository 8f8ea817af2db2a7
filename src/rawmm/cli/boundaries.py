"""Where each document of a MessagePack stream ends.

msgspec decodes whole documents only, so the stream is cut first. A document's end needs no
stack to find: every array or map only adds to the number of values still to come.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK: Final = 1 << 20

# By first byte: the size of a value whose size that byte alone says, else 0.
SIZES: Final = bytes(
    1 + (byte & 0x1F) if 0xA0 <= byte <= 0xBF  # fixstr
    else 1 if byte < 0x80 or byte >= 0xE0 or byte in (0xC0, 0xC1, 0xC2, 0xC3)
    else {
        0xCA: 5, 0xCB: 9,  # float
        0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9,  # unsigned
        0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,  # signed
        0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18,  # fixext
    }.get(byte, 0)
    for byte in range(256)
)  # fmt: skip
# By first byte: bytes of the length that follows, and bytes between it and the content.
_LENGTHS: Final = {
    0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0),  # bin
    0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),  # ext
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),  # str
}  # fmt: skip
# By first byte: bytes of the count that follows, and values per count.
COUNTS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


class NotADocumentError(Exception):
    """A value stands where a document should begin, and it is neither a map nor an array."""


def documents(read: Callable[[int], bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each document, and whether it is the only one.

    What is left at the end, if it is no complete document, comes last as it is. Only as much
    is kept as one document needs.

    Args:
        read: returns up to as many bytes as asked for, and none at the end.

    Raises:
        NotADocumentError: what stands at the top is neither a map nor an array.
    """
    buffer = bytearray()
    at, pending, begun, first = 0, 1, 0, True
    while True:
        if at == 0 and buffer and not _is_container(buffer[0]):
            raise NotADocumentError(f"neither a map nor an array at byte {begun}")
        at, pending = skip(buffer, at, pending)
        if pending == 0 and at <= len(buffer):
            data = bytes(memoryview(buffer)[:at])
            del buffer[:at]
            begun += at
            at, pending = 0, 1
            if not buffer:
                buffer += read(_CHUNK)
            yield data, first and not buffer
            first = False
            if not buffer:
                return
        else:
            # Never as much as a length promises: it may be a lie.
            more = read(_CHUNK)
            if not more:
                if buffer:
                    yield bytes(buffer), first
                return
            buffer += more


def skip(buffer: bytes | bytearray, at: int, pending: int) -> tuple[int, int]:
    """Go over up to `pending` values from `at`: where that ends, and how many are left.

    Stops early where the buffer ends. The place may lie beyond it: inside a long string.
    """
    end = len(buffer)
    sizes, lengths = SIZES, _LENGTHS
    while pending and at < end:
        byte = buffer[at]
        if size := sizes[byte]:
            at += size
            pending -= 1
        elif byte < 0xA0:  # fixmap, fixarray
            pending += (byte & 0x0F) * (2 if byte < 0x90 else 1) - 1
            at += 1
        else:
            width, more = lengths.get(byte) or COUNTS[byte]
            body = at + 1 + width
            if body > end:
                break
            number = int.from_bytes(buffer[at + 1 : body], "big")
            if byte in lengths:
                at = body + more + number
                pending -= 1
            else:
                at = body
                pending += number * more - 1
    return at, pending


def _is_container(byte: int) -> bool:
    return 0x80 <= byte <= 0x9F or byte in COUNTS
