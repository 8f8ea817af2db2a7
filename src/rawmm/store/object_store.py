"""The store in a bucket: ``<root>/<sha256>.<png|jpg|webp|gif>``, written once, verified on read.

Many processes may write the same images at once. An image is created only where there is none, so
a second writer finds it. `tombstones` says how images are deleted meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from rawmm.errors import (
    MaterializeError,
    OffloadError,
    RawMMError,
    contract_error,
    json_path,
    shown,
    shown_name,
    shown_path,
    shown_text,
)
from rawmm.images import (
    ImageInfo,
    ImageSource,
    Limits,
    PreparedImage,
    checked_limits,
    prepare_image,
)
from rawmm.locators import Problem, scheme_of, stored_hash
from rawmm.real_class import is_a
from rawmm.store.errors import (
    FailedRequestError,
    check_hash,
    missing_image,
    refused,
    requesting,
    stated_hash,
)
from rawmm.store.fetcher import Fetcher, checked_fetcher
from rawmm.store.object_client import (
    LOG_IN_HINT,
    Create,
    Delete,
    Get,
    Head,
    Replace,
    open_client,
    run,
    run_async,
)
from rawmm.store.object_gc import is_image_of_root, key_of, tombstone_key
from rawmm.store.run_dir import MAX_PATH, is_utf8, raw_image_id_problem
from rawmm.store.stored_image import Counters, StoreCounters, StoredImage
from rawmm.store.tombstones import keep, time_of_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rawmm.store.errors import ErrorClass
    from rawmm.store.object_client import Blob, Client, Loaded, Steps

T = TypeVar("T")
A = TypeVar("A")

OBJECT_SCHEMES: Final = ("az", "gs", "memory", "s3")

_AUTHORITY: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?\Z")
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_MAX_CONFIG: Final = 64
_ATTEMPTS: Final = 8
"""How often an image is looked for again when other writers are faster."""
_MAX_RETRIES: Final = 100
_MAX_TIMEOUT: Final = 3600.0


class Location(NamedTuple):
    """A URL of a store or an image: ``<scheme>://<bucket>/<key>``, with a decoded key."""

    scheme: str
    bucket: str
    key: str

    @property
    def url(self) -> str:
        """The URL, in its one spelling."""
        path = f"/{quoted_key(self.key)}" if self.key else ""
        return f"{self.scheme}://{self.bucket}{path}"


def quoted_key(key: str) -> str:
    """Return a key as it stands in a URL. ``*`` and ``[`` are escaped: there they are wildcards."""
    # What is not UTF-8 stays, for `parse_location` to refuse.
    return quote(key, safe="/!$&()+,:;=@~") if is_utf8(key) else key


def parse_location(url: object) -> Location | Problem:
    """Return the parts of a URL, or why it is refused. Credentials in it are never shown."""
    if not is_a(url, str):
        return Problem("wrong_type", "the URL of a store, which is a string", shown(url))
    text = str.__str__(url).strip()
    scheme = scheme_of(text)
    expected = "a URL <scheme>://<bucket>/<folder> with the scheme " + " or ".join(OBJECT_SCHEMES)
    if scheme not in OBJECT_SCHEMES:
        return Problem("bad_locator", expected, f"the scheme {shown_text(scheme)}")
    rest = text[len(scheme) + 1 :]
    bucket, _, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not _AUTHORITY.match(bucket):
        got = "a user name or password" if "@" in bucket else "no name of a bucket"
        return Problem("bad_locator", expected, got)
    if "?" in path or "#" in path:
        return Problem("bad_locator", f"{expected}, without '?' and '#'", "one with them")
    if len(path) > MAX_PATH or not is_utf8(path):
        return Problem("bad_locator", expected, "a longer folder, or one that is not UTF-8")
    key = unquote(path).removesuffix("/")
    segments = key.split("/") if key else []
    if ".." in segments or "\0" in key:
        return Problem("path_escape", "a URL without '..' or NUL", shown_text(text))
    if any(part in {"", "."} or _UNUSABLE.search(part) for part in segments):
        return Problem("bad_locator", f"{expected}, whose folders have names", shown_text(text))
    return Location(scheme, bucket, key)


