"""What a dialect is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.model.types import Message, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one API writes a conversation.

    Attributes:
        name: the name that `messages_from_request` and `to_request` take.
        recognizes: whether a body is a request in this dialect.
        read: the messages and tools of a body.
        write: the body of messages and tools. Paths of errors begin with ``messages`` or ``tools``.
    """

    name: str
    recognizes: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any]], tuple[list[Message], list[Tool]]]
    write: Callable[[list[Message], list[Tool]], dict[str, Any]]
