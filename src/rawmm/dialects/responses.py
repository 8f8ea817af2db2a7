"""The Responses API of OpenAI.

A run of items of the model is one reply. The items themselves are the provider's state: they hold
ids, encrypted reasoning and the calls of tools that the provider runs.
"""

from __future__ import annotations

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
from rawmm.model.types import AssistantMessage, SystemMessage, ToolMessage
from rawmm.real_class import is_a
from rawmm.values.errors import missing_field, unknown_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.errors import Path
    from rawmm.model.types import Message, Tool

_CALLS: Final = {"function_call": "function", "custom_tool_call": "custom"}
"""Types of the calls of tools that the client runs, and of such tool calls in the contract."""
_ARGUMENTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
}
"""The type of a tool's answer, by that of its call."""
_SCREENSHOT: Final = "computer_screenshot"
_TEXTS: Final = ("input_text", "output_text")
_IMAGES: Final = ("input_image", _SCREENSHOT)
_PARTS: Final = (*_TEXTS, *_IMAGES)
_ROLES: Final = ("system", "developer", "user", "assistant")
_TRANSPORT: Final = ("id", "status")
"""Fields of an item that say nothing about its content."""
_ELSEWHERE: Final = ("previous_response_id", "conversation", "prompt")
"""Fields of a body that name messages which the provider has."""
_NAMESPACE_TEXT: Final = "namespace_description"
"""The unknown field of a tool with the description of its namespace."""


def _recognizes(body: Mapping[str, Any]) -> bool:
    return body.get("messages") is None and any(
        body.get(name) is not None for name in ("input", "instructions", *_ELSEWHERE)
    )


def _read(body: Mapping[str, Any]) -> tuple[list[Message], list[Tool]]:
    fields = Fields(body, ())
    for name in _ELSEWHERE:
        if fields.take(name) is not None:
            raise unknown_field(name, ["instructions", "input", "tools"], ()).at(
                hint="its messages are not in the request; send all of them as input"
            )
    messages: list[Message] = []
    instructions = fields.take("instructions", str)
    if instructions:
        messages.append(message(("instructions",), role="system", content=instructions))
    given = fields.take("input")
    if given is None and instructions is None:
        raise missing_field("input", ())
    if type(given) is str:
        given = [{"role": "user", "content": given}]
    elif given is not None and type(given) is not list:
        raise wrong_type(given, "a string or an array of items", ("input",))
    declared: list[Tool] = []
    run: list[tuple[dict[str, Any], Path]] = []
    for index, item in enumerate(given or ()):
        path = ("input", index)
        if type(item) is not dict:
            raise wrong_type(item, "an item: an object", path)
        if _is_of_model(item, path):
            run.append((item, path))
            if item.get("type") == "additional_tools":
                declared += _read_tools(item.get("tools"), (*path, "tools"))
            continue
        if run:
            messages.append(_folded(run))
            run = []
        messages.append(_read_item(item, path))
    if run:
        messages.append(_folded(run))
    # A later declaration replaces an earlier one of the same tool.
    declared += _read_tools(fields.take("tools"), ("tools",))
    tools = {(one.namespace, one.name, one.type): one for one in declared}
    return messages, list(tools.values())


def _is_of_model(item: dict[str, Any], path: Path) -> bool:
    """Whether an item belongs to a reply of the model."""
    role, kind = item.get("role"), item.get("type") or ""
    if type(kind) is not str or kind in _PARTS or kind == "input_file":
        raise unknown_tag(
            kind, ["message", *_CALLS], (*path, "type"), "put content parts into a message"
        )
    if role is not None:
        return bool(role == "assistant")
    return not kind.endswith(("_output", "_response"))


