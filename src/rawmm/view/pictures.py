"""The images of a page: read, identified by hash, and made small once each.

The page holds a thumbnail of each image, and whole files as far as its budget allows. The rest it
names only: a file on this machine by a link.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import RawMMError
from rawmm.images import (
    ENGINE,
    CheckedImage,
    ImageHeader,
    Limits,
    check_image,
    thumbnail,
)
from rawmm.locators import Problem, file_path, scheme_of, stored_hash
from rawmm.real_class import is_a
from rawmm.store import ImageStore, read_bytes, served_schemes

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Self

    from rawmm.store import Store

DEFAULT_BUDGET: Final = 24
"""Megabytes of images in a page, as base64."""

_SIDE: Final = 320
"""The longer side of a thumbnail in pixels: twice what the page shows, for dense screens."""
_SMALL: Final = 12_000
"""Bytes of a file that is its own thumbnail."""
_PENDING: Final = 16
"""Images that wait for their thumbnails, so that few files are in memory."""
_URL_SHOWN: Final = 300


class Found(NamedTuple):
    """What one reference to an image led to.

    Attributes:
        number: the image in the list of the page; None if it was not read.
        where: how the record holds it: ``inline``, or its URL or id, shortened.
        note: why it was not read, or what is odd about its place; empty if nothing is.
        error: the error of the store, if it should have the image.
    """

    number: int | None
    where: str
    note: str = ""
    error: RawMMError | None = None


class _Picture:
    """One image of a page. `raw` is kept while the whole file may still become part of it."""

    def __init__(self, checked: CheckedImage, sha256: str, href: str) -> None:
        self.header: ImageHeader = checked.header
        self.size = len(checked.raw)
        self.sha256 = sha256
        self.href = href
        self.raw: bytes | None = checked.raw
        self.small: Future[bytes | None] | bytes | None = None


class Pictures:
    """The different images of the records of a page. Use it as a context.

    Args:
        store: where stored images are; None reads inline images only.
        budget: bytes of base64 that they may take in the page.
    """

    def __init__(self, store: Store | None, budget: int) -> None:
        self._store = store
        self._budget = budget
        self._limits = Limits() if store is None else store.limits
        self._by_hash: dict[str, int] = {}
        self._by_locator: dict[str, Found] = {}
        self._pictures: list[_Picture] = []
        self._kept = 0
        self._pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        self._pending: deque[_Picture] = deque()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        """The number of different images."""
        return len(self._pictures)

    def header(self, number: int) -> ImageHeader:
        """The header of an image."""
        return self._pictures[number].header

    def sha256(self, number: int) -> str:
        """The hash of an image: 64 hex digits."""
        return self._pictures[number].sha256

    def find(self, locator: str) -> Found:
        """The image that a URL or id leads to."""
        if scheme_of(locator) == "data":
            return self._inline(locator)
        found = self._by_locator.get(locator)
        if found is None:
            found = self._by_locator[locator] = self._stored(locator)
        return found

    def facts(self) -> list[dict[str, Any]]:
        """What the page says of each image, in order. Waits for all thumbnails.

        ``small`` and ``whole`` are base64, of a thumbnail and of the file; null if the budget has
        no room for it. ``whole`` is true if the thumbnail is the file.
        """
        left = self._budget
        facts: list[dict[str, Any]] = []
        for picture in self._pictures:
            small = self._finished(picture)
            text = None if small is None else b64encode(small).decode()
            if text is not None and len(text) > left:
                text = None
            left -= len(text or "")
            header = picture.header
            facts.append(
                {
                    "sha256": picture.sha256,
                    "type": header.media_type,
                    "size": [header.width, header.height],
                    "shown": list(ENGINE.size_of(header)),
                    "bytes": picture.size,
                    "orientation": header.orientation,
                    "transparent": header.transparent,
                    "href": picture.href,
                    "small": text,
                    "smallType": "image/jpeg",
                    "whole": None,
                }
            )
        for fact, picture in zip(facts, self._pictures, strict=True):
            if fact["small"] is not None and picture.small is picture.raw:
                fact |= {"smallType": fact["type"], "whole": True}
            elif picture.raw is not None and -(-len(picture.raw) // 3) * 4 <= left:
                fact["whole"] = b64encode(picture.raw).decode()
                left -= len(fact["whole"])
        return facts

    def _inline(self, url: str) -> Found:
        try:
            checked = check_image(url, self._limits)
        except RawMMError as error:
            return Found(None, "inline", f"{error.message} [{error.code}]")
        return Found(self._added(checked, ""), "inline")

    def _stored(self, locator: str) -> Found:
        where = locator if len(locator) <= _URL_SHOWN else f"{locator[:_URL_SHOWN]}…"
        scheme = scheme_of(locator)
        if scheme and scheme not in served_schemes():
            return Found(None, where, "not read: neither inline nor in an image directory")
        if self._store is None:
            return Found(None, where, "not read: no image directory is given")
        note = ""
        try:
            try:
                raw = read_bytes(self._store, locator)
                name = locator
            except RawMMError as error:
                name = locator.rpartition("/")[2]
                # Records move between machines. A file named by its hash is the image.
                if error.code not in {"path_escape", "bad_locator"} or not stored_hash(name):
                    raise
                raw = read_bytes(self._store, name)
                note = "found by its hash; the directory of the URL is another one"
            checked = check_image(raw, self._limits)
        except RawMMError as error:
            return Found(None, where, f"{error.message} [{error.code}]", error)
        return Found(self._added(checked, self._link(name)), where, note)

    def _link(self, locator: str) -> str:
        """A ``file://`` link to a stored image; empty if it is not on this machine."""
        if not is_a(self._store, ImageStore):
            return ""
        path: str | Problem = file_path(locator) if scheme_of(locator) else ""
        if isinstance(path, Problem):
            return ""
        return (Path(path) if path else Path(self._store.root, locator)).absolute().as_uri()

    def _added(self, checked: CheckedImage, href: str) -> int:
        sha256 = hashlib.sha256(checked.raw).hexdigest()
        number = self._by_hash.get(sha256)
        if number is not None:
            picture = self._pictures[number]
            picture.href = picture.href or href
            return number
        number = self._by_hash[sha256] = len(self._pictures)
        picture = _Picture(checked, sha256, href)
        self._pictures.append(picture)
        if picture.size <= _SMALL and max(checked.header.width, checked.header.height) <= 4 * _SIDE:
            picture.small = checked.raw
        else:
            picture.small = self._pool.submit(_small, checked)
            self._pending.append(picture)
        self._kept += picture.size
        if self._kept > self._budget and picture.small is not checked.raw:
            picture.raw = None
        while len(self._pending) > _PENDING:
            self._finished(self._pending.popleft())
        return number

    @staticmethod
    def _finished(picture: _Picture) -> bytes | None:
        small = picture.small
        if small is not None and not isinstance(small, bytes):
            small = picture.small = small.result()
        return small


def _small(checked: CheckedImage) -> bytes | None:
    try:
        return thumbnail(checked.raw, _SIDE)
    except RawMMError:
        return None
