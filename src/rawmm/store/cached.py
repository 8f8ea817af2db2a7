"""A directory in front of a store: each image is read from the store once a machine.

The directory is bounded and may be shared by processes. Locks of files (``flock``) make one of them
read an image while the others wait, and one at a time account for what is added and removed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import MaterializeError, OffloadError, contract_error, shown, shown_hash
from rawmm.locators import stored_hash
from rawmm.real_class import is_a
from rawmm.store.errors import check_hash
from rawmm.store.files import open_flags
from rawmm.store.listing import is_image_name
from rawmm.store.local import ImageStore
from rawmm.store.protocol import checked_store, read_bytes, url_of_id
from rawmm.store.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawmm.images import ImageInfo, Limits, PreparedImage
    from rawmm.store.protocol import Store
    from rawmm.store.stored_image import StoredImage

_FOLDER: Final = ".cache"
"""The folder of locks and of the account, in the directory."""
_ACCOUNT: Final = "total"
_DIGITS: Final = 64
_KEPT_TENTHS: Final = 9
"""An eviction leaves nine tenths, so that not each new image needs one."""


@dataclass(frozen=True, slots=True)
class CacheCounters:
    """What one `CachedStore` object did so far, in all threads.

    Attributes:
        hits: images read from the directory.
        misses: images read from the store behind it.
        evicted: images removed to make room.
        damaged: files whose bytes did not match their name. They are removed and read again.
    """

    hits: int = 0
    misses: int = 0
    evicted: int = 0
    damaged: int = 0


class CachedStore:
    """A store whose images are read through a directory of this machine. Thread-safe.

    May be pickled, if the store behind it may. A copy has counters of its own.

    Reads verify the hash, also of a file in the directory. Everything but `read` goes to the store.
    An image that was deleted in the store may still be read from the directory.

    Args:
        local: the directory, for this purpose only, as images in it are deleted. It may be shared
            by processes.
        remote: the store behind it, or its URL.
        max_bytes: the most that images in the directory take. A larger image is not kept.

    Raises:
        ContractError: ``wrong_type`` or ``out_of_range`` for `max_bytes` or `remote`;
            ``bad_locator`` for a directory with images that no cache has put there.
        OffloadError: as `ImageStore` for `local` and as `open_store` for `remote`.
    """

    def __init__(self, local: str | os.PathLike[str], remote: Store | str, max_bytes: int) -> None:
        if type(max_bytes) is not int or max_bytes < 0:
            raise contract_error(
                "out_of_range" if type(max_bytes) is int else "wrong_type",
                ("max_bytes",),
                expected="a number of bytes, at least 0",
                got=shown(max_bytes),
            )
        opened = open_store(remote) if is_a(remote, str) else checked_store(None, remote)
        if opened is None:
            raise contract_error("wrong_type", ("remote",), expected="a store", got="null")
        self._remote = opened
        # The URL of an image without its name, as `url_of_id` writes it.
        self._root_url = url_of_id(opened, "").removesuffix("/")
        self._local = ImageStore(local, limits=self._remote.limits, durable=False)
        self.max_bytes = max_bytes
        self._counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._has_account = False
        self._check_directory()

    def __reduce__(self) -> tuple[Any, ...]:
        """Use the directory there, too: the locks of this process stay in it."""
        return type(self), (self._local.root, self._remote, self.max_bytes)

    @property
    def root(self) -> os.PathLike[str] | str:
        """The location of the store."""
        return self._remote.root

    @property
    def limits(self) -> Limits:
        """The limits of the store."""
        return self._remote.limits

    @property
    def counters(self) -> CacheCounters:
        """A snapshot of the counters of this object."""
        with self._counting:
            return CacheCounters(**self._counts)

    def uri(self, info: ImageInfo) -> str:
        """As the store."""
        return self._remote.uri(info)

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """As the store."""
        return self._remote.put(raw, verify=verify)

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """As the store."""
        return self._remote.exists(locator, renew=renew)

    def names(self) -> Iterable[str]:
        """As the store."""
        return self._remote.names()

    def delete(self, raw_image_id: str) -> None:
        """As the store; also deletes the file in the directory."""
        self._remote.delete(raw_image_id)
        self._local.delete(raw_image_id)

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """Return the verified bytes of an image, from the directory if it is there.

        Threads and processes that miss the same image read it from the store once.

        Raises:
            MaterializeError: as the store.
        """
        if expected_hash is not None:
            check_hash(expected_hash)
        name = self._name(locator)
        if name is None or not name.startswith(expected_hash or ""):
            return read_bytes(self._remote, locator, expected_hash)
        raw = self._cached(name)
        if raw is not None:
            return raw
        with self._lock(name[:2]):
            raw = self._cached(name)  # another may have read it meanwhile
            if raw is None:
                self._count("misses")
                raw = self._read(locator, name.partition(".")[0])
                self._add(name, raw)
        return raw

    def _check_directory(self) -> None:
        """Check that no images but those of a cache would be deleted.

        Raises:
            ContractError: ``bad_locator``.
        """
        root = self._local.root
        others = url_of_id(self._local, "").removesuffix("/") == self._root_url
        if not others and not (root / _FOLDER).exists():
            with suppress(OSError), os.scandir(root) as entries:
                others = any(is_image_name(entry.name) for entry in entries)
        if others:
            raise contract_error(
                "bad_locator",
                ("local",),
                expected="a directory for this cache only",
                got="one with the images of a store",
                hint="pass another directory: a cache deletes images to make room",
            )

    def _read(self, locator: str, sha256: str) -> bytes:
        raw = read_bytes(self._remote, locator, sha256)
        if hashlib.sha256(raw).hexdigest() == sha256:
            return raw
        raise MaterializeError(
            "hash_mismatch",
            expected=f"bytes whose SHA-256 begins with {shown_hash(sha256)}",
            got=f"{len(raw)} bytes with another hash",
            hint="delete the image from the store and offload it again",
        )

    def _name(self, locator: object) -> str | None:
        """Return the name of an image that the directory may keep, or None."""
        if not is_a(locator, str):
            return None
        folder, _, name = locator.rpartition("/")
        is_here = name == locator or folder == self._root_url
        digest = stored_hash(name) if is_here and is_image_name(name) else None
        return name if digest is not None and len(digest) == _DIGITS else None

    def _cached(self, name: str) -> bytes | None:
        try:
            raw = self._local.read(name)
        except MaterializeError as error:
            if error.code == "hash_mismatch":
                self._count("damaged")
                with suppress(OffloadError):
                    self._local.delete(name)
            return None
        with suppress(OffloadError):
            self._local.exists(name, renew=True)  # the oldest are evicted first
        self._count("hits")
        return raw

    def _add(self, name: str, raw: bytes) -> None:
        """Keep an image, if it fits. A failure of the directory does not fail the read."""
        if len(raw) > self.max_bytes:
            return
        with suppress(OffloadError, OSError):
            image = self._local.prepare(raw)
            if image.raw_image_id != name:
                return
            with self._lock(_ACCOUNT):
                self._make_room(len(raw))
                self._local.put(image)

    def _make_room(self, size: int) -> None:
        """Enter an image into the account, and remove old ones if it would exceed the bound."""
        account = self._local.root / _FOLDER / _ACCOUNT
        total = None
        if self._has_account:
            with suppress(OSError, ValueError):
                total = int(account.read_text("ascii"))
        if total is None or total + size > self.max_bytes:
            total = self._evict(size)
            self._has_account = True
        account.write_text(str(total + size), "ascii")

    def _evict(self, size: int) -> int:
        """Remove the images that were not read for longest; return what the others take."""
        files = []
        with os.scandir(self._local.root) as entries:
            for entry in entries:
                if is_image_name(entry.name):
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        files.append((status.st_mtime_ns, entry.name, status.st_size))
        total = sum(taken for _, _, taken in files)
        if total + size <= self.max_bytes:
            return total
        most = min(self.max_bytes * _KEPT_TENTHS // 10, self.max_bytes - size)
        for _, name, taken in sorted(files):
            if total <= most:
                break
            self._local.delete(name)
            self._count("evicted")
            total -= taken
        return total

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Exclude other threads and processes. Does nothing where there are no locks.

        Then an image may be read several times at once; each reader verifies what it gets.
        """
        descriptor = None
        with suppress(OSError, ImportError):
            import fcntl

            folder = self._local.root / _FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            flags = open_flags("O_RDWR", "O_CREAT", "O_CLOEXEC", "O_NOFOLLOW")
            descriptor = os.open(folder / f"{name}.lock", flags, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _count(self, name: str) -> None:
        with self._counting:
            self._counts[name] += 1
