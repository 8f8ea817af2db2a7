"""The Messages API of Anthropic.

A reply folds its blocks into one message: ``thinking`` is the reasoning, ``tool_use`` a tool call,
and every block that is neither text nor a call is the provider's state. A ``tool_result`` is a tool
message of its own.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from rawmm.dialects.dialect import Dialect
from rawmm.dialects.fields import (
    Fields,
    cannot_say,
    check_tool_name,
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
from rawmm.errors import RawMMError, shown
from rawmm.model.types import AssistantMessage, SystemMessage, ToolMessage
from rawmm.real_class import is_a
from rawmm.values.errors import not_json, unknown_field
from rawmm.values.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.errors import Path
    from rawmm.model.types import Message, Tool

_THINKING_ORDER: Final = {"redacted_thinking": 0, "thinking": 1}
"""The order of the provider's state, as in verifiers: Claude may reorder these two kinds."""
_BLOCKS: Final = frozenset(
    {"tool_use", "tool_result", "thinking", "redacted_thinking", "document", "server_tool_use"}
)
"""Types of blocks that no other dialect has."""
_ROLES: Final = ("user", "assistant", "system")
_BASE64: Final = ";base64"
_DATA: Final = "data:"
_DIRECT: Final = {"type": "direct"}
"""The caller of a tool: the model, not code that it runs."""


def _recognizes(body: Mapping[str, Any]) -> bool:
    if body.get("system") is not None:
        return True
    tools = body.get("tools")
    if type(tools) is list and any(type(one) is dict and "input_schema" in one for one in tools):
        return True
    messages = body.get("messages")
    if type(messages) is not list:
        return False
    blocks = (
        block
        for one in messages
        if type(one) is dict and type(one.get("content")) is list
        for block in one["content"]
        if type(block) is dict
    )
    return any(
        block.get("type") in _BLOCKS
        or (block.get("type") == "image" and type(block.get("source")) is dict)
        for block in blocks
        if type(block.get("type")) is str
    )


def _read(body: Mapping[str, Any]) -> tuple[list[Message], list[Tool]]:
    fields = Fields(body, ())
    messages: list[Message] = []
    if system := fields.take("system"):
        messages.append(
            message(("system",), role="system", content=_read_content(system, ("system",)))
        )
    for index, value in enumerate(fields.need("messages", list)):
        messages += _read_message(value, ("messages", index))
    if fields.take("mcp_servers"):
        raise unknown_field("mcp_servers", ["messages", "system", "tools"], ()).at(
            hint="the request does not say which tools they have"
        )
    return messages, read_tools(fields.take("tools"), ("tools",), _read_tool)


def _read_message(value: Any, path: Path) -> list[Message]:
    fields = Fields(value, path, "a message: an object")
    role = fields.take("role")
    if type(role) is not str or role not in _ROLES:
        raise unknown_tag(role, _ROLES, (*path, "role"))
    content = fields.take("content")
    fields.end()
    at = (*path, "content")
    if type(content) is not list:
        text = read_content("" if content is None else content, at, _read_part)
        return [message(path, role=role, content=text or (None if role == "assistant" else text))]
    if role == "assistant":
        return [_read_reply(content, path)]
    found: list[Message] = []
    rest: list[dict[str, Any]] = []
    for index, block in enumerate(content):
        if type(block) is dict and block.get("type") == "tool_result":
            found.append(_read_result(block, (*at, index)))
        else:
            rest.append(_read_part(block, (*at, index)))
    if rest or not found:
        found.append(message(path, role=role, content=_collapsed(rest)))
    return found


def _read_content(content: Any, path: Path) -> str | list[dict[str, Any]]:
    return _collapsed(read_content(content, path, _read_part))


