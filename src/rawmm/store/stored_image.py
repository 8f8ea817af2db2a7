"""What a store answers: the image it has, and what it counted."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm.images import ImageFacts


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that is in the store.

    Attributes:
        raw_image_id: file name in the store, for a descriptor.
        uri: ``file:///`` URL of `path`, percent-encoded.
        path: absolute path.
        sha256: 64 hex digits, of the file's bytes.
        media_type: the real type, e.g. ``image/png``.
        width, height: in pixels, before any orientation tag.
        size: bytes of the file.
        written: whether this call wrote the file; otherwise it was there already.
        bytes_written: `size` if this call wrote it, else 0.
    """

    raw_image_id: str
    uri: str
    path: Path
    sha256: str
    media_type: str
    width: int
    height: int
    size: int
    written: bool
    bytes_written: int

    @classmethod
    def of(cls, facts: ImageFacts, root: Path, uri: str, *, written: bool) -> StoredImage:
        """The image with these facts, in the store at `root`."""
        return cls(
            raw_image_id=facts.raw_image_id,
            uri=uri,
            path=root / facts.raw_image_id,
            sha256=facts.sha256,
            media_type=facts.header.media_type,
            width=facts.header.width,
            height=facts.header.height,
            size=facts.size,
            written=written,
            bytes_written=facts.size if written else 0,
        )


@dataclass(frozen=True, slots=True)
class StoreCounters:
    """What one `ImageStore` object did so far, in all threads. Bytes are of image files.

    Attributes:
        seen: images that were committed; ``stored + deduplicated``.
        stored: those of them that were written.
        deduplicated: those that were there.
        bytes_in: bytes of all that were seen.
        bytes_written: bytes of those that were stored.
        verify_failures: files whose bytes or size were not those of the image they stand for:
            found by a commit, which replaces them, or by `read` and `verify`.
    """

    seen: int = 0
    stored: int = 0
    deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0
    verify_failures: int = 0


# One for all stores, so that a fork can wait for it: no child is born with a lock that is held.
_LOCK: Final = threading.RLock()
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


class Tally:
    """The counters of one store, added to by many threads."""

    def __init__(self) -> None:
        self._counted = dict.fromkeys(StoreCounters.__slots__, 0)

    @property
    def counters(self) -> StoreCounters:
        """A snapshot."""
        with _LOCK:
            return StoreCounters(**self._counted)

    def add(self, **more: int) -> None:
        """Add to the counters of these names."""
        with _LOCK:
            for name, value in more.items():
                self._counted[name] += value
