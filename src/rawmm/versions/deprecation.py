"""Deprecated fields: which a value has, and the warning when one is written."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import UNSET

from rawmm.errors import DeprecatedFieldWarning
from rawmm.model.base import own_fields
from rawmm.model.kinds import name_of
from rawmm.model.types import TYPES, Contract
from rawmm.real_class import is_a
from rawmm.values.fields import iter_children

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANY: Final = any(kind.__deprecated__ for kind in TYPES.values())
"""Whether the contract has deprecated fields. If not, no value is searched."""
_warned: Final[set[tuple[str, str, int]]] = set()
_PACKAGE: Final = __name__.partition(".")[0]


class DeprecatedField(NamedTuple):
    """A deprecated field that a value has."""

    name: str
    """Its type and its name in JSON, such as ``MessageNode.timestamp``."""
    since: str
    """The version of the contract that deprecated it."""


def deprecated_fields(value: Any) -> set[DeprecatedField]:
    """The deprecated fields that structs in `value` have, each once.

    A field that is always written counts if it does not have its default.
    """
    return set(_found(value)) if _ANY else set()


def _found(value: Any) -> Iterator[DeprecatedField]:
    if is_a(value, Contract) and (deprecated := type(value).__deprecated__):
        defaults = _defaults(type(value))
        for field, child in own_fields(value).items():
            if field in deprecated and child != defaults.get(field, UNSET):
                yield DeprecatedField(f"{name_of(type(value))}.{field}", deprecated[field])
    for _, child in iter_children(value):
        yield from _found(child)


def _defaults(kind: type[Contract]) -> dict[str, Any]:
    """The defaults of a class by wire name; a list or dict for a factory."""
    names, defaults = kind.__struct_encode_fields__, kind.__struct_defaults__
    named = zip(reversed(names), reversed(defaults), strict=False)
    factories: dict[Any, Any] = {list: [], dict: {}}
    return {name: factories.get(getattr(one, "factory", None), one) for name, one in named}


def warn_of_deprecated(value: Any) -> None:
    """Issue a `DeprecatedFieldWarning` for each deprecated field that is about to be written.

    Each place in the calling program gets the warning for a field once a process.
    """
    if not _ANY:
        return
    for field in sorted(deprecated_fields(value)):
        level, frame = 1, sys._getframe()  # noqa: SLF001  (as `warnings` does)
        while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
            level, frame = level + 1, frame.f_back
        place = (field.name, frame.f_code.co_filename, frame.f_lineno)
        if place not in _warned:
            _warned.add(place)
            message = f"{field.name} is deprecated since contract {field.since}"
            warnings.warn(message, DeprecatedFieldWarning, stacklevel=level)
