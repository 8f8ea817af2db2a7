"""A store that writes nothing, and answers as if it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawmm.images import PreparedImage, prepare_image
from rawmm.real_class import is_a
from rawmm.store import StoredImage

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from rawmm.images import ImageInfo, Limits
    from rawmm.store import Store


class DryStore:
    """Reads a store, and remembers what would have been written.

    Args:
        store: the store. It is never changed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: set[str] = set()

    @property
    def root(self) -> os.PathLike[str] | str:
        """As the store."""
        return self._store.root

    @property
    def limits(self) -> Limits:
        """As the store."""
        return self._store.limits

    def uri(self, info: ImageInfo) -> str:
        """As the store."""
        return self._store.uri(info)

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """Check an image and remember its name.

        Raises:
            OffloadError: as the store.
        """
        del verify
        image = raw if is_a(raw, PreparedImage) else prepare_image(raw, self.limits)
        name = image.info.raw_image_id
        written = not self.exists(name)
        self._names.add(name)
        return StoredImage.of(image.info, self.uri(image.info), written=written)

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """Whether an image exists, or would exist."""
        del renew
        exists = self._store.exists(locator)
        return exists or locator.rpartition("/")[2] in self._names

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """As the store."""
        return self._store.read(locator, expected_hash)

    def names(self) -> Iterable[str]:
        """As the store, with what would have been written."""
        return {*self._store.names(), *self._names}

    def delete(self, raw_image_id: str) -> None:
        """Forget an image that would have been written."""
        self._names.discard(raw_image_id)
