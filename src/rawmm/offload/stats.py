"""Statistics of offload calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ImageOffloadStats:
    """What one or more calls did. Bytes are those of image files, not of base64.

    Attributes:
        images_seen: image parts; a part that two messages share counts once.
        images_rewritten: parts whose data URL was replaced by the URL of a stored image.
        images_deduplicated: rewritten parts whose image the call did not write, because it existed
            or an earlier part had it.
        bytes_in: size of all images that came as data URLs, including repeated ones.
        bytes_written: size of the images that were written.
    """

    images_seen: int = 0
    images_rewritten: int = 0
    images_deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0

    def add(self, other: ImageOffloadStats) -> None:
        """Add the numbers of another call."""
        self.images_seen += other.images_seen
        self.images_rewritten += other.images_rewritten
        self.images_deduplicated += other.images_deduplicated
        self.bytes_in += other.bytes_in
        self.bytes_written += other.bytes_written

    def __add__(self, other: ImageOffloadStats) -> ImageOffloadStats:
        """Return the sum as a new object."""
        total = ImageOffloadStats()
        total.add(self)
        total.add(other)
        return total
