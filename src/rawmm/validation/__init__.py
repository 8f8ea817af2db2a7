"""Validation: shapes by the schema, then rules. Every error has a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.validation.arguments import guarded as guarded
from rawmm.validation.arguments import in_order as in_order
from rawmm.validation.construct import first_error
from rawmm.validation.construct import unexplained as unexplained
from rawmm.validation.convert import decoded_to_struct as decoded_to_struct
from rawmm.validation.convert import made_plain as made_plain
from rawmm.validation.convert import to_struct as to_struct
from rawmm.validation.convert import wire_hook as wire_hook
from rawmm.validation.errors import bare_graph_errors as bare_graph_errors
from rawmm.validation.errors import errors_at, holds
from rawmm.validation.errors import graph_broken as graph_broken
from rawmm.validation.errors import has_bad_text as has_bad_text
from rawmm.validation.explain import shape_errors as shape_errors
from rawmm.validation.identify import detect
from rawmm.validation.revalidate import revalidate as revalidate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["detect", "errors_at", "first_error", "iter_errors", "validate"]


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
