"""Conversion of Python values to structs, without error paths. `errors` explains failures."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from rawmm.model.base import Extra, OneOf
from rawmm.model.kinds import decoded_as
from rawmm.model.types import Contract
from rawmm.values.extras import normalized_extra, split_extras
from rawmm.values.plain import contains_struct, scan, to_plain


def dec_hook(kind: type[Any], value: Any) -> Any:
    """Check unknown properties, and choose the member of a union of untagged objects.

    msgspec calls this hook for field types that it does not support itself.
    """
    if kind is Extra:
        return normalized_extra(value)
    if isinstance(value, kind):
        return value
    if not issubclass(kind, OneOf) or not isinstance(value, dict):
        msg = f"Expected `object`, got `{type(value).__name__}`"
        raise TypeError(msg)
    return msgspec.convert(value, kind.choose(value), dec_hook=dec_hook)


@cache
def needs_hook(kind: Any) -> bool:
    """Whether msgspec needs `dec_hook` to convert to a type."""
    if isinstance(kind, type) and get_origin(kind) is None:
        if not issubclass(kind, Contract):
            return kind is Extra or issubclass(kind, OneOf)
        return any(needs_hook(field.type) for field in msgspec.structs.fields(kind))
    return any(needs_hook(arg) for arg in get_args(kind))


def wire_hook(kind: type[Any], value: Any) -> Any:
    """`dec_hook` for bytes, where the internal name of `extra` is an ordinary unknown key."""
    if kind is Extra:
        msg = "Object contains unknown field"
        raise TypeError(msg)
    return dec_hook(kind, value)


def made_plain(value: Any, kind: Any) -> tuple[Any, bool]:
    """`value` as plain values, which msgspec needs, and whether they contain a struct.

    Raises:
        RawMMError: the value cannot be converted. `errors_at` may find a better error.
    """
    plain, has_struct = scan(value)
    if not plain:
        value = to_plain(value, kind)
        has_struct = contains_struct(value)
    return value, has_struct


def to_struct(value: Any, kind: Any) -> Any:
    """Convert a plain value to `kind`. Structs of the right class stay the same objects.

    Raises:
        msgspec.ValidationError: the shape is wrong, or a rule is broken.
    """
    try:
        return decoded_to_struct(value, kind)
    except msgspec.ValidationError:
        if not contains_struct(value):
            raise
    # A struct of another class may have the same fields.
    return decoded_to_struct(to_plain(value, kind, open_structs=True), kind)


def decoded_to_struct(value: Any, kind: Any) -> Any:
    """`to_struct` for values without structs, such as decoded ones.

    Raises:
        msgspec.ValidationError: the shape is wrong, or a rule is broken.
    """
    try:
        if needs_hook(kind):
            return msgspec.convert(split_extras(value, kind), decoded_as(kind), dec_hook=dec_hook)
        # Passing `dec_hook` would cost as much as four small structs.
        return msgspec.convert(value, decoded_as(kind))
    except (UnicodeEncodeError, AttributeError):
        # msgspec looks fields up by their UTF-8, which a lone surrogate does not have, and takes a
        # packed stream for a mapping.
        raise msgspec.ValidationError from None
