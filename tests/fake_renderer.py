"""A renderer and an engine for tests: real files, real sidecars, made-up words.

The renderer writes chat markup as `renderers` does, reads offloaded images from disk, and
returns a descriptor, a hash and a range for each. A word is a token, so no vocabulary is needed.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from PIL import Image, ImageDraw

import rawmm
from rawmm import (
    AssistantMessage,
    ImageUrlContentPart,
    MultiModalData,
    PlaceholderRange,
    Response,
    TextContentPart,
    TurnTokens,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

START, END, PAD, VISION_START, VISION_END = 1, 2, 7, 8, 9
ROLES = {"SystemMessage": 3, "UserMessage": 4, "AssistantMessage": 5, "ToolMessage": 6}
TOKEN_TYPES = {PAD: 1}
PATCH, MERGE = 14, 2
FINGERPRINT = "1dc5ae5b68174891b6aa9850aa05ee0d"


def screenshot(number: int, size: tuple[int, int] = (84, 56)) -> bytes:
    """A small PNG that says its number; no two are alike."""
    image = Image.new("RGB", size, (30 + number * 7 % 200, 90, number % 256))
    ImageDraw.Draw(image).text((4, 4), f"step {number}", fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def stored_urls(directory: Path) -> list[str]:
    """Offloaded images, named as a store names them, in a new directory."""
    directory.mkdir()
    out = []
    for number, size in enumerate([(28, 28), (84, 56), (56, 84), (140, 28)]):
        raw = screenshot(number, size)
        path = directory / f"{hashlib.sha256(raw).hexdigest()}.png"
        path.write_bytes(raw)
        out.append(path.as_uri())
    return out


def words(text: str | None) -> list[int]:
    return [1000 + zlib.crc32(word.encode()) % 50_000 for word in (text or "").split()]


@cache
def describe(url: str) -> tuple[str, rawmm.RawMMItem, int]:
    """Hash, descriptor and number of tokens of an offloaded image."""
    path = Path(unquote(urlsplit(url).path))
    raw = path.read_bytes()
    with Image.open(io.BytesIO(raw)) as image:
        width, height = image.size
    factor = PATCH * MERGE
    columns, rows = (max(1, round(side / factor)) for side in (width, height))
    item = rawmm.raw_mm_item(
        modality="image",
        family="qwen_vl",
        layout_fingerprint=FINGERPRINT,
        payload={"image_grid_thw": [1, rows * MERGE, columns * MERGE]},
        raw_image_id=path.name,
    )
    return hashlib.sha256(raw).hexdigest()[:32], item, rows * columns


@dataclass
class Rendered:
    """As `RenderedTokens` of renderers."""

    token_ids: list[int] = field(default_factory=list)
    message_indices: list[int] = field(default_factory=list)
    is_content: list[bool] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    ranges: list[PlaceholderRange] = field(default_factory=list)
    items: list[rawmm.RawMMItem] = field(default_factory=list)

    @property
    def multi_modal_data(self) -> MultiModalData | None:
        if not self.items:
            return None
        return MultiModalData(
            mm_hashes={"image": self.hashes},
            mm_placeholders={"image": self.ranges},
            mm_items={"image": self.items},
        )

    def spans(self, messages: int) -> list[tuple[int, int] | None]:
        own = self.message_indices
        return [
            (own.index(i), len(own) - own[::-1].index(i)) if i in own else None
            for i in range(messages)
        ]

    def add(self, ids: Sequence[int], index: int, *, content: bool = False) -> None:
        self.token_ids += ids
        self.message_indices += [index] * len(ids)
        self.is_content += [content] * len(ids)

    def add_message(self, message: Any, index: int) -> None:
        self.add([START, ROLES[type(message).__name__]], index)
        parts = message.content if isinstance(message.content, list) else [message.content]
        for part in parts:
            if isinstance(part, ImageUrlContentPart):
                sha, item, size = describe(part.image_url.url)
                self.add([VISION_START], index)
                self.hashes.append(sha)
                self.ranges.append(PlaceholderRange(offset=len(self.token_ids), length=size))
                self.items.append(item)
                self.add([PAD] * size, index, content=True)
                self.add([VISION_END], index)
            else:
                text = part.text if isinstance(part, TextContentPart) else part
                self.add(words(text), index, content=True)
        self.add([END], index)


def render(messages: Sequence[Any]) -> Rendered:
    """A whole prompt."""
    out = Rendered()
    for index, message in enumerate(messages):
        out.add_message(message, index)
    out.add([START, ROLES["AssistantMessage"]], -1)
    return out


def bridge(
    previous: tuple[list[int], list[int]], tail: Sequence[Any], sidecar: MultiModalData | None
) -> Rendered:
    """The previous turn's tokens, verbatim, and the new messages after them."""
    out = Rendered()
    out.add([*previous[0], *previous[1]], -1)
    if sidecar is not None:
        out.hashes += sidecar.mm_hashes["image"]
        out.ranges += sidecar.mm_placeholders["image"]
        out.items += sidecar.mm_items["image"]
    for index, message in enumerate(tail):
        out.add_message(message, index)
    out.add([START, ROLES["AssistantMessage"]], -1)
    return out


def sample(text: str) -> tuple[list[int], list[float]]:
    """The engine's output: the words, and a log-probability for each token."""
    ids = [*words(text), END]
    return ids, [-0.25] * len(ids)


def response(text: str, prompt: Rendered, **tokens: Any) -> Response:
    """The engine's reply to a rendered prompt."""
    completion, logprobs = sample(text)
    fields: dict[str, Any] = {
        "prompt_ids": prompt.token_ids,
        "completion_ids": completion,
        "completion_logprobs": logprobs,
        "is_content": prompt.is_content,
        "mm_token_type_id_map": TOKEN_TYPES,
        "multi_modal_data": prompt.multi_modal_data,
    }
    return Response(
        message=AssistantMessage(content=text),
        finish_reason="stop",
        usage=rawmm.Usage(prompt_tokens=len(prompt.token_ids), completion_tokens=len(completion)),
        tokens=TurnTokens(**(fields | tokens)),
    )
