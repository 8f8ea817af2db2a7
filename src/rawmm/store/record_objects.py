"""Files of records in object stores: listed by pattern, read in ranges, written whole.

Images have stores of their own, see `object_store`; a file of records has any key.
"""

from __future__ import annotations

import re
from io import SEEK_CUR, SEEK_SET, RawIOBase, UnsupportedOperation
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from rawmm.errors import OffloadError, raise_alone, shown_path
from rawmm.locators import Problem, scheme_of
from rawmm.store.errors import requesting
from rawmm.store.object_client import GetRange, Head, Upload, open_client
from rawmm.store.object_store import OBJECT_SCHEMES, Location, parse_location, quoted_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rawmm.store.object_client import Blob, Client

CHUNK: Final = 4 << 20
"""Bytes of one request."""
_RETRIES: Final = 5
_TIMEOUT: Final = 60.0
_GLOB: Final = re.compile(r"[*\[]")
_PARTS: Final = re.compile(r"\*\*/|\*\*|\*|\[!?[^\]]+\]|[^*\[]+|\[")
_IN_CLASS: Final = re.compile(r"(.)-(.)|(.)", re.DOTALL)


class RecordObject(NamedTuple):
    """An object of a store.

    Attributes:
        url: where it is.
        size: in bytes.
        tag: names its content, as far as the store says; "" if it does not.
        name: its key; below the folders before the first wildcard, if it was listed.
    """

    url: str
    size: int
    tag: str
    name: str


def is_object_url(location: str) -> bool:
    """Whether a location is the URL of an object, not a path."""
    return scheme_of(location) in OBJECT_SCHEMES


def url_below(folder: str, name: str) -> str:
    """The URL of an object with a name below the URL of a folder."""
    return f"{folder.removesuffix('/')}/{quoted_key(name)}"


def is_pattern(location: str) -> bool:
    """Whether a location has wildcards: ``*``, ``**`` or ``[...]``."""
    return _GLOB.search(location) is not None


def fixed_part(pattern: str) -> str:
    """The folders of a pattern before its first wildcard, with a slash at the end; may be empty."""
    found = _GLOB.search(pattern)
    return pattern[: pattern.rfind("/", 0, found.start() if found else None) + 1]


def matches(pattern: str) -> re.Pattern[str]:
    """The expression of a pattern, which is quoted as URLs are, for names that are not.

    ``*`` stays in a folder; ``**/`` is any number of folders.
    """
    return re.compile("".join(map(_translated, _PARTS.findall(pattern))) + r"\Z", re.DOTALL)


def list_objects(pattern: str) -> Iterator[RecordObject]:
    """Yield the objects that a URL with wildcards matches, sorted by URL.

    Without the empty objects ``folder/`` that some programs write in place of folders.

    Raises:
        OffloadError: as `object_state`.
    """
    fixed = fixed_part(pattern)
    folder, name = _location(fixed), matches(pattern[len(fixed) :])
    with requesting(f"to list {shown_path(folder.url)}"):
        found = sorted(
            (name_of, blob)
            for name_of, blob in _client(folder).listed(folder.key)
            if name.match(name_of)
        )
    for name_of, blob in found:
        key = f"{folder.key}/{name_of}" if folder.key else name_of
        if not blob.size and not _is_object(folder, key):
            continue
        yield _described(Location(folder.scheme, folder.bucket, key), blob, name_of)


def object_state(url: str) -> RecordObject | None:
    """Look at an object; None if there is none.

    Raises:
        OffloadError: ``bad_locator`` or ``path_escape`` for another URL, ``store_denied``,
            ``store_missing``, ``store_throttled`` or ``store_failed``.
    """
    where = _location(url)
    with requesting(f"to look for {shown_path(where.url)}"):
        blob = _client(where).do(Head(where.key))
    return None if blob is None else _described(where, blob, where.key)


