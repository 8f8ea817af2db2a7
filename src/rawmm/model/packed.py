"""The base of packed streams, which hold one value per token as the bytes of one array.

A packed stream is a struct on the wire and a sequence in Python. It can be indexed, sliced,
iterated and compared like the list of its elements, and is one object of any length. It makes
Python objects only of the elements that are accessed.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, overload

import msgspec

from rawmm.errors import contract_error, shown
from rawmm.model.base import Ruled
from rawmm.native import COMPILED, packed
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_CODES: Final[dict[str, Any]] = {
    "bool": "?", "uint8": "?", "int32": "i", "int64": "q", "float32": "f", "float64": "d",
}  # fmt: skip
"""Format codes of `array` and `memoryview` by element type. Both types of flags read as bool."""
_SIZES: Final = {dtype: memoryview(b"").cast(code).itemsize for dtype, code in _CODES.items()}
_TYPE_NAMES: Final = {"?": "|b1", "i": "<i4", "q": "<i8", "f": "<f4", "d": "<f8"}
_SWAP: Final = sys.byteorder == "big"
_INTEGERS: Final = frozenset({"int32", "int64"})
_ONLY_PACKED: Final = ("packed",)
_PART: Final = 1 << 16
"""Number of elements that are checked at a time."""


def _ones(first: int, *more: int) -> bytes:
    """A table for `bytes.translate`: 1 for bytes from `first` on and for `more`, else 0."""
    return bytes(byte >= first or byte in more for byte in range(256))


_FLAGS: Final = b"\0\1"
_NO_FLAG: Final = _ones(2)
_NEGATIVE: Final = _ones(0x80)
_NOT_ZERO: Final = _ones(1)
_FULL_EXPONENT: Final = _ones(0xFF, 0x7F)
"""For the last byte of a float. If the byte before it matches too, the float is not finite."""
_EXPONENT_TAIL: Final = {4: _ones(0x80), 8: _ones(0xF0)}


def _illegal(dtype: str, data: bytes) -> bytes:
    """One byte for each element: 1 if it is illegal, else 0.

    Token ids must be unsigned 32-bit integers, flags 0 or 1, floats finite.
    """
    size = _SIZES[dtype]
    top = data[size - 1 :: size]
    if size == 1:
        return top.translate(_NO_FLAG)
    if dtype == "int32":
        return top.translate(_NEGATIVE)
    count = len(top)
    if dtype == "int64":
        high = (int.from_bytes(data[byte::8], "big") for byte in range(4, 8))
        return reduce(or_, high).to_bytes(count, "big").translate(_NOT_ZERO)
    full = int.from_bytes(top.translate(_FULL_EXPONENT), "big")
    tail = int.from_bytes(data[size - 2 :: size].translate(_EXPONENT_TAIL[size]), "big")
    return (full & tail).to_bytes(count, "big")


def illegal_elements(dtype: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Find the parts of a stream that hold illegal elements, in order.

    There is no Python loop over elements, and memory is bounded by one part.

    Args:
        dtype: an element type of packed streams.
        data: whole elements.

    Yields:
        The index of a part's first element, and one byte for each of its elements: 1 if it is
        illegal, else 0.
    """
    size = _SIZES[dtype]
    for start in range(0, len(data), _PART * size):
        found = _illegal(dtype, data[start : start + _PART * size])
        if 1 in found:
            yield start // size, found


def elements_of(dtype: str, data: bytes) -> memoryview:
    """A typed view of little-endian elements. Copies them on a big-endian machine only."""
    if _SWAP and _SIZES[dtype] > 1:
        swapped = array(_CODES[dtype], data)
        swapped.byteswap()
        data = swapped.tobytes()
    typed: memoryview = memoryview(data).cast(_CODES[dtype])
    return typed


def element(dtype: str, data: bytes, index: int) -> Any:
    """One element of a stream, legal or not. A byte that is not a flag is an integer."""
    code = _CODES[dtype].replace("?", "B")
    value = struct.unpack_from(f"<{code}", data, index * _SIZES[dtype])[0]
    return bool(value) if code == "B" and value < 2 else value


