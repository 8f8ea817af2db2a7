"""From Python values to structs, without a word on what is wrong with them."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import msgspec

from rawmm._contract import EXTRA, OneOf
from rawmm.structs import Trace
from rawmm.validate.plain import as_mapping, as_sequence, contains, to_plain
from rawmm.validate.types import decoded_as, is_open


def dec_hook(kind: type[Any], value: Any) -> Any:
    """Choose the member of a union of untagged objects. msgspec calls this for such a field."""
    if isinstance(value, kind):
        return value
    if not issubclass(kind, OneOf) or not isinstance(value, dict):
        msg = f"Expected `object`, got `{type(value).__name__}`"
        raise TypeError(msg)
    return msgspec.convert(value, kind.choose(value), dec_hook=dec_hook)


def to_struct(value: Any, kind: Any) -> Any:
    """Plain data as `kind`.

    Structs inside stay the objects they are. What msgspec does not read by itself (models,
    dataclasses, other containers) is turned to dicts and lists in a second try.

    Raises:
        msgspec.ValidationError: the shape is wrong, or a rule is broken.
    """
    if is_open(kind):
        value = _gathered(value, kind)
    return from_wire(value, kind)


def from_wire(value: Any, kind: Any) -> Any:
    """`to_struct` for data whose unknown properties are already gathered."""
    if contains(value, (set, frozenset)):
        # msgspec would take it for a list, in whatever order it comes.
        raise msgspec.ValidationError
    try:
        return msgspec.convert(value, decoded_as(kind), dec_hook=dec_hook)
    except msgspec.ValidationError:
        return msgspec.convert(to_plain(value), decoded_as(kind), dec_hook=dec_hook)


def _gathered(value: Any, kind: Any) -> Any:
    """`value` with the unknown properties of each open object under one field of their own."""
    if kind is Trace:
        pairs = as_mapping(value)
        return value if pairs is None or isinstance(value, Trace) else gather(dict(pairs))
    args = get_args(kind)
    if get_origin(kind) is list:
        items = as_sequence(value)
        return value if items is None else [_gathered(item, args[0]) for item in items]
    if get_origin(kind) is dict:
        pairs = as_mapping(value)
        if pairs is None:
            return value
        return {key: _gathered(item, args[1]) for key, item in pairs.items()}
    inner = next((arg for arg in args if is_open(arg)), None)
    return value if inner is None or value is None else _gathered(value, inner)


def carries_extra(value: Any) -> bool:
    """Whether an open object in `value` has unknown properties."""
    if isinstance(value, Trace):
        return value.extra is not None
    if isinstance(value, dict):
        return any(carries_extra(item) for item in value.values())
    return isinstance(value, list) and any(carries_extra(item) for item in value)


def gather(pairs: dict[str, Any]) -> dict[str, Any]:
    """Move the properties that the schema of Trace does not know under one field."""
    known = Trace.__wire_names__.values()
    extra = {key: pairs.pop(key) for key in list(pairs) if key not in known or key == EXTRA}
    if extra:
        pairs[EXTRA] = extra
    return pairs
