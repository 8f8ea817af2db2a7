"""The contract, checked: shapes from the schema, rules beyond them, every error with a path."""

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
from rawmm.validation.errors import errors_at, is_fine
from rawmm.validation.errors import graph_broken as graph_broken
from rawmm.validation.errors import has_bad_text as has_bad_text
from rawmm.validation.explain import shape_errors as shape_errors
from rawmm.validation.explain import unknown as unknown
from rawmm.validation.identify import detect
from rawmm.validation.revalidate import recheck as recheck

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
