"""What an offload did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ImageOffloadStats:
    """What one or more calls did. Bytes are of image files, not of base64.

    Attributes:
        images_seen: image parts; a part that is shared by two messages counts once.
        images_rewritten: parts whose data URL became a ``file://`` URL.
        images_deduplicated: those of them whose image was not written by their call, because
            it was there or an earlier part had it.
        bytes_in: bytes of all images that came as data URLs, repeated ones included.
        bytes_written: bytes of the images that were written.
    """

    images_seen: int = 0
    images_rewritten: int = 0
    images_deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0

    def add(self, other: ImageOffloadStats) -> None:
        """Add another call's numbers to these."""
        self.images_seen += other.images_seen
        self.images_rewritten += other.images_rewritten
        self.images_deduplicated += other.images_deduplicated
        self.bytes_in += other.bytes_in
        self.bytes_written += other.bytes_written

    def __add__(self, other: ImageOffloadStats) -> ImageOffloadStats:
        """The sum of both, as a new object."""
        total = ImageOffloadStats()
        total.add(self)
        total.add(other)
        return total
