"""Statistics of offload calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ImageOffloadStats:
    """What one or more calls did. Bytes are those of image files, not of base64.

    Attributes:
        images_seen: images; a part that two messages share counts once.
        images_rewritten: images that were replaced by the URL of a stored image.
        images_deduplicated: rewritten parts whose image the call did not write, because it existed
            or an earlier part had it.
        bytes_in: size of all images that were not stored before, including repeated ones.
        bytes_written: size of the images that were written.
        images_mislabelled: images whose declared media type is not their own.
        images_encoded: pictures of Pillow, which were encoded as PNG.
        other_media: audio, video and documents, which stay as they are.
        text_data_urls: data URLs of images in text, in tool arguments and schemas, and in the
            fields of a record around its messages. They stay as they are.
    """

    images_seen: int = 0
    images_rewritten: int = 0
    images_deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0
    images_mislabelled: int = 0
    images_encoded: int = 0
    other_media: int = 0
    text_data_urls: int = 0

    def add(self, other: ImageOffloadStats) -> None:
        """Add the numbers of another call."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __add__(self, other: ImageOffloadStats) -> ImageOffloadStats:
        """Return the sum as a new object."""
        total = ImageOffloadStats()
        total.add(self)
        total.add(other)
        return total
