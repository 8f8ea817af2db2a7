"""Structs checked again: each was right when it came to be, and may have been written to since.

Only asked whether all is well; what is wrong, `rawmm.validation.errors` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from rawmm.model.base import EXTRA, Extra, own_fields
from rawmm.model.kinds import added_fields
from rawmm.model.types import Contract, PackedStream
from rawmm.rules import own_errors, rules_hold
from rawmm.validation.convert import dec_hook, needs_hook
from rawmm.values.fields import (
    ASSIGNABLE,
    Slot,
    iter_children,
    only_numbers,
    slot_of,
    struct_fields,
)
from rawmm.values.views import LEAVES, as_mapping, as_sequence, base_value


def recheck(value: Any) -> None:
    """Check every struct again, as one may have been changed since it was built.

    Raises:
        msgspec.ValidationError: a shape or a rule is broken; `errors_at` says which.
    """
    if issubclass(type(value), Contract):
        _recheck_struct(value, _shape_of(type(value)))
    elif not (issubclass(type(value), (list, tuple)) and value and type(value[0]) in LEAVES):
        for _, child in iter_children(value):
            if type(child) not in LEAVES:
                recheck(child)


def _recheck_struct(value: Any, shape: _Shape) -> None:
    if shape.packed and rules_hold(value):
        return
    fields = msgspec.structs.astuple(value)
    if shape.fields is not None:
        _check_shape(fields, shape)
    for index, passed_over, keyed in shape.below:
        child = fields[index]
        kind = type(child)
        if kind not in passed_over:
            _recheck_below(child, kind, keyed=keyed)
    # Not before: rules read what is below.
    if shape.fields is None:
        _rebuild(value)
    elif shape.ruled and not rules_hold(value):
        for _ in own_errors(value, ()):
            raise msgspec.ValidationError


def _recheck_below(value: Any, kind: type[Any], *, keyed: bool) -> None:
    shape = _SHAPES.get(kind)
    if shape is not None:
        if shape.foreign:
            raise msgspec.ValidationError
        _recheck_struct(value, shape)
    elif kind is list or kind is tuple:
        if not only_numbers(value):
            for child in value:
                if type(child) not in LEAVES:
                    _recheck_below(child, type(child), keyed=False)
    elif keyed and issubclass(type(value), Mapping):
        for child in value.values():
            if type(child) not in LEAVES:
                _recheck_below(child, type(child), keyed=False)
    elif issubclass(type(value), Contract):
        _shape_of(kind)
        _recheck_below(value, kind, keyed=False)
    elif issubclass(type(value), (list, tuple)):
        _recheck_below(list(value), list, keyed=False)
    else:
        raise msgspec.ValidationError  # it stands where a struct should


def _check_shape(fields: tuple[Any, ...], shape: _Shape) -> None:
    """Check the fields of a struct. Structs among them are only asked for their type."""
    pairs = zip(shape.names, fields)  # noqa: B905  (to be strict takes as long as the rest)
    named = {name: value for name, value in pairs if value is not UNSET}
    if not _PLAIN.issuperset(map(type, named.values())):
        for name, value in named.items():
            if type(value) not in _PLAIN and name not in shape.free:
                named[name] = _as_plain(value)
    for name in shape.nested:
        value = named.get(name)
        if value and not _is_plain_below(value):
            named[name] = _as_plain(value)
    try:
        if shape.hooked and not shape.hooked.isdisjoint(named):
            msgspec.convert(named, shape.fields, dec_hook=dec_hook)
        else:
            msgspec.convert(named, shape.fields)
    except UnicodeEncodeError:  # a lone surrogate where one of few strings is wanted
        raise msgspec.ValidationError from None


def _is_plain_below(value: Any) -> bool:
    """Whether the containers in a field hold values of plain types."""
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif (kind is not list and kind is not tuple) or not value or type(value[0]) in LEAVES:
        return True
    return _PLAIN.issuperset(map(type, value)) and all(map(_is_plain_below, value))


def _as_plain(value: Any) -> Any:
    """An assigned value for msgspec, which reads foreign objects as mappings.

    Rules read lists, so an array or another sequence is not taken here.
    """
    kind = type(value)
    if kind in _PLAIN and kind not in _CONTAINERS:
        return value
    if not issubclass(kind, ASSIGNABLE):
        raise msgspec.ValidationError
    if issubclass(kind, Mapping):
        pairs = as_mapping(value)
        if pairs is None:
            raise msgspec.ValidationError
        return {base_value(key): _as_plain(child) for key, child in pairs.items()}
    if issubclass(kind, (list, tuple)):
        items = as_sequence(value)
        if items is None:
            raise msgspec.ValidationError
        return [_as_plain(child) for child in items]
    return base_value(value)


class _Shape(NamedTuple):
    """A struct class, as one is checked again."""

    fields: type[msgspec.Struct] | None
    """Its fields by attribute, without its rules; None where they are no fields of a struct.

    None has a default but those that may be absent.
    """
    names: tuple[str, ...]
    """Its attributes."""
    below: tuple[tuple[int, frozenset[Any], bool], ...]
    """Of fields that may hold structs: the place, types that hold none, whether it is a dict."""
    nested: tuple[str, ...]
    """Those that are lists or dicts, other than per-token streams."""
    free: frozenset[str]
    """Those that hold anything, which rules walk, by wire name: none has another attribute."""
    hooked: frozenset[str]
    """Those with whose types msgspec needs help."""
    ruled: bool
    """Whether it has rules."""
    packed: bool
    """Whether it is a packed stream, which tells by itself whether it is right."""
    foreign: bool
    """Whether it adds fields that no reader of another struct takes in it."""


_SHAPES: Final[dict[type[Any], _Shape]] = {}
_CONTAINERS: Final = frozenset({dict, list, tuple})
_PLAIN: Final[set[type[Any]]] = {*LEAVES, *_CONTAINERS, UnsetType}
"""Types that msgspec reads as what they are, the struct classes met so far among them."""


def _shape_of(kind: type[Contract]) -> _Shape:
    known = _SHAPES.get(kind)
    if known is not None:
        return known
    _PLAIN.add(kind)
    found = msgspec.structs.fields(kind)
    fields: list[Any] = [
        (one.name, one.type, UNSET) if one.default is UNSET else (one.name, one.type)
        for one in found
    ]
    shape = _SHAPES[kind] = _Shape(
        None
        if kind.__open__
        else msgspec.defstruct(kind.__name__, fields, kw_only=True, forbid_unknown_fields=True),
        kind.__struct_fields__,
        tuple((info.position, info.skipped_types, info.keyed) for info in struct_fields(kind)),
        tuple(one.name for one in found if _is_nested(slot_of(one.type))),
        frozenset(one.encode_name for one in found if _holds_anything(one.type)),
        frozenset(one.name for one in found if needs_hook(one.type)),
        bool(kind.__rules__),
        issubclass(kind, PackedStream),
        not kind.__open__ and bool(added_fields(kind)),
    )
    return shape


def _is_nested(slot: Slot) -> bool:
    return bool(slot.values or slot.items) and not slot.stream


def _holds_anything(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(map(_holds_anything, get_args(kind)))
    return kind is Any or kind is Extra


def _rebuild(value: Contract) -> None:
    kind = type(value)
    shape = _shape_of(kind)
    fields = {
        name: child if type(child) in _PLAIN or name in shape.free else _as_plain(child)
        for name, child in own_fields(value).items()
    }
    data = list(fields.values()) if kind.__struct_config__.array_like else fields
    try:
        msgspec.convert(data, kind, dec_hook=dec_hook)
    except UnicodeEncodeError:
        raise msgspec.ValidationError from None
    if EXTRA in fields and not kind.__known__.isdisjoint(fields[EXTRA]):
        raise msgspec.ValidationError
