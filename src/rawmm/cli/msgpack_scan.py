"""Finds what msgspec loses of a MessagePack document: duplicate keys, and nanoseconds of times.

msgspec decodes a map to a dict, which keeps the last of equal keys; ``1``, ``1.0`` and ``true`` are
equal in Python. It decodes a time to a datetime, which has no nanoseconds. `Scan` reads the bytes
again, for the few documents where this matters. The package msgpack cannot do it: it decodes times
itself, so it loses their bytes, and it rejects an invalid one without its path.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.errors import contract_error, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

# By first byte: the size of a value whose first byte alone determines it, else 0.
_FIXED_SIZES: Final = bytes(
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
_COUNTS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}

_TIME: Final = 0xFF
"""The extension type of times, -1, as a byte."""
_RUN: Final = 16
"""How far ahead to look for a run of elements of one size."""
_CHUNK: Final = 1024
"""The longest run to skip at once."""
# By first byte of an extension: the position of its type.
_TYPE_AT: Final = {**dict.fromkeys(range(0xD4, 0xD9), 1), 0xC7: 2, 0xC8: 3, 0xC9: 5}
_SIZES: Final = bytes(0 if byte in _TYPE_AT else size for byte, size in enumerate(_FIXED_SIZES))
"""`_FIXED_SIZES` without extensions."""


def is_exact(data: bytes, value: Any) -> bool:
    """Whether encoding `value` gives the document it was decoded from, so that nothing was lost.

    Most writers use the shortest encoding of each value, as msgspec does. For others, use `Scan`.
    """
    try:
        return bool(msgspec.msgpack.encode(value) == data)
    except (RecursionError, ValueError, OverflowError):
        return False


class Scan:
    """One pass over a MessagePack document. It stops where the document is malformed.

    Attributes:
        times: the position of the type byte of each time, except keys.
        odd_time: the path of the first of them outside the range of datetime, or None.
        types: the extension types in use, as bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.times: list[int] = []
        self.odd_time: list[str | int] | None = None
        self.types: set[int] = set()

    def faults(self) -> Iterator[RawMMError]:
        """An error for each key that a dict cannot keep. Exhaust it to fill the attributes.

        ``duplicate_key`` for a repeated key, ``not_json`` for a time with nanoseconds as a key.
        """
        data, end = self._data, len(self._data)
        at = 0
        stack = [_Container(1, is_map=False)]
        while stack and at < end:
            inner = stack[-1]
            if inner.keys is None:
                at = inner.skip_scalars(data, at)
            if not inner.left:
                stack.pop()
                continue
            inner.left -= 1
            if inner.keys is None:
                inner.index += 1
            else:
                start = at
                at = _skip(data, at)
                fault = inner.take_key(data[start:at])
                if fault is not None:
                    expected, got, code = fault
                    path = [one.index for one in stack[1:]]
                    yield contract_error(code, path, expected=expected, got=got)
                if at >= end:
                    return
            byte = data[at]
            if 0x80 <= byte <= 0x9F:
                stack.append(_Container(byte & 0x0F, is_map=byte < 0x90))
                at += 1
            elif byte in _COUNTS:
                width, values = _COUNTS[byte]
                number = int.from_bytes(data[at + 1 : at + 1 + width], "big")
                stack.append(_Container(number, is_map=values == 2))
                at += 1 + width
            else:
                start = at
                at = _skip(data, at)
                if (
                    self._note_type(start, byte)
                    and self.odd_time is None
                    and _is_odd(data[start:at])
                ):
                    self.odd_time = [one.index for one in stack[1:]]

    def _note_type(self, at: int, byte: int) -> bool:
        """Record the type of an extension; return whether it is a time."""
        place = at + _TYPE_AT.get(byte, 0)
        if not at < place < len(self._data):
            return False
        self.types.add(self._data[place])
        if self._data[place] != _TIME:
            return False
        self.times.append(place)
        return True

    def decoded_in_full(self) -> Any:
        """Decode the document with each time as an extension of type -1.

        Raises:
            msgspec.DecodeError: the document is malformed.
        """
        unused = next(kind for kind in range(128) if kind not in self.types)
        data = bytearray(self._data)
        for place in self.times:
            data[place] = unused

        def extension(kind: int, content: memoryview) -> msgspec.msgpack.Ext:
            return msgspec.msgpack.Ext(-1 if kind == unused else kind, bytes(content))

        return msgspec.msgpack.decode(data, ext_hook=extension)


def _is_odd(time: bytes) -> bool:
    try:
        msgspec.msgpack.decode(time)
    except msgspec.DecodeError:
        return True
    return False


def _skip(data: bytes, at: int) -> int:
    """The end of the value at `at`. It may lie beyond the data."""
    end, pending = len(data), 1
    while pending and at < end:
        byte = data[at]
        if size := _FIXED_SIZES[byte]:
            at += size
            pending -= 1
        elif byte < 0xA0:  # fixmap, fixarray
            pending += (byte & 0x0F) * (2 if byte < 0x90 else 1) - 1
            at += 1
        else:
            width, more = _LENGTHS.get(byte) or _COUNTS[byte]
            body = at + 1 + width
            if body > end:
                return body
            number = int.from_bytes(data[at + 1 : body], "big")
            if byte in _LENGTHS:
                at = body + more + number
                pending -= 1
            else:
                at = body
                pending += number * more - 1
    return at


class _Container:
    """An array or map that the scan is in.

    Attributes:
        left: the number of values or pairs still to come.
        keys: the keys of a map so far; None for an array.
        index: the key or index of the current value.
    """

    __slots__ = ("index", "keys", "left")

    def __init__(self, left: int, *, is_map: bool) -> None:
        self.left = left
        self.keys: dict[Any, Any] | None = {} if is_map else None
        self.index: Any = -1

    def skip_scalars(self, data: bytes, at: int) -> int:
        """Skip the next elements whose first byte determines their size."""
        left, end, sizes = self.left, len(data), _SIZES
        while left and at < end and (size := sizes[data[at]]):
            ahead = at + _RUN * size
            if left > _RUN and ahead < end and sizes[data[ahead]] == size == sizes[data[at + size]]:
                # In a run of numbers of one size, the first bytes are a slice.
                firsts = data[at : at + min(left, _CHUNK) * size : size].translate(sizes)
                run = len(firsts) - len(firsts.lstrip(bytes([size])))
            else:
                run = 1
            at += run * size
            left -= run
        self.index += self.left - left
        self.left = left
        return at

    def take_key(self, encoded: bytes) -> tuple[str, str, str] | None:
        """Add a key. Returns expected, got and code if it is in error."""
        assert self.keys is not None
        try:
            # Decoded as a key, because then an array becomes a tuple.
            (key,) = msgspec.msgpack.decode(b"\x81" + encoded + b"\xc0")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # decoding the document reports it
        self.index = key if type(key) is str else shown(key)
        if isinstance(key, dt.datetime | tuple) and not is_exact(encoded, key):
            return "a time of whole microseconds as a key", "one with nanoseconds", "not_json"
        if key not in self.keys:
            self.keys[key] = key
            return None
        before = self.keys[key]
        again = type(before) is type(key)
        got = f"{shown(key)} again" if again else f"{shown(key)} beside {shown(before)}"
        return "each key once", got, "duplicate_key"
