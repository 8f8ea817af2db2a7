"""Validation: shapes by the schema, then rules. Every error has a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.validation.arguments import guarded, in_order
from rawmm.validation.construct import first_error, unexplained
from rawmm.validation.convert import decoded_to_struct, made_plain, to_struct, wire_hook
from rawmm.validation.errors import bare_graph_errors, errors_at, graph_broken, has_bad_text, holds
from rawmm.validation.explain import shape_errors
from rawmm.validation.identify import detect
from rawmm.validation.revalidate import revalidate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "bare_graph_errors",
    "decoded_to_struct",
    "detect",
    "errors_at",
    "first_error",
    "graph_broken",
    "guarded",
    "has_bad_text",
    "in_order",
    "iter_errors",
    "made_plain",
    "revalidate",
    "shape_errors",
    "to_struct",
    "unexplained",
    "validate",
    "wire_hook",
]


def validate(value: Any, type: Any = None) -> None:  # noqa: A002  (the public name)
    """Raise the first error of `value`, if it has one.

    Args:
        value: a struct, or plain data: dicts and lists, models, dataclasses. It is not changed.
        type: its type; None to identify it by its keys.

    Raises:
        ContractError: the value breaks its shape or a rule.
        ProcessedPayloadError: a payload holds anything but raw, JSON-safe data.
    """
    for error in iter_errors(value, type):
        raise error


def iter_errors(value: Any, type: Any = None) -> Iterator[RawMMError]:  # noqa: A002
    """Iterate over the errors of `value`: shapes in document order, then rules.

    A rule is checked if the shape of its struct is right. The arguments are those of `validate`.
    """
    try:
        kind = detect(value) if type is None else type
    except RawMMError as error:
        yield error
        return
    if not holds(value, kind):
        yield from errors_at(value, kind, ())
