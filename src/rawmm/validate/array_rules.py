"""The rules of arrays as bytes: sizes, and the elements of those that hold tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm._packed import elements_of
from rawmm.errors import contract_error, counted
from rawmm.structs import PackedStream
from rawmm.validate.arrays import shown_shape, size_error
from rawmm.validate.rule import Rule, definition_of
from rawmm.validate.shape import definition, element_errors, packed_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError
    from rawmm.structs import EncodedArray, SamplingMask

    Path = tuple[str | int, ...]

_ELEMENTS: Final = "int32"
"""The element type of both arrays of a sampling mask."""


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
