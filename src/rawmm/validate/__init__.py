"""The contract, checked: shapes from the schema, rules beyond them, every error with a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.validate.collect import errors_at, is_fine
from rawmm.validate.detect import detect
from rawmm.validate.doors import first_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["detect", "errors_at", "first_error", "iter_errors", "validate"]


def validate(value: Any, type: Any = None) -> None:  # noqa: A002  (the public name)
    """Raise the first error of `value`; return None when there is none.

    `value` is a struct, or plain data (dicts and lists, models, dataclasses) of `type`. Without
    a `type` it is told from the value. Nothing is changed.

    Raises:
        ContractError: the shape or a rule is broken.
        ProcessedPayloadError: a payload holds what is not raw, JSON-safe data.
    """
    for error in iter_errors(value, type):
        raise error


def iter_errors(value: Any, type: Any = None) -> Iterator[RawMMError]:  # noqa: A002
    """Every error of `value`, lazily: shapes in document order, then rules.

    Rules between fields are checked wherever the shape below them is right. See `validate`.
    """
    try:
        kind = detect(value) if type is None else type
    except RawMMError as error:
        yield error
        return
    if not is_fine(value, kind):
        yield from errors_at(value, kind, ())
