"""The result of storing an image, and the counters of a store."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from rawmm.images import ImageHeader

if TYPE_CHECKING:
    from rawmm.images import ImageInfo


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a store.

    Attributes:
        raw_image_id: file name in the store, for a descriptor.
        uri: complete URL; ``file:///`` and percent-encoded for a directory.
        path: absolute path in a directory; for other stores the name, relative to their root.
        sha256: hash of the file, 64 hex digits.
        media_type: the actual type, e.g. ``image/png``.
        width, height: in pixels as stored: the orientation is not applied.
        size: size of the file in bytes.
        written: whether this call wrote the file. If not, it existed.
        bytes_written: `size` if this call wrote the file, else 0.
        orientation: by EXIF or XMP, from 1 to 8.
        transparent: whether the file has an alpha channel or transparent colours.
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
    orientation: int = 1
    transparent: bool = False

    @property
    def header(self) -> ImageHeader:
        """What the header of the file states."""
        return ImageHeader(
            self.media_type, self.width, self.height, self.orientation, self.transparent
        )

    @classmethod
    def of(cls, info: ImageInfo, uri: str, *, written: bool, root: Path | None = None) -> Self:
        """Return the image with this info and URL; `root` is the directory, if there is one."""
        return cls(
            raw_image_id=info.raw_image_id,
            uri=uri,
            path=Path(info.raw_image_id) if root is None else root / info.raw_image_id,
            sha256=info.sha256,
            media_type=info.header.media_type,
            width=info.header.width,
            height=info.header.height,
            size=info.size,
            written=written,
            bytes_written=info.size if written else 0,
            orientation=info.header.orientation,
            transparent=info.header.transparent,
        )


@dataclass(frozen=True, slots=True)
class StoreCounters:
    """What one `ImageStore` object did so far, in all threads. Bytes are those of image files.

    Attributes:
        seen: images put into the store: ``stored + deduplicated``.
        stored: images that were written.
        deduplicated: images that existed.
        bytes_in: size of all images seen.
        bytes_written: size of the images that were written.
        normalized: images that became upright and opaque before they were put, see `ImageStore`.
        verify_failures: files whose bytes or size did not match their name, found by `put`, which
            replaces them, or by `read` and `verify`.
    """

    seen: int = 0
    stored: int = 0
    deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0
    normalized: int = 0
    verify_failures: int = 0


# One lock for all stores, held across a fork so that no child inherits a locked one.
_LOCK: Final = threading.RLock()
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


class Counters:
    """Thread-safe counters of one store."""

    def __init__(self) -> None:
        self._values = dict.fromkeys(StoreCounters.__slots__, 0)

    @property
    def snapshot(self) -> StoreCounters:
        """The current values."""
        with _LOCK:
            return StoreCounters(**self._values)

    def add(self, **amounts: int) -> None:
        """Add to the counters with these names."""
        with _LOCK:
            for name, amount in amounts.items():
                self._values[name] += amount
