"""Which type a record is checked as: named by the user, or told from the record."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, Final

from rawmm.cli.output import UsageError
from rawmm.cli.schema import unknown_name
from rawmm.model.types import TYPES, ContentPart, Message
from rawmm.validation import detect

CHAT_REQUEST: Final = "ChatRequest"
"""Stands for an OpenAI request body, or its messages: no type of the contract, but what rawmm
offloads. See `rawmm.cli.requests`."""

TYPE_HINT: Final = "name it with --type; rawmm schema --list knows the names"
"""What to do where nothing tells the type of a record."""

_UNIONS: Final[dict[str, Any]] = {"Message": Message, "ContentPart": ContentPart}
# What OpenAI's wire has and the contract has not.
_WIRE_ROLES: Final = frozenset({"developer", "function"})
_WIRE_PARTS: Final = frozenset(
    {"image", "input_audio", "file", "refusal", "video_url", "audio_url"}
)


def named_kind(name: str) -> Any:
    """The type of a name such as ``Trace`` or ``list[MessageNode]``.

    Raises:
        UsageError: there is none of that name.
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


def kind_of(value: Any) -> Any:
    """The type that plain data is of.

    Raises:
        ContractError: ``unknown_type``.
    """
    return CHAT_REQUEST if is_chat_request(value) else detect(value)


def is_chat_request(value: Any) -> bool:
    """Whether plain data is an OpenAI request body, or its messages."""
    if isinstance(value, dict) and "nodes" not in value and isinstance(value.get("messages"), list):
        return True
    messages = value if isinstance(value, list) else [value]
    return any(_is_wire_message(message) for message in messages)


def _is_wire_message(message: Any) -> bool:
    """Whether a chat message is in OpenAI's form where that differs from the contract's."""
    if not isinstance(message, dict) or "role" not in message:
        return False
    if _is_one_of(message["role"], _WIRE_ROLES):
        return True
    calls, content = message.get("tool_calls"), message.get("content")
    return any(
        isinstance(call, dict) and "function" in call
        for call in (calls if isinstance(calls, list) else ())
    ) or any(
        isinstance(part, dict)
        and (_is_one_of(part.get("type"), _WIRE_PARTS) or isinstance(part.get("image_url"), str))
        for part in (content if isinstance(content, list) else ())
    )


def _is_one_of(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names
