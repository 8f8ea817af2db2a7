"""Processed data: keys that only processors and encoders write, and values that are numbers.

A descriptor never has such a key. An open object may, such as the JSON Schema of a tool's
arguments, unless its value is numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.model.types import PROCESSED_KEYS
from rawmm.values.views import SCALARS, as_mapping, as_sequence, is_array

if TYPE_CHECKING:
    from collections.abc import Mapping

ND: Final = "__nd__"
"""The key that marks an object as an encoded array."""
KEY_SIZES: Final = frozenset(map(len, PROCESSED_KEYS))
_ARRAY_FIELDS: Final = frozenset({"dtype", "shape", "data"})


def is_processed_key(key: str) -> bool:
    """Whether `key` is one of `PROCESSED_KEYS`, in any case."""
    # Only text outside of ASCII changes its length when it is folded.
    if len(key) not in KEY_SIZES and key.isascii():
        return False
    return key.casefold() in PROCESSED_KEYS


def holds_numbers(value: Any) -> bool:
    """Whether `value` is numbers: nested lists with a number, an encoded array, bytes or an array.

    Visits each list once. Does not look into other objects, which may describe numbers.
    """
    if type(value) in SCALARS:
        return False
    stack = [value]
    seen: dict[int, Any] = {}  # keeps the lists alive, so that ids stay unique
    while stack:
        one = stack.pop()
        if is_array(one):
            return True
        if (pairs := as_mapping(one)) is not None:
            if _is_encoded(pairs):
                return True
            continue
        items = as_sequence(one)
        if items is None or id(one) in seen:
            continue
        seen[id(one)] = one
        kinds = set(map(type, items))
        if any(issubclass(kind, (int, float)) for kind in kinds):
            return True
        if not kinds <= SCALARS:
            stack.extend(item for item in items if type(item) not in SCALARS)
    return False


def _is_encoded(pairs: Mapping[Any, Any]) -> bool:
    """Whether an object is an array, marked or with the fields of one."""
    mark = pairs.get(ND)
    return is_array(mark) or bool(mark) or pairs.keys() >= _ARRAY_FIELDS
