"""Expert routing of a sample: one row per token, sliced and joined as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.graph import encoded
from rawmm.model.types import Contract, EncodedArray
from rawmm.real_class import is_a
from rawmm.values.arrays import shown_shape
from rawmm.values.views import as_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    Path = tuple[str | int, ...]


def as_experts(value: Any, path: Path) -> EncodedArray | None:
    """Routing from an `EncodedArray`, its mapping, an array, or ``[data, shape, dtype]``.

    Raises:
        ContractError: `value` is none of these, or its bytes do not fill its shape.
    """
    if value is None:
        return None
    value = opened(value, path)
    fields = as_sequence(value)
    try:
        if is_a(value, EncodedArray):
            return convert(value, EncodedArray)
        if fields is not None and len(fields) == 3:
            data, shape, dtype = fields
            return EncodedArray(data=data, shape=shape, dtype=dtype)
        return encoded(value)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal


def opened(value: Any, path: Path) -> Any:
    """A struct of another package, such as an array-like one of a transport, as plain data.

    Raises:
        ProcessedPayloadError: it holds a value that is not plain data.
    """
    if not is_a(value, msgspec.Struct) or is_a(value, Contract):
        return value
    try:
        return msgspec.to_builtins(value, builtin_types=(bytes,))
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # raised below, so that msgspec's error is not in the chain
    raise contract_error("not_json", path, expected="plain data", got=shown(value))


def size(experts: EncodedArray) -> int:
    """The number of rows."""
    return experts.shape[0] if experts.shape else 0


def rows(experts: EncodedArray, start: int, end: int) -> EncodedArray:
    """The rows from `start` to before `end`."""
    width = len(experts.data) // size(experts) if size(experts) else 0
    return EncodedArray(
        dtype=experts.dtype,
        shape=[end - start, *experts.shape[1:]],
        data=experts.data[start * width : end * width],
    )


def joined(parts: Sequence[tuple[EncodedArray, Path]]) -> EncodedArray:
    """The concatenation of several arrays, each given with its path.

    Raises:
        ContractError: ``bad_value`` if dtype or row shape of one differ from those of the first.
    """
    first = parts[0][0]
    for one, path in parts:
        if (one.dtype, one.shape[1:]) != (first.dtype, first.shape[1:]):
            raise contract_error(
                "bad_value",
                path,
                expected=f"rows of {shown_shape(first.shape[1:])} {first.dtype}, as before",
                got=f"rows of {shown_shape(one.shape[1:])} {one.dtype}",
            )
    return EncodedArray(
        dtype=first.dtype,
        shape=[sum(size(one) for one, _ in parts), *first.shape[1:]],
        data=b"".join(one.data for one, _ in parts),
    )
