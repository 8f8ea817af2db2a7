"""The contract, checked: shapes from the schema, rules beyond them, every error with a path."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from rawmm._contract import Doors, OneOf
from rawmm.structs import TYPES, Contract, MessageNode, Trace
from rawmm.validate.detect import detect
from rawmm.validate.graph import graph_errors
from rawmm.validate.plain import as_mapping, as_sequence, to_plain
from rawmm.validate.rules import own_errors
from rawmm.validate.shape import shape_errors
from rawmm.validate.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

__all__ = ["detect", "iter_errors", "validate"]

_paused: ContextVar[bool] = ContextVar("rawmm_rules_paused", default=False)


def _check(struct: Any) -> None:
    """Raise the first broken rule of a struct that has just come to be."""
    if not _paused.get():
        for error in own_errors(struct, ()):
            raise error


Doors.check = _check


@contextmanager
def _rules_paused() -> Iterator[None]:
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def validate(value: Any, type: Any = None) -> None:  # noqa: A002  (the public name)
    """Raise the first error of `value`; return None when there is none.

    `value` is a struct, or plain data (dicts and lists, models, dataclasses) of `type`. Without
    a `type` it is told from the value. Nothing is changed.

    Raises:
        ContractError: the shape or a rule is broken.
        ProcessedPayloadError: a payload holds what is not raw, JSON-safe data.
    """
    for error in iter_errors(value, type):
        raise error


def iter_errors(value: Any, type: Any = None) -> Iterator[RawMMError]:  # noqa: A002
    """Every error of `value`, lazily: shapes in document order, then rules.

    Rules between fields are checked wherever the shape below them is right. See `validate`.
    """
    try:
        kind = detect(value) if type is None else type
    except RecursionError:
        kind = Trace
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        yield error  # type: ignore[misc]
        return
    yield from errors_at(value, kind, ())


def errors_at(value: Any, kind: Any, path: Path) -> Iterator[RawMMError]:
    """`iter_errors` for a value that stands at `path`."""
    found = False
    for error in shape_errors(value, schema_of(kind), path):
        found = True
        yield error
    if not found:
        yield from _rule_errors(_as_struct(value, kind), kind, path)
        return
    # The whole has no shape to check rules on; its nodes may.
    nodes, at = _nodes_of(value, kind, path)
    for index, node in enumerate(nodes):
        if not any(shape_errors(node, schema_of(MessageNode), (*at, index))):
            struct = _as_struct(node, MessageNode)
            yield from _rule_errors(struct, MessageNode, (*at, index))


def _nodes_of(value: Any, kind: Any, path: Path) -> tuple[Any, Path]:
    if kind == list[MessageNode]:
        return as_sequence(value) or (), path
    if kind is Trace:
        pairs = as_mapping(value) or {}
        return as_sequence(pairs.get("nodes")) or (), (*path, "nodes")
    return (), path


def _as_struct(value: Any, kind: Any) -> Any:
    """Structs of a value whose shape is right, without asking the rules."""
    if isinstance(value, Contract):
        return value
    from rawmm.validate.build import to_struct

    with _rules_paused():
        return to_struct(value, kind)


def _rule_errors(value: Any, kind: Any, path: Path) -> Iterator[RawMMError]:
    yield from rule_errors(value, path)
    if kind == list[MessageNode]:
        yield from graph_errors(value, path)


def rule_errors(value: Any, path: Path) -> Iterator[RawMMError]:
    """Broken rules of every struct in `value`, outermost first."""
    if isinstance(value, Contract):
        yield from own_errors(value, path)
    for key, child in children(value):
        yield from rule_errors(child, (*path, key))


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """What may hold structs directly below `value`, by wire key or index."""
    if isinstance(value, Contract):
        for key, name in _bearing(type(value)):
            child = getattr(value, name)
            if child is not None and type(child) is not str:
                yield key, child
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)


@cache
def _bearing(kind: type[Contract]) -> tuple[tuple[str | int, str], ...]:
    """Fields of a struct class that may hold structs: wire key or index, attribute."""
    array_like = kind.__struct_config__.array_like
    return tuple(
        (index if array_like else field.encode_name, field.name)
        for index, field in enumerate(msgspec.structs.fields(kind))
        if _holds_structs(field.type)
    )


def _holds_structs(kind: Any) -> bool:
    if isinstance(kind, type) and get_origin(kind) is None:
        return issubclass(kind, (Contract, OneOf))
    return any(_holds_structs(arg) for arg in get_args(kind))
