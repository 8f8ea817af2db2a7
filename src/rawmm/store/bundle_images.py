"""The images of a bundle of ``rawmm bundle``, a ZIP file or a folder. They are read only.

::

    bundle.manifest      what is in the bundle
    records/NAME.jsonl   records, which name images by file name alone
    images/HASH.EXT      images, named as in an image directory
"""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rawmm.errors import (
    MaterializeError,
    OffloadError,
    RawMMError,
    shown_name,
    shown_path,
    shown_text,
)
from rawmm.images import Limits
from rawmm.real_class import is_a
from rawmm.store.errors import check_hash, failed, missing_image, refused, stated_hash
from rawmm.store.local import ImageStore
from rawmm.store.run_dir import raw_image_id_problem

if TYPE_CHECKING:
    from rawmm.images import ImageInfo, PreparedImage
    from rawmm.store.errors import ErrorClass
    from rawmm.store.stored_image import StoredImage

MANIFEST: Final = "bundle.manifest"
IMAGES: Final = "images"
RECORDS: Final = "records"
ZIP: Final = ".zip"

ZIP_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
"""What zipfile raises for a damaged file, and for one that is encrypted or of another method."""
_AGAIN: Final = "copy the bundle again, or write it again"


def is_bundle(location: object) -> bool:
    """Whether a path names a bundle: a ZIP file, or a folder with a manifest."""
    try:
        path = str.__str__(os.fspath(location))  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001  (the store of a directory says what is wrong with it)
        return False
    # Each call of describe_image asks; these functions are faster than those of a path.
    if path.lower().endswith(ZIP) and os.path.isfile(path):  # noqa: PTH113
        return True
    return bool(path) and os.path.isfile(f"{path}/{MANIFEST}")  # noqa: PTH113


class BundleImages:
    """A store of the images of a bundle, which cannot be changed. Thread-safe; may be pickled.

    Locators are ``raw_image_id``. Every image that is read is compared with the hash in its name,
    and `exists` reads it, too, once: a bundle is what came from another machine.

    Args:
        path: the ZIP file or folder. It is opened when it is needed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._folder = ImageStore(self._path / IMAGES) if self._path.is_dir() else None
        self._lock = threading.Lock()
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._whole: set[str] = set()
        self.limits = Limits()

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the file again where it is unpickled."""
        return type(self), (self._path,)

    @property
    def root(self) -> Path:
        """The ZIP file, or the folder of the images."""
        return self._path if self._folder is None else self._path / IMAGES

    def uri(self, info: ImageInfo) -> str:
        """Return the URL of an image, whether it is there or not."""
        return f"{self.root.as_uri()}/{info.raw_image_id}"

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """Return the verified bytes of an image.

        Raises:
            MaterializeError: as `ImageStore.read`; ``hash_mismatch`` also for damaged data.
        """
        if self._folder is not None:
            return self._folder.read(locator, expected_hash)
        if expected_hash is not None:
            check_hash(expected_hash)
        if is_a(locator, str):
            locator = locator.removeprefix(f"{self.root.as_uri()}/")
        problem = raw_image_id_problem(locator)
        if problem is not None:
            raise refused(problem, MaterializeError)
        raw = self._content(locator)
        expected = stated_hash(locator) if expected_hash is None else expected_hash
        if expected is not None and not hashlib.sha256(raw).hexdigest().startswith(expected):
            raise MaterializeError(
                "hash_mismatch",
                expected=f"bytes whose SHA-256 begins with {shown_name(expected)}",
                got=f"{len(raw)} bytes with another hash",
                hint=_AGAIN,
            )
        return raw

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """Whether an image is there, and has the bytes that its name states.

        Args:
            locator: a ``raw_image_id``.
            renew: has no effect.

        Raises:
            OffloadError: ``path_escape``, ``bad_locator``, ``store_failed``, ``hash_mismatch``.
        """
        del renew
        if is_a(locator, str) and locator in self._whole:
            return True
        fault = None
        try:
            self.read(locator)
        except MaterializeError as error:
            if error.code == "missing_image":
                return False
            fault = OffloadError(
                error.code, expected=error.expected, got=error.got, hint=error.hint
            )
        if fault is not None:
            raise fault
        self._whole.add(locator)
        return True

    def names(self) -> list[str]:
        """Return the ``raw_image_id`` of every image, sorted.

        Raises:
            OffloadError: ``store_failed``.
        """
        if self._folder is not None:
            return self._folder.names()
        prefix = f"{IMAGES}/"
        names = [name.removeprefix(prefix) for name in self._archive(OffloadError).namelist()
                 if name.startswith(prefix)]  # fmt: skip
        return sorted(name for name in names if name and "/" not in name)

    def size(self, raw_image_id: str) -> int:
        """Return the bytes of an image without reading it; 0 if it is not there."""
        if raw_image_id_problem(raw_image_id) is not None:
            return 0
        try:
            if self._folder is not None:
                return self._folder.path(raw_image_id).stat().st_size
            return self._archive(OffloadError).getinfo(f"{IMAGES}/{raw_image_id}").file_size
        except (KeyError, OSError, RawMMError):
            return 0

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """Refuse to write.

        Raises:
            OffloadError: ``store_denied``.
        """
        del raw, verify
        self._refuse("to write an image")

    def delete(self, raw_image_id: str) -> None:
        """Refuse to delete.

        Raises:
            OffloadError: ``bad_locator`` or ``path_escape``, else ``store_denied``.
        """
        problem = raw_image_id_problem(raw_image_id)
        if problem is not None:
            raise refused(problem, OffloadError)
        self._refuse(f"to delete {shown_text(raw_image_id)}")

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        with self._lock:
            if self._opened is not None:
                self._opened[1].close()
                self._opened = None

    def _refuse(self, what: str) -> NoReturn:
        raise OffloadError(
            "store_denied",
            expected=f"{what} in {shown_path(self._path)}",
            got="a bundle, which is read only",
            hint="give a directory",
        )

    def _content(self, name: str) -> bytes:
        archive = self._archive(MaterializeError)
        raw = fault = None
        try:
            with archive.open(f"{IMAGES}/{name}") as member:
                raw = member.read(self.limits.max_bytes + 1)
        except KeyError:
            fault = missing_image(self._path, name, MaterializeError)
        except OSError as error:
            fault = failed(error, f"to read {shown_text(name)}", MaterializeError)
        except ZIP_DAMAGE:
            fault = MaterializeError(
                "hash_mismatch",
                expected="the bytes of an image",
                got="damaged data",
                hint=_AGAIN,
            )
        if fault is not None:
            raise fault
        assert raw is not None
        self.limits.check_bytes(len(raw))
        return raw

    def _archive(self, error_class: ErrorClass) -> zipfile.ZipFile:
        """The open file: one for each process, as children that were forked share positions."""
        fault = None
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                return self._opened[1]
            try:
                self._opened = os.getpid(), zipfile.ZipFile(self._path)
            except OSError as error:
                fault = failed(error, f"to read {shown_path(self._path)}", error_class)
            except ZIP_DAMAGE:
                fault = error_class(
                    "store_failed",
                    expected="the ZIP file of a bundle",
                    got="another file, or a damaged one",
                    hint=_AGAIN,
                )
            opened = self._opened
        if fault is not None:
            raise fault
        assert opened is not None
        return opened[1]