class PackedStream(Ruled, Generic[T], frozen=True):  # type: ignore[misc]  # other structs are mutable
    """An immutable sequence of `T`, stored as bytes.

    Equals a list of the same elements, and a packed stream of them with any `dtype`.
    ``numpy.asarray`` makes an array of it without a copy; see also `memoryview`.
    """

    if TYPE_CHECKING:
        dtype: str
        shape: list[int]
        data: bytes

    __dtypes__: ClassVar[tuple[str, ...]]
    """The element types of the class, from narrow to wide."""

    if not COMPILED:

        def __post_init__(self) -> None:
            """Check the rules. If `packed` is the only one, call its fast check directly."""
            if type(self).__rules__ != _ONLY_PACKED or not self.holds():
                self.__check_rules__()

    def holds(self) -> bool:
        """Fast check of the rule `packed`. If it fails, ask the rule for its errors."""
        data, dtype, shape = self.data, self.dtype, self.shape
        size = _SIZES[dtype]
        if len(shape) != 1 or type(shape[0]) is not int or len(data) != shape[0] * size:
            return False
        if size == 1:
            return not data.translate(None, _FLAGS)
        top = data[size - 1 :: size]  # the sign, and most of a float's exponent
        if dtype == "int32":
            return top.isascii()
        if dtype == "int64":
            return not any(data[byte::8].strip(b"\0") for byte in range(4, 8))
        if b"\x7f" not in top and b"\xff" not in top:
            return True
        return not any(illegal_elements(dtype, data))

    @classmethod
    def pack(cls, values: Iterable[T]) -> Self:
        """Pack `values`, in the narrowest type of the class that holds all of them exactly.

        Raises:
            ContractError: no type of the class holds an element.
        """
        if is_a(values, cls):
            return values
        listed: list[Any] = values if type(values) is list else list(values)
        if (found := packed(cls, listed)) is not None:
            return found  # type: ignore[no-any-return]
        for dtype in cls.__dtypes__:
            layout = f"<{len(listed)}{_CODES[dtype]}"
            try:
                data = bytes(listed) if _SIZES[dtype] == 1 else struct.pack(layout, *listed)
            except (struct.error, OverflowError, TypeError, ValueError):
                continue
            if dtype != "float32" or list(struct.unpack(layout, data)) == listed:
                return cls._of(dtype, data)
        raise contract_error(
            "bad_value", (), expected=f"elements that {dtype} holds", got=shown(listed)
        )

    @classmethod
    def _of(cls, dtype: str, data: bytes) -> Self:
        """A stream of elements that are known to be legal."""
        build: Any = msgspec.StructMeta.__call__
        stream: Self = build(
            cls, nd=True, dtype=dtype, shape=[len(data) // _SIZES[dtype]], data=data
        )
        return stream

    def memoryview(self) -> memoryview:
        """A typed, read-only view of the elements. Copies on a big-endian machine only."""
        size = _SIZES[self.dtype]
        data = self.data
        if len(data) % size:  # the stream is being validated
            data = data[: len(data) // size * size]
        return elements_of(self.dtype, data)

    def tolist(self) -> list[T]:
        """The elements as a list."""
        listed: list[Any] = self.memoryview().tolist()
        return listed

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The protocol of numpy: the bytes, and the type of the elements."""
        typestr = _TYPE_NAMES[_CODES[self.dtype]]
        return {"version": 3, "shape": (len(self),), "typestr": typestr, "data": self.data}

    def __len__(self) -> int:
        # With another shape, the stream is being validated, and its rule reports the shape.
        shape = self.shape
        return shape[0] if len(shape) == 1 else len(self.data) // _SIZES[self.dtype]

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> T | Self:
        if not isinstance(at, slice):
            element: Any = self.memoryview()[at]
            return element  # type: ignore[no-any-return]
        start, stop, step = at.indices(len(self))
        size = _SIZES[self.dtype]
        if step == 1:
            return self._of(self.dtype, self.data[start * size : max(start, stop) * size])
        return self.pack(self.tolist()[at])

    def __iter__(self) -> Iterator[T]:
        return iter(self.tolist())

    def __reversed__(self) -> Iterator[T]:
        return reversed(self.tolist())

    def __contains__(self, value: object) -> bool:
        return self.count(value) > 0

    def count(self, value: object, start: int = 0, stop: int = sys.maxsize) -> int:
        """Count `value` in the stream, or from `start` up to `stop`."""
        size, data = _SIZES[self.dtype], self.data
        if type(value) is int and self.dtype in _INTEGERS and 0 <= value < 1 << 8 * size - 1:
            element = value.to_bytes(size, "little")
            first, last, _ = slice(start, stop).indices(len(self))
            # These two tests are fast and decide most cases, such as image placeholders.
            if data.find(element, first * size, last * size) < 0:
                return 0
            if data.startswith(element * (last - first), first * size):
                return last - first
        elif size == 1 and type(value) is bool:
            first, last, _ = slice(start, stop).indices(len(data))
            zeros = data.count(0, first, last)
            return max(0, last - first) - zeros if value else zeros
        return sum(part.count(value) for _, part in self._parts(start, stop))

    def index(self, value: object, start: int = 0, stop: int = sys.maxsize) -> int:
        """The first index of `value`.

        Raises:
            ValueError: it is not in the stream.
        """
        for first, part in self._parts(start, stop):
            if value in part:
                return first + part.index(value)
        msg = "the value is not in list"
        raise ValueError(msg)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, list[Any]]]:
        """The elements from `start` up to `stop` in parts, each with the index of its first.

        Parts grow, so that an early match is cheap and memory is bounded by one part.
        """
        view = self.memoryview()
        at, last, _ = slice(start, stop).indices(len(view))
        size = 16
        while at < last:
            end = min(at + size, last)
            yield at, view[at:end].tolist()
            at, size = end, min(2 * size, _PART)

    def __eq__(self, other: object) -> bool:
        if is_a(other, PackedStream):
            if self.dtype == other.dtype and self.data == other.data:
                return len(self) == len(other)
            return self.tolist() == other.tolist()
        if is_a(other, list):
            return len(other) == len(self) and self.tolist() == other
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        # msgspec's `__ne__` would come before that of `object`, which calls `__eq__`.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has none


Sequence.register(PackedStream)


def token_bytes(ids: list[int] | PackedStream[int]) -> tuple[bytes, int] | None:
    """Token ids as little-endian bytes, and the size of each; None if they are not token ids.

    Bytes are searched and compared many times as fast as lists of objects.
    """
    if isinstance(ids, PackedStream):
        return ids.data, _SIZES[ids.dtype]
    try:
        typed = array("I", ids)
    except (TypeError, OverflowError):
        return None
    if _SWAP:
        typed.byteswap()
    return typed.tobytes(), typed.itemsize
