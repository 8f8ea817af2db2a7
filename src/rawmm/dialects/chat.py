"""OpenAI chat completions, as vLLM, SGLang and most other servers take them.

Reasoning is in the field that the server names: ``reasoning``, ``reasoning_content``, ``thinking``
or the list ``reasoning_details``, which is the provider's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.dialects.dialect import Dialect
from rawmm.dialects.fields import (
    CACHE_HINTS,
    CLIENT_TOOLS,
    Fields,
    image_part,
    message,
    read_content,
    read_tools,
    text_part,
    tool,
    tool_fields,
    unknown_tag,
    write_content,
    wrong_type,
)
from rawmm.errors import contract_error
from rawmm.media import IMAGE
from rawmm.model.types import AssistantMessage, ToolMessage
from rawmm.real_class import is_a
from rawmm.values.errors import unknown_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.errors import Path
    from rawmm.model.types import Message, Tool

_REASONING: Final = ("reasoning", "reasoning_content", "thinking")
"""Names of the reasoning text."""
_DETAILS: Final = "reasoning_details"
_ARGUMENTS: Final = {"function": "arguments", "custom": "input"}
"""The name of the arguments of a tool call, by its type."""
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_IMAGE_HINT: Final = 'write an image as {"type": "image_url", "image_url": {"url": ...}}'
_NAME_HINT: Final = "the contract has no name of a participant; write it into the text"


def read_message(value: Any, path: Path) -> Message:
    """A message of a chat request, also in the contract's spelling.

    Raises:
        RawMMError: it is not one, or the contract cannot say all of it.
    """
    fields = Fields(value, path, "a message: an object")
    role = fields.take("role")
    if type(role) is not str or role not in _ROLES:
        raise unknown_tag(role, _ROLES, (*path, "role"))
    if role == "assistant":
        return _read_reply(fields)
    content = fields.take("content")
    given: dict[str, Any] = {"role": "system" if role == "developer" else role}
    # Every server takes an absent content for an empty text.
    given["content"] = "" if content is None else read_content(content, _content(path), _read_part)
    if role == "tool":
        given |= {
            "tool_call_id": fields.need("tool_call_id", str),
            "name": fields.take("name", str),
        }
        fields.end()
    else:
        fields.end(_NAME_HINT if "name" in fields else None)
    return message(path, **given)


def _content(path: Path) -> Path:
    return (*path, "content")


def _read_reply(fields: Fields) -> Message:
    path = fields.path
    reasoning, state = _read_reasoning(fields)
    calls = fields.take("tool_calls", list) or []
    given = {
        "role": "assistant",
        "content": _joined(fields.take("content"), _content(path)) or None,
        "reasoning_content": reasoning,
        "tool_calls": [
            _read_call(call, index, (*path, "tool_calls", index))
            for index, call in enumerate(calls)
        ]
        or None,
        "provider_state": state,
    }
    fields.end()
    return message(path, **given)


def _joined(content: Any, path: Path) -> str:
    """The text of a reply. The contract has no other parts there."""
    parts = read_content("" if content is None else content, path, _read_part)
    if is_a(parts, str):
        return parts
    for index, part in enumerate(parts):
        if part["type"] != "text":
            raise unknown_tag(
                part["type"],
                ["text"],
                (*path, index, "type"),
                "a reply of the model has texts only",
            )
    return "".join(part["text"] for part in parts)


def _read_reasoning(fields: Fields) -> tuple[str | None, list[Any] | None]:
    """The reasoning of a reply as text, and the provider's state."""
    path = fields.path
    texts = {name: fields.take(name, str) for name in _REASONING}
    details = fields.take(_DETAILS)
    if type(details) is str:
        texts[_DETAILS], details = details, None
    elif details is not None and type(details) is not list:
        raise wrong_type(details, "an array of objects", (*path, _DETAILS))
    thinking = texts.pop("thinking")
    if details and not any(texts.values()):
        texts[_DETAILS] = details_text(details)
    texts["thinking"] = thinking
    found = [(name, text) for name, text in texts.items() if text]
    for name, text in found:
        if text != found[0][1]:
            raise contract_error(
                "bad_value",
                (*path, name),
                expected=f"the text of {found[0][0]!r}",
                got="another text",
                hint="the contract has one text of reasoning",
            )
    return (found[0][1] if found else None), details or fields.take("provider_state", list) or None


def details_text(details: list[Any]) -> str:
    """The text of ``reasoning_details``, as verifiers reads it."""
    texts = []
    for detail in details:
        if type(detail) is dict:
            text = detail.get("text") or detail.get("summary")
            if type(text) is str and text:
                texts.append(text)
    return "\n".join(texts)


def _read_call(value: Any, index: int, path: Path) -> dict[str, Any]:
    call = Fields(value, path, "a tool call: an object")
    kind = call.take("type", str) or ("custom" if "custom" in call else "function")
    if kind not in _ARGUMENTS:
        raise unknown_tag(kind, _ARGUMENTS, (*path, "type"))
    native, arguments = call, "arguments"
    if kind in call:
        native, arguments = Fields(call.take(kind), (*path, kind)), _ARGUMENTS[kind]
    found = {
        "id": call.need("id", str),
        "type": kind,
        "name": native.need("name", str),
        "arguments": native.need(arguments, str),
    }
    if (namespace := native.take("namespace", str)) is not None:
        found["namespace"] = namespace
    native.end()
    # Streamed replies number their calls.
    if call.take("index") not in (None, index):
        raise contract_error(
            "bad_value", (*path, "index"), expected=f"{index}, the position", got="another"
        )
    call.end()
    return found