def _collapsed(parts: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text part as a string, as verifiers reads it."""
    if is_a(parts, list) and len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _read_reply(blocks: list[Any], path: Path) -> Message:
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    state: list[dict[str, Any]] = []
    for index, value in enumerate(blocks):
        at = (*path, "content", index)
        block = Fields(value, at, "a content block: an object")
        kind = block.need("type", str)
        if kind == "text":
            texts.append(block.need("text", str))
            block.end()
        elif kind == "tool_use":
            calls.append(_read_call(block))
        else:
            state.append(value)
            if kind == "thinking":
                reasoning.append(block.take("thinking", str) or "")
    state.sort(key=lambda block: _THINKING_ORDER.get(block["type"], len(_THINKING_ORDER)))
    return message(
        path,
        role="assistant",
        content="".join(texts) or None,
        reasoning_content="".join(reasoning) or None,
        tool_calls=calls or None,
        provider_state=state or None,
    )


def _read_call(block: Fields) -> dict[str, Any]:
    arguments = None
    given = block.take("input", dict) or {}
    with suppress(TypeError, ValueError, RecursionError):  # bytes, NaN, a cycle
        arguments = json.dumps(given, allow_nan=False)
    if arguments is None:
        raise not_json(given, (*block.path, "input"))
    found = {
        "id": block.need("id", str),
        "type": "function",
        "name": block.need("name", str),
        "arguments": arguments,
    }
    if (namespace := block.take("toolset_name", str)) is not None:
        found["namespace"] = namespace
    _check_caller(block)
    block.end()
    return found


def _check_caller(block: Fields) -> None:
    caller = block.take("caller", dict)
    if caller not in (None, _DIRECT):
        raise cannot_say((*block.path, "caller"), "a direct call of the model", "another caller")


def _read_result(value: dict[str, Any], path: Path) -> Message:
    block = Fields(value, path)
    block.take("type")
    content = block.take("content")
    found = message(
        path,
        role="tool",
        tool_call_id=block.need("tool_use_id", str),
        content=_read_content([] if content is None else content, (*path, "content")),
    )
    block.end("the contract has no such field; write it into the content")
    return found


def _read_part(value: Any, path: Path) -> dict[str, Any]:
    block = Fields(value, path, "a content block: an object")
    kind = block.take("type", str)
    if kind == "text":
        found = text_part(block.need("text", str))
    elif kind == "image":
        found = _read_image(Fields(block.need("source", dict), (*path, "source")))
    else:
        raise unknown_tag(kind, ["text", "image"], (*path, "type"))
    block.end()
    return found


def _read_image(source: Fields) -> dict[str, Any]:
    kind = source.take("type", str)
    if kind == "url":
        found = image_part(source.need("url", str))
    elif kind == "base64":
        media_type = source.need("media_type", str)
        found = image_part(f"{_DATA}{media_type}{_BASE64},{source.need('data', str)}")
    else:
        raise unknown_tag(kind, ["base64", "url"], (*source.path, "type"))
    source.end()
    return found


def _read_tool(value: Any, path: Path) -> Tool:
    if type(value) is not dict:
        raise wrong_type(value, "a tool: an object", path)
    fields = {name: child for name, child in value.items() if name != "input_schema"}
    kind = fields.get("type")
    fields["type"] = "function" if kind in (None, "custom") else kind
    if value.get("input_schema") is not None:
        fields["parameters"] = value["input_schema"]
    if not fields.get("name"):
        fields["name"] = fields.get("mcp_server_name")
    return tool(fields, path)


def _write(messages: list[Message], tools: list[Tool]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    wire: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    names: dict[str, str] = {}
    for index, one in enumerate(messages):
        path = ("messages", index)
        if not is_a(one, ToolMessage):
            results = None
        if is_a(one, SystemMessage):
            if index or one.content == []:
                expected = "instructions with content, as the first message"
                raise cannot_say(path, expected, "another system message")
            # An empty text as `system` says that there are no instructions.
            body["system"] = _write_content(one.content, path) or [text_part("")]
        elif is_a(one, AssistantMessage):
            wire.append({"role": "assistant", "content": _write_reply(one, path)})
            names |= {call.id: call.name for call in one.tool_calls or ()}
        elif is_a(one, ToolMessage):
            check_tool_name(one, names, path)
            if results is None:
                results = []
                wire.append({"role": "user", "content": results})
            results.append(
                {
                    "type": "tool_result",
                    "tool_use_id": one.tool_call_id,
                    "content": _write_content(one.content, path),
                }
            )
        else:
            wire.append({"role": "user", "content": _write_content(one.content, path)})
    body["messages"] = wire
    if tools:
        body["tools"] = [_write_tool(one, ("tools", index)) for index, one in enumerate(tools)]
    return body


def _write_content(content: Any, path: Path) -> str | list[dict[str, Any]]:
    return write_content(content, path, text_part, _write_image)


def _write_image(url: str, detail: str | None, path: Path) -> dict[str, Any]:
    if detail not in (None, "auto"):
        raise cannot_say((*path, "detail"), "no detail, or 'auto'", shown(detail))
    head, comma, data = url.partition(",")
    if comma and head.startswith(_DATA) and head.endswith(_BASE64):
        media_type = head[len(_DATA) : -len(_BASE64)]
        source = {"type": "base64", "media_type": media_type, "data": data}
    else:
        source = {"type": "url", "url": url}
    return {"type": "image", "source": source}


def _write_reply(one: AssistantMessage, path: Path) -> str | list[dict[str, Any]]:
    state = one.provider_state or []
    for index, block in enumerate(state):
        if type(block.get("type")) is not str or block["type"] in ("text", "tool_use"):
            raise cannot_say(
                (*path, "provider_state", index),
                "a block of this provider",
                "an item of another one",
            )
    thought = "".join(block.get("thinking") or "" for block in state if block["type"] == "thinking")
    if (one.reasoning_content or "") != thought:
        raise cannot_say(
            (*path, "reasoning_content"),
            "the text of the thinking blocks in provider_state",
            "another text",
            "Anthropic takes its own signed thinking only",
        )
    blocks = [*state, *([text_part(one.content)] if one.content else [])]
    for index, call in enumerate(one.tool_calls or ()):
        blocks.append(_write_call(call, (*path, "tool_calls", index)))
    if len(blocks) == 1 and one.content:
        return one.content
    return blocks


def _write_call(call: Any, path: Path) -> dict[str, Any]:
    if call.type == "custom":
        raise cannot_say((*path, "type"), "a function", "a custom tool")
    arguments: Any = None
    with suppress(RawMMError):  # raised below, at its path
        arguments = read_json(call.arguments.encode())
    if type(arguments) is not dict:
        raise cannot_say((*path, "arguments"), "a JSON object", "another text")
    block = {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
    if call.namespace is not None:
        block["toolset_name"] = call.namespace
    return block


def _write_tool(one: Tool, path: Path) -> dict[str, Any]:
    fields = tool_fields(one)
    kind = fields.pop("type")
    if kind == "custom":
        raise cannot_say((*path, "type"), "a function, or a tool of Anthropic", "a custom tool")
    if kind == "function":
        return {
            "name": fields.pop("name"),
            "input_schema": fields.pop("parameters", {}),
            **fields,
        }
    if parameters := fields.pop("parameters", None):
        fields["input_schema"] = parameters
    return {"type": kind, **fields}


ANTHROPIC: Final = Dialect(name="anthropic", recognizes=_recognizes, read=_read, write=_write)
