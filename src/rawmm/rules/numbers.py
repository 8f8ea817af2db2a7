"""The rule of fields with numbers: all are finite, and no integer would be rounded."""

from __future__ import annotations

import threading
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from rawmm.model.types import Contract
from rawmm.rules.rule import Rule, list_reader
from rawmm.values.errors import inexact_number, not_finite, not_json
from rawmm.values.plain import MAX_INT, holds_exactly, only_small_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path, RawMMError

_read = list_reader("__float_fields__")


class LargeNumbers(threading.local):
    """Counts, per thread, the checked structs that had a number beyond 2^53.

    A decoder reads an integer in a number field as the nearest double, which may differ only beyond
    2^53. If the count rises while a document is decoded, its integers have to be checked.
    """

    count = 0


LARGE_NUMBERS: Final = LargeNumbers()


def _errors(struct: Any, path: Path) -> Iterator[RawMMError]:
    for name, value in zip(struct.__float_fields__, _read(struct), strict=True):
        yield from _number_errors(value, (*path, name))


def _number_errors(value: Any, path: Path) -> Iterator[RawMMError]:
    if _is_finite(value):
        return
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _number_errors(child, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _number_errors(child, (*path, index))
    elif isinstance(value, float):
        if not isfinite(value):
            yield not_finite(value, path)
    elif isinstance(value, int):
        yield inexact_number(value, path)
    else:  # such as a Decimal, which msgspec accepts as a number and encodes as text
        yield not_json(value, path)


def _is_finite(value: Any) -> bool:
    """Whether a double holds all numbers in `value`. Packed streams check their own elements.

    May also be False for large numbers.
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


RULES: Final = (Rule("finite", _errors, _holds),)
