"""Bodies of requests as real clients send them, and what the contract cannot say of others."""

from __future__ import annotations

from typing import Any, Final

PNG: Final = "data:image/png;base64,iVBORw0KGgo="
FILE: Final = "file:///run/assets/images/a.png"
SCHEMA: Final = {"type": "object", "properties": {"image_url": {"type": "string"}}}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


def responses(*items: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": list(items), **more}


def anthropic(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 8, "messages": list(messages), **more}


def reply(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", **fields}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
IMAGE: Final = {"type": "image_url", "image_url": {"url": PNG}}

BODIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "texts": (
        "chat",
        chat(
            {"role": "system", "content": "be brief"},
            user("hi"),
            reply(content="ho"),
            temperature=1,
        ),
    ),
    "parts": ("chat", chat(user([{"type": "text", "text": "what?"}, IMAGE]))),
    "image detail": (
        "chat",
        chat(user([{"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}])),
    ),
    "nulls of a table library": (
        "chat",
        chat(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a", "image_url": None},
                    {"type": "image_url", "text": None, "image_url": {"url": PNG, "detail": None}},
                ],
                "tool_calls": None,
                "tool_call_id": None,
                "name": None,
            }
        ),
    ),
    "reply as the SDK dumps it": (
        "chat",
        chat(
            user("hi"),
            reply(
                content=None,
                refusal=None,
                annotations=[],
                audio=None,
                function_call=None,
                tool_calls=[{**CALL, "custom": None}],
            ),
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ),
    ),
    "reply of vLLM": (
        "chat",
        chat(reply(content="a", reasoning="b", reasoning_content="b", tool_calls=[])),
    ),
    "reply in parts": (
        "chat",
        chat(reply(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
    ),
    "reply without content": ("chat", chat(reply(content=""))),
    "calls": (
        "chat",
        chat(
            reply(
                content=None,
                tool_calls=[
                    {
                        "id": "1",
                        "function": {"name": "f", "arguments": " { } ", "namespace": "mcp"},
                        "type": None,
                        "index": 0,
                    },
                    {"id": "2", "type": "custom", "custom": {"name": "g", "input": "ls"}},
                    {"id": "3", "custom": {"name": "g", "input": ""}},
                ],
            ),
            {"role": "tool", "tool_call_id": "2", "content": [IMAGE]},
            {"role": "tool", "tool_call_id": "1", "content": "x", "name": "other"},
        ),
    ),
    "reasoning details": (
        "chat",
        chat(
            reply(
                content="a",
                reasoning_details=[
                    {"type": "reasoning.text", "text": "t", "signature": "s"},
                    {"type": "reasoning.summary", "summary": "u"},
                    {"type": "reasoning.encrypted", "data": "d"},
                ],
            )
        ),
    ),
    "reasoning and details": (
        "chat",
        chat(reply(content="a", reasoning="all", reasoning_details=[{"type": "x", "text": "t"}])),
    ),
    "chat tools": (
        "chat",
        chat(
            user("a"),
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "d",
                        "parameters": SCHEMA,
                        "strict": True,
                    },
                },
                {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
                {"type": "function", "name": "flat", "parameters": {}},
                {"type": "web_search"},
                {"type": "mcp", "server_label": "s", "headers": {"Authorization": "secret"}},
            ],
        ),
    ),
    "responses text": ("responses", {"model": "m", "input": "hi", "instructions": "be brief"}),
    "responses flow": (
        "responses",
        responses(
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": PNG, "detail": "auto"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs",
                "summary": [{"type": "summary_text", "text": "s"}],
                "content": [{"type": "reasoning_text", "text": "r"}],
                "encrypted_content": "e",
            },
            {
                "type": "message",
                "id": "msg",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "b", "annotations": [{"type": "x"}]},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "ls"},
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_image", "image_url": PNG, "detail": "low"}],
            },
            {"type": "custom_tool_call_output", "call_id": "d", "output": "done"},
            {"type": "message", "role": "developer", "content": "now"},
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": "ok"},
            instructions="be brief",
        ),
    ),
    "call of the provider": (
        "responses",
        responses({"type": "web_search_call", "id": "ws", "status": "completed"}, user("a")),
    ),
    "responses tools": (
        "responses",
        responses(
            user("a"),
            tools=[
                {"type": "function", "name": "f", "parameters": SCHEMA, "strict": None},
                {"type": "custom", "name": "g", "format": {"type": "text"}},
                {"type": "web_search_preview"},
                {"type": "mcp", "server_label": "s", "authorization": "secret"},
                {
                    "type": "namespace",
                    "name": "n",
                    "tools": [{"type": "function", "name": "f", "parameters": {}}],
                },
                {"type": "function", "name": "f", "parameters": {}, "strict": True},
            ],
        ),
    ),
    "anthropic text": ("anthropic", anthropic(user("hi"), reply(content="ho"), system="be brief")),
    "anthropic flow": (
        "anthropic",
        anthropic(
            user(
                [
                    {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
                    },
                    {"type": "image", "source": {"type": "url", "url": FILE}},
                ]
            ),
            reply(
                content=[
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {"type": "text", "text": "b", "citations": None},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"é": [1, 2.5]}},
                ]
            ),
            user(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c",
                        "is_error": False,
                        "content": [
                            {"type": "text", "text": "x"},
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/jpeg",
                                    "data": "/9j/",
                                },
                            },
                        ],
                    },
                    {"type": "tool_result", "tool_use_id": "d"},
                    {"type": "tool_result", "tool_use_id": "e", "content": "y"},
                    {"type": "text", "text": "go on"},
                ]
            ),
            system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
            tools=[
                {"name": "f", "description": "d", "input_schema": SCHEMA},
                {"type": "custom", "name": "g", "input_schema": {"type": "object"}},
                {"type": "computer_20250124", "name": "computer", "display_width_px": 9},
                {"name": "h", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
            ],
        ),
    ),
    "block of the provider": (
        "anthropic",
        anthropic(
            reply(
                content=[
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                    {"type": "text", "text": "a"},
                ]
            )
        ),
    ),
}
"""Bodies that both rawmm and verifiers read, by name, each with its dialect."""

