"""The type to check a record as: named by the user, or detected from the record."""

from __future__ import annotations

from difflib import get_close_matches
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final

from rawmm.cli.output import UsageError
from rawmm.errors import shown_text
from rawmm.model.types import TYPES, Message, MessagePart
from rawmm.validation import detect

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_LISTS: Final = ("messages", "input", "contents")
"""Where a request has its messages: chat and Anthropic, Responses, Gemini."""

CHAT_REQUEST: Final = "ChatRequest"
"""The body of a request, or its messages. It is not a type of the contract; see
`rawmm.cli.chat_requests`."""

TYPE_HINT: Final = "name the type with --type; rawmm schema --list lists the names"
"""The hint of an error about a record of unknown type."""

_UNIONS: Final[dict[str, Any]] = {"Message": Message, "MessagePart": MessagePart}
_OPEN: Final = frozenset({"nodes", "traces", "message"})
"""The keys that identify the open objects of the contract."""
# Values of OpenAI's format that the contract does not have.
_OPENAI_ROLES: Final = frozenset({"developer", "function"})
_OPENAI_PARTS: Final = frozenset(
    {"image", "input_audio", "file", "refusal", "video_url", "audio_url"}
)


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


def detect_type(value: Any) -> Any:
    """The type of plain data.

    Raises:
        ContractError: ``unknown_type``.
    """
    return CHAT_REQUEST if is_chat_request(value) else detect(value)


def is_chat_request(value: Any) -> bool:
    """Whether plain data is the body of a request, or its messages."""
    if isinstance(value, dict):
        if not _OPEN.isdisjoint(value):  # it may have an unknown field of the same name
            return False
        if any(isinstance(value.get(name), list) for name in REQUEST_LISTS):
            return True
    messages = value if isinstance(value, list) else [value]
    return any(_is_openai_message(message) for message in messages)


def _is_openai_message(message: Any) -> bool:
    """Whether a chat message has a part that only OpenAI's format has."""
    if not isinstance(message, dict) or "role" not in message:
        return False
    if _is_one_of(message["role"], _OPENAI_ROLES):
        return True
    calls, content = message.get("tool_calls"), message.get("content")
    return any(
        isinstance(call, dict) and "function" in call
        for call in (calls if isinstance(calls, list) else ())
    ) or any(
        isinstance(part, dict)
        and (_is_one_of(part.get("type"), _OPENAI_PARTS) or isinstance(part.get("image_url"), str))
        for part in (content if isinstance(content, list) else ())
    )


def _is_one_of(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names
