"""Errors of the arguments of public functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.model.schemas import definition
from rawmm.real_class import claims_another, is_a
from rawmm.rules import SCALARS, MediaChecks
from rawmm.validation.errors import errors_at
from rawmm.values.views import as_sequence, is_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.errors import Path


T = TypeVar("T")


def guarded(work: Callable[[], T], *given: tuple[Any, Any, Path]) -> T:
    """Call `work`. If it fails because a given value is invalid, raise that value's error.

    Structs are valid when built, but an assignment may break one. Validating each struct before
    each use would cost as much as building it, so the values are validated only after a failure.

    Args:
        work: the function to call.
        given: the values that it reads, each with its type and its path.

    Raises:
        RawMMError: raised by `work`, or the first error of a given value.
        Exception: raised by `work`, while all given values are valid.
    """
    try:
        return work()
    except RawMMError:
        raise
    except Exception as error:  # noqa: BLE001  (an object's own code may raise anything)
        failure = error
    for value, kind, path in given:
        for reason in errors_at(value, kind, path):
            raise reason
    raise failure


def in_order(values: Any, path: tuple[str, ...], expected: str) -> Iterable[Any]:
    """`values` as an iterable with an order.

    Raises:
        ContractError: ``wrong_type`` for text, a mapping, a set, an object that is not iterable, or
            one with a forged class.
        ProcessedPayloadError: ``array_payload`` for an array.
    """
    if type(values) in (list, tuple, GeneratorType):
        return values  # type: ignore[no-any-return]
    if is_array(values):
        raise contract_error("array_payload", path, expected=expected, got=shown(values))
    if issubclass(type(values), Sequence):
        items = as_sequence(values)
        if items is not None:
            return items
    elif (
        is_a(values, Iterable)
        and not is_a(values, (str, Mapping, AbstractSet))
        and not claims_another(values)  # a mock of a list iterates as an empty one
    ):
        try:
            return list(values)
        except Exception:  # noqa: BLE001, S110  (the object's own code)
            pass
    raise contract_error("wrong_type", path, expected=expected, got=shown(values))


def media_checks(
    image_token_ids: object = (), *, require_sidecars: object = False, layout: object = None
) -> MediaChecks:
    """The arguments of `validate` as `MediaChecks`.

    Raises:
        ContractError: ``wrong_type`` or ``out_of_range`` for an argument of another type or value.
        ProcessedPayloadError: ``array_payload`` for an array of ids.
    """
    listed = (
        [image_token_ids]
        if type(image_token_ids) is int
        else image_token_ids
        if is_a(image_token_ids, AbstractSet)
        else in_order(image_token_ids, ("image_token_ids",), "a list or set of token ids")
    )
    kind, ids = definition("TokenId"), set()
    for index, token in enumerate(listed):
        for error in SCALARS[kind["type"]](token, kind, ("image_token_ids", index)):
            raise error
        ids.add(int.__index__(token))
    if type(require_sidecars) is not bool:
        raise contract_error(
            "wrong_type", ("require_sidecars",), expected="a boolean", got=shown(require_sidecars)
        )
    rows = False if layout is None else getattr(type(layout), "row_separators", None)
    if type(rows) is not bool:
        raise contract_error(
            "wrong_type",
            ("layout",),
            expected="a layout",
            got=shown(layout),
            hint="pass the result of rawmm.layouts.get",
        )
    return MediaChecks(frozenset(ids), require_sidecars, rows)