def _read_item(value: dict[str, Any], path: Path) -> Message:
    item = Fields(value, path)
    kind = item.take("type", str) or "message"
    role = item.take("role")
    for name in _TRANSPORT:
        item.take(name)
    if kind in _OUTPUTS.values() and role is None:
        output = item.take("output")
        at = (*path, "output")
        if kind == _OUTPUTS["computer_call"]:
            content: Any = [_read_part(output, at)]
        else:
            content = read_content(output, at, _read_part)
        found = message(path, role="tool", tool_call_id=item.need("call_id", str), content=content)
        caller = item.take("caller", dict)
        if caller not in (None, {"type": "direct"}):
            raise cannot_say((*path, "caller"), "a direct call of the model", "another caller")
    elif kind != "message":
        raise unknown_tag(kind, ["message", *_OUTPUTS.values()], (*path, "type"))
    elif type(role) is not str or role not in _ROLES:
        raise unknown_tag(role, _ROLES, (*path, "role"))
    else:
        content = item.take("content")
        found = message(
            path,
            role="user" if role == "user" else "system",
            content=read_content(
                [] if content is None else content, (*path, "content"), _read_part
            ),
        )
    item.end()
    return found


def _read_part(value: Any, path: Path) -> dict[str, Any]:
    part = Fields(value, path, "a content part: an object")
    kind = part.take("type", str)
    if kind in _TEXTS:
        found = text_part(part.need("text", str))
    elif kind in _IMAGES:
        source = part.take("image_url")
        if type(source) is dict:
            fields = Fields(source, (*path, "image_url"))
            found = image_part(fields.need("url", str), fields.take("detail", str))
            fields.end()
        else:
            if type(source) is not str:
                part = Fields(value, path)
                part.take("type")
                part.need("image_url", str)
            found = image_part(source, part.take("detail", str))
    else:
        raise unknown_tag(kind, _PARTS, (*path, "type"))
    part.end()
    return found


def _folded(run: list[tuple[dict[str, Any], Path]]) -> Message:
    """The items of one reply as a message, which keeps them as its provider's state."""
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for value, path in run:
        item = Fields(value, path)
        kind = item.take("type", str) or "message"
        if kind == "reasoning":
            for name in ("summary", "content"):
                reasoning += _texts(item.take(name), (*path, name))
        elif kind in _CALLS:
            call = {
                "id": item.need("call_id", str),
                "type": _CALLS[kind],
                "name": item.need("name", str),
                "arguments": item.need(_ARGUMENTS[kind], str),
            }
            if (namespace := item.take("namespace", str)) is not None:
                call["namespace"] = namespace
            calls.append(call)
        else:
            texts += _texts(item.take("content"), (*path, "content"), _TEXTS)
    return message(
        run[0][1],
        role="assistant",
        content="".join(texts) or None,
        reasoning_content="\n".join(filter(None, reasoning)) or None,
        tool_calls=calls or None,
        provider_state=[item for item, _ in run],
    )


def _texts(content: Any, path: Path, kinds: tuple[str, ...] | None = None) -> list[str]:
    """The texts of a string or of the parts of these kinds. Other parts stay in the state."""
    if type(content) is str:
        return [content]
    found = []
    for index, value in enumerate(() if type(content) is not list else content):
        part = Fields(value, (*path, index), "a content part: an object")
        if kinds is None or part.take("type", str) in kinds:
            found.append(part.take("text", str) or "")
    return found


def _read_tools(declarations: Any, path: Path) -> list[Tool]:
    found: list[Tool] = []
    if type(declarations) is not list:
        return read_tools(declarations, path, _read_tool)
    for index, value in enumerate(declarations):
        at = (*path, index)
        if type(value) is not dict or value.get("type") != "namespace":
            found.append(_read_tool(value, at))
            continue
        group = Fields(value, at)
        group.take("type")
        given = {"namespace": group.need("name", str)}
        if text := group.take("description", str):
            given[_NAMESPACE_TEXT] = text
        for number, one in enumerate(group.need("tools", list)):
            found.append(_read_tool(one, (*at, "tools", number), given))
        group.end()
    return found


def _read_tool(value: Any, path: Path, given: Mapping[str, Any] = {}) -> Tool:
    if type(value) is not dict:
        raise wrong_type(value, "a tool: an object", path)
    return tool({"type": "function", **_without_nulls(value), **given}, path)


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: child for name, child in fields.items() if child is not None}


