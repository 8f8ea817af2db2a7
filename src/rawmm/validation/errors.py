"""All errors of a value: its shape by the schema, then the rules of each struct in it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from rawmm.errors import RawMMError, contract_error
from rawmm.model.kinds import added_fields, has_type, schema_of
from rawmm.model.types import Contract, Episode, MessageNode, Trace
from rawmm.real_class import is_a
from rawmm.rules import current_checks, graph_errors, lone_node_errors, own_errors
from rawmm.validation.convert import made_plain, to_struct
from rawmm.validation.explain import shape_errors
from rawmm.validation.revalidate import revalidate
from rawmm.validation.unconverted import unconverted_values
from rawmm.values.fields import iter_children, only_numbers, slot_of, struct_fields
from rawmm.values.plain import is_plain, to_plain
from rawmm.values.views import LEAVES, SCALARS, as_mapping, as_sequence, is_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path


_paused: ContextVar[bool] = ContextVar("rawmm_rules_paused", default=False)


def rules_paused() -> bool:
    """Whether structs are being built only to list their errors."""
    return _paused.get()


@contextmanager
def _pause() -> Iterator[None]:
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def holds(value: Any, kind: Any) -> bool:
    """Fast check that `value` is a valid `kind`. If it fails, call `errors_at` for details."""
    schema_of(kind)  # raises for a type that is not of the contract
    try:
        plain, has_struct = made_plain(value, kind)
        built = value if is_a(value, Contract) else to_struct(plain, kind)
        if has_struct:
            revalidate(built)
    except (msgspec.ValidationError, RecursionError, RawMMError):
        return False
    return has_type(built, kind) and not graph_broken(built, kind) and not has_bad_text(built)


def errors_at(value: Any, kind: Any, path: Path) -> Iterator[RawMMError]:
    """`iter_errors` for a value at `path`."""
    foreign: RawMMError | None = None
    if not is_plain(value):
        try:
            value = to_plain(value, kind, path)
        except RawMMError as reason:
            foreign = reason
    found = False
    for error in shape_errors(value, schema_of(kind), path):
        found = True
        yield error
    if not found:
        for error in unconverted_values(value, path):
            found = True
            yield error
    if not found and foreign is not None:
        found = True
        yield foreign
    if not found:
        struct = built_without_rules(value, kind)
        for error in _rule_errors(struct, path):
            found = True
            yield error
        if struct is None or not (found or _fits_its_class(struct)):
            yield contract_error(
                "wrong_type",
                path,
                expected="values of the right types in the fields that a subclass adds",
                got="another value, or none",
            )
        return
    # The rules of the whole need a right shape. Parts with one are still checked.
    yield from _errors_of_parts(value, kind, path, plain=foreign is None)


def _errors_of_parts(value: Any, kind: Any, path: Path, *, plain: bool) -> Iterator[RawMMError]:
    """The broken rules of the traces and nodes in `value` whose shape is right."""
    args = get_args(kind)
    if kind is Episode:
        traces = (as_mapping(value) or {}).get("traces")
        yield from _errors_of_parts(traces, list[Trace], (*path, "traces"), plain=plain)
    elif kind is Trace:
        pairs = as_mapping(value) or {}
        nodes = as_sequence(pairs.get("nodes")) or ()
        yield from _errors_of_nodes(nodes, (*path, "nodes"), plain=plain, one_trace=True)
    elif kind == list[MessageNode]:
        yield from _errors_of_nodes(as_sequence(value) or (), path, plain=plain)
    elif get_origin(kind) is list and args[0] in (Trace, Episode):
        for index, one in enumerate(as_sequence(value) or ()):
            here = (*path, index)
            if (struct := _with_right_shape(one, args[0], here, plain=plain)) is not None:
                yield from rule_errors(struct, here)
            else:
                yield from _errors_of_parts(one, args[0], here, plain=plain)


def _errors_of_nodes(
    nodes: Any, path: Path, *, plain: bool, one_trace: bool = False
) -> Iterator[RawMMError]:
    structs: list[MessageNode | None] = []
    for index, node in enumerate(nodes):
        here = (*path, index)
        struct = _with_right_shape(node, MessageNode, here, plain=plain)
        if struct is not None:
            yield from rule_errors(struct, here)
        structs.append(struct)
    yield from graph_errors(structs, path, one_trace=one_trace)


def _with_right_shape(value: Any, kind: Any, path: Path, *, plain: bool) -> Any:
    """A part as a struct, without checking rules; None if its shape is wrong.

    `plain` says whether all values are known to be plain.
    """
    wrong = chain(shape_errors(value, schema_of(kind), path), unconverted_values(value, path))
    if any(True for _ in wrong) or not (plain or is_plain(value)):
        return None
    return built_without_rules(value, kind)


def graph_broken(value: Any, kind: Any) -> bool:
    """Whether a bare list of nodes in `value` breaks a rule. Traces check their own nodes."""
    may_break = may_hold_nodes(kind) or current_checks().image_token_ids
    return bool(may_break) and any(True for _ in bare_graph_errors(value, ()))


@cache
def may_hold_nodes(kind: Any) -> bool:
    """Whether a value of this type may hold bare lists of nodes."""
    if isinstance(kind, type) and issubclass(kind, Contract):
        return False
    return any(arg is MessageNode or may_hold_nodes(arg) for arg in get_args(kind))


def bare_graph_errors(value: Any, path: Path) -> Iterator[RawMMError]:
    """The errors between the nodes of each bare list in lists and dicts, and of lone nodes."""
    if is_a(value, MessageNode):
        yield from lone_node_errors(value, path)
        return
    if not is_a(value, (dict, list, tuple)) or not value:
        return
    if not is_a(value, dict):
        nodes = [is_a(one, MessageNode) for one in value]
        if any(nodes) and all(node or value[index] is None for index, node in enumerate(nodes)):
            yield from graph_errors(value, path, one_trace=False)
            return
    for key, child in value.items() if is_a(value, dict) else enumerate(value):
        if type(child) not in SCALARS:
            yield from bare_graph_errors(child, (*path, key))


def has_bad_text(value: Any) -> bool:
    """Whether a text or key in the structs of `value` has a lone surrogate.

    Decoders never return one, but Python code and `json.loads` may.
    """
    stack = [value]
    while stack:
        one = stack.pop()
        kind = type(one)
        if issubclass(kind, Contract):
            fields = msgspec.structs.astuple(one)
            single, several = _text_positions(kind)
            for position in single:
                field = fields[position]
                if type(field) is str and not field.isascii() and not is_text(field):
                    return True
            for position in several:
                if _has_bad_texts(fields[position]):
                    return True
            for info in struct_fields(kind):
                child = fields[info.position]
                if child and type(child) not in info.skipped_types:
                    stack.append(child)
        elif issubclass(kind, dict):
            if any(map(_is_bad_text, one)):
                return True
            stack += [child for child in one.values() if type(child) not in LEAVES]
        elif issubclass(kind, (list, tuple)) and not only_numbers(one):
            stack += [child for child in one if type(child) not in LEAVES]
    return False


def _has_bad_texts(value: Any) -> bool:
    """Whether a text in lists and dicts, keys included, has a lone surrogate."""
    if isinstance(value, dict):
        return any(map(_is_bad_text, value)) or any(map(_has_bad_texts, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_bad_texts, value))
    return _is_bad_text(value)


def _is_bad_text(value: Any) -> bool:
    return type(value) is str and not value.isascii() and not is_text(value)


@cache
def _text_positions(kind: type[Contract]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions of the fields that may hold any text, and of those with lists or dicts of it.

    Literals are not any text. Rules check the text of free JSON, and fields with structs are
    visited anyway.
    """
    visited = {info.position for info in struct_fields(kind)}
    fields = tuple(enumerate(msgspec.structs.fields(kind)))
    single = tuple(position for position, field in fields if _may_be_text(field.type))
    several = tuple(
        position
        for position, field in fields
        if position not in visited and _holds_texts(field.type) and not slot_of(field.type).free
    )
    return single, several


