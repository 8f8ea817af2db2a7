"""What a store answers: the image it has, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