_AT: Final = "$.messages[0]"
REFUSED: Final[dict[str, tuple[str, dict[str, Any], str, str]]] = {
    "user name": (
        "chat",
        chat({"role": "user", "content": "a", "name": "bob"}),
        "unknown_field",
        f"{_AT}.name",
    ),
    "role function": (
        "chat",
        chat({"role": "function", "name": "f", "content": "a"}),
        "unknown_tag",
        f"{_AT}.role",
    ),
    "no role": ("chat", chat({"content": "a"}), "unknown_tag", f"{_AT}.role"),
    "function call of 2023": (
        "chat",
        chat(reply(content=None, function_call={"name": "f", "arguments": ""})),
        "unknown_field",
        f"{_AT}.function_call",
    ),
    "functions of 2023": ("chat", chat(functions=[{"name": "f"}]), "unknown_field", "$.functions"),
    "refusal": ("chat", chat(reply(refusal="no")), "unknown_field", f"{_AT}.refusal"),
    "refusal part": (
        "chat",
        chat(reply(content=[{"type": "refusal", "refusal": "no"}])),
        "unknown_tag",
        f"{_AT}.content[0].type",
    ),
    "image of a reply": (
        "chat",
        chat(reply(content=[IMAGE])),
        "unknown_tag",
        f"{_AT}.content[0].type",
    ),
    "audio of a reply": (
        "chat",
        chat(reply(audio={"id": "a"})),
        "unknown_field",
        f"{_AT}.audio",
    ),
    "file part": (
        "chat",
        chat(user([{"type": "file", "file": {"file_id": "f"}}])),
        "unknown_tag",
        f"{_AT}.content[0].type",
    ),
    "text as a part": ("chat", chat(user(["a"])), "wrong_type", f"{_AT}.content[0]"),
    "image in a text part": (
        "chat",
        chat(user([{**IMAGE, "type": "text", "text": "a"}])),
        "unknown_field",
        f"{_AT}.content[0].image_url",
    ),
    "unknown field of an image": (
        "chat",
        chat(user([{"type": "image_url", "image_url": {"url": PNG, "crop": [1]}}])),
        "unknown_field",
        f"{_AT}.content[0].image_url.crop",
    ),
    "image without a source": (
        "chat",
        chat(user([{"type": "image_url", "image_url": None}])),
        "missing_field",
        f"{_AT}.content[0]",
    ),
    "two texts of reasoning": (
        "chat",
        chat(reply(reasoning="a", reasoning_content="b")),
        "bad_value",
        f"{_AT}.reasoning_content",
    ),
    "thought signature of Gemini": (
        "chat",
        chat(reply(tool_calls=[{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}])),
        "unknown_field",
        f"{_AT}.tool_calls[0].extra_content",
    ),
    "parsed arguments": (
        "chat",
        chat(
            reply(
                tool_calls=[
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}}
                ]
            )
        ),
        "wrong_type",
        f"{_AT}.tool_calls[0].function.arguments",
    ),
    "call without an id": (
        "chat",
        chat(reply(tool_calls=[{"type": "function", "function": {"name": "f", "arguments": ""}}])),
        "missing_field",
        f"{_AT}.tool_calls[0]",
    ),
    "tool message without an id": (
        "chat",
        chat({"role": "tool", "content": "a"}),
        "missing_field",
        _AT,
    ),
    "field beside a function": (
        "chat",
        chat(tools=[{"type": "function", "function": {"name": "f"}, "description": "d"}]),
        "unknown_field",
        "$.tools[0].description",
    ),
    "pixels in the provider's state": (
        "chat",
        chat(reply(reasoning_details=[{"pixel_values": [1.0]}])),
        "processed_payload",
        f"{_AT}.provider_state[0].pixel_values",
    ),
    "messages elsewhere": (
        "responses",
        responses(user("a"), previous_response_id="r"),
        "unknown_field",
        "$.previous_response_id",
    ),
    "file of a response": (
        "responses",
        responses(user([{"type": "input_file", "file_id": "f"}])),
        "unknown_tag",
        "$.input[0].content[0].type",
    ),
    "image by file id": (
        "responses",
        responses(user([{"type": "input_image", "file_id": "f"}])),
        "missing_field",
        "$.input[0].content[0]",
    ),
    "part outside of a message": (
        "responses",
        responses({"type": "input_image", "image_url": PNG}),
        "unknown_tag",
        "$.input[0].type",
    ),
    "output of a shell": (
        "responses",
        responses({"type": "shell_call_output", "call_id": "c", "output": []}),
        "unknown_tag",
        "$.input[0].type",
    ),
    "unknown role of a response": (
        "responses",
        responses({"role": "critic", "content": "a"}),
        "unknown_tag",
        "$.input[0].role",
    ),
    "document": (
        "anthropic",
        anthropic(user([{"type": "document", "source": {"type": "url", "url": "u"}}])),
        "unknown_tag",
        f"{_AT}.content[0].type",
    ),
    "image by file": (
        "anthropic",
        anthropic(user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])),
        "unknown_tag",
        f"{_AT}.content[0].source.type",
    ),
    "failed tool": (
        "anthropic",
        anthropic(
            user([{"type": "tool_result", "tool_use_id": "c", "content": "a", "is_error": True}])
        ),
        "unknown_field",
        f"{_AT}.content[0].is_error",
    ),
    "citations": (
        "anthropic",
        anthropic(reply(content=[{"type": "text", "text": "a", "citations": [{"url": "u"}]}])),
        "unknown_field",
        f"{_AT}.content[0].citations",
    ),
    "call by code": (
        "anthropic",
        anthropic(
            reply(
                content=[
                    {
                        "type": "tool_use",
                        "id": "c",
                        "name": "f",
                        "input": {},
                        "caller": {"type": "code_execution_20250825", "tool_id": "t"},
                    }
                ]
            )
        ),
        "bad_value",
        f"{_AT}.content[0].caller",
    ),
    "servers": (
        "anthropic",
        anthropic(mcp_servers=[{"type": "url", "url": "u", "name": "s"}]),
        "unknown_field",
        "$.mcp_servers",
    ),
}
"""Bodies of which the contract cannot say all: the dialect, the body, the code and the path."""
