"""All errors of a value by an earlier version of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError, contract_error
from rawmm.model.kinds import schema_of
from rawmm.model.schemas import judging_by, released
from rawmm.model.types import SCHEMA_VERSION, Contract
from rawmm.real_class import is_a
from rawmm.rules import (
    MediaChecks,
    came_later,
    checking,
    rules_of,
    shape_error_came_later,
    stricter_errors,
)
from rawmm.validation import (
    bare_graph_errors,
    built_without_rules,
    detect,
    iter_errors_by,
    shape_errors,
)
from rawmm.values.fields import iter_children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path


def version_errors(
    value: Any, kind: Any, version: str, checks: MediaChecks
) -> Iterator[RawMMError]:
    """`rawmm.iter_errors` as a version of the contract judged: by its schema and its rules.

    A value that only the schema of today refuses, such as a name of 300 characters in contract 1.0,
    is judged by its shape alone.

    Args:
        value: plain data.
        kind: its type; None to identify it by its keys.
        version: one of `SUPPORTED_VERSIONS`.
        checks: how to judge messages with media.
    """
    if version == SCHEMA_VERSION:
        yield from iter_errors_by(checks, value, kind)
        return
    try:
        kind = detect(value) if kind is None else kind
    except RawMMError as error:
        yield error
        return
    schema = schema_of(kind)
    if unknown := [name for name in _names(schema) if name not in released(version)["$defs"]]:
        yield contract_error(
            "not_in_version",
            (),
            expected=f"a type of contract {version}",
            got=f"a {unknown[0]}",
            hint=f"contract {version} has no {unknown[0]}",
        )
        return
    with judging_by(version):
        errors = [
            error
            for error in shape_errors(value, schema, ())
            if not shape_error_came_later(version, error)
        ]
    if not errors and (struct := built_without_rules(value, kind)) is not None:
        with checking(checks):
            errors = [
                *_rule_errors(version, struct, ()),
                *(
                    error
                    for error in bare_graph_errors(struct, ())
                    if not came_later(version, "graph", error)
                ),
            ]
    yield from errors


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for child in schema.values():
            yield from _names(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _names(child)


def _rule_errors(version: str, value: Any, path: Path) -> Iterator[RawMMError]:
    """The broken rules of every struct in `value`, outermost first."""
    if is_a(value, Contract):
        yield from rules_of(version, value, path)
    for key, child in iter_children(value):
        yield from _rule_errors(version, child, (*path, key))


def stricter_rule_errors(version: str, value: Any, path: Path) -> Iterator[RawMMError]:
    """The errors of every struct in a valid value that only an earlier version reports."""
    if is_a(value, Contract):
        yield from stricter_errors(version, value, path)
    for key, child in iter_children(value):
        yield from stricter_rule_errors(version, child, (*path, key))