def _holds_texts(kind: Any) -> bool:
    if get_origin(kind) in (list, dict):
        return any(map(_is_any_text, get_args(kind))) or any(map(_holds_texts, get_args(kind)))
    return any(map(_holds_texts, get_args(kind)))


def _is_any_text(kind: Any) -> bool:
    """Whether a type is text that need not be ASCII. Only a negated class admits other text."""
    bounds = getattr(kind, "__metadata__", ())
    patterns = [pattern for bound in bounds if (pattern := getattr(bound, "pattern", None))]
    is_text_type = kind is str or (bool(bounds) and kind.__origin__ is str)
    return is_text_type and all("[^" in pattern for pattern in patterns)


def _may_be_text(kind: Any) -> bool:
    return kind is str or kind is Any or any(map(_may_be_text, get_args(kind)))


def built_without_rules(value: Any, kind: Any) -> Any:
    """The struct of a value whose shape is right, of base values, without checking rules.

    None if a field that a subclass adds is wrong, as the schema does not describe it.
    """
    kind = type(value) if is_a(value, Contract) else kind
    with _pause():
        try:
            return to_struct(to_plain(value, kind, open_structs=True), kind)
        except (msgspec.ValidationError, RawMMError):
            return value if is_a(value, Contract) else None


def _fits_its_class(struct: Any) -> bool:
    """Whether the fields that a subclass adds are valid, given that all others are."""
    if is_a(struct, Contract) and added_fields(type(struct)):
        try:
            revalidate(struct)
        except msgspec.ValidationError:
            return False
    return True


def _rule_errors(value: Any, path: Path) -> Iterator[RawMMError]:
    yield from rule_errors(value, path)
    yield from bare_graph_errors(value, path)


def rule_errors(value: Any, path: Path) -> Iterator[RawMMError]:
    """The broken rules of every struct in `value`, outermost first."""
    if is_a(value, Contract):
        yield from own_errors(value, path)
    for key, child in iter_children(value):
        yield from rule_errors(child, (*path, key))
