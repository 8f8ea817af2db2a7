"""Every error of a value: its shape by the schema, then the rules of each struct in it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec
from msgspec import UnsetType

from rawmm._contract import EXTRA, OneOf, own_fields
from rawmm.structs import Contract, MessageNode, PackedStream, Trace
from rawmm.validate.convert import dec_hook, to_struct
from rawmm.validate.graph import graph_errors
from rawmm.validate.payload import is_text
from rawmm.validate.plain import SCALARS, as_mapping, as_sequence, contains
from rawmm.validate.rules import own_errors
from rawmm.validate.shape import shape_errors
from rawmm.validate.types import has_type, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

_LEAVES: Final = SCALARS | {bytes}
_NO_STRUCTS: Final[frozenset[Any]] = _LEAVES | {UnsetType}
_NUMBERS: Final = frozenset({int, float, bool})
_paused: ContextVar[bool] = ContextVar("rawmm_rules_paused", default=False)


def rules_paused() -> bool:
    """Whether structs are being made only to list what is wrong with them."""
    return _paused.get()


@contextmanager
def _pause() -> Iterator[None]:
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def is_fine(value: Any, kind: Any) -> bool:
    """Whether `value` has no error, told at the speed of conversion. False: ask `errors_at`."""
    try:
        built = value if isinstance(value, Contract) else to_struct(value, kind)
        if contains(value, (Contract,)):
            recheck(built)
    except (msgspec.ValidationError, RecursionError):
        return False
    return has_type(built, kind) and not graph_broken(built, kind) and not has_bad_text(built)


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
    structs: list[MessageNode | None] = []
    for index, node in enumerate(nodes):
        struct = None
        if not any(True for _ in shape_errors(node, schema_of(MessageNode), (*at, index))):
            struct = _as_struct(node, MessageNode)
            yield from rule_errors(struct, (*at, index))
        structs.append(struct)
    yield from graph_errors(structs, at)


def _nodes_of(value: Any, kind: Any, path: Path) -> tuple[Any, Path]:
    if kind == list[MessageNode]:
        return as_sequence(value) or (), path
    if kind is Trace:
        pairs = as_mapping(value) or {}
        return as_sequence(pairs.get("nodes")) or (), (*path, "nodes")
    return (), path


def recheck(value: Any) -> None:
    """Check every struct again, as one may have been changed since it was built.

    Raises:
        msgspec.ValidationError: a shape or a rule is broken; `errors_at` says which.
    """
    if isinstance(value, PackedStream) and value.is_fine():
        return
    if isinstance(value, Contract):
        kind = type(value)
        fields = own_fields(value)
        data = list(fields.values()) if kind.__struct_config__.array_like else fields
        msgspec.convert(data, kind, dec_hook=dec_hook)
        if EXTRA in fields and not kind.__known__.isdisjoint(fields[EXTRA]):
            raise msgspec.ValidationError
    for _, child in children(value):
        if type(child) not in _LEAVES:
            recheck(child)


def graph_broken(value: Any, kind: Any) -> bool:
    """Whether a bare list of nodes breaks a rule across nodes; a trace checks its own."""
    return kind == list[MessageNode] and any(True for _ in graph_errors(value, ()))


def has_bad_text(value: Any) -> bool:
    """Whether a string field of a struct in `value` holds a lone surrogate.

    Decoders never make one; Python code, and `json.loads`, can.
    """
    if isinstance(value, Contract):
        for field in msgspec.structs.astuple(value):
            if type(field) is str and not is_text(field):
                return True
    return any(type(child) is not str and has_bad_text(child) for _, child in children(value))


def _as_struct(value: Any, kind: Any) -> Any:
    """Structs of a value whose shape is right, without asking the rules."""
    if isinstance(value, Contract):
        return value
    with _pause():
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
        fields = msgspec.structs.astuple(value)
        for key, index, passed_over in _bearing(type(value)):
            if type(fields[index]) not in passed_over:
                yield key, fields[index]
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        if value and type(value[0]) in _NUMBERS and _NUMBERS.issuperset(map(type, value)):
            return
        yield from enumerate(value)


@cache
def _bearing(kind: type[Contract]) -> tuple[tuple[str | int, int, frozenset[Any]], ...]:
    """Fields of a struct class that may hold structs: wire key, place, types that hold none."""
    array_like = kind.__struct_config__.array_like
    return tuple(
        (index if array_like else field.encode_name, index, passed_over)
        for index, field in enumerate(msgspec.structs.fields(kind))
        if _holds_structs(field.type)
        for passed_over in (_NO_STRUCTS | {list} if _plain_lists(field.type) else _NO_STRUCTS,)
    )


def _holds_structs(kind: Any) -> bool:
    if isinstance(kind, type) and get_origin(kind) is None:
        return issubclass(kind, (Contract, OneOf))
    return any(_holds_structs(arg) for arg in get_args(kind))


def _plain_lists(kind: Any) -> bool:
    """Whether a list of this type holds no structs, as a stream that is not packed."""
    if get_origin(kind) is list:
        return not _holds_structs(kind)
    return all(_plain_lists(arg) for arg in get_args(kind))
