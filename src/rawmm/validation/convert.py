"""From Python values to structs, without a word on what is wrong with them."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from rawmm.model.base import Extra, OneOf
from rawmm.model.kinds import decoded_as
from rawmm.model.types import Contract
from rawmm.values.extras import split_extras, value_errors
from rawmm.values.plain import contains_struct, is_plain, to_plain


def dec_hook(kind: type[Any], value: Any) -> Any:
    """Check unknown properties; choose the member of a union of untagged objects.

    msgspec calls this for a field whose type is not one of its own.
    """
    if kind is Extra:
        for error in value_errors(value):
            raise error
        return value if type(value) is Extra else Extra(value)
    if isinstance(value, kind):
        return value
    if not issubclass(kind, OneOf) or not isinstance(value, dict):
        msg = f"Expected `object`, got `{type(value).__name__}`"
        raise TypeError(msg)
    return msgspec.convert(value, kind.choose(value), dec_hook=dec_hook)


@cache
def needs_hook(kind: Any) -> bool:
    """Whether a type has a part that msgspec reads with `dec_hook` alone."""
    if isinstance(kind, type) and get_origin(kind) is None:
        if not issubclass(kind, Contract):
            return kind is Extra or issubclass(kind, OneOf)
        return any(needs_hook(field.type) for field in msgspec.structs.fields(kind))
    return any(needs_hook(arg) for arg in get_args(kind))


def wire_hook(kind: type[Any], value: Any) -> Any:
    """`dec_hook` for bytes: what is written there under an internal name is data like any other."""
    if kind is Extra:
        msg = "Object contains unknown field"
        raise TypeError(msg)
    return dec_hook(kind, value)


def made_plain(value: Any, kind: Any) -> Any:
    """`value` for msgspec, which reads foreign objects as mappings: see `to_plain`.

    Raises:
        RawMMError: it cannot be made plain. `errors_at` may have a better reason.
    """
    return value if is_plain(value) else to_plain(value, kind)


def to_struct(value: Any, kind: Any) -> Any:
    """A plain value as `kind`. Structs inside stay the objects they are where they fit.

    Raises:
        msgspec.ValidationError: the shape is wrong, or a rule is broken.
    """
    try:
        return decoded_to_struct(value, kind)
    except msgspec.ValidationError:
        if not contains_struct(value):
            raise
    # A struct of another class may say the same.
    return decoded_to_struct(to_plain(value, kind, open_structs=True), kind)


def decoded_to_struct(value: Any, kind: Any) -> Any:
    """`to_struct` for what is plain, such as what a decoder made.

    Raises:
        msgspec.ValidationError: the shape is wrong, or a rule is broken.
    """
    try:
        if needs_hook(kind):
            return msgspec.convert(split_extras(value, kind), decoded_as(kind), dec_hook=dec_hook)
        # Another argument, whatever it is, costs as much as four small structs.
        return msgspec.convert(value, decoded_as(kind))
    except UnicodeEncodeError:
        # msgspec looks a field up by UTF-8, which a name with a lone surrogate does not have.
        raise msgspec.ValidationError from None