class ObjectImageStore:
    """Raw images in a bucket, named by the SHA-256 of their bytes. Thread-safe; may be pickled.

    A copy has counters of its own. A pickle contains `config`, and none of the environment.

    Needs the package obstore: ``pip install 'rawmm[stores]'``. Credentials are read from the
    environment, see docs/stores.md.

    Args:
        root: the location: ``s3://bucket/folder``, ``gs://bucket/folder``,
            ``az://container/folder`` or ``memory://name/folder``, which lasts as long as the
            process. The bucket must exist.
        limits: the limits of accepted images; `Limits()` by default.
        config: settings of obstore's client for this bucket, such as ``endpoint`` or ``region``,
            in place of those in the environment.
        retries: how often a request is sent again that was refused for the load, failed on its
            way, or whose answer was cut; after longer and longer pauses, for 30 seconds.
        timeout: seconds for one request, with all of its bytes.
        at_once: the number of requests at the same time of the methods that take many images.
        fetcher: as that of `ImageStore`.

    Raises:
        OffloadError: ``bad_locator``, ``path_escape`` or ``wrong_type`` for a root that names no
            place in a bucket; ``store_failed`` if obstore is missing or refuses `config`.
        ContractError: ``wrong_type`` or ``out_of_range`` for another argument.
    """

    def __init__(
        self,
        root: str,
        *,
        limits: Limits | None = None,
        config: Mapping[str, str] | None = None,
        retries: int = 5,
        timeout: float = 30.0,
        at_once: int = 32,
        fetcher: Fetcher | None = None,
    ) -> None:
        location = parse_location(root)
        if isinstance(location, Problem):
            raise OffloadError(location.code, expected=location.expected, got=location.got)
        self._location = location
        self.root = location.url
        self.limits = checked_limits(limits) or Limits()
        self.fetcher = checked_fetcher(fetcher)
        self.at_once = _checked_count("at_once", at_once, 1, 1024)
        settings = _checked_config(config)
        count = _checked_count("retries", retries, 0, _MAX_RETRIES)
        seconds = _checked_seconds(timeout)
        self._counters = Counters()
        self._settings = settings
        self._request_options = {"retries": count, "timeout": seconds}
        with requesting(f"to open {shown_path(self.root)}"):
            self._client: Client = open_client(
                location.scheme, location.bucket, settings, count, seconds
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_path(self.root)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the store again where it is unpickled: connections stay in their process."""
        options: dict[str, Any] = {
            "limits": self.limits,
            "config": self._settings,
            "at_once": self.at_once,
            "fetcher": self.fetcher,
            **self._request_options,
        }
        return partial(type(self), self.root, **options), ()

    @property
    def counters(self) -> StoreCounters:
        """A snapshot of the counters of this object."""
        return self._counters.snapshot

    @property
    def client(self) -> Client:
        """What sends the requests. For collections and tests."""
        return self._client

    @property
    def prefix(self) -> str:
        """The key of the root in its bucket."""
        return self._location.key

    def probe(self) -> None:
        """Check that images can be written, by writing and deleting an object.

        Raises:
            OffloadError: one of the failures of `put`.
        """
        with self._writing("images"):
            run(self._client, time_of_store(key_of(self.prefix, ".gc")))

    def uri(self, info: ImageInfo) -> str:
        """Return the URL of an image, whether it is stored or not."""
        return f"{self.root}/{info.raw_image_id}"

    def prepare(self, source: ImageSource) -> PreparedImage:
        """Check and hash an image for `put`, without I/O.

        Raises:
            OffloadError: as `ImageStore.prepare`.
        """
        return prepare_image(source, self.limits)

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """Write an image unless it exists.

        An existing object is trusted if it has the right size; with `verify`, only if it has the
        right bytes. Otherwise it is replaced, unless another writer did so first.

        Raises:
            OffloadError: an image that is refused; ``store_denied`` without permission,
                ``store_missing`` without bucket, ``store_throttled`` if the store stays too busy,
                ``store_changed`` if others change or delete the image meanwhile, ``store_failed``.
        """
        image = raw if is_a(raw, PreparedImage) else self.prepare(raw)
        with self._writing(image.raw_image_id):
            written = run(self._client, self._put(image, verify=verify))
        return self._stored(image.info, written=written)

    async def put_async(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """As `put`, without blocking the event loop while the store answers."""
        import asyncio

        image = raw if is_a(raw, PreparedImage) else await asyncio.to_thread(self.prepare, raw)
        with self._writing(image.raw_image_id):
            written = await run_async(self._client, self._put(image, verify=verify))
        return self._stored(image.info, written=written)

    async def put_many_async(
        self,
        images: Iterable[bytes | bytearray | memoryview | PreparedImage],
        *,
        verify: bool = False,
    ) -> list[StoredImage]:
        """Put images, `at_once` at the same time. The first failure cancels the rest.

        Raises:
            OffloadError: as `put`.
        """

        async def one(image: bytes | bytearray | memoryview | PreparedImage) -> StoredImage:
            return await self.put_async(image, verify=verify)

        return await self._many_async(one, images)

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """Return the verified bytes of a stored image.

        Args:
            locator: a ``raw_image_id``, or a URL inside the root.
            expected_hash: a prefix of the SHA-256 of the bytes, at least 16 hex digits. By default
                the hash in the name is used; a name without one is not verified.

        Raises:
            MaterializeError: ``hash_mismatch``, ``missing_image``, ``path_escape``,
                ``bad_locator``, ``wrong_type``; ``torn_read`` if the answers of the store end too
                early; ``bad_format`` if the hash is not one; and the failures of `put`.
        """
        key, name, expected = self._to_read(locator, expected_hash)
        with self._reading(name):
            found = run(self._client, self._read(key, expected))
        return self._verified(name, found, expected)

    async def read_async(self, locator: str, expected_hash: str | None = None) -> bytes:
        """As `read`, without blocking the event loop while the store answers."""
        key, name, expected = self._to_read(locator, expected_hash)
        with self._reading(name):
            found = await run_async(self._client, self._read(key, expected))
        return self._verified(name, found, expected)

    async def read_many_async(self, locators: Iterable[str]) -> list[bytes]:
        """Read images, `at_once` at the same time. The first failure cancels the rest.

        Raises:
            MaterializeError: as `read`.
        """
        return await self._many_async(self.read_async, locators)

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """Whether an image exists. Reads no bytes.

        Args:
            locator: a ``raw_image_id``, or a URL inside the root.
            renew: keep the image from being deleted for the grace period, as `put` does.

        Raises:
            OffloadError: ``path_escape``, ``bad_locator`` or ``wrong_type``, and the failures of
                `put`.
        """
        key = self._key(locator, OffloadError)
        with requesting(f"to look for an image in {shown_path(self.root)}"):
            return run(self._client, self._exists(key, renew=renew))

    async def exists_async(self, locator: str, *, renew: bool = False) -> bool:
        """As `exists`, without blocking the event loop."""
        key = self._key(locator, OffloadError)
        with requesting(f"to look for an image in {shown_path(self.root)}"):
            return await run_async(self._client, self._exists(key, renew=renew))

    def names(self) -> list[str]:
        """Return the ``raw_image_id`` of every image, sorted. An empty folder holds none.

        Raises:
            OffloadError: ``store_denied``, ``store_missing``, ``store_throttled`` or
                ``store_failed``.
        """
        with requesting(f"to list {shown_path(self.root)}"):
            listed = self._client.listed(self.prefix)
            return sorted(name for name, _ in listed if is_image_of_root(name))

    def delete(self, raw_image_id: str) -> None:
        """Delete an image. Deleting one that does not exist does nothing.

        `collect_garbage` deletes what no record names, safely beside running writers.

        Raises:
            OffloadError: ``bad_locator``, ``path_escape`` or ``wrong_type``, and the failures of
                `put`.
        """
        problem = raw_image_id_problem(raw_image_id)
        if problem:
            raise refused(problem, OffloadError)
        with requesting(f"to delete {shown_text(raw_image_id)} from {shown_path(self.root)}"):
            self._client.do(Delete(key_of(self.prefix, raw_image_id)))

    def verify(self) -> list[RawMMError]:
        """Read every image and return an error for each whose bytes do not match its name.

        Raises:
            OffloadError: as `names`.
        """

        def error_of(name: str) -> RawMMError | None:
            try:
                self.read(name)
            except MaterializeError as error:
                path = f'$["{name}"]' if stored_hash(name) else json_path((name,))
                return None if error.code == "missing_image" else error.at(path=path)
            return None

        return [error for error in self.map(error_of, self.names()) if error is not None]

    def map(self, call: Callable[[A], T], values: Iterable[A]) -> list[T]:
        """Call a function for each value in threads, `at_once` at the same time, in order."""
        from concurrent.futures import ThreadPoolExecutor

        items = list(values)
        if len(items) < 2:
            return [call(one) for one in items]
        with ThreadPoolExecutor(min(self.at_once, len(items))) as pool:
            return list(pool.map(call, items))

    # Tasks, see `Steps`.

    def _put(self, image: PreparedImage, *, verify: bool) -> Steps[bool]:
        """Write an image unless it exists; return whether it was written."""
        info = image.info
        key, media_type = key_of(self.prefix, info.raw_image_id), info.header.media_type
        yield from keep(tombstone_key(self.prefix, info.raw_image_id))
        for _ in range(_ATTEMPTS):
            blob: Blob | None = yield Head(key)
            if blob is None:
                if (yield Create(key, image.raw, media_type)):
                    return True
                continue  # another writer was faster
            if blob.size == info.size:
                if not verify:
                    return False
                found: Loaded | None = yield Get(key)
                if found is None:
                    continue
                if found.raw == image.raw:
                    return False
                blob = found.blob
            self._counters.add(verify_failures=1)
            if (yield Replace(key, image.raw, blob, media_type)):
                return True
        raise FailedRequestError(
            "store_changed", "an object that others keep changing", "stop what writes other bytes"
        )

    def _read(self, key: str, expected: str | None) -> Steps[Loaded | None]:
        found: Loaded | None = yield Get(key)
        if found is not None and not _matches(found.raw, expected):
            # It may have been replaced meanwhile, or damaged on its way.
            found = yield Get(key)
        return found

    def _exists(self, key: str, *, renew: bool) -> Steps[bool]:
        if renew:
            folder, _, name = key.rpartition("/")
            yield from keep(tombstone_key(folder, name))
        blob: Blob | None = yield Head(key)
        return blob is not None

    def _to_read(self, locator: str, expected_hash: str | None) -> tuple[str, str, str | None]:
        if expected_hash is not None:
            check_hash(expected_hash)
        key = self._key(locator, MaterializeError)
        name = key.rpartition("/")[2]
        return key, name, stated_hash(name) if expected_hash is None else expected_hash

    def _verified(self, name: str, found: Loaded | None, expected: str | None) -> bytes:
        if found is None:
            raise missing_image(self.root, name, MaterializeError)
        if _matches(found.raw, expected):
            return found.raw
        self._counters.add(verify_failures=1)
        raise MaterializeError(
            "hash_mismatch",
            expected=f"bytes whose SHA-256 begins with {shown_name(expected or '')}",
            got=f"{len(found.raw)} bytes with another hash",
            hint="delete the object and offload the image again",
        )

    def _stored(self, info: ImageInfo, *, written: bool) -> StoredImage:
        outcome = {"stored": 1, "bytes_written": info.size} if written else {"deduplicated": 1}
        self._counters.add(seen=1, bytes_in=info.size, **outcome)
        return StoredImage.of(info, self.uri(info), written=written)

    def _key(self, locator: object, error_class: ErrorClass) -> str:
        """Return the key of a locator in the bucket.

        Raises:
            RawMMError: ``path_escape``, ``bad_locator`` or ``wrong_type``.
        """
        problem: Problem | None
        if not is_a(locator, str) or not scheme_of(locator):
            problem = raw_image_id_problem(locator)
            if problem is None:
                return key_of(self.prefix, str(locator))
        else:
            found = parse_location(locator)
            if not isinstance(found, Problem):
                own = self._location
                below = f"{own.key}/" if own.key else ""
                if found[:2] != own[:2] or not found.key.startswith(below) or found.key == below:
                    expected = f"an image inside {shown_path(self.root)}"
                    found = Problem("path_escape", expected, shown_text(locator))
            if not isinstance(found, Problem) and found.key:
                return found.key
            problem = found if isinstance(found, Problem) else None
        problem = problem or Problem("bad_locator", "the URL of an image", "that of a bucket")
        raise error_class(
            problem.code,
            expected=problem.expected,
            got=problem.got,
            hint=f"pass the name of an image, or a URL inside {shown_path(self.root)}",
        )

    def _writing(self, what: str) -> Any:
        return requesting(f"to write {what} into {shown_path(self.root)}")

    def _reading(self, name: str) -> Any:
        what = f"to read {shown_text(name)} from {shown_path(self.root)}"
        return requesting(what, MaterializeError)

    async def _many_async(self, call: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        import asyncio

        gate = asyncio.Semaphore(self.at_once)

        async def one(value: Any) -> Any:
            async with gate:
                return await call(value)

        tasks = [asyncio.ensure_future(one(value)) for value in values]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _matches(raw: bytes, expected: str | None) -> bool:
    return expected is None or hashlib.sha256(raw).hexdigest().startswith(expected)


def _checked_count(name: str, value: object, least: int, most: int) -> int:
    if type(value) is int and least <= value <= most:
        return value
    raise contract_error(
        "out_of_range" if type(value) is int else "wrong_type",
        (name,),
        expected=f"an integer from {least} to {most}",
        got=shown(value),
    )


def _checked_seconds(value: object) -> float:
    if type(value) in {int, float} and 0 < float(value) <= _MAX_TIMEOUT:  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    raise contract_error(
        "out_of_range" if type(value) in {int, float} else "wrong_type",
        ("timeout",),
        expected=f"seconds, above 0 and at most {_MAX_TIMEOUT:g}",
        got=shown(value),
    )


def _checked_config(config: object) -> dict[str, str]:
    if config is None:
        return {}
    if is_a(config, Mapping) and len(config) <= _MAX_CONFIG:
        settings = dict(config)
        if all(type(name) is str and type(value) is str for name, value in settings.items()):
            return settings
    # Neither names nor values are shown: both may be secrets.
    raise contract_error(
        "wrong_type",
        ("config",),
        expected=f"at most {_MAX_CONFIG} settings of obstore, each a string",
        got="something else",
        hint=LOG_IN_HINT,
    )
