"""The type to check a record as, named by the user."""

from __future__ import annotations

from difflib import get_close_matches
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final

from rawmm.checks import CHAT_REQUEST
from rawmm.cli.output import UsageError
from rawmm.errors import shown_text
from rawmm.model.types import TYPES, Message, MessagePart

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPE_HINT: Final = "name the type with --type; rawmm schema --list lists the names"
"""The hint of an error about a record of unknown type."""

_UNIONS: Final[dict[str, Any]] = {"Message": Message, "MessagePart": MessagePart}


def named_type(name: str) -> Any:
    """The type with a name such as ``Trace`` or ``list[MessageNode]``.

    Raises:
        UsageError: no type has this name.
    """
    inner = name.strip()
    depth = 0
    while inner.startswith("list[") and inner.endswith("]"):
        inner = inner[5:-1].strip()
        depth += 1
    if inner == CHAT_REQUEST and not depth:
        return CHAT_REQUEST
    known = TYPES | _UNIONS
    if inner not in known:
        raise UsageError(unknown_name(inner, [*known, CHAT_REQUEST]))
    kind = known[inner]
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return kind


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The message for a name that is not among the `known` ones."""
    by_lower = {one.lower(): one for one in known}
    close = [by_lower[one] for one in get_close_matches(name.lower(), by_lower, n=2)]
    tail = f"did you mean {' or '.join(close)}?" if close else "see rawmm schema --list"
    return f"the contract has no type {shown_text(name)}; {tail}"