def put_object(url: str, path: Path) -> None:
    """Write a file as an object, whole or not at all. Replaces one that is there.

    Raises:
        OffloadError: as `object_state`.
    """
    where = _location(url)
    with requesting(f"to write {shown_path(where.url)}"):
        _client(where).do(Upload(where.key, path))


class ObjectReader(RawIOBase):
    """Reads an object as a file. Every byte is of the same version of the object.

    Args:
        url: the object.
        tag: of the version to read, as that of a reader before. By default that of now.

    Attributes:
        size: in bytes.
        tag: as that of `RecordObject`.

    Raises:
        OffloadError: as `object_state`; ``missing_image`` never: ``store_missing`` for an object
            that does not exist. Reading raises it, too, and ``store_changed`` if the object was
            written again meanwhile, ``torn_read`` if answers end early.
    """

    def __init__(self, url: str, tag: str = "") -> None:
        self._where = _location(url)
        self._what = f"to read {shown_path(self._where.url)}"
        with requesting(self._what):
            self._client = _client(self._where)
            blob = self._client.do(Head(self._where.key))
        if blob is None:
            raise OffloadError(
                "store_missing", expected=self._what, got="no such object", hint="correct the URL"
            )
        self._blob: Blob = blob
        self.size = blob.size
        self.tag = _tag(blob)
        if tag not in {"", self.tag}:
            raise self._changed()
        self._at = 0
        self._chunk = b""
        self._begin = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Move to an offset; nothing is read."""
        base = 0 if whence == SEEK_SET else self._at if whence == SEEK_CUR else self.size
        if base + offset < 0:
            raise UnsupportedOperation("a negative position")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a part of `buffer`; return its size, 0 at the end."""
        if self._at >= self.size:
            return 0
        if not self._begin <= self._at < self._begin + len(self._chunk):
            self._begin, self._chunk = self._at, self._fetched(self._at)
        data = memoryview(self._chunk)[self._at - self._begin :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetched(self, begin: int) -> bytes:
        end = min(begin + CHUNK, self.size)
        with requesting(self._what):
            data = self._client.do(GetRange(self._where.key, begin, end, self._blob))
        if not data:
            raise_alone(self._changed())
        return bytes(data)

    def _changed(self) -> OffloadError:
        return OffloadError(
            "store_changed",
            expected=f"{self._what}, unchanged from its first byte to its last",
            got="an object that was written or deleted meanwhile",
            hint="try again when its writer has finished",
        )


def _location(url: str) -> Location:
    where = parse_location(url)
    if isinstance(where, Problem):
        raise OffloadError(where.code, expected=where.expected, got=where.got)
    return where


def _client(where: Location) -> Client:
    return open_client(where.scheme, where.bucket, {}, _RETRIES, _TIMEOUT)


def _is_object(folder: Location, key: str) -> bool:
    """Whether a listed key has no slash at its end, which obstore leaves out."""
    with requesting(f"to list {shown_path(folder.url)}"):
        # The folder of the pattern itself has no name in it.
        return not key.endswith("/") and _client(folder).do(Head(key)) is not None


def _described(where: Location, blob: Blob, name: str) -> RecordObject:
    return RecordObject(where.url, blob.size, _tag(blob), name)


def _tag(blob: Blob) -> str:
    return blob.e_tag or blob.version or ""


def _translated(part: str) -> str:
    if part == "**/":
        return r"(?:[^/]+/)*"
    if part == "**":
        return r".*"
    if part == "*":
        return r"[^/]*"
    if part.startswith("[") and len(part) > 1:
        inside = part[1:-1]
        negated = inside.startswith("!")
        items = "".join(map(_in_class, _IN_CLASS.findall(unquote(inside[negated:]))))
        if not items:  # of ranges that hold nothing
            return "[^/]" if negated else "(?!)"
        return f"(?!/)[{'^' if negated else ''}{items}]"
    return re.escape(unquote(part))


def _in_class(item: tuple[str, str, str]) -> str:
    low, high, one = item
    if one:
        return re.escape(one)
    return f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
