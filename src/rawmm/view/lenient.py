"""Reads plain data that may break the contract: what has another type is absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import convert
from rawmm.errors import RawMMError
from rawmm.graph import as_list
from rawmm.model.types import PackedFlags, PackedFloats, PackedTokenIds

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS: Final[dict[str, tuple[Any, frozenset[type]]]] = {
    "ids": (PackedTokenIds, frozenset({int})),
    "flags": (PackedFlags, frozenset({bool})),
    "numbers": (PackedFloats, frozenset({int, float})),
}


def dict_of(value: Any) -> dict[Any, Any]:
    """`value` if it is a dict, else an empty one."""
    return value if type(value) is dict else {}


def list_of(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if type(value) is list else []


def text_of(value: Any) -> str | None:
    """`value` if it is a string, else None."""
    return value if type(value) is str else None


def int_of(value: Any) -> int | None:
    """`value` if it is an integer, else None."""
    return value if type(value) is int else None


def stream(value: Any, kind: str) -> list[Any]:
    """A per-token stream, as a list or packed; empty if it is neither.

    Args:
        value: the stream.
        kind: ``ids``, ``flags`` or ``numbers``.
    """
    packed, elements = _KINDS[kind]
    if type(value) is list:
        return value if elements.issuperset(map(type, value)) else []
    if type(value) is not dict:
        return []
    try:
        return as_list(convert(value, packed)) or []
    except RawMMError:
        return []


def as_json(value: Any) -> str:
    """Any value of a decoder as JSON, for people to read."""
    try:
        return msgspec.json.encode(value, enc_hook=_unwritable).decode()
    except (msgspec.MsgspecError, UnicodeError, ValueError, TypeError, RecursionError):
        return repr(value)


_unwritable: Callable[[Any], Any] = repr
