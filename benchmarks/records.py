"""Small traces by the hundred thousand: the first turn of the example, with tokens of their own."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_NODES: Final = 3
"""Of the example: the system's message, a photograph with a question, and the reply."""
_WITH_ERROR: Final = 1000
"""Of so many records, one breaks a rule: so reports can be compared."""
_IMAGE: Final = "\0image\0"
_HASH: Final = "\0hash\0"
_KEY: Final = "\0key\0"
_TOKENS: Final = "\0tokens\0"
_PARENT: Final = 7_777_777
_EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "nodes.json"


def lines(first: int, count: int, images: list[str] | None = None) -> Iterator[bytes]:
    """Traces as lines of JSON, numbered from `first`. Equal numbers give equal traces.

    Args:
        first: the number of the first one.
        count: how many.
        images: data URLs that take turns, instead of a stored image for each trace. Then no trace
            breaks a rule.
    """
    texts, counts = _template(inline=images is not None)
    words = [str(number) for number in range(1000, 150_000)]
    for number in range(first, first + count):
        rng = random.Random(number)
        digest = hashlib.sha256(number.to_bytes(8)).hexdigest()
        image = images[number % len(images)] if images else f"file:///data/images/{digest}.jpg"
        breaks = images is None and number % _WITH_ERROR == _WITH_ERROR - 1
        parent = "9" if breaks else "1"
        tokens = iter([",".join(rng.choices(words, k=each)) for each in counts])
        own = {_IMAGE: image, _HASH: digest, _KEY: digest[:32], str(_PARENT): parent}
        line = "".join(next(tokens) if text == _TOKENS else own.get(text, text) for text in texts)
        yield line.encode() + b"\n"


@cache
def _template(*, inline: bool) -> tuple[list[str], list[int]]:
    """The text of a trace, cut where traces differ, and how many tokens each of the holes takes."""
    nodes: list[dict[str, Any]] = msgspec.json.decode(_EXAMPLE.read_bytes())[:_NODES]
    counts = []
    for node in nodes:
        ids: list[Any] = node["token_ids"]
        pad = max(set(ids), key=ids.count) if "multi_modal_data" in node else -1
        begin = ids.index(pad) if pad in ids else len(ids)
        end = begin + ids.count(pad)
        node["token_ids"] = [_TOKENS, *ids[begin:end], *([_TOKENS] if end < len(ids) else [])]
        counts += [begin, len(ids) - end][: 2 if end < len(ids) else 1]
        _make_holes(node, inline=inline)
    nodes[2]["parent"] = _PARENT
    text = msgspec.json.encode({"id": _HASH, "nodes": nodes}).decode()
    for hole in (_TOKENS, _IMAGE, _HASH, _KEY):
        quoted = msgspec.json.encode(hole).decode()
        text = text.replace(quoted if hole == _TOKENS else quoted[1:-1], f"\1{hole}\1")
    return text.replace(str(_PARENT), f"\1{_PARENT}\1").split("\1"), counts


def _make_holes(node: dict[str, Any], *, inline: bool) -> None:
    content = node["message"]["content"]
    for part in content if isinstance(content, list) else ():
        if part["type"] == "image_url":
            part["image_url"]["url"] = _IMAGE
    if inline:
        # Offload writes it from the image.
        node.pop("multi_modal_data", None)
        return
    sidecar = node.get("multi_modal_data")
    if sidecar is not None:
        sidecar["mm_hashes"]["image"] = [_KEY]
        sidecar["mm_items"]["image"][0]["raw_image_id"] = f"{_HASH}.jpg"
