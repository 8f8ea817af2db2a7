"""The store in a local directory: ``<root>/<sha256>.<png|jpg|webp|gif>``, flat, verified on read.

The directory is flat because consumers join ``raw_image_id`` to it. Many processes and threads may
write the same images at once: a file appears by a rename under the SHA-256 of its bytes, so a
second writer finds it, or replaces it with equal bytes.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rawmm.errors import (
    MaterializeError,
    OffloadError,
    RawMMError,
    json_path,
    raise_alone,
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
    decode_data_url,
    normalized_image,
    parse_data_url,
    prepare_image,
)
from rawmm.locators import Problem, file_path, scheme_of, stored_hash
from rawmm.real_class import is_a
from rawmm.store.directory_writer import DirectoryWriter
from rawmm.store.errors import (
    ErrorClass,
    check_hash,
    failed,
    missing_image,
    refused,
    stated_hash,
)
from rawmm.store.fetcher import Fetcher, checked_fetcher
from rawmm.store.files import (
    NotRegularError,
    open_directory,
    open_regular,
    probe_directory,
    read_all,
    touch,
)
from rawmm.store.listing import list_images
from rawmm.store.run_dir import MAX_PATH, is_utf8, raw_image_id_problem, resolved_dir
from rawmm.store.stored_image import Counters, StoreCounters, StoredImage
from rawmm.store.url_index import UrlIndex

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class ImageStore:
    """Raw images in one directory, named by the SHA-256 of their bytes. Thread-safe.

    Args:
        root: the directory: a path, relative to the working directory or absolute, where ``~`` is
            the home directory; or a ``file:///`` URL. It is resolved now and created at the first
            write.
        limits: the limits of accepted images; `Limits()` by default.
        durable: sync files and directory, so that a stored image survives a power failure.
        normalize: store an image that consumers may decode differently as a PNG of the pixels that
            `rawmm.ENGINE` decodes: upright and opaque, without loss. Its hash is that of the PNG.
            `StoreCounters.normalized` counts such images. Files that are in the directory already
            stay as they are.
        fetcher: fetches the images of ``https`` URLs when they are offloaded, as `HttpsFetcher`
            does. Without one, such a URL is ``bad_locator``.

    Raises:
        OffloadError: ``no_image_dir``, ``bad_locator``, ``path_escape`` or ``wrong_type`` if the
            root does not name a local directory.
        ContractError: ``wrong_type`` if `limits` is not `Limits`.

    Attributes:
        url_index: data URLs that this object has stored.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        limits: Limits | None = None,
        durable: bool = True,
        normalize: bool = False,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.root = resolved_dir(root)
        self.limits = checked_limits(limits) or Limits()
        self.durable = bool(durable)
        self.normalize = bool(normalize)
        self.fetcher = checked_fetcher(fetcher)
        self.url_index = UrlIndex()
        self._root_uri = self.root.as_uri().removesuffix("/")
        self._counters = Counters()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_path(self.root)})"

    @property
    def counters(self) -> StoreCounters:
        """A snapshot of the counters of this object."""
        return self._counters.snapshot

    def probe(self) -> None:
        """Check that images can be written, by writing and removing a file.

        Call it when a worker starts, so that it does not fail at its first image. Leaves nothing
        behind and does not create the directory.

        Raises:
            OffloadError: ``store_failed``, or ``path_escape`` if the root is a symbolic link.
        """
        try:
            probe_directory(self.root, durable=self.durable)
        except OSError as error:
            raise_alone(failed(error, f"to write images into {shown_path(self.root)}"))

    def path(self, raw_image_id: str) -> Path:
        """Return the path of an image, whether it is stored or not.

        Raises:
            MaterializeError: ``path_escape`` or ``bad_locator``.
        """
        problem = raw_image_id_problem(raw_image_id)
        if problem:
            raise refused(problem, MaterializeError)
        return self.root / raw_image_id

    def uri(self, info: ImageInfo) -> str:
        """Return the ``file:///`` URL of an image, whether it is stored or not."""
        return f"{self._root_uri}/{info.raw_image_id}"  # the name needs no quoting

    def prepare(self, source: ImageSource) -> PreparedImage:
        """Check and hash an image for `put`, without I/O. Normalizes it if the store does.

        Raises:
            OffloadError: ``bad_locator``, ``bad_base64``, ``wrong_type``, ``image_limit``,
                ``not_an_image`` or ``image_type_mismatch``.
        """
        return self.normalized(prepare_image(source, self.limits), self.limits)

    def normalized(self, image: PreparedImage, limits: Limits) -> PreparedImage:
        """The image to store for `image`: another one only if the store normalizes images.

        Raises:
            OffloadError: ``not_an_image`` or ``image_limit``.
        """
        if not self.normalize:
            return image
        normalized = normalized_image(image, limits)
        if normalized is not image:
            self._counters.add(normalized=1)
        return normalized

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """Write an image unless it exists.

        An existing file is trusted if it is regular and has the right size; with `verify`, only if
        it has the right bytes. Otherwise it is replaced. Its modification time is set to now, so
        that `collect_garbage` does not delete it.

        Args:
            raw: the bytes of an image file, or what `prepare` returned.
            verify: compare the bytes of an existing file.

        Raises:
            OffloadError: as `prepare`; ``store_failed`` if the directory cannot be written or
                something other than a file has the name, ``path_escape`` if that is a symbolic
                link.
        """
        image = raw if is_a(raw, PreparedImage) else self.prepare(raw)
        written = self._placed(image.info, lambda: image.raw, verify=verify)
        return self._stored(image.info, written=written)

    def put_data_url(self, url: str, *, verify: bool = False) -> StoredImage:
        """Write the image of a ``data:image/...;base64,`` URL unless it exists.

        A URL that is in `url_index` is neither decoded nor hashed while its file exists.

        Raises:
            OffloadError: as `put`.
        """
        if verify or not is_a(url, str):
            return self.put(self.prepare(url), verify=verify)
        data_url = parse_data_url(url)
        info = self.url_index.get(data_url)
        if info is None:
            given = prepare_image(data_url, self.limits)
            image = self.normalized(given, self.limits)
            stored = self.put(image)
            if image is given:
                self.url_index.put(data_url, image.info)
            return stored
        info.check(self.limits, data_url.media_type)
        written = self._placed(info, lambda: decode_data_url(data_url))
        return self._stored(info, written=written)

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """Return the verified bytes of a stored image.

        Args:
            locator: a ``raw_image_id``, or a ``file://`` URL inside the root.
            expected_hash: a prefix of the SHA-256 of the bytes, at least 16 hex digits. By default
                the hash in the file name is used; a name without one is not verified.

        Raises:
            MaterializeError: ``hash_mismatch``, ``missing_image``, ``path_escape``,
                ``bad_locator``, ``store_failed``, ``wrong_type`` if the locator is not a string,
                ``bad_format`` if the hash is not one.
        """
        if expected_hash is not None:
            check_hash(expected_hash)
        name, raw = self._with_file(locator, MaterializeError, read_all)
        expected = stated_hash(name) if expected_hash is None else expected_hash
        if expected is not None:
            self._check_bytes(raw, expected, "$")
        return raw

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """Whether a locator names a regular file inside the root. Reads no bytes.

        Args:
            locator: a ``raw_image_id``, or a ``file://`` URL.
            renew: set the modification time to now, as `put` does, where that is permitted.

        Raises:
            OffloadError: ``path_escape``, ``bad_locator``, ``store_failed``; ``missing_image`` if
                something other than a regular file has the name.
        """

        def found(descriptor: int) -> bool:
            if renew:
                with suppress(PermissionError):
                    touch(descriptor)
            return True

        _, exists = self._try_file(locator, OffloadError, found)
        # A collection may have moved the file aside before its time was set.
        return bool(exists) and (not renew or self.exists(locator))

    def names(self) -> list[str]:
        """Return the ``raw_image_id`` of every image, sorted. A missing root holds no images.

        Raises:
            OffloadError: ``store_failed``.
        """
        try:
            with suppress(FileNotFoundError), open_directory(self.root) as directory:
                return list_images(directory).images
        except OSError as error:
            raise_alone(failed(error, f"to list {shown_path(self.root)}"))
        return []

    def delete(self, raw_image_id: str) -> None:
        """Delete an image. Deleting one that does not exist does nothing.

        `collect_garbage` deletes what no record names, safely beside running writers.

        Raises:
            OffloadError: ``bad_locator``, ``path_escape`` or ``store_failed``.
        """
        problem = raw_image_id_problem(raw_image_id)
        if problem:
            raise refused(problem, OffloadError)
        try:
            with suppress(FileNotFoundError), open_directory(self.root) as directory:
                os.unlink(raw_image_id, dir_fd=directory)
        except OSError as error:
            name, root = shown_text(raw_image_id), shown_path(self.root)
            raise_alone(failed(error, f"to delete {name} from {root}"))

    def verify(self) -> list[RawMMError]:
        """Read every file and return an error for each whose bytes do not match its name.

        Skips hidden files (temporary files of other writers) and names that state no hash. A
        missing root holds no bad file.
        """
        try:
            with open_directory(self.root) as directory, os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [failed(error, f"to list {shown_path(self.root)}", MaterializeError)]
        errors: list[RawMMError] = []
        for name in names:
            stated = stated_hash(name)
            if stated is None:
                continue
            try:
                # A name that a store gave reveals nothing, so it is shown whole.
                path = f'$["{name}"]' if stored_hash(name) else json_path((name,))
                _, raw = self._with_file(name, MaterializeError, read_all, path)
                self._check_bytes(raw, stated, path)
            except MaterializeError as error:
                errors.append(error)
        return errors

    def writer(self) -> DirectoryWriter:
        """Return what writes the images of one call."""
        return DirectoryWriter(self.root, self._counters, durable=self.durable)

    def _stored(self, info: ImageInfo, *, written: bool) -> StoredImage:
        return StoredImage.of(info, self.uri(info), written=written, root=self.root)

    def _placed(self, info: ImageInfo, load: Callable[[], bytes], *, verify: bool = False) -> bool:
        with self.writer() as writer:
            written = writer.place(info, load, verify=verify)
            if written:
                writer.sync()
        return written

    def _with_file(
        self,
        locator: str,
        error_class: ErrorClass,
        action: Callable[[int], T],
        path: str = "$",
    ) -> tuple[str, T]:
        """Return a file's name and the result of `action` on its descriptor."""
        name, result = self._try_file(locator, error_class, action, path)
        if result is None:
            raise missing_image(self.root, name, error_class, path)
        return name, result

    def _try_file(
        self,
        locator: str,
        error_class: ErrorClass,
        action: Callable[[int], T],
        path: str = "$",
    ) -> tuple[str, T | None]:
        """`_with_file`, with None as the result for a file that does not exist."""
        segments = self._segments(locator)
        if isinstance(segments, Problem):
            raise refused(segments, error_class)
        *below, name = segments
        try:
            with (
                open_directory(self.root, below) as directory,
                open_regular(directory, name) as (descriptor, _),
            ):
                return name, action(descriptor)
        except FileNotFoundError:
            return name, None
        except NotRegularError as error:
            fault = error_class(
                "missing_image",
                path,
                expected=f"a regular file {shown_text(name)} in {shown_path(self.root)}",
                got=error.kind,
                hint="remove it and offload the image again",
            )
        except OSError as error:
            what = f"to read {shown_text(name)} from {shown_path(self.root)}"
            fault = failed(error, what, error_class, path)
        # Raised outside of the handlers: as context, an OSError would show the name unshortened.
        raise fault

    def _segments(self, locator: str) -> list[str] | Problem:
        """Return the path of a file relative to the root, as a list of names."""
        scheme = scheme_of(locator) if is_a(locator, str) else ""
        if not scheme:
            return raw_image_id_problem(locator) or [locator]
        if scheme != "file":
            got = f"the scheme {shown_text(scheme)}"
            return Problem("bad_locator", "a raw_image_id or a file:// URL", got)
        path = file_path(locator)
        if isinstance(path, Problem):
            return path
        if len(path) > MAX_PATH or not is_utf8(path):
            # No file has this path, and resolving it would take time quadratic in its length.
            return Problem("bad_locator", "the path of a file", shown_text(locator))
        parent, name = os.path.split(path)
        # Links above the root belong to the operator (/data -> /mnt/data). Links below it are
        # resolved here and then refused; if they appear later, opening the file refuses them.
        real = Path(os.path.realpath(parent))
        if not name or not real.is_relative_to(self.root):
            expected = f"a file inside {shown_path(self.root)}"
            return Problem("path_escape", expected, shown_text(locator))
        return [*real.relative_to(self.root).parts, name]

    def _check_bytes(self, raw: bytes, expected: str, path: str) -> None:
        if hashlib.sha256(raw).hexdigest().startswith(expected):
            return
        self._counters.add(verify_failures=1)
        raise MaterializeError(
            "hash_mismatch",
            path,
            expected=f"bytes whose SHA-256 begins with {shown_name(expected)}",
            got=f"{len(raw)} bytes with another hash",
            hint="delete the file and offload the image again",
        )
