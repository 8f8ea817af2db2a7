"""What records hold: turns, tokens, images, forks. Counts can be added in any order."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pybase64

from rawmm.cli.moving import file_name_of
from rawmm.locators import scheme_of, stored_hash
from rawmm.offload import inline_url, record_parts
from rawmm.real_class import is_a
from rawmm.store import BundleImages, ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.store import Store

_DIGITS: Final = 32
"""Digits of the SHA-256 that identify an image."""


@dataclass(slots=True)
class Statistics:
    """What records hold.

    Attributes:
        records: records, also those with errors.
        traces: traces, also those in episodes.
        turns: sampled messages; in chat requests, messages of the assistant.
        tokens: tokens of all nodes.
        trained: tokens that the mask selects.
        images: image parts of messages.
        inline: image parts with the image in them.
        inline_bytes: length of their base64 text.
        referred_bytes: length of the base64 text that stored images would have; 0 for images whose
            size is unknown.
        forks: nodes with more than one child, and additional roots of traces.
        sizes: the size of each distinct image by its name or hash; 0 if it is unknown.
        errors: errors by code.
        with_errors: records with an error.
    """

    records: int = 0
    traces: int = 0
    turns: int = 0
    tokens: int = 0
    trained: int = 0
    images: int = 0
    inline: int = 0
    inline_bytes: int = 0
    referred_bytes: int = 0
    forks: int = 0
    with_errors: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Statistics) -> None:
        """Add the counts of other records."""
        for one in fields(self):
            mine, more = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, dict):
                mine.update(more) if one.name == "errors" else mine.update(
                    {name: max(size, mine.get(name, 0)) for name, size in more.items()}
                )
            else:
                setattr(self, one.name, mine + more)

    @property
    def saved(self) -> int:
        """Bytes that storing images once saves: base64 text less the size of distinct images."""
        text = self.inline_bytes + self.referred_bytes
        return max(0, text - sum(self.sizes.values()))

    def as_dict(self) -> dict[str, Any]:
        """The counts for a JSON report."""
        return {
            "records": self.records,
            "records_with_errors": self.with_errors,
            "traces": self.traces,
            "turns": self.turns,
            "forks": self.forks,
            "tokens": self.tokens,
            "trained_tokens": self.trained,
            "images": self.images,
            "distinct_images": len(self.sizes),
            "inline_images": self.inline,
            "inline_bytes": self.inline_bytes,
            "saved_bytes": self.saved,
            "errors": dict(sorted(self.errors.items())),
        }


class Counting:
    """Counts what records hold.

    Args:
        store: where stored images are, to know their sizes; None if it is unknown.
    """

    def __init__(self, store: Store | None) -> None:
        self._root = Path(store.root) if store is not None and is_a(store, ImageStore) else None
        self._bundle: Any = store if is_a(store, BundleImages) else None
        self._sizes: dict[str, int] = {}

    def count(self, value: Any, found: Statistics) -> None:
        """Add what a record holds, given as plain data. Any other shape counts nothing."""
        for trace in _traces(value):
            found.traces += 1
            found.forks += _forks(trace["nodes"])
        for node in _nodes(value):
            found.turns += node.get("sampled") is True
            found.tokens += _length(node.get("token_ids"))
            found.trained += _ones(node.get("mask"))
        if isinstance(value, dict) and "nodes" not in value and "traces" not in value:
            for message in _list(value.get("messages")):
                found.turns += isinstance(message, dict) and message.get("role") == "assistant"
        for part in record_parts(value).parts:
            found.images += 1
            if part.fault is None:
                self._image(inline_url(part), found)

    def _image(self, url: str, found: Statistics) -> None:
        if scheme_of(url) == "data":
            text = url[url.find(",") + 1 :]
            found.inline += 1
            found.inline_bytes += len(text)
            try:
                raw = pybase64.b64decode(text, validate=True)
            except ValueError:  # an error of the record, which the check counts
                raw = text.encode("utf-8", "surrogatepass")
            found.sizes[hashlib.sha256(raw).hexdigest()[:_DIGITS]] = len(raw)
            return
        name = file_name_of(url)
        if name not in self._sizes:
            self._sizes[name] = self._size(name)
        size = self._sizes[name]
        # A stored image has the hash of its bytes in its name: it is the inline one.
        digits = stored_hash(name) or ""
        key = digits[:_DIGITS] if len(digits) > _DIGITS else name
        found.sizes[key] = max(size, found.sizes.get(key, 0))
        found.referred_bytes += (size + 2) // 3 * 4

    def _size(self, name: str) -> int:
        if self._bundle is not None:
            return int(self._bundle.size(name))
        if self._root is None or "/" in name or "\0" in name or not name:
            return 0
        try:
            return (self._root / name).stat().st_size
        except OSError:
            return 0


def _traces(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("nodes"), list):
            yield value
        for trace in _list(value.get("traces")):
            yield from _traces(trace)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict) and ("nodes" in one or "traces" in one):
                yield from _traces(one)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """The nodes of traces, or a record that is a node or a list of nodes."""
    for trace in _traces(value):
        yield from (node for node in trace["nodes"] if isinstance(node, dict))
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and "message" in one and "nodes" not in one:
            yield one


def _forks(nodes: list[Any]) -> int:
    children = Counter(
        node.get("parent") if type(node.get("parent")) is int else None
        for node in nodes
        if isinstance(node, dict)
    )
    roots = children.pop(None, 0)
    return sum(number > 1 for number in children.values()) + max(0, roots - 1)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _length(stream: Any) -> int:
    """The number of values in a stream, which is a list or packed."""
    if isinstance(stream, list):
        return len(stream)
    shape = _list(stream.get("shape")) if isinstance(stream, dict) else []
    return prod(shape) if shape and all(type(one) is int and one >= 0 for one in shape) else 0


def _ones(mask: Any) -> int:
    """How many flags of a mask are set."""
    if isinstance(mask, list):
        return mask.count(True)
    data = mask.get("data") if isinstance(mask, dict) else None
    if isinstance(data, str):
        try:
            data = pybase64.b64decode(data, validate=True)
        except ValueError:
            return 0
    return len(data) - data.count(0) if isinstance(data, bytes) else 0
