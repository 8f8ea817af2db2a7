"""From Python values to structs: one conversion behind construction, convert and validate."""

from __future__ import annotations

from typing import Any

import msgspec

from rawmm._contract import EXTRA, Doors, OneOf
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.structs import Contract, Trace
from rawmm.validate.shape import missing, unknown
from rawmm.validate.plain import as_mapping, as_sequence, to_plain
from rawmm.validate.types import decoded_as, is_open

_SETS = (set, frozenset)


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
    try:
        return _convert(value, kind)
    except msgspec.ValidationError:
        plain = to_plain(value)
        return _convert(plain, kind)


def _convert(value: Any, kind: Any) -> Any:
    if is_open(kind):
        value = _gathered(value, kind)
    return msgspec.convert(value, decoded_as(kind), dec_hook=dec_hook)


def _gathered(value: Any, kind: Any) -> Any:
    """An open object with its unknown properties under one field of their own."""
    if kind is not Trace:
        items = as_sequence(value)
        return [_gathered(item, Trace) for item in items] if items is not None else value
    pairs = as_mapping(value)
    if pairs is None or isinstance(value, Trace):
        return value
    return gather(dict(pairs))


def gather(pairs: dict[str, Any]) -> dict[str, Any]:
    """Move the properties that the schema of Trace does not know under one field."""
    known = Trace.__wire_names__.values()
    extra = {key: pairs.pop(key) for key in list(pairs) if key not in known or key == EXTRA}
    if extra:
        pairs[EXTRA] = extra
    return pairs


def first_error(value: Any, kind: Any) -> RawMMError:
    """Why `value` is not a `kind`: the first error, with its real path."""
    from rawmm.validate import errors_at

    for error in errors_at(value, kind, ()):
        return error
    return contract_error(
        "wrong_type", (), expected="a value of the contract", got=f"{shown(value)}, which no rule explains"
    )


def build(cls: type[Contract], values: dict[str, Any]) -> Any:
    """The constructor of every struct: wire-named values, checked like decoded ones."""
    data: Any = values
    if cls.__struct_config__.array_like:
        data = _in_order(cls, values)
    elif cls is Trace and (given := values.pop("extra", None)) is not None:
        data = values | {EXTRA: given}
    try:
        if any(isinstance(value, _SETS) for value in values.values()):
            raise msgspec.ValidationError
        try:
            return msgspec.convert(data, cls, dec_hook=dec_hook)
        except msgspec.ValidationError:
            return msgspec.convert(to_plain(data), cls, dec_hook=dec_hook)
    except msgspec.ValidationError:
        raise first_error(data, cls) from None


def _in_order(cls: type[Contract], values: dict[str, Any]) -> list[Any]:
    """The values of an array-like type by position."""
    names = list(cls.__wire_names__.values())
    for name in values:
        if name not in names:
            raise unknown(name, names, ())
    for name in names:
        if name not in values:
            raise missing(name, ())
    return [values[name] for name in names]


Doors.build = build
