"""The hash that identifies a message, equal to that of verifiers 0.4.0 in every process."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from rawmm.codec import convert, to_builtins
from rawmm.model.types import AssistantMessage, Message, TextContentPart, ToolMessage
from rawmm.real_class import is_a
from rawmm.validation import guarded, revalidate
from rawmm.values.payload import Mode, payload_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.model.types import Tool, ToolCall

_DIGEST_SIZE: Final = 16
_MESSAGES: Final = frozenset(get_args(Message))
_STATE_FIELDS: Final = frozenset({"encrypted_content", "signature", "data", "phase"})
"""Fields that a provider needs on replay and that no typed field holds."""
_TEXT_PARTS: Final = frozenset({"input_text", "output_text"})
_TYPED_KINDS: Final = frozenset({"message", "reasoning"})
_CALL_KINDS: Final = frozenset({"function_call", "custom_tool_call"})


def as_message(message: Any) -> Message:
    """A message as a struct: the same one, checked again, or one converted from a dict or model.

    Raises:
        ContractError: it is not a message of the contract.
    """
    if type(message) in _MESSAGES:
        try:
            revalidate(message)
        except (msgspec.ValidationError, RecursionError):
            pass  # `convert` raises the full error
        else:
            checked: Message = message
            return checked
    converted: Message = convert(message, Message)
    return converted


def message_hash(message: Any) -> str:
    """The hash of a message's content, 32 hex digits.

    Messages with the same hash are the same message of a conversation. An empty and an absent
    content are equal, and so are JSON arguments of a tool call with different spacing. The hash
    leaves out what a prompt does not repeat: the name of a tool message, the detail of an image,
    token counts. The construction is that of verifiers 0.4.0: BLAKE2b over the fields in order,
    each after its length in 8 bytes, big-endian.

    Args:
        message: a message struct, or a value that `convert` turns into one.

    Raises:
        ContractError: it is not a message of the contract.
    """
    return guarded(lambda: _message_hash(as_message(message)), (message, Message, ()))


def _message_hash(message: Message) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)

    def add(text: str) -> None:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)

    add(type(message).__name__)
    content = message.content
    if is_a(content, list):
        add("content_parts")
        for part in content:
            if is_a(part, TextContentPart):
                add("text")
                add(part.text)
            else:
                add("image_url")
                add(part.image_url.url)
    else:
        add("content_text")
        add(content or "")
    if is_a(message, AssistantMessage):
        _add_assistant(message, add)
    elif is_a(message, ToolMessage):
        add("tool_call_id")
        add(message.tool_call_id)
    return digest.hexdigest()


def _add_assistant(message: AssistantMessage, add: Callable[[str], None]) -> None:
    if message.reasoning_content is not None:
        add("reasoning_content")
        add(message.reasoning_content)
    calls = message.tool_calls or []
    for item in message.provider_state or []:
        kind, state = _continuation(item, calls)
        if state is not None:
            add("provider_state")
            add(kind)
            add(json.dumps(state, sort_keys=True))
    for call in calls:
        kind = call.type or "function"
        add("tool_call")
        add(kind)
        add(call.id)
        add(call.name)
        add(call.namespace or "")
        add(call.arguments if kind == "custom" else _canonical(call.arguments))


def _continuation(item: dict[str, Any], calls: Sequence[ToolCall]) -> tuple[str, Any]:
    """The kind of a provider's native item, and its state beyond the typed fields, or None."""
    kind = item.get("type") or ("message" if item.get("role") == "assistant" else "")
    kind = kind if is_a(kind, str) else ""  # the item is hashed as a whole then
    state = {key: item[key] for key in _STATE_FIELDS if item.get(key) is not None}
    content = item.get("content")
    if kind == "message" and is_a(content, list):
        # Refusals, for example, have no typed part.
        untyped = [
            part for part in content if not is_a(part, dict) or part.get("type") not in _TEXT_PARTS
        ]
        if untyped:
            state["content"] = untyped
    typed = kind in _TYPED_KINDS or (
        kind in _CALL_KINDS and any(call.id == item.get("call_id") for call in calls)
    )
    if not typed:
        return kind, item
    return kind, state or None


def _canonical(arguments: str) -> str:
    """JSON arguments with sorted keys and no spacing; other text unchanged."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return arguments


def tools_hash(tools: Sequence[Tool]) -> str:
    """The hash of the tools rendered into a prompt, with defaults filled in.

    Raises:
        ProcessedPayloadError: an unknown field of a tool has a value that JSON cannot represent.
    """
    payload = []
    for index, tool in enumerate(tools):
        fields = to_builtins(tool)
        for error in payload_errors(fields, ("tools", index), Mode.JSON):
            raise error
        payload.append(
            {"type": "function", "description": "", "parameters": {}}
            | {key: value for key, value in fields.items() if value is not None}
        )
    data = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).hexdigest()
