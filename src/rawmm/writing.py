"""What must hold before a struct is written, whoever wrote to it since it was built."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from rawmm._contract import wire_fields
from rawmm.errors import contract_error
from rawmm.real_class import is_a
from rawmm.structs import MAX_DEPTH, Contract, MessageNode, PackedStream, Trace
from rawmm.validate.collect import bare_graph_errors, errors_at
from rawmm.validate.doors import unexplained
from rawmm.validate.open_objects import open_objects
from rawmm.validate.payload import Mode, payload_errors, plain_copy
from rawmm.validate.plain import as_mapping, as_sequence, contains_struct
from rawmm.validate.recheck import recheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError


def enc_hook(value: Any) -> Any:
    """Containers that passed the rules, as the plain ones that msgspec writes."""
    if is_a(value, (Mapping, str, int, float)) or as_sequence(value) is not None:
        return plain_copy(value)
    msg = f"no JSON for {type(value).__name__}"
    raise TypeError(msg)


def check_writable(obj: Any, mode: Mode) -> None:
    """Raise the first reason why `obj` cannot be written."""
    for error in _unwritable(obj, mode, ()):
        raise error
    try:
        recheck(obj)
    except (msgspec.ValidationError, RecursionError):
        pass  # raised below: what msgspec says becomes no context
    else:
        for error in bare_graph_errors(obj, ()):
            raise error
        if mode is Mode.JSON:
            for error in _not_json(obj):
                raise error
        return
    for error in reasons(obj, ()):
        raise error
    raise unexplained(obj)


def reasons(obj: Any, path: tuple[str | int, ...]) -> Iterator[RawMMError]:
    """Why the structs in `obj` cannot be written, by their paths from its root."""
    if issubclass(type(obj), Contract):
        yield from errors_at(obj, type(obj), path)
    elif issubclass(type(obj), dict):
        for key, value in obj.items():
            yield from reasons(value, (*path, key))
    elif issubclass(type(obj), (list, tuple)):
        for index, value in enumerate(obj):
            yield from reasons(value, (*path, index))


def _unwritable(obj: Any, mode: Mode, path: tuple[str | int, ...]) -> Iterator[RawMMError]:
    """What lies around the structs of `obj` and the format cannot say."""
    if issubclass(type(obj), Contract):
        return
    if not path and not contains_struct(obj):
        yield from payload_errors(obj, path, mode)
    elif len(path) > MAX_DEPTH:
        yield contract_error(
            "too_deep", path, expected=f"at most {MAX_DEPTH} levels of nesting", got="more"
        )
    elif issubclass(type(obj), dict) and (pairs := as_mapping(obj)) is not None:
        if any(type(key) is not str for key in pairs):
            yield from payload_errors(dict.fromkeys(pairs), path, mode)
        for key, value in pairs.items():
            yield from _unwritable(value, mode, (*path, key))
    elif issubclass(type(obj), (list, tuple)) and (items := as_sequence(obj)) is not None:
        for index, value in enumerate(items):
            yield from _unwritable(value, mode, (*path, index))
    else:
        yield from payload_errors(obj, path, mode)


def _not_json(obj: Any) -> Iterator[RawMMError]:
    """Free values of open objects that only MessagePack can say."""
    for path, one in open_objects(obj):
        free = dict(one.extra or {})
        free |= {name: getattr(one, name) for name in one.__wire_fields__}
        for name, value in free.items():
            yield from payload_errors(value, (*path, name), Mode.JSON)


def spread(obj: Any) -> Any:
    """`obj` as it is written: a struct with extra fields in it is a dict, and these its items."""
    if all(one.extra is None for _, one in open_objects(obj)):
        return obj
    if issubclass(type(obj), Contract):
        return {name: spread(value) for name, value in wire_fields(obj)}
    if issubclass(type(obj), dict):
        return {key: spread(item) for key, item in obj.items()}
    return [spread(item) for item in obj]


def _packed_type(kind: Any) -> type[PackedStream[Any]] | None:
    """The packed form of a field's type; None if it is no stream."""
    if isinstance(kind, type) and issubclass(kind, PackedStream):
        return kind
    return next(filter(None, map(_packed_type, get_args(kind))), None)


_STREAMS: Final = {
    field.name: packed
    for field in msgspec.structs.fields(MessageNode)
    if (packed := _packed_type(field.type))
}
"""The per-token streams of a node, with their packed forms."""


def in_form(obj: Any, *, packed: bool | None) -> Any:
    """`obj` with its per-token streams packed, or as lists; with None as they are.

    Nothing in `obj` is changed.
    """
    if packed is None:
        return obj
    if issubclass(type(obj), MessageNode):
        node = copy(obj)
        for name, kind in _STREAMS.items():
            stream = getattr(node, name)
            if stream is not None:
                setattr(node, name, _in_form(stream, kind, packed=packed))
        return node
    if issubclass(type(obj), Trace):
        trace = copy(obj)
        trace.nodes = [in_form(node, packed=packed) for node in obj.nodes]
        return trace
    if issubclass(type(obj), dict):
        return {key: in_form(item, packed=packed) for key, item in obj.items()}
    if issubclass(type(obj), (list, tuple)):
        return [in_form(item, packed=packed) for item in obj]
    return obj


def _in_form(stream: Any, kind: type[PackedStream[Any]], *, packed: bool) -> Any:
    if is_a(stream, dict):
        return {key: _in_form(one, kind, packed=packed) for key, one in stream.items()}
    if packed:
        return kind.pack(stream)
    return stream.tolist() if is_a(stream, PackedStream) else stream
