"""The image store: ``<root>/<sha256>.<png|jpg|webp|gif>``, flat, written once, verified on read.

Flat, because consumers join ``raw_image_id`` to the directory. Safe with many processes and
threads that write the same images: a file comes into being by a rename, and its name is the
SHA-256 of its bytes, so whoever comes second replaces it by itself or finds it there.
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
    shown,
    shown_name,
    shown_path,
    shown_text,
)
from rawmm.locators import Problem, file_path, scheme_of, stored_hash
from rawmm.offload.data_url import decode_data_url, parse_data_url
from rawmm.offload.directory import ImageDirectory
from rawmm.offload.image_file import (
    NotRegularError,
    open_directory,
    open_regular,
    probe_directory,
    read_all,
    touch,
)
from rawmm.offload.known import KnownImages
from rawmm.offload.limits import Limits, checked_limits
from rawmm.offload.prepare import ImageFacts, ImageSource, PreparedImage, prepare_image
from rawmm.offload.run_dir import (
    LONGEST_PATH,
    is_utf8,
    raw_image_id_problem,
    resolved_dir,
)
from rawmm.offload.store_errors import (
    ErrorClass,
    check_hash,
    failed,
    refused,
    stated_hash,
)
from rawmm.offload.stored_image import StoreCounters, StoredImage
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class ImageStore(ImageDirectory):
    """Raw images in one directory, by the SHA-256 of their bytes. Safe to share by threads.

    Args:
        root: the directory: a path, where ``~`` is the home directory, or a ``file:///`` URL.
            Made absolute and resolved now, created at the first write.
        limits: what is accepted; `Limits()` by default.
        durable: sync file and directory, so that a stored image survives a power failure.

    Raises:
        OffloadError: ``no_image_dir``, ``bad_locator``, ``path_escape`` or ``wrong_type`` for a
            root that names no local directory.
        ContractError: ``wrong_type`` for other limits than `Limits`.

    Attributes:
        known: the inline images that this object has stored, by their text.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        limits: Limits | None = None,
        durable: bool = True,
    ) -> None:
        super().__init__(resolved_dir(root), durable=bool(durable))
        self.limits = checked_limits(limits) or Limits()
        self.known = KnownImages()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_path(self.root)})"

    @property
    def counters(self) -> StoreCounters:
        """A snapshot of what this object did so far."""
        return self._tally.counters

    def probe(self) -> None:
        """Check that images can be written, by a file that is written and removed.

        For the start of a worker, so that it does not fail at its first image. Nothing is left
        behind, and a directory that does not exist is not made.

        Raises:
            OffloadError: ``store_failed``, or ``path_escape`` for a link in place of the root.
        """
        try:
            probe_directory(self.root, durable=self.durable)
        except OSError as error:
            raise_alone(failed(error, f"to write images into {shown_path(self.root)}"))

    def path(self, raw_image_id: str) -> Path:
        """Where the image with this id is. It need not exist.

        Raises:
            MaterializeError: ``path_escape`` or ``bad_locator``.
        """
        problem = raw_image_id_problem(raw_image_id)
        if problem:
            raise refused(problem, MaterializeError)
        return self.root / raw_image_id

    def put(self, raw: bytes | bytearray | memoryview, *, verify: bool = False) -> StoredImage:
        """Store the bytes of an image file. With `verify`, a file that exists is read again.

        Raises:
            OffloadError: what `prepare` and `commit` raise.
        """
        return self.commit(self.prepare(raw), verify=verify)

    def put_data_url(self, url: str, *, verify: bool = False) -> StoredImage:
        """Store the image of a ``data:image/...;base64,`` URL.

        One whose text is `known` is neither decoded nor hashed, unless its file is gone.

        Raises:
            OffloadError: what `prepare` and `commit` raise.
        """
        if verify or not is_a(url, str):
            return self.commit(self.prepare(url), verify=verify)
        data_url = parse_data_url(url)
        facts = self.known.find(data_url)
        if facts is None:
            image = self.prepare(data_url)
            stored = self.commit(image)
            self.known.learn(data_url, image.facts)
            return stored
        facts.check(self.limits)
        written = self._placed(facts, lambda: decode_data_url(data_url))
        return StoredImage.of(facts, self.root, self.uri(facts), written=written)

    def prepare(self, source: ImageSource) -> PreparedImage:
        """Check and hash an image, without any I/O, for `commit`.

        Raises:
            OffloadError: ``bad_locator``, ``bad_base64``, ``wrong_type``, ``image_limit``,
                ``not_an_image`` or ``image_type_mismatch``.
        """
        return prepare_image(source, self.limits)

    def commit(self, image: PreparedImage, *, verify: bool = False) -> StoredImage:
        """Write a prepared image, unless it is there already.

        A file that is there is trusted if it is regular and has the right size; with `verify`,
        if it has the right bytes. Otherwise it is replaced. Its time is set to now, so that
        `collect_garbage` takes it for new.

        Raises:
            OffloadError: ``store_failed`` when the directory cannot be written or something
                else than a file stands there, ``path_escape`` when that is a symbolic link,
                ``wrong_type`` for anything else than what `prepare` returned.
        """
        if not is_a(image, PreparedImage):
            raise OffloadError(
                "wrong_type",
                expected="what prepare returned",
                got=shown(image),
                hint="put takes the bytes of an image file",
            )
        written = self._placed(image.facts, lambda: image.raw, verify=verify)
        return StoredImage.of(image.facts, self.root, self.uri(image.facts), written=written)

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """The bytes of a stored image, verified.

        Args:
            locator: a ``raw_image_id``, or a ``file://`` URL inside the root.
            expected_hash: what the SHA-256 of the bytes begins with, 16 hex digits or more.
                Without it, the hash in the file name is used; a name without one is not
                verified.

        Raises:
            MaterializeError: ``hash_mismatch``, ``missing_image``, ``path_escape``,
                ``bad_locator``, ``store_failed``, ``wrong_type`` for a locator that is no
                string, ``bad_format`` for a hash that is none.
        """
        if expected_hash is not None:
            check_hash(expected_hash)
        name, raw = self._with_file(locator, MaterializeError, read_all)
        expected = stated_hash(name) if expected_hash is None else expected_hash
        if expected is not None:
            self._verify(raw, expected, "$")
        return raw

    def check_present(self, locator: str, *, keep: bool = False) -> None:
        """Check that a locator names a regular file inside the root. Reads nothing.

        Args:
            locator: a ``file://`` URL, or a ``raw_image_id``.
            keep: set the file's time to now, as `commit` does, where that is permitted.

        Raises:
            OffloadError: ``missing_image``, ``path_escape``, ``bad_locator``, ``store_failed``.
        """

        def touched(descriptor: int) -> None:
            if keep:
                with suppress(PermissionError):
                    touch(descriptor)

        self._with_file(locator, OffloadError, touched)
        if keep:
            self.check_present(locator)

    def verify(self) -> list[RawMMError]:
        """Read every file and compare it with the hash in its name; an error for each bad one.

        Hidden files (temporary ones of other writers) and names that state no hash are passed
        over. A root that does not exist yet holds no bad file.
        """
        try:
            with open_directory(self.root) as directory, os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [failed(error, f"to list {shown_path(self.root)}", MaterializeError)]
        faults: list[RawMMError] = []
        for name in names:
            stated = stated_hash(name)
            if stated is None:
                continue
            try:
                # A name that a store gave is no secret, and tells which file it is.
                path = f'$["{name}"]' if stored_hash(name) else json_path((name,))
                _, raw = self._with_file(name, MaterializeError, read_all, path)
                self._verify(raw, stated, path)
            except MaterializeError as error:
                faults.append(error)
        return faults

    def _placed(
        self, facts: ImageFacts, load: Callable[[], bytes], *, verify: bool = False
    ) -> bool:
        written = self.place(facts, load, verify=verify)
        if written:
            self.sync()
        return written

    def _with_file(
        self,
        locator: str,
        error_class: ErrorClass,
        action: Callable[[int], T],
        path: str = "$",
    ) -> tuple[str, T]:
        """The name of the file that a locator names, and what `action` does with its descriptor."""
        where = self._locate(locator)
        if isinstance(where, Problem):
            raise refused(where, error_class)
        *below, name = where
        try:
            with (
                open_directory(self.root, below) as directory,
                open_regular(directory, name) as (descriptor, _),
            ):
                return name, action(descriptor)
        except FileNotFoundError:
            fault = error_class(
                "missing_image",
                path,
                expected=f"an image in {shown_path(self.root)}",
                got=f"none of the name {shown_text(name)}",
                hint="offload the image again, or copy it into the image directory",
            )
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
        # Here, where no OSError becomes its context: that has the name as it is.
        raise fault

    def _locate(self, locator: str) -> list[str] | Problem:
        """The names that lead from the root to a file."""
        scheme = scheme_of(locator) if is_a(locator, str) else ""
        if not scheme:
            return raw_image_id_problem(locator) or [locator]
        if scheme != "file":
            got = f"the scheme {shown_text(scheme)}"
            return Problem("bad_locator", "a raw_image_id or a file:// URL", got)
        path = file_path(locator)
        if isinstance(path, Problem):
            return path
        if len(path) > LONGEST_PATH or not is_utf8(path):
            # No file has this path, and resolving it takes the square of its length.
            return Problem("bad_locator", "the path of a file", shown_text(locator))
        parent, name = os.path.split(path)
        # Links above the root are the operator's (/data -> /mnt/data); the ones below it are
        # resolved here and then refused, if they come into being only now, by the open.
        real = Path(os.path.realpath(parent))
        if not name or not real.is_relative_to(self.root):
            expected = f"a file inside {shown_path(self.root)}"
            return Problem("path_escape", expected, shown_text(locator))
        return [*real.relative_to(self.root).parts, name]

    def _verify(self, raw: bytes, expected: str, path: str) -> None:
        if hashlib.sha256(raw).hexdigest().startswith(expected):
            return
        self._tally.add(verify_failures=1)
        raise MaterializeError(
            "hash_mismatch",
            path,
            expected=f"bytes whose SHA-256 begins with {shown_name(expected)}",
            got=f"{len(raw)} bytes that have another one",
            hint="delete the file and offload the image again",
        )
