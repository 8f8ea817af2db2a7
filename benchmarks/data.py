"""The data of the benchmarks: deterministic rollouts with screenshots, made outside of timing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw

from rawmm import layouts

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 1024
HEIGHT: Final = 768
IMAGE_PAD: Final = 151655
"""The token id of Qwen-VL's image placeholders."""

_WORDS: Final = (
    "open",
    "file",
    "menu",
    "save",
    "search",
    "account",
    "order",
    "total",
    "price",
    "next",
)


@cache
def screenshot(number: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A PNG that resembles a desktop: windows, rows of text, a gradient, a noisy photograph."""
    rng = np.random.default_rng(number)
    words = random.Random(number)
    across = np.linspace(40, 200, width)[None, :, None]
    down = np.linspace(0, 50, height)[:, None, None]
    pixels = np.broadcast_to(across + down, (height, width, 3)) * rng.uniform(0.6, 1.0, 3)
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        left, top = words.randrange(width // 2), words.randrange(height // 2)
        right, bottom = left + width // 3, top + height // 3
        draw.rectangle((left, top, right, bottom), fill=(250, 250, 250), outline=(90, 90, 90))
        for line in range(top + 8, bottom - 12, 14):
            text = " ".join(words.choices(_WORDS, k=8))
            draw.text((left + 8, line), text, fill=(20, 20, words.randrange(120)))
    photo = rng.normal(128, 40, (height // 4, width // 4, 3)).clip(0, 255).astype(np.uint8)
    image.paste(Image.fromarray(photo), (words.randrange(width // 2), words.randrange(height // 2)))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def variation(png: bytes, name: str) -> bytes:
    """The same picture with another hash: `name` is in a text chunk."""
    body = b"tEXt" + b"Comment\0" + name.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-12] + chunk + png[-12:]


def data_url(png: bytes) -> str:
    """A data URL, as clients send it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def messages(pngs: Sequence[bytes]) -> list[dict[str, Any]]:
    """A conversation in OpenAI's form: each turn a screenshot and a reply."""
    found: list[dict[str, Any]] = [{"role": "system", "content": "You operate a computer."}]
    for turn, png in enumerate(pngs):
        content = [
            {"type": "text", "text": f"Step {turn}: what next?"},
            {"type": "image_url", "image_url": {"url": data_url(png)}},
        ]
        found.append({"role": "user", "content": content})
        if turn < len(pngs) - 1:
            found.append({"role": "assistant", "content": f"click({turn * 7}, {turn * 5})"})
    return found


def body(pngs: Sequence[bytes]) -> bytes:
    """A request as the OpenAI client writes it."""
    request = {"messages": messages(pngs), "model": "policy", "max_tokens": 512}
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


@cache
def trace(turns: int, tokens: int = 1200, seed: int = 0) -> dict[str, Any]:
    """A rollout: each turn a prompt with one offloaded screenshot, and a sampled reply.

    Args:
        turns: number of turns.
        tokens: tokens per turn, including those of the image.
        seed: selects the rollout.
    """
    rng = random.Random(seed)
    image = layouts.get("qwen_vl").describe(WIDTH, HEIGHT)
    reply = min(120, max(1, tokens - image.num_tokens) // 2)
    prompt = tokens - reply
    nodes: list[dict[str, Any]] = []
    offset = 0
    for turn in range(turns):
        sha = hashlib.sha256(f"{seed}/{turn}".encode()).hexdigest()
        ids = [rng.randrange(1000, 150_000) for _ in range(prompt)]
        start = prompt - image.num_tokens - 5
        ids[start : start + image.num_tokens] = [IMAGE_PAD] * image.num_tokens
        parts = [
            {"type": "text", "text": f"Step {turn}: what next?"},
            {"type": "image_url", "image_url": {"url": f"file:///images/{sha}.png"}},
        ]
        item = {
            "kind": "prime_raw_mm_item",
            "version": 1,
            "modality": "image",
            "family": "qwen_vl",
            "layout_fingerprint": "1dc5ae5b68174891b6aa9850aa05ee0d",
            "payload": image.payload,
            "raw_image_id": f"{sha}.png",
        }
        sidecar = {
            "mm_hashes": {"image": [sha[:32]]},
            "mm_placeholders": {"image": [{"offset": offset + start, "length": image.num_tokens}]},
            "mm_items": {"image": [item]},
        }
        nodes.append(_node(nodes, {"role": "user", "content": parts}, ids, sampled=False))
        nodes[-1]["multi_modal_data"] = sidecar
        ids = [rng.randrange(1000, 150_000) for _ in range(reply)]
        said = {"role": "assistant", "content": f"click({turn * 7}, {turn * 5})"}
        nodes.append(_node(nodes, said, ids, sampled=True))
        nodes[-1]["logprobs"] = [-rng.expovariate(2.0) for _ in ids]
        nodes[-1]["finish_reason"] = "stop"
        nodes[-1]["usage"] = {"prompt_tokens": offset + prompt, "completion_tokens": reply}
        offset += tokens
    return {"id": f"{seed:032x}", "nodes": nodes, "mm_token_type_id_map": {str(IMAGE_PAD): 1}}


def _node(
    before: list[Any], message: dict[str, Any], ids: list[int], *, sampled: bool
) -> dict[str, Any]:
    return {
        "parent": len(before) - 1 if before else None,
        "message": message,
        "sampled": sampled,
        "timestamp": 1767225600.25 + len(before),
        "token_ids": ids,
        "mask": [sampled] * len(ids),
        "is_content": [True] * len(ids),
    }


def payload(values: int) -> dict[str, Any]:
    """A descriptor's payload of about `values` values, in rows of eight."""
    row = [1, 54, 74, 0.5, "patch", True, None, 7]
    return {"rows": [list(row) for _ in range(max(1, values // 9))]}
