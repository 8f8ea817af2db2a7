"""Bundles: records and their images in one folder or ZIP file, which may be moved anywhere.

`rawmm.store.BundleImages` has the files of a bundle. The manifest is JSON: kind, version, the hash
and number of records of each file.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self, cast

import msgspec

from rawmm.cli.compressed import DamagedStreamError
from rawmm.cli.output import UsageError
from rawmm.cli.records import BrokenSourceError, Source, check_location
from rawmm.errors import printable, raise_alone, shown_file
from rawmm.store import (
    IMAGES,
    MANIFEST,
    RECORDS,
    ZIP,
    ZIP_DAMAGE,
    BundleImages,
    ImageStore,
    is_object_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rawmm.cli.records import Record

_KIND: Final = "rawmm_bundle"
_VERSION: Final = 1
_LARGEST_MANIFEST: Final = 64 << 20
_UNPORTABLE: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""What the name of a file of records has not: JSON, ZIP or other systems could not hold it."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a ZIP file, so that equal bundles are equal files."""


class RecordsFile(msgspec.Struct, frozen=True):
    """What the manifest says of a file of records."""

    sha256: str
    count: int


class Manifest(msgspec.Struct, frozen=True):
    """The manifest of a bundle."""

    kind: str
    version: int
    records: dict[str, RecordsFile]
    images: int


class Bundle:
    """A bundle that is read. Use it as a context.

    Args:
        path: the folder or ZIP file.

    Attributes:
        name: the name in messages.
        manifest: what is in it.
        images: the store of its images.

    Raises:
        UsageError: it cannot be read.
        BrokenSourceError: it is not a bundle, or is damaged.
    """

    def __init__(self, path: str) -> None:
        self.name = printable(path)
        self._path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if not self._path.is_dir():
            try:
                self._zip = zipfile.ZipFile(path)
            except OSError as error:
                reason = (error.strerror or "").lower()
                raise UsageError(f"{shown_file(self.name)}: cannot be read: {reason}") from None
            except ZIP_DAMAGE:
                raise_alone(_broken("a complete ZIP file", "another file, or a damaged one"))
        self.manifest = self._read_manifest()
        self.images = BundleImages(path)

    def __enter__(self) -> Self:
        """Return the bundle, which is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.images.close()
        if self._zip is not None:
            self._zip.close()

    def sizes(self) -> dict[str, int]:
        """The bytes of each file of records, by its name."""
        return {name: self._size(f"{RECORDS}/{name}") for name in self.manifest.records}

    @contextmanager
    def source(self, name: str) -> Iterator[Source]:
        """Open a file of records. After the last one, it is compared with the manifest.

        Raises:
            BrokenSourceError: the file is missing or damaged; also of the records of the source.
        """
        said = self.manifest.records.get(name)
        if said is None:
            raise _broken("the records of a bundle", "a bundle without them")
        with self._open(f"{RECORDS}/{name}") as file:
            yield _BundledSource(
                file, f"{self.name}/{RECORDS}/{name}", said, self._size(f"{RECORDS}/{name}")
            )

    def image_names(self) -> list[str]:
        """The file names of the images, sorted.

        Raises:
            BrokenSourceError: there are more or fewer than the manifest says.
        """
        names = self.images.names()
        if len(names) != self.manifest.images:
            raise _broken(f"{self.manifest.images} images, as in the manifest", f"{len(names)}")
        return names

    def _size(self, name: str) -> int:
        with suppress(OSError, KeyError, ValueError):
            if self._zip is None:
                return (self._path / name).stat().st_size
            return self._zip.getinfo(name).file_size
        return 0

    def _open(self, name: str) -> BinaryIO:
        try:
            if self._zip is None:
                return (self._path / name).open("rb")
            return cast("BinaryIO", self._zip.open(name))
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                reason = (error.strerror or "").lower()
                raise UsageError(f"{self.name}: cannot be read: {reason}") from None
        except (*ZIP_DAMAGE, KeyError):
            pass
        raise _broken(f"the file {printable(name)}", "a bundle without it, or a damaged one")

    def _read_manifest(self) -> Manifest:
        manifest = None
        if self._zip is not None and MANIFEST not in self._zip.namelist():
            raise BrokenSourceError.at_line(
                None, f"a bundle, which has the file {MANIFEST}", "a ZIP file without it",
                "unpack it, and give the files in it",
            )  # fmt: skip
        with (
            self._open(MANIFEST) as file,
            suppress(DamagedStreamError, msgspec.DecodeError, UnicodeDecodeError, RecursionError),
        ):
            data = _Hashing(file).read(_LARGEST_MANIFEST)
            manifest = msgspec.json.decode(data, type=Manifest)
        if manifest is None or manifest.kind != _KIND:
            raise _broken("the manifest of a bundle", "another file, or a damaged one")
        if manifest.version != _VERSION:
            raise _broken(f"version {_VERSION} of a bundle", f"version {manifest.version}")
        for name in manifest.records:
            if name in {"", ".", ".."} or "/" in name or "\\" in name or "\0" in name:
                raise _broken("names of files in the manifest", "a path")
        return manifest


class _BundledSource(Source):
    """The records of a bundle's file, which must be those of the manifest."""

    def __init__(self, file: BinaryIO, name: str, said: RecordsFile, size: int) -> None:
        self._hashing = _Hashing(file)
        self._said = said
        super().__init__(cast("BinaryIO", self._hashing), name, "jsonl", size=size, bounded=True)

    def records(self, *, may_be_empty: bool = True, keep_blank: bool = False) -> Iterator[Record]:
        """The records. See `Source.records`; a bundle may have files without any."""
        del may_be_empty
        count = 0
        for record in super().records(may_be_empty=True, keep_blank=keep_blank):
            count += 1
            yield record
        said = self._said
        if self._hashing.hexdigest() != said.sha256 or count != said.count:
            raise _broken(
                f"{said.count} records with the hash in the manifest",
                f"{count} records" + ("" if count != said.count else " that were changed"),
            )


