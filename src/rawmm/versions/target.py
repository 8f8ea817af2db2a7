"""Writing for readers of an earlier version: they accept the result, or there is an error.

The JSON Schema of the version decides about shapes, and `rules.history` about rules that were
stricter. Nothing is dropped. A value that the version has no place for is an error, except in open
objects, whose readers keep the properties that they do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import ContractError, RawMMError, contract_error
from rawmm.model.kinds import name_of, schema_of
from rawmm.model.schemas import judging_by, released
from rawmm.model.types import SCHEMA_VERSION, Contract, PackedStream
from rawmm.validation import shape_errors
from rawmm.versions.judge import stricter_rule_errors
from rawmm.versions.known import checked_version
from rawmm.versions.streams import with_streams, without_streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path


def for_version(obj: Any, version: str | None, *, packed: bool | None) -> Any:
    """`obj`, a valid value, in the form that a reader of `version` accepts. It is not changed.

    Args:
        obj: a struct, or lists or dicts of structs.
        version: a version of the contract; None for that of this package.
        packed: the form of per-token streams; None keeps the form of each, or writes lists if the
            version has no packed form.

    Raises:
        ContractError: ``not_in_version`` at the first value that a reader of the version refuses;
            ``unsupported_version`` if this package does not know the version.
    """
    if version is None:
        return with_streams(obj, packed=packed)
    version = checked_version(version)
    if version != SCHEMA_VERSION:
        if not _has_packed_streams(version):
            if packed:
                raise _not_in_version(
                    version, "packed", expected="streams as lists", got="packed=True"
                )
            packed = False
        for error in _first_misfit(obj, version, ()):
            raise error
    return with_streams(obj, packed=packed)


def _has_packed_streams(version: str) -> bool:
    """Whether readers of a version accept packed streams."""
    return any("x-rawmm-items" in schema for schema in released(version)["$defs"].values())


def _not_in_version(
    version: str, *parts: str | int, expected: str, got: str, hint: str | None = None
) -> RawMMError:
    return contract_error(
        "not_in_version",
        parts,
        expected=f"{expected}, as in contract {version}",
        got=got,
        hint=hint or f"readers of {version} refuse it",
    )


def _first_misfit(obj: Any, version: str, path: Path) -> Iterator[RawMMError]:
    """The first error of each outermost struct in `obj`, as an error about the version."""
    if not issubclass(type(obj), Contract):
        if issubclass(type(obj), dict):
            for key, child in obj.items():
                yield from _first_misfit(child, version, (*path, key))
        elif issubclass(type(obj), (list, tuple)):
            for index, child in enumerate(obj):
                yield from _first_misfit(child, version, (*path, index))
        return
    kind: Any = type(obj)
    name = name_of(kind)
    if name not in released(version)["$defs"]:
        packed = issubclass(kind, PackedStream)
        yield _not_in_version(
            version,
            *path,
            expected="a list" if packed else "another type",
            got=f"a {name}",
            hint=None if packed else f"contract {version} has no {name}",
        )
        return
    # All values of streams are valid in each version that has their form. A test checks this.
    bare = without_streams(obj)
    with judging_by(version):
        error = next(shape_errors(bare, schema_of(kind), path), None)
    if error is None:
        error = next(stricter_rule_errors(version, obj, path), None)
    if error is not None:
        yield error.at(
            code="not_in_version",
            error_class=ContractError,
            expected=f"{error.expected}, as in contract {version}",
            hint=f"readers of {version} refuse it",
        )
