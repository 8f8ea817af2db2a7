"""Structs checked again: each was right when it came to be, and may have been written to since.

Only asked whether all is well; what is wrong, `rawmm.validate.collect` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from rawmm._contract import EXTRA, Extra, own_fields
from rawmm.structs import Contract, PackedStream
from rawmm.validate.children import ASSIGNABLE, bearing, children, only_numbers
from rawmm.validate.convert import dec_hook, needs_hook
from rawmm.validate.glance import looks_fine
from rawmm.validate.plain import LEAVES, as_mapping, base_value, slot_of


def recheck(value: Any) -> None:
    """Check every struct again, as one may have been changed since it was built.

    Raises:
        msgspec.ValidationError: a shape or a rule is broken; `errors_at` says which.
    """
    if isinstance(value, Contract):
        _recheck_struct(value, _shape_of(type(value)))
    else:
        for _, child in children(value):
            if type(child) not in LEAVES:
                recheck(child)


def _recheck_struct(value: Any, shape: _Shape) -> None:
    if shape.packed and value.is_fine():
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
    if shape.fields is None or (shape.ruled and not looks_fine(value)):
        _rebuild(value)


def _recheck_below(value: Any, kind: type[Any], *, keyed: bool) -> None:
    shape = _SHAPES.get(kind)
    if shape is not None:
        _recheck_struct(value, shape)
    elif kind is list or kind is tuple:
        if not only_numbers(value):
            for child in value:
                if type(child) not in LEAVES:
                    _recheck_below(child, type(child), keyed=False)
    elif keyed and isinstance(value, Mapping):
        for child in value.values():
            if type(child) not in LEAVES:
                _recheck_below(child, type(child), keyed=False)
    elif isinstance(value, Contract):
        _recheck_struct(value, _shape_of(kind))
    elif isinstance(value, (list, tuple)):
        _recheck_below(list(value), list, keyed=False)
    else:
        raise msgspec.ValidationError  # it stands where a struct should


def _check_shape(fields: tuple[Any, ...], shape: _Shape) -> None:
    """Check the fields of a struct. Structs among them are only asked for their type."""
    named = dict(zip(shape.names, fields))  # noqa: B905  (to be strict takes as long as the rest)
    if not _PLAIN.issuperset(map(type, fields)):
        for name, value in named.items():
            if type(value) not in _PLAIN and name not in shape.free:
                named[name] = _as_plain(value)
    for name in shape.keyed:
        value = named[name]
        if isinstance(value, dict) and not _PLAIN.issuperset(map(type, value.values())):
            named[name] = {key: _as_plain(child) for key, child in value.items()}
    for name in shape.optional:
        if named[name] is UNSET:
            del named[name]
    try:
        if shape.hooked and not shape.hooked.isdisjoint(named):
            msgspec.convert(named, shape.fields, dec_hook=dec_hook)
        else:
            msgspec.convert(named, shape.fields)
    except UnicodeEncodeError:  # a lone surrogate where one of few strings is wanted
        raise msgspec.ValidationError from None


def _as_plain(value: Any) -> Any:
    """An assigned value for msgspec, which reads foreign objects as mappings.

    Rules read lists, so an array or another sequence is not taken here.
    """
    if not isinstance(value, ASSIGNABLE):
        raise msgspec.ValidationError
    if isinstance(value, Mapping):
        pairs = as_mapping(value)
        if pairs is None:  # its own code fails
            raise msgspec.ValidationError
        return {base_value(key): child for key, child in pairs.items()}
    if isinstance(value, (list, tuple)):
        return list(value)
    return base_value(value)


class _Shape(NamedTuple):
    """A struct class, as one is checked again."""

    fields: type[msgspec.Struct] | None
    """Its fields by attribute, without its rules; None where they are no fields of a struct."""
    names: tuple[str, ...]
    """Its attributes."""
    optional: tuple[str, ...]
    """Those that may be absent."""
    below: tuple[tuple[int, frozenset[Any], bool], ...]
    """Of fields that may hold structs: the place, types that hold none, whether it is a dict."""
    keyed: tuple[str, ...]
    """Those that are dicts of what is no free JSON."""
    free: frozenset[str]
    """Those that hold anything, which rules walk."""
    hooked: frozenset[str]
    """Those with whose types msgspec needs help."""
    ruled: bool
    """Whether it has rules."""
    packed: bool
    """Whether it is a packed stream, which tells by itself whether it is right."""


_SHAPES: Final[dict[type[Any], _Shape]] = {}
_PLAIN: Final[set[type[Any]]] = {*LEAVES, dict, list, tuple, UnsetType}
"""Types that msgspec reads as what they are, the struct classes met so far among them."""


def _shape_of(kind: type[Contract]) -> _Shape:
    known = _SHAPES.get(kind)
    if known is not None:
        return known
    _PLAIN.add(kind)
    found = msgspec.structs.fields(kind)
    field: Any = msgspec.field
    fields = [
        (one.name, one.type, field(default=one.default, default_factory=one.default_factory))
        for one in found
    ]
    shape = _SHAPES[kind] = _Shape(
        None
        if kind.__open__
        else msgspec.defstruct(kind.__name__, fields, kw_only=True, forbid_unknown_fields=True),
        kind.__struct_fields__,
        tuple(one.name for one in found if one.default is UNSET),
        tuple((place.number, place.passed_over, place.keyed) for place in bearing(kind)),
        tuple(one.name for one in found if slot_of(one.type).values and not slot_of(one.type).free),
        frozenset(one.name for one in found if _holds_anything(one.type)),
        frozenset(one.name for one in found if needs_hook(one.type)),
        bool(kind.__rules__),
        issubclass(kind, PackedStream),
    )
    return shape


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
