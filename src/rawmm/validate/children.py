"""What may hold structs below a value, without a look at what cannot."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec
from msgspec import UnsetType

from rawmm._contract import OneOf
from rawmm.structs import Contract
from rawmm.validate.plain import SCALARS

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVES: Final = SCALARS | {bytes}
"""Types of values that hold nothing."""
_NO_STRUCTS: Final[frozenset[Any]] = LEAVES | {UnsetType}
_NUMBERS: Final = frozenset({int, float, bool})


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """What may hold structs directly below `value`, by wire key or index."""
    if isinstance(value, Contract):
        fields = msgspec.structs.astuple(value)
        for key, index, passed_over in bearing(type(value)):
            if type(fields[index]) not in passed_over:
                yield key, fields[index]
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)) and not only_numbers(value):
        yield from enumerate(value)


def only_numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is a stream of numbers, told without a loop in Python."""
    return bool(value) and type(value[0]) in _NUMBERS and _NUMBERS.issuperset(map(type, value))


@cache
def bearing(kind: type[Contract]) -> tuple[tuple[str | int, int, frozenset[Any]], ...]:
    """Fields of a struct class that may hold structs: wire key, place, types that hold none."""
    array_like = kind.__struct_config__.array_like
    return tuple(
        (index if array_like else field.encode_name, index, passed_over)
        for index, field in enumerate(msgspec.structs.fields(kind))
        if _holds_structs(field.type)
        for passed_over in (_NO_STRUCTS | {list} if _plain_lists(field.type) else _NO_STRUCTS,)
    )


def _holds_structs(kind: Any) -> bool:
    if isinstance(kind, type) and get_origin(kind) is None:
        return issubclass(kind, (Contract, OneOf))
    return any(_holds_structs(arg) for arg in get_args(kind))


def _plain_lists(kind: Any) -> bool:
    """Whether a list of this type holds no structs, as a stream that is not packed."""
    if get_origin(kind) is list:
        return not _holds_structs(kind)
    return all(_plain_lists(arg) for arg in get_args(kind))
