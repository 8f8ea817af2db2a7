"""Records for pages, and the parts of a page as a browser would read them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

from rawmm.view import Page, ViewedRecord
from tests.unit.images.pictures import data_url, picture


def image_part(raw: bytes, media_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(raw, media_type)}}


def node(parent: int | None, *content: Any, role: str = "user", **fields: Any) -> dict[str, Any]:
    parts: Any = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
    if role == "assistant":
        parts = "".join(content)
    return {"parent": parent, "message": {"role": role, "content": parts}, **fields}


def trace(*nodes: Any, **fields: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), **fields}


def tokens(
    *, scaffold: int = 0, content: int = 0, image: int = 0, sampled: int = 0
) -> dict[str, Any]:
    total = scaffold + content + image + sampled
    return {
        "token_ids": [7] * (scaffold + content) + [99] * image + [8] * sampled,
        "mask": [False] * (total - sampled) + [True] * sampled,
        "is_content": [False] * scaffold + [True] * (total - scaffold),
        "logprobs": [-0.5] * sampled,
    }


def viewed(value: Any, *errors: Any) -> ViewedRecord:
    return ViewedRecord("file.json", None, value, list(errors))


class Reader(HTMLParser):
    """Elements and the texts of scripts, by id; a script without id is under ``code``."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.scripts: dict[str, str] = {}
        self.style = self.title = self.policy = ""
        self._at: tuple[str, str] = ("", "")
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._at = (tag, given.get("id") or "code")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._at = ("", "")

    def handle_data(self, data: str) -> None:
        tag, name = self._at
        if tag == "script":
            self.scripts[name] = self.scripts.get(name, "") + data
        elif tag == "style":
            self.style += data
        elif tag == "title":
            self.title += data

    def json(self, name: str) -> Any:
        return json.loads(self.scripts[name])

    @property
    def index(self) -> Any:
        return self.json("index")

    def nodes(self, record: int = 0, side: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json(f"r{record}")["sides"][side]["nodes"]
        return found


def page_of(*records: ViewedRecord, title: str = "page", **options: Any) -> Reader:
    store = options.pop("store", None)
    with Page(title, store, **options) as page:
        for record in records:
            page.add(record)
        return Reader(b"".join(page.html()).decode())


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HOSTILE = (
    "</script><script>window.ran=1</script>",
    "<!--<script>",
    "<img src=x onerror=window.ran=1>",
    '"><svg onload=window.ran=1>',
    "javascript:window.ran=1",
    "{{constructor.constructor('window.ran=1')()}}",
    "\u2028\u2029];window.ran=1//",
    "\u202eevil\u2066 rtl \u05d0\u05d1\u05d2",
    "\x00\x1b[31m\udc80",
    "data:text/html,<script>window.ran=1</script>",
    "__proto__",
)


def hostile_trace(text: str) -> dict[str, Any]:
    """A trace with a text in each field, in its keys, and in its image."""
    return {
        "id": text,
        "agent": {"config": {"model": text}},
        text: text,
        "__proto__": {"ran": text},
        "mm_token_type_id_map": {text: 1},
        "rewards": {text: {"score": text}},
        "nodes": [
            {
                "parent": text,
                "message": {
                    "role": text,
                    "content": [
                        {"type": "text", "text": text},
                        {"type": "image_url", "image_url": {"url": text}},
                        image_part(picture()),
                        {"type": text, text: text},
                    ],
                    "reasoning_content": text,
                    "tool_calls": [{"id": text, "name": text, "arguments": text}],
                },
                "finish_reason": text,
                "semantic_parents": [{"node": 0, "type": text}, {"node": text, "type": 3}],
                "multi_modal_data": {
                    "mm_items": {text: [{"family": text, "payload": {text: text}}]},
                    "mm_hashes": {text: [text]},
                    "mm_placeholders": {text: [{"offset": text}]},
                },
                text: text,
            },
            text,
            None,
            [text],
        ],
    }


def texts_of(script: str) -> str:
    """A data script without the escapes of JSON."""
    return re.sub(r"\\u003c", "<", script)
