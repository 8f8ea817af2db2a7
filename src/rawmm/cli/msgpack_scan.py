"""What msgspec does not tell of a MessagePack document: keys that stand twice, and times in full.

msgspec decodes a map to a dict. Of equal keys the last one stays, and ``1``, ``1.0`` and ``true``
are equal in Python. A time becomes a datetime, which has no nanoseconds. `Scan` goes over the
bytes once more, for the few documents in which that can matter.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.cli.boundaries import COUNTS, SIZES, skip
from rawmm.errors import contract_error, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

_TIME: Final = 0xFF
"""The extension type of times, -1, as a byte."""
_RUN: Final = 16
_CHUNK: Final = 1024
"""Elements of one size that are gone over at once, and how far ahead one looks for such a run."""
# By first byte of an extension: where its type stands.
_TYPE_AT: Final = {**dict.fromkeys(range(0xD4, 0xD9), 1), 0xC7: 2, 0xC8: 3, 0xC9: 5}
_SIZES: Final = bytes(0 if byte in _TYPE_AT else size for byte, size in enumerate(SIZES))
"""Sizes of values by their first byte: 0 for what has to be looked at."""


def is_exact(data: bytes, value: Any) -> bool:
    """Whether `value`, written again, is the document that it was decoded from, byte for byte.

    Then nothing was lost. Most writers write each value in the shortest way, as msgspec does; of
    the others a `Scan` tells more.
    """
    try:
        return bool(msgspec.msgpack.encode(value) == data)
    except (RecursionError, ValueError, OverflowError):
        return False


class Scan:
    """One pass over a MessagePack document. Where that is malformed, it ends.

    Attributes:
        times: where the type of each time that is no key stands.
        odd_time: the path of the first of them that no datetime can be, or None.
        types: the extension types in use, as bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.times: list[int] = []
        self.odd_time: list[str | int] | None = None
        self.types: set[int] = set()

    def faults(self) -> Iterator[RawMMError]:
        """An error for each key that a dict cannot keep, at its path. To its end, it fills `self`.

        ``duplicate_key`` for a key that its map has again, ``not_json`` for a time as a key that
        a datetime cannot hold.
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
                at, _ = skip(data, at, 1)
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
            elif byte in COUNTS:
                width, values = COUNTS[byte]
                number = int.from_bytes(data[at + 1 : at + 1 + width], "big")
                stack.append(_Container(number, is_map=values == 2))
                at += 1 + width
            else:
                start = at
                at, _ = skip(data, at, 1)
                if (
                    self._note_type(start, byte)
                    and self.odd_time is None
                    and _is_odd(data[start:at])
                ):
                    self.odd_time = [one.index for one in stack[1:]]

    def _note_type(self, at: int, byte: int) -> bool:
        """Note the type of an extension; whether it is a time."""
        place = at + _TYPE_AT.get(byte, 0)
        if not at < place < len(self._data):
            return False
        self.types.add(self._data[place])
        if self._data[place] != _TIME:
            return False
        self.times.append(place)
        return True

    def decoded_in_full(self) -> Any:
        """The document with each time as an extension of type -1, as it was written.

        Raises:
            msgspec.DecodeError: the document is malformed.
        """
        stand_in = next(kind for kind in range(128) if kind not in self.types)
        data = bytearray(self._data)
        for place in self.times:
            data[place] = stand_in

        def extension(kind: int, content: memoryview) -> msgspec.msgpack.Ext:
            return msgspec.msgpack.Ext(-1 if kind == stand_in else kind, bytes(content))

        return msgspec.msgpack.decode(data, ext_hook=extension)


def _is_odd(time: bytes) -> bool:
    try:
        msgspec.msgpack.decode(time)
    except msgspec.DecodeError:
        return True
    return False


class _Container:
    """An array or a map, while the scan is in it.

    Attributes:
        left: its values, or pairs, still to come.
        keys: the keys of a map so far; None for an array.
        index: the key or index of the value at hand.
    """

    __slots__ = ("index", "keys", "left")

    def __init__(self, left: int, *, is_map: bool) -> None:
        self.left = left
        self.keys: dict[Any, Any] | None = {} if is_map else None
        self.index: Any = -1

    def skip_scalars(self, data: bytes, at: int) -> int:
        """Go over the next elements as long as they are of a size that their first byte says."""
        left, end, sizes = self.left, len(data), _SIZES
        while left and at < end and (size := sizes[data[at]]):
            ahead = at + _RUN * size
            if left > _RUN and ahead < end and sizes[data[ahead]] == size == sizes[data[at + size]]:
                # Numbers of one size, one after the other: their first bytes are a slice.
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
        """The next key. What is wrong with it: what is expected, what it is, the code."""
        assert self.keys is not None
        try:
            # In a map, as there an array becomes a tuple.
            (key,) = msgspec.msgpack.decode(b"\x81" + encoded + b"\xc0")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # which decoding the document says, too
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
