"""The rule of fields that hold numbers: all are finite."""

from __future__ import annotations

import threading
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from rawmm.model.types import Contract
from rawmm.rules.rule import Rule, list_reader
from rawmm.values.payload import not_finite
from rawmm.values.plain import MAX_INT, holds_exactly, not_json, only_small_numbers, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

_read = list_reader("__float_fields__")


class LargeNumbers(threading.local):
    """How many structs of this thread had a number beyond 2^53 when they were checked.

    A decoder gives a number field the nearest double. Only beyond 2^53 may that differ from an
    integer in the document, so a reader that sees the count rise looks at the document again.
    """

    count = 0


LARGE_NUMBERS: Final = LargeNumbers()


def _errors(struct: Any, path: Path) -> Iterator[RawMMError]:
    for name, value in zip(struct.__float_fields__, _read(struct), strict=True):
        yield from _below(value, (*path, name))


def _below(value: Any, path: Path) -> Iterator[RawMMError]:
    if _is_finite(value):
        return
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _below(child, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _below(child, (*path, index))
    elif isinstance(value, float):
        if not isfinite(value):
            yield not_finite(value, path)
    elif isinstance(value, int):
        yield rounded(value, path)
    else:  # such as a Decimal, which msgspec takes for a number and writes as text
        yield not_json(value, path)


def _is_finite(value: Any) -> bool:
    """Whether a double holds all numbers in `value`. Those of a packed stream are its own to check.

    False may mean that one is large.
    """
    kind = type(value)
    if kind is float:
        return bool(-MAX_INT <= value <= MAX_INT)
    if kind is list or kind is tuple:
        return only_small_numbers(value)
    if kind is dict:
        return all(map(_is_finite, value.values()))
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, int):
        return holds_exactly(value)
    return value is None or value is UNSET or isinstance(value, Contract)


def _holds(struct: Any) -> bool:
    for value in _read(struct):
        if value is UNSET or value is None:
            continue
        kind = type(value)
        if kind is float:
            if not -MAX_INT <= value <= MAX_INT:
                break
        elif (kind is not list or value) and not _is_finite(value):
            break
    else:
        return True
    LARGE_NUMBERS.count += 1
    return False


FINITE: Final = Rule("finite", _errors, _holds)
