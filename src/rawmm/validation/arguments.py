"""Arguments of public functions: what they are, and why a function fails on one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.real_class import claims_another, is_a
from rawmm.validation.errors import errors_at
from rawmm.values.views import as_sequence, is_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.errors import Path


T = TypeVar("T")


def guarded(work: Callable[[], T], *given: tuple[Any, Any, Path]) -> T:
    """``work()``. If it fails on one of the given values, the error is why that value is refused.

    A struct was right when it was built, but an assignment may have put anything into it since.
    To validate every struct before each use would cost as much as building it again, so the given
    values are only validated after a failure.

    Args:
        work: what to do.
        given: the values that it reads, each with its type and its path.

    Raises:
        RawMMError: what `work` raises, or the first error of a given value.
        Exception: what `work` raises where all given values are right.
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
    """`values`, if they are several and have an order.

    Raises:
        ContractError: they are text, a mapping, a set or no iterable, or claim to be of another
            class.
        ProcessedPayloadError: they are an array.
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
        and not claims_another(values)  # a mock of a list would pass for an empty one
    ):
        try:
            return list(values)
        except Exception:  # noqa: BLE001, S110  (the object's own code)
            pass
    raise contract_error("wrong_type", path, expected=expected, got=shown(values))
