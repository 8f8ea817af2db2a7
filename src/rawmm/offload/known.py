"""Inline images that a store has met, by their text.

A rollout sends its images again with every turn. What was stored once is known by a digest of
its base64 text, three times as fast to get as the SHA-256 of the image and without decoding.
That takes BLAKE3 (the extra ``fast``): the SHA-256 of the text would take longer than decoding
it and hashing the image, so without BLAKE3 nothing is known and nothing is lost.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.offload.data_url import DataUrl, Sketch
    from rawmm.offload.prepare import ImageFacts

MOST_KNOWN: Final = 8192
"""How many images one index knows: some 6 MB."""


class _Entry(NamedTuple):
    digest: bytes
    facts: ImageFacts


class KnownImages:
    """The images last met, at most `most` of them. Safe to share by threads, and after a fork.

    There is no lock to be held at a fork: each step on the dict is one step to every thread.
    What two threads can lose between them is an entry, and that costs time alone.
    """

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._entries: OrderedDict[Sketch, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, data_url: DataUrl) -> bool:
        """Whether an image may be known. Costs nothing; only `find` knows."""
        return data_url.sketch in self._entries

    def find(self, data_url: DataUrl) -> ImageFacts | None:
        """The image that has exactly this text and declared type, if it is known.

        Most new images are told apart without hashing their text.
        """
        sketch = data_url.sketch
        entry = self._entries.get(sketch)
        if entry is None or _digest(data_url) != entry.digest:
            return None
        self._put(sketch, entry)
        return entry.facts

    def learn(self, data_url: DataUrl, facts: ImageFacts) -> None:
        """Know an image from now on. The one longest not met is forgotten where it gets full."""
        digest = _digest(data_url)
        if digest is not None:
            self._put(data_url.sketch, _Entry(digest, facts))

    def _put(self, sketch: Sketch, entry: _Entry) -> None:
        self._entries.pop(sketch, None)
        self._entries[sketch] = entry
        while len(self._entries) > self._most:
            try:
                self._entries.popitem(last=False)
            except KeyError:  # another thread was first
                return


def _digest(data_url: DataUrl) -> bytes | None:
    """A cryptographic digest of the base64 text; None without BLAKE3, and for other text."""
    blake3 = _blake3()
    text = data_url.text
    if blake3 is None:
        return None
    if is_a(text, str):
        if not text.isascii():
            return None
        text = memoryview(text.encode())
    digest: bytes = blake3(text).digest()
    return digest


@cache
def _blake3() -> Callable[[memoryview], Any] | None:
    try:
        from blake3 import blake3
    except ImportError:
        return None
    return blake3
