"""An index of data URLs whose images a store already has.

A rollout sends its images again with every turn. The index recognizes them by a digest of the
base64 text, which takes a tenth of the time of the image's SHA-256 and needs no decoding.
`text_hash` says which hash that is, and bounds its collisions. Without one the index stays empty.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.store.text_hash import is_fast, text_hash

if TYPE_CHECKING:
    from rawmm.images import CheapKey, DataUrl, ImageInfo

MAX_ENTRIES: Final = 8192
"""Default size of an index: about 6 MB."""


class _Entry(NamedTuple):
    digest: bytes
    info: ImageInfo


class UrlIndex:
    """A least-recently-used map from data URLs to image info. Safe with threads and after a fork.

    There is no lock that a fork could leave locked. Each operation on the dict is atomic; a race
    between two threads can lose an entry, which only costs time. A copy and a pickle have no
    entries, so that no digest leaves the object.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[CheapKey, _Entry] = OrderedDict()

    def __reduce__(self) -> tuple[type[UrlIndex], tuple[int]]:
        return type(self), (self._max_entries,)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, data_url: DataUrl) -> bool:
        """Whether there may be an entry. Cheap, with false positives; `get` is exact."""
        return data_url.cheap_key in self._entries

    @property
    def is_fast(self) -> bool:
        """Whether looking up a text takes less time than waking a thread."""
        return is_fast()

    def get(self, data_url: DataUrl, digest: bytes | None = None) -> ImageInfo | None:
        """Return the info of the image with exactly this text and declared type, or None.

        Args:
            data_url: the URL.
            digest: of its text, if it is known. Otherwise the text is hashed, if the cheap key
                matches.
        """
        key = data_url.cheap_key
        entry = self._entries.get(key)
        if entry is None or (digest or _digest(data_url)) != entry.digest:
            return None
        self._set_newest(key, entry)
        return entry.info

    def put(self, data_url: DataUrl, info: ImageInfo, digest: bytes | None = None) -> None:
        """Add an entry. Evicts the least recently used entry when full."""
        digest = digest or _digest(data_url)
        if digest is not None:
            self._set_newest(data_url.cheap_key, _Entry(digest, info))

    def _set_newest(self, key: CheapKey, entry: _Entry) -> None:
        self._entries.pop(key, None)
        self._entries[key] = entry
        while len(self._entries) > self._max_entries:
            try:
                self._entries.popitem(last=False)
            except KeyError:  # another thread emptied the dict
                return


def _digest(data_url: DataUrl) -> bytes | None:
    """Return a digest of the base64 text, or None without a hash or for text that is not ASCII."""
    digest = text_hash()
    return None if digest is None else digest(data_url.url, data_url.start)
