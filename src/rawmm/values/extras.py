"""Open objects keep the properties that their schema does not know, in the field `extra`.

On the wire these stand beside the known properties. `split_extras` sets them apart before a plain
value becomes a struct. `rawmm.codec` merges them when it encodes. Bytes without unknown properties
are decoded in one pass and need neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from rawmm.errors import contract_error, shown, shown_text
from rawmm.model.base import EXTRA, Extra, wire_fields
from rawmm.model.types import Contract
from rawmm.real_class import is_a
from rawmm.values.open_arrays import with_array_bytes
from rawmm.values.payload import Mode, is_clean, payload_errors
from rawmm.values.views import SCALARS, as_sequence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rawmm.errors import Path, RawMMError


@cache
def holds_open(kind: Any) -> bool:
    """Whether a value of type `kind` is an open object, or may hold one."""
    if isinstance(kind, type) and issubclass(kind, Contract):
        return kind.__open__ or bool(open_below(kind))
    return any(holds_open(arg) for arg in get_args(kind))


@cache
def open_below(kind: type[Contract]) -> tuple[tuple[str, str, Any], ...]:
    """The fields of a struct class that may hold open objects: wire name, attribute, type."""
    return tuple(
        (field.encode_name, field.name, field.type)
        for field in msgspec.structs.fields(kind)
        if holds_open(field.type)
    )


def open_objects(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every open struct in `value` with its path, outermost first."""
    if is_a(value, Contract):
        if value.__open__:
            yield path, value
        for name, attribute, _ in open_below(type(value)):
            if child := getattr(value, attribute):
                yield from open_objects(child, (*path, name))
    elif is_a(value, (dict, list, tuple)):
        for key, child in value.items() if is_a(value, dict) else enumerate(value):
            if type(child) not in SCALARS:
                yield from open_objects(child, (*path, key))


def split_extras(value: Any, kind: Any) -> Any:
    """A plain value for msgspec, with the unknown properties of open objects in `extra`.

    Structs stay the same objects. Values that are not mappings or sequences are returned unchanged.
    """
    if not holds_open(kind):
        return value
    if isinstance(kind, type) and issubclass(kind, Contract):
        return _split_object(value, kind) if is_a(value, Mapping) else value
    origin, args = get_origin(kind), get_args(kind)
    if origin is list:
        items = as_sequence(value)
        return value if items is None else [split_extras(item, args[0]) for item in items]
    if origin is dict:
        if not is_a(value, Mapping):
            return value
        return {key: split_extras(item, args[1]) for key, item in value.items()}
    for member in args:  # members of a union differ by type, so at most one changes the value
        value = split_extras(value, member)
    return value


def _split_object(value: Mapping[Any, Any], kind: type[Contract]) -> dict[Any, Any]:
    fields = dict(value)
    if kind.__open__ and (unknown := fields.keys() - kind.__known__):
        fields[EXTRA] = Extra({key: fields.pop(key) for key in value if key in unknown})
    for name, _, below in open_below(kind):
        if name in fields:
            fields[name] = split_extras(fields[name], below)
    return fields


def place_errors(extra: Any, known: Collection[str], path: Path) -> Iterator[RawMMError]:
    """Why `extra` cannot stand beside the properties `known`."""
    if not issubclass(type(extra), dict):
        yield contract_error(
            "wrong_type", (*path, "extra"), expected="a dict of unknown fields", got=shown(extra)
        )
        return
    for key in extra:
        if key in known:
            yield contract_error(
                "duplicate_key",
                (*path, key),
                expected="extra fields whose names are not those of known fields",
                got=shown_text(key),
            )


def value_errors(extra: Any) -> Iterator[RawMMError]:
    """The values in `extra` that no format can encode."""
    if not issubclass(type(extra), dict):
        yield from place_errors(extra, (), ())
        return
    if not is_clean(dict(extra), Mode.WIRE, depth=0):
        yield from payload_errors(dict(extra), (), Mode.WIRE, depth=0)


def normalized_extra(value: dict[Any, Any]) -> Extra:
    """Unknown properties as decoding returns them: with bytes in encoded arrays.

    Raises:
        RawMMError: no format can encode a value, or it is processed data.
    """
    extra = value if type(value) is Extra else Extra(value)
    if is_clean(dict(extra), Mode.WIRE, depth=0):
        return extra
    extra = Extra({key: with_array_bytes(child) for key, child in extra.items()})
    for error in value_errors(extra):
        raise error
    return extra


def merge_extras(value: Any) -> Any:
    """`value` with dicts in place of structs that have extra fields or contain such structs.

    Only fields that may hold open objects are visited, each once.
    """
    if is_a(value, Contract):
        return _merged(value)
    if type(value) in SCALARS or not is_a(value, (dict, list, tuple)):
        return value
    if is_a(value, dict):
        pairs = {key: merge_extras(item) for key, item in value.items()}
        return pairs if any(pairs[key] is not value[key] for key in pairs) else value
    items = [merge_extras(item) for item in value]
    return items if any(a is not b for a, b in zip(items, value, strict=True)) else value


def _merged(struct: Contract) -> Any:
    changed = {}
    for name, attribute, _ in open_below(type(struct)):
        child = getattr(struct, attribute)
        if child and (merged := merge_extras(child)) is not child:
            changed[name] = merged
    if not changed and not getattr(struct, "extra", None):
        return struct
    return {**dict(wire_fields(struct)), **changed}
