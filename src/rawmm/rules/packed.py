"""The rules of arrays as bytes: sizes, and the elements of those that hold tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted
from rawmm.model.packed import element, elements_of, illegal_elements
from rawmm.model.schemas import definition, resolved
from rawmm.model.types import PackedStream
from rawmm.rules.rule import Rule, definition_of
from rawmm.rules.scalars import SCALARS
from rawmm.values.arrays import raw, shown_shape, size_error
from rawmm.values.plain import as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rawmm.errors import RawMMError
    from rawmm.model.types import EncodedArray, SamplingMask

    Path = tuple[str | int, ...]
    Schema = Mapping[str, Any]

MAX_ELEMENTS: Final = 100
"""Illegal elements of one packed stream that are listed one by one."""
_ELEMENTS: Final = "int32"
"""The element type of both arrays of a sampling mask."""


def packed_errors(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """What is wrong in a packed stream whose fields have the right shape."""
    dtype, shape, data = (
        dict(as_mapping(value) or {})[name] for name in ("dtype", "shape", "data")
    )
    if len(shape) != 1:
        yield contract_error(
            "array_size", (*path, "shape"), expected="one dimension", got=shown_shape(shape)
        )
    elif error := size_error(dtype, shape, data := raw(data), path):
        yield error
    else:
        items: Schema = schema["x-rawmm-items"]
        yield from element_errors(dtype, data, items, (*path, "data"))


def element_errors(dtype: str, data: bytes, items: Schema, path: Path) -> Iterator[RawMMError]:
    """Elements in the bytes at `path` that break their schema, up to `MAX_ELEMENTS` of them.

    One more error counts the rest.
    """
    items = resolved(items)
    check = SCALARS[items["type"]]
    left, rest, code = MAX_ELEMENTS, 0, ""
    for first, illegal in illegal_elements(dtype, data):
        at = -1
        for _ in range(min(illegal.count(1), left)):
            at = illegal.index(1, at + 1)
            left -= 1
            value = element(dtype, data, first + at)
            for error in check(value, items, (*path, first + at)):
                code = error.code
                yield error
        rest += illegal.count(1, at + 1)
    if rest:
        yield contract_error(
            code,
            path,
            expected="legal elements throughout",
            got=f"{rest} more that are not",
            hint=f"{MAX_ELEMENTS} are listed",
        )


def _array_size(encoded: EncodedArray, path: Path) -> Iterator[RawMMError]:
    if error := size_error(encoded.dtype, encoded.shape, encoded.data, path):
        yield error


def _fills_its_shape(encoded: EncodedArray) -> bool:
    return size_error(encoded.dtype, encoded.shape, encoded.data, ()) is None


def _packed(stream: PackedStream[Any], path: Path) -> Iterator[RawMMError]:
    yield from packed_errors(stream, definition(definition_of(type(stream))), path)


def _sampling_mask(mask: SamplingMask, path: Path) -> Iterator[RawMMError]:
    if not (_fills_its_shape(mask.ids) and _fills_its_shape(mask.counts)):
        return  # the array's own error says so
    found = False
    for name in ("ids", "counts"):
        for error in _tokens_of_mask(getattr(mask, name), (*path, name)):
            found = True
            yield error
    if found:
        return
    total = sum(elements_of(_ELEMENTS, mask.counts.data))
    if total != mask.ids.shape[0]:
        yield contract_error(
            "stream_length",
            (*path, "ids"),
            expected=f"{counted(total, 'id')}, the sum of counts",
            got=str(mask.ids.shape[0]),
        )


def _tokens_of_mask(encoded: EncodedArray, path: Path) -> Iterator[RawMMError]:
    """One array of a sampling mask: elements are token ids, or numbers of them."""
    if encoded.dtype != _ELEMENTS or len(encoded.shape) != 1:
        yield contract_error(
            "array_size",
            path,
            expected=f"{_ELEMENTS} of one dimension",
            got=f"{encoded.dtype} of shape {shown_shape(encoded.shape)}",
        )
    else:
        # A count is no id, but both are below the same bounds in an int32.
        yield from element_errors(
            encoded.dtype, encoded.data, definition("TokenId"), (*path, "data")
        )


ARRAY_SIZE: Final = Rule("array_size", _array_size, _fills_its_shape)
PACKED: Final = Rule("packed", _packed, PackedStream.holds)
SAMPLING_MASK: Final = Rule("sampling_mask", _sampling_mask)
