"""Bodies with an image in every form, and bodies that have none.

In a text, ``B64`` stands for the base64 of a PNG, ``URL`` for its data URL, ``REF`` for the URL of
the stored file and ``NAME`` for its file name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from rawmm.store import ImageStore

RAW = picture() + b"!"  # so that the base64 is padded
B64 = data_url(RAW).partition(",")[2]
RECORDED = Path(__file__).parents[2] / "data/requests/sdks.jsonl"
"""Bodies that the released packages wrote, each with the version that did."""


def filled(value: Any, **words: str) -> Any:
    """A copy of a template with words in their places."""
    text = json.dumps(value)
    for word, new in {"URL": data_url(RAW), "B64": B64, **words}.items():
        text = text.replace(word, new)
    return json.loads(text)


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    """A request with one message of a user."""
    content = [{"type": "text", "text": "What is this?"}, *parts]
    return {"model": "m", "messages": [{"role": "user", "content": content, **fields}]}


def places(store: ImageStore) -> dict[str, str]:
    """The words of a template for the image in a store."""
    stored = store.put(RAW)
    return {"REF": stored.uri, "NAME": stored.path.name}


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]


CHAT = {"type": "image_url", "image_url": {"url": "REF"}}
LINK = {"type": "resource_link", "uri": "REF", "name": "NAME", "mimeType": "image/png"}

PARTS: dict[str, tuple[Any, Any]] = {
    "chat": ({"type": "image_url", "image_url": {"url": "URL"}}, CHAT),
    "chat with detail": (
        {"type": "image_url", "image_url": {"url": "URL", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "REF", "detail": "low"}},
    ),
    "chat, a string": ({"type": "image_url", "image_url": "URL"}, CHAT),
    "chat, base64 only": ({"type": "image_url", "image_url": {"url": "B64"}}, CHAT),
    "image": ({"type": "image", "image": "URL"}, CHAT),
    "image, base64 only": ({"type": "image", "image": "B64"}, CHAT),
    "image, no subtype": ({"type": "image", "image": "data:image;base64,B64"}, CHAT),
    "without a type": ({"image_url": {"url": "URL"}}, CHAT),
    "without a type, a string": ({"image_url": "URL"}, CHAT),
    "without a type, image": ({"image": "URL"}, CHAT),
    "with a null type": (
        {"type": None, "image_url": {"url": "URL"}, "text": None},
        {"type": "image_url", "image_url": {"url": "REF"}, "text": None},
    ),
    "filled with nulls": (
        {"type": "image", "image": "URL", "image_url": None, "text": None, "source": None},
        {"type": "image_url", "image_url": {"url": "REF"}, "text": None, "source": None},
    ),
    "datasets in a part": (
        {"type": "image", "image": {"bytes": "B64", "path": None}},
        CHAT,
    ),
    "Responses": (
        {"type": "input_image", "image_url": "URL", "detail": "auto"},
        {"type": "input_image", "image_url": "REF", "detail": "auto"},
    ),
    "Responses, an object": (
        {"type": "input_image", "image_url": {"url": "URL"}},
        {"type": "input_image", "image_url": {"url": "REF"}},
    ),
    "Responses, null file_id": (
        {"type": "input_image", "file_id": None, "image_url": "URL"},
        {"type": "input_image", "file_id": None, "image_url": "REF"},
    ),
    "screenshot": (
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": "URL"},
        },
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": "REF"},
        },
    ),
    "function output": (
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "URL"}]},
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "REF"}]},
    ),
    "Responses file": (
        {"type": "input_file", "filename": "a.png", "file_data": "URL"},
        {"type": "input_file", "filename": "a.png", "file_url": "REF"},
    ),
    "Responses file, base64 only": (
        {"type": "input_file", "file_data": "B64"},
        {"type": "input_file", "file_url": "REF"},
    ),
    "Responses file by URL": (
        {"type": "input_file", "file_url": "URL"},
        {"type": "input_file", "file_url": "REF"},
    ),
    "chat file": ({"type": "file", "file": {"file_data": "URL"}}, CHAT),
    "chat file with a name": (
        {"type": "file", "file": {"filename": "a.png", "file_data": "URL"}},
        {**CHAT, "file": {"filename": "a.png"}},
    ),
    "Anthropic": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "B64"}},
        {"type": "image", "source": {"type": "url", "url": "REF"}},
    ),
    "Anthropic with a URL": (
        {"type": "image", "source": {"type": "url", "url": "URL"}},
        {"type": "image", "source": {"type": "url", "url": "REF"}},
    ),
    "Anthropic with a wrong type": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "B64"}},
        {"type": "image", "source": {"type": "url", "url": "REF"}},
    ),
    "Anthropic in a tool result": (
        {
            "type": "tool_result",
            "content": [
                {"type": "text", "text": "x"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "B64"},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
        {
            "type": "tool_result",
            "content": [
                {"type": "text", "text": "x"},
                {
                    "type": "image",
                    "source": {"type": "url", "url": "REF"},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
    ),
    "AG-UI": (
        {"type": "image", "source": {"type": "data", "value": "B64", "mimeType": "image/png"}},
        {"type": "image", "source": {"type": "url", "value": "REF", "mimeType": "image/png"}},
    ),
    "AG-UI with a URL": (
        {"type": "image", "source": {"type": "url", "value": "URL"}},
        {"type": "image", "source": {"type": "url", "value": "REF"}},
    ),
    "AG-UI binary": (
        {"type": "binary", "mimeType": "image/png", "data": "B64"},
        {"type": "binary", "mimeType": "image/png", "url": "REF"},
    ),
    "MCP": ({"type": "image", "data": "B64", "mimeType": "image/png"}, LINK),
    "MCP with a data URL": ({"type": "image", "data": "URL", "mimeType": "image/png"}, LINK),
    "MCP with annotations": (
        {"type": "image", "data": "B64", "mimeType": "image/png", "annotations": {"priority": 0.5}},
        {**LINK, "annotations": {"priority": 0.5}},
    ),
    "MCP resource": (
        {
            "type": "resource",
            "resource": {"uri": "screen://1", "mimeType": "image/png", "blob": "B64"},
        },
        {**LINK, "name": "screen://1"},
    ),
    "MCP resource without a type": (
        {"type": "resource", "resource": {"uri": "screen://1", "blob": "B64", "_meta": None}},
        {**LINK, "name": "screen://1"},
    ),
    "MCP resource with a title": (
        {"type": "resource", "resource": {"uri": "s://1", "title": "T", "blob": "B64"}},
        {**LINK, "name": "s://1", "resource": {"title": "T"}},
    ),
    "MCP link": (
        {"type": "resource_link", "uri": "URL", "name": "n", "mimeType": "image/png"},
        {"type": "resource_link", "uri": "REF", "name": "n", "mimeType": "image/png"},
    ),
    "LangChain 0.3": (
        {"type": "image", "source_type": "base64", "data": "B64", "mime_type": "image/png"},
        {"type": "image", "source_type": "url", "url": "REF", "mime_type": "image/png"},
    ),
    "LangChain 1": (
        {"type": "image", "base64": "B64", "mime_type": "image/png", "id": "lc_1"},
        {"type": "image", "url": "REF", "mime_type": "image/png", "id": "lc_1"},
    ),
    "LangChain file": (
        {"type": "file", "base64": "B64", "mime_type": "image/png"},
        {"type": "file", "url": "REF", "mime_type": "image/png"},
    ),
    "LangChain media": (
        {"type": "media", "mime_type": "image/png", "data": "B64"},
        {"type": "media", "mime_type": "image/png", "file_uri": "REF"},
    ),
    "Hugging Face url": ({"type": "image", "url": "URL"}, {"type": "image", "url": "REF"}),
    "Hugging Face base64": ({"type": "image", "base64": "B64"}, {"type": "image", "url": "REF"}),
    "AI SDK": (
        {"type": "image", "image": "B64", "mediaType": "image/png"},
        {"type": "image", "image": "REF", "mediaType": "image/png"},
    ),
    "AI SDK with a URL": (
        {"type": "image", "image": "URL", "mediaType": "image/png"},
        {"type": "image", "image": "REF", "mediaType": "image/png"},
    ),
    "AI SDK 4": (
        {"type": "image", "image": "URL", "mimeType": "image/jpeg"},
        {"type": "image", "image": "REF", "mimeType": "image/png"},
    ),
    "AI SDK file": (
        {"type": "file", "data": "B64", "mediaType": "image/png", "filename": "a"},
        {"type": "file", "data": "REF", "mediaType": "image/png", "filename": "a"},
    ),
    "AI SDK file of any image type": (
        {"type": "file", "data": "B64", "mediaType": "image/*"},
        {"type": "file", "data": "REF", "mediaType": "image/*"},
    ),
    "AI SDK message of a user interface": (
        {"type": "file", "mediaType": "image/png", "url": "URL"},
        {"type": "file", "mediaType": "image/png", "url": "REF"},
    ),
    "AI SDK tool output": (
        {"type": "content", "value": [{"type": "media", "data": "B64", "mediaType": "image/png"}]},
        {
            "type": "content",
            "value": [{"type": "image-url", "url": "REF", "mediaType": "image/png"}],
        },
    ),
    "AI SDK image-data": (
        {"type": "image-data", "data": "B64", "mediaType": "image/png"},
        {"type": "image-url", "url": "REF", "mediaType": "image/png"},
    ),
    "AI SDK file-data": (
        {"type": "file-data", "data": "B64", "mediaType": "image/png"},
        {"type": "file-url", "url": "REF", "mediaType": "image/png"},
    ),
    "AI SDK attachment": (
        {"name": "a", "contentType": "image/png", "url": "URL"},
        {"name": "a", "contentType": "image/png", "url": "REF"},
    ),
    "A2A": (
        {"kind": "file", "file": {"mimeType": "image/png", "bytes": "B64"}},
        {"kind": "file", "file": {"mimeType": "image/png", "uri": "REF"}},
    ),
    "Gemini": (
        {"inlineData": {"mimeType": "image/png", "data": "B64"}, "thought": False},
        {"fileData": {"mimeType": "image/png", "fileUri": "REF"}, "thought": False},
    ),
    "Gemini of Python": (
        {"inline_data": {"mime_type": "image/png", "data": "B64", "display_name": "a"}},
        {"file_data": {"mime_type": "image/png", "file_uri": "REF", "display_name": "a"}},
    ),
    "Gemini by URL": (
        {"fileData": {"mimeType": "image/png", "fileUri": "URL"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "REF"}},
    ),
    "Bedrock": (
        {"image": {"format": "png", "source": {"bytes": "B64"}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "REF"}}}},
    ),
    "Bedrock with a wrong format": (
        {"image": {"format": "jpeg", "source": {"bytes": "B64"}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "REF"}}}},
    ),
    "entry of a dataset": (
        {"bytes": "B64", "path": "cat.png"},
        {"bytes": None, "path": "REF"},
    ),
    "frame of a video": (
        {"type": "video", "video": ["URL", "REF"], "fps": 2.0},
        {"type": "video", "video": ["REF", "REF"], "fps": 2.0},
    ),
    "frame of a video, an object": (
        {"type": "video", "video": [{"url": "URL"}, {"image": "REF"}]},
        {"type": "video", "video": [{"url": "REF"}, CHAT]},
    ),
    "beside an object of nulls": (
        {"type": "image", "image": "URL", "image_url": {"url": None, "detail": None}},
        CHAT,
    ),
    "beside a source of nulls": (
        {"type": "image", "url": "URL", "source": {"type": None, "data": {"x": None}}},
        {"type": "image", "url": "REF", "source": {"type": None, "data": {"x": None}}},
    ),
    "parameters in the head": (
        {"type": "image_url", "image_url": {"url": "data:image/png;charset=utf-8;base64,B64"}},
        CHAT,
    ),
    "capitals": ({"type": "image_url", "image_url": {"url": "DATA:IMAGE/X-PNG;BASE64,B64"}}, CHAT),
    "bytes of any type": (
        {"type": "image_url", "image_url": {"url": "data:application/octet-stream;base64,B64"}},
        CHAT,
    ),
    "wrong label": (
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,B64"}},
        CHAT,
    ),
}
"""Content parts, and what becomes of them. Each holds one image that is not stored."""

NOT_PARTS = {
    "screenshot",
    "function output",
    "Anthropic in a tool result",
    "AI SDK tool output",
    "frame of a video",
    "frame of a video, an object",
}
"""Rows of the table whose image is not a content part itself."""

ANSWER = {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
BODIES: dict[str, tuple[Any, Any]] = {
    "Ollama": (message(images=["B64"]), message(images=["REF"])),
    "Ollama, two": (message(images=["B64", "B64"]), message(images=["REF", "REF"])),
    "Responses row with a name": (
        {"name": "row", "input": [{"type": "input_image", "image_url": "URL"}]},
        {"name": "row", "input": [{"type": "input_image", "image_url": "REF"}]},
    ),
    "Ollama generate": (
        {"model": "m", "prompt": "x", "images": ["B64"]},
        {"model": "m", "prompt": "x", "images": ["REF"]},
    ),
    "placeholders": (
        {**message({"type": "image"}, {"type": "image", "text": None}), "images": ["URL", "REF"]},
        {**message({"type": "image"}, {"type": "image", "text": None}), "images": ["REF", "REF"]},
    ),
    "placeholders and a column": (
        {**message({"type": "image"}), "images": [{"bytes": "B64", "path": None}]},
        {**message({"type": "image"}), "images": [{"bytes": None, "path": "REF"}]},
    ),
    "preferences": (
        {
            "images": ["URL"],
            "chosen": [*message({"type": "image"})["messages"], ANSWER],
            "rejected": [*message({"type": "image"})["messages"], ANSWER],
        },
        {
            "images": ["REF"],
            "chosen": [*message({"type": "image"})["messages"], ANSWER],
            "rejected": [*message({"type": "image"})["messages"], ANSWER],
        },
    ),
    "preferences after a prompt": (
        {
            "images": ["B64"],
            "prompt": message({"type": "image"})["messages"],
            "chosen": [ANSWER],
            "rejected": [ANSWER],
        },
        {
            "images": ["REF"],
            "prompt": message({"type": "image"})["messages"],
            "chosen": [ANSWER],
            "rejected": [ANSWER],
        },
    ),
    "Gemini contents": (
        {"contents": [{"role": "user", "parts": [{"text": "x"}, PARTS["Gemini"][0]]}]},
        {"contents": [{"role": "user", "parts": [{"text": "x"}, PARTS["Gemini"][1]]}]},
    ),
    "image of a tool": (
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": [PARTS["MCP"][0]]}]},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": [PARTS["MCP"][1]]}]},
    ),
    "attachments": (
        message(experimental_attachments=[PARTS["AI SDK attachment"][0]]),
        message(experimental_attachments=[PARTS["AI SDK attachment"][1]]),
    ),
    "trace": (
        {"nodes": [{"parent": None, "message": message(PARTS["chat"][0])["messages"][0]}]},
        {"nodes": [{"parent": None, "message": message(PARTS["chat"][1])["messages"][0]}]},
    ),
}
"""Whole documents, and what becomes of them."""

SIGNS = {
    "byte order mark": "\ufeff",
    "no-break space": "\xa0",
    "zero-width space": "\u200b",
    "vertical tab": "\x0b",
    "null": "\0",
    "quote": '"',
    "bracket": "<",
    "style": "url(",
    "quoted style": " URL( '".lower(),
    "link": "![](",
}
URL_ONLY = "data:image/svg+xml,<svg/>"
REFUSED: dict[str, tuple[Any, str]] = {
    "unknown key": ({"type": "screenshot", "blob": "URL"}, "unknown_image_form"),
    "unknown key of an image part": (
        {"type": "image_url", "image_url": {"url": "URL", "thumbnail": "URL"}},
        "unknown_image_form",
    ),
    "unknown key, base64": ({"type": "screenshot", "b64_json": "B64"}, "unknown_image_form"),
    "base64 beside a media type": (
        {"type": "blob", "mime": "image/bmp", "payload": "Qk12" * 40},
        "unknown_image_form",
    ),
    "generated image": ({"type": "image_generation_call", "result": "B64"}, "unknown_image_form"),
    "JSON output of a tool": (
        {"type": "json", "value": {"screenshot": "URL"}},
        "unknown_image_form",
    ),
    "output of a tool with the keys of a trace": (
        {"type": "json", "value": {"nodes": [{"id": 1}], "screenshot": "URL"}},
        "unknown_image_form",
    ),
    "output of a tool with the keys of a node": (
        {"type": "json", "value": {"message": {"id": 1}, "screenshot": "URL"}},
        "unknown_image_form",
    ),
    "output of a tool with the keys of a sidecar": (
        {"type": "json", "value": {"mm_items": {}, "screenshot": "URL"}},
        "unknown_image_form",
    ),
    **{
        f"output of a tool with the key {key}": (
            {"type": "json", "value": {key: {"shot": "URL"}}},
            "unknown_image_form",
        )
        for key in ("args", "arguments", "parameters", "schema", "tools", "input")
    },
    "output of Responses with the key of a schema": (
        {"type": "function_call_output", "call_id": "c", "output": {"schema": {"shot": "URL"}}},
        "unknown_image_form",
    ),
    "response of Gemini with the key of a schema": (
        {"role": "user", "parts": [{"functionResponse": {"response": {"tools": ["URL"]}}}]},
        "unknown_image_form",
    ),
    "beside the message of a choice": (
        {"choices": [{"message": {"role": "assistant", "content": "x"}, "shot": "URL"}]},
        "unknown_image_form",
    ),
    **{
        f"{name} before": ({"type": "x", "y": f"{before}URL"}, "unknown_image_form")
        for name, before in SIGNS.items()
    },
    "quote before base64": ({"type": "x", "y": '"B64'}, "unknown_image_form"),
    "signs before": ({"type": "x", "y": "\x00 <" * 500 + "URL"}, "unknown_image_form"),
    "list of frames at an unknown key": ({"type": "x", "frames": ["URL"]}, "unknown_image_form"),
    "SVG": ({"type": "x", "y": URL_ONLY}, "unknown_image_form"),
    "white space before": ({"type": "x", "y": " URL"}, "unknown_image_form"),
    "octet-stream": (
        {"type": "x", "y": "data:application/octet-stream;base64,B64"},
        "unknown_image_form",
    ),
    "percent-encoded head": (
        {"type": "x", "y": "data:image%2Fpng;base64,B64"},
        "unknown_image_form",
    ),
    "wrong kind of label": ({"type": "x", "y": "data:text/plain;base64,B64"}, "unknown_image_form"),
    "text part with an image": (
        {"type": "text", "text": "x", "image_url": {"url": "URL"}},
        "unknown_image_form",
    ),
    "file of a provider": ({"type": "input_image", "file_id": "file-1"}, "bad_locator"),
    "Anthropic file": (
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        "bad_locator",
    ),
    "LangChain id": ({"type": "image", "source_type": "id", "id": "f"}, "bad_locator"),
    "web": ({"type": "input_image", "image_url": "https://x.y/a.png"}, "bad_locator"),
    "Anthropic web": (
        {"type": "image", "source": {"type": "url", "url": "https://x.y/a.png"}},
        "bad_locator",
    ),
    "Gemini web": (
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a.png"}},
        "bad_locator",
    ),
    "Bedrock store": (
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a.png"}}}},
        "bad_locator",
    ),
    "path": ({"type": "image", "path": "/a/b.png"}, "bad_locator"),
    "untyped web": ({"image_url": {"url": "https://x.y/a.png"}}, "bad_locator"),
    "frame of the web": ({"type": "video", "video": ["https://x.y/a.png"]}, "bad_locator"),
    "white space inside": (
        {"type": "image", "data": "iVBOR\nw0K", "mimeType": "image/png"},
        "bad_base64",
    ),
    "URL-safe": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVB-_w=="}},
        "bad_base64",
    ),
    "cut": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        "not_an_image",
    ),
    "bitmap": (
        {"inlineData": {"mimeType": "image/bmp", "data": "Qk12" * 20}},
        "not_an_image",
    ),
    "placeholder without an image": ({"type": "image"}, "wrong_type"),
    "both": ({"type": "image", "image": "URL", "image_url": "URL"}, "wrong_type"),
}
"""Content parts that are refused, and the codes."""

PDF = "JVBERi0xLjcKJeLjz9MK" * 8
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQ" * 3
NO_IMAGE: dict[str, Any] = {
    "text": {"type": "text", "text": "x"},
    "text that is a data URL": {"type": "text", "text": "URL"},
    "text about data URLs": {"type": "text", "text": "data:image/png;base64, begins one"},
    "text with an image": {"type": "text", "text": "see ![](URL) and URL"},
    "input_text": {"type": "input_text", "text": "URL"},
    "output_text": {"type": "output_text", "text": "URL", "annotations": []},
    "untyped text": {"text": "URL"},
    "base64 as text": {"type": "text", "text": "B64"},
    "refusal": {"type": "refusal", "refusal": "URL"},
    "thinking": {"type": "thinking", "thinking": "URL", "signature": "EqQB" * 60},
    "redacted thinking": {"type": "redacted_thinking", "data": "EmwKAhgB" * 40},
    "reasoning": {"type": "reasoning", "encrypted_content": "gAAAAABo" * 40, "summary": []},
    "output of a tool as text": {"type": "function_call_output", "call_id": "c", "output": "URL"},
    "tool result as text": {"type": "tool_result", "tool_use_id": "t", "content": "URL"},
    "text value": {"type": "text", "value": "URL"},
    "tool use": {"type": "tool_use", "id": "t", "name": "f", "input": {"image_url": "URL"}},
    "tool use with a part": {
        "type": "tool_use",
        "id": "t",
        "name": "f",
        "input": {"type": "image_url", "image_url": {"url": "https://x.y/a.png"}},
    },
    "function call": {"type": "function_call", "name": "f", "arguments": '{"url": "URL"}'},
    "custom tool call": {"type": "custom_tool_call", "name": "f", "input": "URL"},
    "Gemini call": {"functionCall": {"name": "f", "args": {"image": "URL"}}},
    "Bedrock call": {"toolUse": {"toolUseId": "t", "name": "f", "input": {"image": "URL"}}},
    "AI SDK call": {"type": "tool-call", "toolCallId": "t", "toolName": "f", "input": {"a": "URL"}},
    "call without an input": {"type": "x", "name": "f", "args": {"parameters": {"a": "URL"}}},
    "text after signs": {"type": "x", "y": "<data: what a person, or a tool, wrote>"},
    "PDF": {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    },
    "PDF of Anthropic": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    },
    "PDF by URL": {"type": "document", "source": {"type": "url", "url": "https://x.y/a.pdf"}},
    "PDF of Gemini": {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
    "PDF of Responses": {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
    "PDF of MCP": {
        "type": "resource",
        "resource": {"uri": "f://a", "mimeType": "application/pdf", "blob": PDF},
    },
    "PDF of LangChain": {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
    "PDF of the AI SDK": {"type": "file", "data": PDF, "mediaType": "application/pdf"},
    "PDF of Bedrock": {"document": {"format": "pdf", "name": "a", "source": {"bytes": PDF}}},
    "text document": {
        "type": "document",
        "source": {"type": "text", "data": "URL", "media_type": "text/plain"},
    },
    "audio": {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
    "audio of MCP": {"type": "audio", "data": WAV, "mimeType": "audio/wav"},
    "audio by URL": {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{WAV}"}},
    "audio of Gemini": {"inlineData": {"mimeType": "audio/wav", "data": WAV}},
    "video": {"type": "video_url", "video_url": {"url": "https://x.y/a.mp4"}},
    "video as a data URL": {
        "type": "video_url",
        "video_url": {"url": f"data:video/mp4;base64,{PDF}"},
    },
    "video of Qwen": {"type": "video", "video": "https://x.y/a.mp4"},
    "null image": {"type": "image_url", "image_url": None, "text": "x"},
    "null images": {"type": "text", "text": "x", "image": None, "image_url": None, "images": None},
    "no images": {"type": "text", "text": "x", "images": []},
    "text resource": {"type": "resource", "resource": {"uri": "f://a", "text": "URL"}},
    "web link": {"type": "resource_link", "uri": "https://x.y", "name": "n"},
    "checksum beside an image type": {"mimeType": "image/png", "sha256": "0123456789abcdef" * 8},
    "citation": {"type": "url_citation", "url": "https://x.y/a.png", "title": "image/png"},
    "container images": {"images": ["nginx:latest", "postgres:17"]},
    "web address": {"type": "x", "image": "https://x.y/a.png", "url": "https://x.y"},
    "short data URL": {"type": "x", "y": "data:,hello"},
    "data URL of text": {"type": "x", "y": "data:text/plain;charset=utf-8,hello%20world"},
    "encoded array": {"__nd__": True, "dtype": "uint8", "shape": [3], "data": "/9j/"},
}
"""Content parts without an image, which come out byte for byte."""

SCHEMA = {
    "type": "object",
    "properties": {
        "image_url": {"type": "string", "default": "URL"},
        "image": {"type": "image", "examples": [{"type": "image", "image": "x"}]},
    },
}
NO_IMAGE_BODIES: dict[str, Any] = {
    "content as a string": {"messages": [{"role": "user", "content": "URL"}]},
    "content as strings": {"messages": [{"role": "user", "content": ["URL", "x"]}]},
    "input as a string": {"model": "m", "input": "URL", "instructions": "URL"},
    "system as a string": {"system": "URL", "messages": []},
    "tool schema": {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]},
    "tool schema of Anthropic": {"messages": [], "tools": [{"name": "f", "input_schema": SCHEMA}]},
    "response format": {"messages": [], "response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    "tool arguments": {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"image": "URL"}'}}],
            }
        ]
    },
    "reasoning": {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "URL"}]},
    "tools of a system message": {
        "messages": [{"role": "system", "content": "x", "tools": [{"name": "f", "parameters": SCHEMA}]}]
    },
    "fields of a trace": {"nodes": [], "info": {"page": "URL", "shot": "B64"}, "icon": "URL"},
    "fields of a node": {"message": {"role": "user", "content": "x"}, "extra": {"page": "URL"}},
    "descriptor": {
        "kind": "prime_raw_mm_item", "version": 1, "modality": "image", "family": "qwen_vl",
        "payload": {}, "raw_image_uri": "URL",
    },
    "logprobs": {"choices": [{"logprobs": {"content": [{"token": "data:", "bytes": [1, 2], "top_logprobs": []}]}}]},
}  # fmt: skip
"""Documents without an image."""
