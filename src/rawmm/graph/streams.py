"""Read per-token streams from lists, other sequences and one-dimensional arrays."""

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
    """The elements of a list, another sequence or a one-dimensional array; None otherwise."""
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
    """A stream of a node, with an array as the list of its elements.

    Lists and packed streams are returned unchanged.
    """
    if type(stream) is list or is_a(stream, PackedStream):
        return stream
    items = array_values(stream)
    return stream if items is None else items


def stream_of(value: Any, definition_name: str, path: Path) -> list[Any]:
    """A stream as a new list, with elements converted to the type in the schema.

    Args:
        value: a list, another sequence, a packed stream, or a one-dimensional array.
        definition_name: ``TokenIds``, ``TokenFlags`` or ``TokenStream``.
        path: the path of the stream.

    Raises:
        ContractError: `value` is none of these, or an element is invalid.
        ProcessedPayloadError: `value` is another array, or an element is NaN or infinite.
    """
    items = as_list(value)
    if items is None:
        raise not_a_stream(value, path)
    kind = _KINDS[definition_name]
    # `is_plain` refuses an integer that a double would round.
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
        ProcessedPayloadError: ``not_json`` at the first of them.
    """
    # A finite sum rules them out. Large finite numbers may overflow, so each is checked then.
    if not isfinite(sum(values)):
        for index, value in enumerate(values):
            if not isfinite(value):
                raise not_finite(value, (*path, index))


def floored(value: Any, floor: float | None, path: Path) -> Any:
    """Log-probabilities with `floor` in place of minus infinity, with a warning.

    Args:
        value: the stream. Anything but a stream of numbers is returned unchanged.
        floor: the replacement; None to replace nothing.
        path: the path of the stream.

    Raises:
        ContractError: `floor` is not a finite negative number.
    """
    if floor is None:
        return value
    floor = checked_floor(floor)
    items = as_list(value)
    if items is None or not all(issubclass(kind, (int, float)) for kind in set(map(type, items))):
        return value
    return floored_stream(items, floor, path)


def not_a_stream(value: Any, path: Path) -> RawMMError:
    """The error for a value that is not a stream."""
    if is_array(value):
        return contract_error(
            "array_payload",
            path,
            expected="a list of one value per token, or a one-dimensional array",
            got=shown(value),
        )
    return contract_error(
        "wrong_type", path, expected="a list of one value per token", got=shown(value)
    )
