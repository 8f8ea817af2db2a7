"""Copies of nodes, traces and episodes with their per-token streams in another form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.model.types import Episode, MessageNode, PackedStream, Trace
from rawmm.real_class import is_a
from rawmm.values.wire_classes import packed_type

if TYPE_CHECKING:
    from collections.abc import Callable


STREAMS: Final = {
    field.name: packed
    for field in msgspec.structs.fields(MessageNode)
    if (packed := packed_type(field.type))
}
"""The packed form of each per-token stream of a node."""


def with_streams(obj: Any, *, packed: bool | None) -> Any:
    """A copy of `obj` with its per-token streams packed or as lists; with None, `obj` itself."""
    if packed is None:
        return obj
    return _with_streams(obj, lambda stream, kind: _as_stream(stream, kind, packed=packed))


def without_streams(obj: Any) -> Any:
    """A copy of `obj` with empty lists for its per-token streams."""
    return _with_streams(obj, lambda *_: [])


def _with_streams(obj: Any, form: Callable[[Any, type[PackedStream[Any]]], Any]) -> Any:
    if issubclass(type(obj), MessageNode):
        node = obj.__copy__()
        for name, kind in STREAMS.items():
            stream = getattr(node, name)
            if is_a(stream, dict):
                setattr(node, name, {key: form(one, kind) for key, one in stream.items()})
            elif stream is not None:
                setattr(node, name, form(stream, kind))
        return node
    if issubclass(type(obj), (Trace, Episode)):
        name = "nodes" if issubclass(type(obj), Trace) else "traces"
        outer = obj.__copy__()
        setattr(outer, name, _with_streams(getattr(obj, name), form))
        return outer
    if issubclass(type(obj), dict):
        return {key: _with_streams(item, form) for key, item in obj.items()}
    if issubclass(type(obj), (list, tuple)):
        return [_with_streams(item, form) for item in obj]
    return obj


def _as_stream(stream: Any, kind: type[PackedStream[Any]], *, packed: bool) -> Any:
    if packed:
        return kind.pack(stream)
    return stream.tolist() if is_a(stream, PackedStream) else stream