class _Hashing:
    """A stream that hashes what is read, and raises zipfile's errors as `DamagedStreamError`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        try:
            data = self._file.read(size)
        except ZIP_DAMAGE:
            data = None
        if data is None:
            raise DamagedStreamError("damaged data")
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        """The SHA-256 of what was read."""
        return self._hash.hexdigest()


class BundleWriter:
    """Writes a bundle, completely or not at all. Use it as a context.

    Args:
        path: the folder, which must not exist or be empty; or a file ending in ``.zip``.

    Attributes:
        store: the image directory of the bundle.
        images: the number of images, after the end.
        size: their bytes, after the end.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: str) -> None:
        check_location(path)
        if is_object_url(path):
            raise UsageError(
                f"{shown_file(printable(path))}: a bundle is written to this machine; give a "
                "folder, or a .zip file"
            )
        self._path = Path(path)
        self._zipped = self._path.suffix.lower() == ZIP
        self.images = 0
        self.size = 0
        is_empty = self._path.is_dir() and not any(self._path.iterdir())
        if not self._zipped and self._path.exists() and not is_empty:
            raise UsageError(f"{printable(path)}: exists; give a new folder, or a .zip file")
        parent = self._path.absolute().parent
        self._folder = parent / f".{self._path.name[:64]}.{secrets.token_hex(6)}.tmp"
        self._files: dict[str, RecordsFile] = {}
        self._open: BinaryIO | None = None
        try:
            (self._folder / RECORDS).mkdir(parents=True)
            (self._folder / IMAGES).mkdir()
        except OSError as error:
            raise self._failed(error) from None
        self.store = ImageStore(self._folder / IMAGES, durable=False)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def begin(self, name: str) -> None:
        """Begin a file of records. Of equal names, the later gets a number."""
        self._end_file()
        stem = _UNPORTABLE.sub("_", name.removesuffix(".jsonl")) or "records"
        taken, number = stem, 1
        while (
            f"{taken}.jsonl" in self._files or (self._folder / RECORDS / f"{taken}.jsonl").exists()
        ):
            number += 1
            taken = f"{stem}-{number}"
        self._name = f"{taken}.jsonl"
        try:
            self._open = (self._folder / RECORDS / self._name).open("wb")
        except OSError as error:
            raise self._failed(error) from None
        self._hash, self._count = hashlib.sha256(), 0

    def write(self, line: bytes) -> None:
        """Write a record: one line, which ends with a newline."""
        assert self._open is not None
        try:
            self._open.write(line)
        except OSError as error:
            raise self._failed(error) from None
        self._hash.update(line)
        self._count += 1

    def _end_file(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
            self._files[self._name] = RecordsFile(self._hash.hexdigest(), self._count)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the bundle in place; after an error remove it."""
        try:
            if kind is None:
                self._end_file()
                self._finish()
        except OSError as failure:
            raise self._failed(failure) from None
        finally:
            if self._open is not None:
                with suppress(OSError):
                    self._open.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self) -> None:
        names = sorted(path.name for path in (self._folder / IMAGES).iterdir())
        self.images = len(names)
        self.size = sum((self._folder / IMAGES / name).stat().st_size for name in names)
        manifest = Manifest(_KIND, _VERSION, dict(sorted(self._files.items())), len(names))
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (self._folder / MANIFEST).write_bytes(text + b"\n")
        if not self._zipped:
            if self._path.is_dir():
                self._path.rmdir()
            self._folder.replace(self._path)
            return
        temporary = self._folder.with_suffix(".zip")
        try:
            with temporary.open("wb") as out:
                self._write_zip(out, [f"{IMAGES}/{name}" for name in names])
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self._path)
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _write_zip(self, out: BinaryIO, images: list[str]) -> None:
        records = [f"{RECORDS}/{name}" for name in sorted(self._files)]
        with zipfile.ZipFile(out, "w") as archive:
            for name in [MANIFEST, *records, *images]:
                info = zipfile.ZipInfo(name, _EPOCH)
                info.external_attr = 0o644 << 16
                # Images are compressed already.
                packed = not name.startswith(IMAGES)
                info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
                with (
                    (self._folder / name).open("rb") as file,
                    archive.open(info, "w", force_zip64=True) as member,
                ):
                    shutil.copyfileobj(file, member, 1 << 20)

    def _failed(self, error: OSError) -> UsageError:
        reason = (error.strerror or str(error)).lower()
        return UsageError(f"{shown_file(printable(str(self._path)))}: cannot be written: {reason}")


def _broken(expected: str, got: str) -> BrokenSourceError:
    return BrokenSourceError.at_line(
        None, expected, got, "copy the bundle again, or write it again"
    )
