"""What the fields of a struct class hold: structs, per-token streams, numbers or free JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from rawmm.model.base import Extra, OneOf
from rawmm.model.types import Contract, PackedStream
from rawmm.values.views import LEAVES, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSIGNABLE: Final = (Contract, str, int, float, bytes, list, tuple, Mapping)
"""Types that may be assigned to a field, subclasses included."""
NO_STRUCTS: Final[frozenset[Any]] = LEAVES | {UnsetType}


class Slot(NamedTuple):
    """What a place accepts, as far as `rawmm.values.plain.to_plain` needs to know."""

    structs: tuple[type[Contract], ...] = ()
    """Structs that an object may become."""
    items: Any = None
    """Type of the elements, for a list."""
    values: Any = None
    """Type of the values, for a dict."""
    stream: bool = False
    """Whether one-dimensional arrays are accepted."""
    binary: bool = False
    """Whether bytes are accepted."""
    number: bool = False
    """Whether integers are read as doubles."""
    free: bool = False
    """Whether any JSON is accepted. Numpy scalars are not JSON, though some are floats."""
    arrays: bool = False
    """Whether arrays of any shape become encoded arrays."""


NO_SLOT: Final = Slot()
OPEN_SLOT: Final = Slot(free=True, arrays=True)
"""An unknown field of an open object, or one of any JSON."""


@cache
def slot_of(kind: Any) -> Slot:
    """The slot of a type."""
    if get_origin(kind) is Annotated:
        return slot_of(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _merged([slot_of(member) for member in get_args(kind)])
    if get_origin(kind) is list:
        return Slot(items=get_args(kind)[0], free=slot_of(get_args(kind)[0]).free)
    if get_origin(kind) is dict:
        return Slot(values=get_args(kind)[1], free=slot_of(get_args(kind)[1]).free)
    if kind is bytes:
        return Slot(binary=True)
    if kind is float:
        return Slot(number=True)
    if isinstance(kind, type) and issubclass(kind, Contract):
        return Slot(structs=(kind,), stream=issubclass(kind, PackedStream))
    if isinstance(kind, type) and issubclass(kind, OneOf):
        return Slot(structs=kind.members)
    return Slot(free=True) if kind is Any or kind is Extra else NO_SLOT


def _merged(slots: list[Slot]) -> Slot:
    return Slot(
        structs=tuple(kind for slot in slots for kind in slot.structs),
        items=next((slot.items for slot in slots if slot.items is not None), None),
        values=next((slot.values for slot in slots if slot.values is not None), None),
        stream=any(slot.stream for slot in slots),
        binary=any(slot.binary for slot in slots),
        number=any(slot.number for slot in slots),
        free=any(slot.free for slot in slots),
    )


@cache
def field_slots(kind: type[Contract]) -> dict[str, Slot]:
    """The slots of a struct class by wire name, in order."""
    return {
        field.encode_name: OPEN_SLOT if field.name in kind.__wire_fields__ else slot_of(field.type)
        for field in msgspec.structs.fields(kind)
    }


class FieldInfo(NamedTuple):
    """A field of a struct class that may hold structs."""

    key: str | int
    """Its key in a path."""
    position: int
    """Its position among the fields of the class."""
    skipped_types: frozenset[Any]
    """Types of values that contain no structs."""
    keyed: bool
    """Whether the field itself is a dict."""
    stream: bool
    """Whether it is a per-token stream, which may be packed."""
    struct_names: str
    """The structs that it may hold, for error messages."""


@cache
def struct_fields(kind: type[Contract]) -> tuple[FieldInfo, ...]:
    """The fields of a struct class that may hold structs."""
    array_like = kind.__struct_config__.array_like
    return tuple(
        FieldInfo(
            index if array_like else field.encode_name,
            index,
            NO_STRUCTS | {list} if _lists_have_no_structs(field.type) else NO_STRUCTS,
            _is_dict(field.type),
            slot_of(field.type).stream or slot_of(slot_of(field.type).values).stream,
            " or ".join(sorted(one.__name__ for one in _structs_in(field.type))),
        )
        for index, field in enumerate(msgspec.structs.fields(kind))
        if _structs_in(field.type)
    )


@cache
def fields_holding(kind: Any, wanted: frozenset[Any]) -> tuple[FieldInfo, ...]:
    """The fields of a struct class that may hold structs of the classes `wanted`, at any depth."""
    types = [field.type for field in msgspec.structs.fields(kind)]

    def may_hold(info: FieldInfo) -> bool:
        held: set[Any] = _structs_in(types[info.position])
        return any(one in wanted or fields_holding(one, wanted) for one in held)

    return tuple(filter(may_hold, struct_fields(kind)))


@cache
def typed_fields(kind: type[Contract]) -> tuple[tuple[str | None, str | int, int], ...]:
    """The fields of a struct class that do not hold free JSON.

    Each is its wire name if it is required, else None; its key in a path; and its index.
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


def iter_children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """The values directly below `value` that may hold structs, by wire key or index."""
    kind: Any = type(value)  # not `__class__`, which proxies and mocks forge
    if issubclass(kind, Contract):
        fields = msgspec.structs.astuple(value)
        for field in struct_fields(kind):
            if type(fields[field.position]) not in field.skipped_types:
                yield field.key, fields[field.position]
    elif issubclass(kind, dict):
        yield from value.items()
    elif issubclass(kind, (list, tuple)) and not only_numbers(value):
        yield from enumerate(value)


def only_numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is not empty and holds only numbers. Does not loop in Python."""
    return bool(value) and type(value[0]) in NUMBERS and NUMBERS.issuperset(map(type, value))


def _structs_in(kind: Any) -> set[type[Any]]:
    """The struct classes that a type mentions."""
    if isinstance(kind, type) and get_origin(kind) is None:
        if issubclass(kind, Contract):
            return {kind}
        return set(kind.members) if issubclass(kind, OneOf) else set()
    return set().union(*map(_structs_in, get_args(kind)))


def _is_dict(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(map(_is_dict, get_args(kind)))
    return get_origin(kind) is dict


def _lists_have_no_structs(kind: Any) -> bool:
    """Whether no list of this type holds structs, as in a stream that is not packed."""
    if get_origin(kind) is list:
        return not _structs_in(kind)
    return all(_lists_have_no_structs(arg) for arg in get_args(kind))
