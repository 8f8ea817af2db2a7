"""Validation: shapes by the schema, then rules. Every error has a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.rules import checking
from rawmm.validation.arguments import guarded, in_order, media_checks
from rawmm.validation.construct import first_error, unexplained
from rawmm.validation.convert import decoded_to_struct, made_plain, to_struct, wire_hook
from rawmm.validation.errors import (
    bare_graph_errors,
    built_without_rules,
    errors_at,
    graph_broken,
    has_bad_text,
    holds,
)
from rawmm.validation.explain import shape_errors
from rawmm.validation.identify import detect
from rawmm.validation.revalidate import revalidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawmm.rules import MediaChecks, SeparatesRows

__all__ = [
    "bare_graph_errors",
    "built_without_rules",
    "checking",
    "decoded_to_struct",
    "detect",
    "errors_at",
    "first_error",
    "graph_broken",
    "guarded",
    "has_bad_text",
    "in_order",
    "iter_errors",
    "iter_errors_by",
    "made_plain",
    "media_checks",
    "revalidate",
    "shape_errors",
    "to_struct",
    "unexplained",
    "validate",
    "wire_hook",
]


def validate(
    value: Any,
    type: Any = None,  # noqa: A002  (the public name)
    *,
    image_token_ids: int | Iterable[int] = (),
    require_sidecars: bool = False,
    layout: SeparatesRows | None = None,
) -> None:
    """Raise the first error of `value`, if it has one.

    A record without sidecars is whole: each image part in it must have one run of image tokens.
    The tokens are known from the trace's ``mm_token_type_id_map``.

    Args:
        value: a struct, or plain data: dicts and lists, models, dataclasses. It is not changed.
        type: its type; None to identify it by its keys.
        image_token_ids: the image token ids of traces whose map names none, and of nodes.
        require_sidecars: whether each message with media and tokens must have its items, for
            writers of sidecars.
        layout: the layout of the model, from `rawmm.layouts`. If it has `Layout.row_separators`,
            an image may have several runs.

    Raises:
        ContractError: the value breaks its shape or a rule, or an argument is invalid.
        ProcessedPayloadError: a payload holds anything but raw, JSON-safe data.
    """
    for error in iter_errors(
        value,
        type,
        image_token_ids=image_token_ids,
        require_sidecars=require_sidecars,
        layout=layout,
    ):
        raise error


def iter_errors(
    value: Any,
    type: Any = None,  # noqa: A002  (the public name)
    *,
    image_token_ids: int | Iterable[int] = (),
    require_sidecars: bool = False,
    layout: SeparatesRows | None = None,
) -> Iterator[RawMMError]:
    """Iterate over the errors of `value`: shapes in document order, then rules.

    A rule is checked if the shape of its struct is right. The arguments are those of `validate`.

    Raises:
        ContractError: an argument other than `value` is invalid.
    """
    checks = media_checks(image_token_ids, require_sidecars=require_sidecars, layout=layout)
    yield from iter_errors_by(checks, value, type)


def iter_errors_by(checks: MediaChecks, value: Any, kind: Any) -> Iterator[RawMMError]:
    """`iter_errors`, with checked arguments."""
    errors = _errors(value, kind)
    while True:
        # Between two errors, other code of the thread runs, and must not see the checks.
        with checking(checks):
            error = next(errors, None)
        if error is None:
            return
        yield error


def _errors(value: Any, kind: Any) -> Iterator[RawMMError]:
    try:
        kind = detect(value) if kind is None else kind
    except RawMMError as error:
        yield error
        return
    if not holds(value, kind):
        yield from errors_at(value, kind, ())
