"""The type to check a record as, detected from the record."""

from __future__ import annotations

from typing import Any, Final

from rawmm.validation import detect

REQUEST_LISTS: Final = ("messages", "input", "contents")
"""Where a request has its messages: chat and Anthropic, Responses, Gemini."""

CHAT_REQUEST: Final = "ChatRequest"
"""The body of a request, or its messages. It is not a type of the contract; see
`rawmm.checks.chat_requests`."""

_OPEN: Final = frozenset({"nodes", "traces", "message"})
"""The keys that identify the open objects of the contract."""
# Values of OpenAI's format that the contract does not have.
_OPENAI_ROLES: Final = frozenset({"developer", "function"})
_OPENAI_PARTS: Final = frozenset(
    {"image", "input_audio", "file", "refusal", "video_url", "audio_url"}
)


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
