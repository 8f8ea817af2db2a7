"""Rules of arrays as bytes: encoded arrays, packed streams and sampling masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted
from rawmm.model.kinds import name_of
from rawmm.model.packed import element, elements_of, illegal_elements
from rawmm.model.schemas import definition, resolved
from rawmm.model.types import PackedStream
from rawmm.rules.rule import Rule
from rawmm.rules.scalars import SCALARS
from rawmm.values.arrays import raw, shown_shape, size_error
from rawmm.values.views import as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import EncodedArray, SamplingMask

    Schema = Mapping[str, Any]

MAX_ELEMENTS: Final = 100
"""The most illegal elements to list for one packed stream."""
_ELEMENTS: Final = "int32"
"""The element type of both arrays of a sampling mask."""
_FLAT: Final[dict[str, Schema]] = {
    "int32": {"$ref": "#/$defs/TokenId"},
    "float32": {"type": "number"},
}
"""Schemas of the elements of flat arrays. In an int32, counts and ids have the same bounds."""


def packed_errors(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """The errors of a packed stream whose fields have the right shape."""
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
    """The errors of elements that break their schema `items`, at most `MAX_ELEMENTS`.

    A last error counts the remaining ones. `path` is that of the bytes.
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
            expected="only legal elements",
            got=counted(rest, "more illegal element"),
            hint=f"only the first {MAX_ELEMENTS} are listed",
        )


def _array_size(encoded: EncodedArray, path: Path) -> Iterator[RawMMError]:
    if error := size_error(encoded.dtype, encoded.shape, encoded.data, path):
        yield error


def fills_its_shape(encoded: EncodedArray) -> bool:
    """Whether the bytes of an array have the size of its shape."""
    return size_error(encoded.dtype, encoded.shape, encoded.data, ()) is None


def _packed(stream: PackedStream[Any], path: Path) -> Iterator[RawMMError]:
    yield from packed_errors(stream, definition(name_of(type(stream))), path)


def _sampling_mask(mask: SamplingMask, path: Path) -> Iterator[RawMMError]:
    if not (fills_its_shape(mask.ids) and fills_its_shape(mask.counts)):
        return  # the rule of the array reports it
    found = False
    for name in ("ids", "counts"):
        for error in flat_array_errors(getattr(mask, name), _ELEMENTS, (*path, name)):
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


def flat_array_errors(encoded: EncodedArray, dtype: str, path: Path) -> Iterator[RawMMError]:
    """The errors of an array that must have one dimension of `dtype`, int32 or float32."""
    if encoded.dtype != dtype or len(encoded.shape) != 1:
        yield contract_error(
            "array_size",
            path,
            expected=f"{dtype} of one dimension",
            got=f"{encoded.dtype} of shape {shown_shape(encoded.shape)}",
        )
    else:
        yield from element_errors(dtype, encoded.data, _FLAT[dtype], (*path, "data"))


RULES: Final = (
    Rule("array_size", _array_size, fills_its_shape),
    Rule("packed", _packed, PackedStream.holds),
    Rule("sampling_mask", _sampling_mask),
)
