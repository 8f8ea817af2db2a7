"""What may hold structs below a value, without a look at what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from rawmm.errors import contract_error, shown
from rawmm.model.base import OneOf
from rawmm.model.types import Contract
from rawmm.values.plain import LEAVES, as_mapping, is_array, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

ASSIGNABLE: Final = (Contract, str, int, float, bytes, list, tuple, Mapping)
"""What may be assigned to a field, subclasses included."""
_NO_STRUCTS: Final[frozenset[Any]] = LEAVES | {UnsetType}
_NUMBERS: Final = frozenset({int, float, bool})


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """What may hold structs directly below `value`, by wire key or index."""
    kind: Any = type(value)  # not what it says of itself: proxies and mocks pose as others
    if issubclass(kind, Contract):
        fields = msgspec.structs.astuple(value)
        for place in bearing(kind):
            if type(fields[place.number]) not in place.passed_over:
                yield place.key, fields[place.number]
    elif issubclass(kind, dict):
        yield from value.items()
    elif issubclass(kind, (list, tuple)) and not only_numbers(value):
        yield from enumerate(value)


def only_numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is a stream of numbers, told without a loop in Python."""
    return bool(value) and type(value[0]) in _NUMBERS and _NUMBERS.issuperset(map(type, value))


class Place(NamedTuple):
    """A field of a struct class that may hold structs."""

    key: str | int
    """As it stands in a path."""
    number: int
    """Among the fields of the class."""
    passed_over: frozenset[Any]
    """Types of values that hold none."""
    keyed: bool
    """Whether the field itself is a dict. Another dict stands where a struct should."""
    stream: bool
    """Whether it is a per-token stream, which may be packed."""
    holds: str
    """The structs it may hold, for people."""


@cache
def bearing(kind: type[Contract]) -> tuple[Place, ...]:
    """Fields of a struct class that may hold structs."""
    array_like = kind.__struct_config__.array_like
    return tuple(
        Place(
            index if array_like else field.encode_name,
            index,
            _NO_STRUCTS | {list} if _plain_lists(field.type) else _NO_STRUCTS,
            _is_keyed(field.type),
            slot_of(field.type).stream or slot_of(slot_of(field.type).values).stream,
            " or ".join(sorted(one.__name__ for one in _structs_in(field.type))),
        )
        for index, field in enumerate(msgspec.structs.fields(kind))
        if _structs_in(field.type)
    )


def stand_ins(value: Any, path: Path) -> Iterator[RawMMError]:
    """Whatever stands in a struct in place of another, or of a list: rules read both.

    Building and decoding never leave one there; an assignment can.
    """
    kind: Any = type(value)
    if issubclass(kind, Contract):
        fields = msgspec.structs.astuple(value)
        places = {place.number: place for place in bearing(kind)}
        for name, key, number in typed_fields(kind):
            child, place = fields[number], places.get(number)
            if child is UNSET and name is not None:
                yield missing(name, path)
            elif type(child) in _NO_STRUCTS:
                continue
            elif place is None:
                yield from _unread_below(child, (*path, key))
            elif type(child) not in place.passed_over:
                yield from _stand_ins_below(child, place, (*path, key), keyed=place.keyed)
    else:
        for key, child in children(value):
            if type(child) not in LEAVES:
                yield from stand_ins(child, (*path, key))


@cache
def typed_fields(kind: type[Contract]) -> tuple[tuple[str | None, str | int, int], ...]:
    """Fields of a struct class that are no free JSON.

    Each is its name where it is required, as it stands in a path, and its number.
    """
    array_like = kind.__struct_config__.array_like
    return tuple(
        (
            None if field.default is UNSET else field.encode_name,
            index if array_like else field.encode_name,
            index,
        )
        for index, field in enumerate(msgspec.structs.fields(kind))
        if not slot_of(field.type).free
    )


def missing(name: str, path: Path) -> RawMMError:
    """A required field that is absent; the path is that of its object."""
    return contract_error(
        "missing_field", path, expected=f"the field {name!r}", got="an object without it"
    )


def _unread_below(value: Any, path: Path) -> Iterator[RawMMError]:
    """Objects that are read as lists where a struct is built, but not where one is assigned."""
    kind = type(value)
    if issubclass(kind, Mapping) and (pairs := as_mapping(value)) is not None:
        for key, child in pairs.items():
            if type(child) not in LEAVES:
                yield from _unread_below(child, (*path, key))
    elif issubclass(kind, (list, tuple)):
        for index, child in () if only_numbers(value) else enumerate(value):
            if type(child) not in LEAVES:
                yield from _unread_below(child, (*path, index))
    elif issubclass(kind, Mapping) or not issubclass(kind, (*ASSIGNABLE, bytearray, memoryview)):
        yield _unread(value, path)


def _unread(value: Any, path: Path) -> RawMMError:
    return contract_error(
        "array_payload" if is_array(value) else "wrong_type",
        path,
        expected="a list",
        got=shown(value),
        hint="assign its elements as a list",
    )


def _stand_ins_below(value: Any, place: Place, path: Path, *, keyed: bool) -> Iterator[RawMMError]:
    kind = type(value)
    pairs = as_mapping(value) if keyed and issubclass(kind, Mapping) else None
    if issubclass(kind, Contract):
        yield from stand_ins(value, path)
    elif pairs is not None or issubclass(kind, (list, tuple)):
        for key, child in children(value) if pairs is None else pairs.items():
            if type(child) not in LEAVES:
                yield from _stand_ins_below(child, place, (*path, key), keyed=False)
    elif place.stream:
        yield _unread(value, path)
    else:
        yield contract_error(
            "wrong_type",
            path,
            expected=f"a struct: {place.holds}",
            got=shown(value),
            hint="assign what rawmm.convert makes of it",
        )


def _structs_in(kind: Any) -> set[type[Any]]:
    """The struct classes that a type speaks of."""
    if isinstance(kind, type) and get_origin(kind) is None:
        if issubclass(kind, Contract):
            return {kind}
        return set(kind.members) if issubclass(kind, OneOf) else set()
    return set().union(*map(_structs_in, get_args(kind)))


def _is_keyed(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(map(_is_keyed, get_args(kind)))
    return get_origin(kind) is dict


def _plain_lists(kind: Any) -> bool:
    """Whether a list of this type holds no structs, as a stream that is not packed."""
    if get_origin(kind) is list:
        return not _structs_in(kind)
    return all(_plain_lists(arg) for arg in get_args(kind))