def _read_part(value: Any, path: Path) -> dict[str, Any]:
    part = Fields(value, path, "a content part: an object")
    kind = part.take("type", str)
    if kind == "text" or (kind is None and "text" in part):
        found = text_part(part.need("text", str))
    elif kind in IMAGE.wire_types or (kind is None and any(map(part.__contains__, _IMAGE_KEYS))):
        found = _read_image(part)
    else:
        raise unknown_tag(kind, ["text", "image_url"], (*path, "type"), _IMAGE_HINT)
    part.end(_IMAGE_HINT)
    return found


_IMAGE_KEYS: Final = IMAGE.wire_types
"""The key of an image is the type of its part."""


def _read_image(part: Fields) -> dict[str, Any]:
    """An image: ``image_url`` as an object or a string, or ``image`` as a string."""
    key = next((key for key in _IMAGE_KEYS if key in part), _IMAGE_KEYS[0])
    source = part.take(key)
    path = (*part.path, key)
    if source is None:
        part.need(key, dict)
    if type(source) is str:
        return image_part(source, part.take("detail", str))
    if key != "image_url":
        raise wrong_type(source, "a URL", path, _IMAGE_HINT)
    fields = Fields(source, path, "a URL, or an object with a URL")
    found = image_part(fields.need("url", str), fields.take("detail", str))
    fields.end()
    return found


def read_tool(value: Any, path: Path) -> Tool:
    """A tool of a chat request, also in the contract's spelling.

    Raises:
        RawMMError: it is not one, or the contract cannot say all of it.
    """
    if type(value) is not dict:
        raise wrong_type(value, "a tool: an object", path)
    kind = value.get("type") or "function"
    if type(kind) is str and type(value.get(kind)) is dict:
        fields = {name: child for name, child in value.items() if child is not None}
        for name in fields:
            if name not in {"type", kind} | CACHE_HINTS:
                raise unknown_field(name, ["type", kind], path)
        return tool({**fields[kind], "type": kind}, (*path, kind))
    return tool({**value, "type": kind}, path)


def _read(body: Mapping[str, Any]) -> tuple[list[Message], list[Tool]]:
    fields = Fields(body, ())
    messages: list[Message] = []
    names: dict[str, str] = {}
    for index, value in enumerate(fields.need("messages", list)):
        messages.append(with_tool_name(read_message(value, ("messages", index)), names))
    if fields.take("functions"):
        raise unknown_field("functions", ["messages", "tools"], ()).at(
            hint="the form of 2023; write them as tools"
        )
    return messages, read_tools(fields.take("tools"), ("tools",), read_tool)


def with_tool_name(one: Message, names: dict[str, str]) -> Message:
    """A tool message without a name with that of its call, as verifiers does; others unchanged.

    Templates such as Harmony need the name.

    Args:
        one: the next message.
        names: names of earlier calls by id. Those of this message are added.
    """
    if is_a(one, AssistantMessage):
        for call in one.tool_calls or ():
            names[call.id] = call.name
    elif is_a(one, ToolMessage) and one.name is None and one.tool_call_id in names:
        return ToolMessage(
            tool_call_id=one.tool_call_id, content=one.content, name=names[one.tool_call_id]
        )
    return one


def _write(messages: list[Message], tools: list[Tool]) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [_write_message(one) for one in messages]}
    if tools:
        body["tools"] = [_write_tool(one) for one in tools]
    return body


def _write_message(one: Message) -> dict[str, Any]:
    if is_a(one, AssistantMessage):
        return _write_reply(one)
    content = write_content(
        one.content, (), text_part, lambda url, detail, _: image_part(url, detail)
    )
    wire: dict[str, Any] = {"role": one.role}
    if is_a(one, ToolMessage):
        wire["tool_call_id"] = one.tool_call_id
        if one.name is not None:
            wire["name"] = one.name
    return {**wire, "content": content}


def _write_image(url: str, detail: str | None, _: Path) -> dict[str, Any]:
    return image_part(url, detail)


def _write_reply(one: AssistantMessage) -> dict[str, Any]:
    # Servers refuse a null content without tool calls.
    wire: dict[str, Any] = {"role": "assistant", "content": one.content}
    if not one.content:
        wire["content"] = None if one.tool_calls else ""
    if one.provider_state:
        wire[_DETAILS] = [*one.provider_state]
    if one.reasoning_content and one.reasoning_content != details_text(one.provider_state or []):
        wire["reasoning_content"] = one.reasoning_content
    if one.tool_calls:
        wire["tool_calls"] = [_write_call(call) for call in one.tool_calls]
    return wire


def _write_call(call: Any) -> dict[str, Any]:
    kind = call.type or "function"
    native = {"name": call.name, _ARGUMENTS[kind]: call.arguments}
    if call.namespace is not None:
        native["namespace"] = call.namespace
    return {"id": call.id, "type": kind, kind: native}


def _write_tool(one: Tool) -> dict[str, Any]:
    fields = tool_fields(one)
    kind = fields["type"]
    if kind not in CLIENT_TOOLS:
        return fields
    del fields["type"]
    return {"type": kind, kind: fields}


CHAT: Final = Dialect(name="chat", recognizes=lambda _: True, read=_read, write=_write)