def _write(messages: list[Message], tools: list[Tool]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    kinds: dict[str, str] = {}
    after_reply = False
    for index, one in enumerate(messages):
        path = ("messages", index)
        if is_a(one, AssistantMessage):
            if after_reply:
                expected = "another message between two replies of the model"
                raise cannot_say(path, expected, "none", "adjacent items are one reply")
            written = _write_reply(one, path)
            items += written
            names |= {call.id: call.name for call in one.tool_calls or ()}
            kinds |= {
                item["call_id"]: item["type"]
                for item in written
                if item.get("type") in _OUTPUTS and type(item.get("call_id")) is str
            }
        elif is_a(one, ToolMessage):
            check_tool_name(one, names, path)
            items.append(_write_output(one, kinds.get(one.tool_call_id, "function_call"), path))
        elif is_a(one, SystemMessage) and index == 0 and is_a(one.content, str) and one.content:
            body["instructions"] = one.content
        else:
            items.append(
                {"type": "message", "role": one.role, "content": _write_content(one.content, path)}
            )
        after_reply = is_a(one, AssistantMessage)
    body["input"] = items
    if tools:
        body["tools"] = _write_tools(tools)
    return body


def _write_output(one: ToolMessage, kind: str, path: Path) -> dict[str, Any]:
    output: Any = _write_content(one.content, path)
    if kind == "computer_call":
        if type(output) is str or [part["type"] for part in output] != ["input_image"]:
            raise cannot_say((*path, "content"), "one image, the screenshot", "something else")
        output = {**output[0], "type": _SCREENSHOT}
    return {"type": _OUTPUTS[kind], "call_id": one.tool_call_id, "output": output}


def _write_content(content: Any, path: Path) -> str | list[dict[str, Any]]:
    return write_content(content, path, _write_text, _write_image)


def _write_text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _write_image(url: str, detail: str | None, _: Path) -> dict[str, Any]:
    part = {"type": "input_image", "image_url": url}
    return part if detail is None else {**part, "detail": detail}


def _write_reply(one: AssistantMessage, path: Path) -> list[dict[str, Any]]:
    items = one.provider_state
    if items:
        folded = _folded([(item, path) for item in items])
        if _said(folded) != _said(one) or not all(_is_of_model(item, path) for item in items):
            raise cannot_say(
                (*path, "provider_state"),
                "items with the text, reasoning and tool calls of the message",
                "others",
                "they are of another provider, or the message was changed; leave them out",
            )
        return items
    items = []
    if one.reasoning_content:
        summary = {"type": "summary_text", "text": one.reasoning_content}
        items.append({"type": "reasoning", "summary": [summary]})
    if one.content or not (items or one.tool_calls):
        items.append({"type": "message", "role": "assistant", "content": one.content or ""})
    for call in one.tool_calls or ():
        kind = next(kind for kind, own in _CALLS.items() if own == (call.type or "function"))
        item = {
            "type": kind,
            "call_id": call.id,
            "name": call.name,
            _ARGUMENTS[kind]: call.arguments,
        }
        if call.namespace is not None:
            item["namespace"] = call.namespace
        items.append(item)
    return items


def _said(one: Any) -> tuple[Any, ...]:
    """What a reply says besides the provider's state."""
    calls = [
        (call.id, call.type or "function", call.name, call.namespace, call.arguments)
        for call in one.tool_calls or ()
    ]
    return one.content or None, one.reasoning_content or None, calls


def _write_tools(tools: list[Tool]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for one in tools:
        fields = tool_fields(one)
        if (namespace := fields.pop("namespace", None)) is None:
            written.append(fields)
            continue
        text = fields.pop(_NAMESPACE_TEXT, "")
        group = groups.get((namespace, text))
        if group is None:
            group = {"type": "namespace", "name": namespace, "description": text, "tools": []}
            groups[namespace, text] = group
            written.append(group)
        group["tools"].append(fields)
    return written


RESPONSES: Final = Dialect(name="responses", recognizes=_recognizes, read=_read, write=_write)
