"""Maps Python types to schemas, such as ``list[MessageNode]`` to an array of MessageNode."""

from __future__ import annotations

import types
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from rawmm.errors import shown, shown_name
from rawmm.model.types import TYPES, Contract, Message, MessagePart
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNIONS = {frozenset(get_args(Message)): "Message", frozenset(get_args(MessagePart)): "MessagePart"}
_NAMES = {struct: name for name, struct in TYPES.items()}
ADDED = "x-rawmm-added"
"""Keyword beside a reference that lists the fields which a subclass adds."""
_TAGGED = {member: union for union in (Message, MessagePart) for member in get_args(union)}


@cache
def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a struct class, or of a list, str-keyed dict or optional of one.

    Raises:
        TypeError: the type is not of the contract.
    """
    if isinstance(kind, type) and issubclass(kind, Contract):
        ref = {"$ref": f"#/$defs/{name_of(kind)}"}
        return ref | {ADDED: added} if (added := added_fields(kind)) else ref
    origin, args = get_origin(kind), get_args(kind)
    if origin is list and len(args) == 1:
        return {"type": "array", "items": schema_of(args[0])}
    if origin is dict and len(args) == 2 and args[0] is str:
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if origin in (Union, types.UnionType):
        members = frozenset(args)
        if members in _UNIONS:
            return {"$ref": f"#/$defs/{_UNIONS[members]}"}
        if type(None) in members and len(members) > 1:
            rest = tuple(member for member in args if member is not type(None))
            inner = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007
            return {"anyOf": [schema_of(inner), {"type": "null"}]}
    name = shown_name(repr(kind)) if isinstance(kind, type) or get_origin(kind) else shown(kind)
    msg = f"{name} is not a type of the contract, nor a list, dict or optional of one"
    raise TypeError(msg)


def name_of(kind: type[Contract]) -> str:
    """The definition that a struct class, or the class that it extends, is generated from.

    Raises:
        TypeError: the class is not a struct of the contract.
    """
    for base in kind.__mro__:
        if base in _NAMES:
            return _NAMES[base]
    msg = f"{shown_name(kind.__name__)} is not a type of the contract"
    raise TypeError(msg)


@cache
def added_fields(kind: type[Contract]) -> frozenset[str]:
    """Wire names of the fields that a subclass adds to its definition."""
    return kind.__known__ - TYPES[name_of(kind)].__known__


@cache
def decoded_as(kind: Any) -> Any:
    """The type to decode for `kind`. msgspec checks the tag of a struct only within a union."""
    if kind in _TAGGED:
        return _TAGGED[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        members = dict.fromkeys(_members(decoded_as(member) for member in args))
        return Union[tuple(members)]  # noqa: UP007
    if origin is list:
        return list[decoded_as(args[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[args[0], decoded_as(args[1])]  # type: ignore[misc,valid-type]
    return kind


def _members(kinds: Iterable[Any]) -> Iterator[Any]:
    for kind in kinds:
        if get_origin(kind) in (Union, types.UnionType):
            yield from get_args(kind)
        else:
            yield kind


def has_type(value: Any, kind: Any) -> bool:
    """Whether a value decoded as `decoded_as(kind)` is a `kind`."""
    if isinstance(kind, type) and issubclass(kind, Contract):
        return is_a(value, kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin is list:
        return is_a(value, list) and all(has_type(item, args[0]) for item in value)
    if origin is dict:
        return is_a(value, dict) and all(has_type(v, args[1]) for v in value.values())
    if origin in (Union, types.UnionType):
        return any(has_type(value, member) for member in args)
    return value is None
