"""Per-token streams as they come in: lists, other sequences, arrays of one dimension."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.errors import contract_error, shown
from rawmm.model.schemas import definition
from rawmm.model.types import PackedStream, TokenFlags, TokenIds, TokenStream
from rawmm.real_class import is_a
from rawmm.validation import shape_errors
from rawmm.values.errors import not_finite
from rawmm.values.logprob_floor import checked_floor, floored_stream
from rawmm.values.plain import is_plain, to_plain
from rawmm.values.views import array_values, as_sequence, is_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

_KINDS: Final[dict[str, Any]] = {
    "TokenIds": TokenIds,
    "TokenFlags": TokenFlags,
    "TokenStream": TokenStream,
}


def as_list(value: Any) -> list[Any] | None:
    """The elements of a list, another sequence or an array of one dimension; None of all else."""
    if is_a(value, PackedStream):
        return value.tolist()
    if type(value) is list:
        return value
    items = array_values(value)
    if items is not None or is_array(value):
        return items
    sequence = as_sequence(value)
    return None if sequence is None else list(sequence)


def elements(stream: Any) -> Any:
    """A stream of a node for reading: arrays that were assigned to it as lists of their elements.

    Lists and packed streams stay the objects that they are.
    """
    if type(stream) is list or is_a(stream, PackedStream):
        return stream
    items = array_values(stream)
    return stream if items is None else items


def stream_of(value: Any, definition_name: str, path: Path) -> list[Any]:
    """A stream as a new list, each element as the schema has it.

    Args:
        value: a list, another sequence, a packed stream, or an array of one dimension.
        definition_name: ``TokenIds``, ``TokenFlags`` or ``TokenStream``.
        path: where it stands.

    Raises:
        ContractError: it is none of these, or an element is not one that the stream may have.
        ProcessedPayloadError: it is an array of several dimensions, or of no numbers; or an
            element is NaN or infinite.
    """
    items = as_list(value)
    if items is None:
        raise not_a_stream(value, path)
    kind = _KINDS[definition_name]
    # An integer that a double would round is no number of a stream.
    fits = definition_name != "TokenStream" or is_plain(items)
    converted = _converted(items, kind) if fits else None
    if converted is None:
        plain = to_plain(items, kind, path)
        for error in shape_errors(plain, definition(definition_name), path):
            raise error
        converted = _converted(plain, kind)
    if converted is None:
        raise not_a_stream(value, path)
    if definition_name == "TokenStream":
        check_finite(converted, path)
    return converted


def _converted(items: Any, kind: Any) -> list[Any] | None:
    try:
        converted: list[Any] = msgspec.convert(items, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    return converted


def check_finite(values: Sequence[float], path: Path) -> None:
    """Refuse NaN and infinities.

    Raises:
        ProcessedPayloadError: ``not_json`` at the first one.
    """
    # The sum shows whether there may be one. It overflows for large finite numbers, too.
    if not isfinite(sum(values)):
        for index, value in enumerate(values):
            if not isfinite(value):
                raise not_finite(value, (*path, index))


def floored(value: Any, floor: float | None, path: Path) -> Any:
    """Log-probabilities with `floor` in place of minus infinity, which a warning says.

    Args:
        value: the stream as it came; what is no stream of numbers is returned as it is.
        floor: what to put there; None to leave them.
        path: where the stream stands.

    Raises:
        ContractError: `floor` is no finite negative number.
    """
    if floor is None:
        return value
    floor = checked_floor(floor)
    items = as_list(value)
    if items is None or not all(issubclass(kind, (int, float)) for kind in set(map(type, items))):
        return value
    return floored_stream(items, floor, path)


def not_a_stream(value: Any, path: Path) -> RawMMError:
    """The error of a value that is no stream."""
    if is_array(value):
        return contract_error(
            "array_payload",
            path,
            expected="a list of one value per token, or an array of one dimension",
            got=shown(value),
        )
    return contract_error(
        "wrong_type", path, expected="a list of one value per token", got=shown(value)
    )
