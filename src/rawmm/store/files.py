"""File operations of an image directory: write atomically, open without following links.

All paths are relative to a descriptor of the directory, so that nobody can swap the directory
between a check and its use. A system without such descriptors, such as Windows, is refused: see
`open_directory`. The functions raise `OSError`; `errors` translates it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def open_flags(*names: str) -> int:
    """The flags of `os.open` with these names, without those that the system does not have."""
    return sum(getattr(os, name, 0) for name in names)


# O_NONBLOCK: opening a FIFO in place of an image must not block.
_READ: Final = open_flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
_CREATE: Final = open_flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC")
_DIRECTORY: Final = open_flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_REFUSES_LINKS: Final = hasattr(os, "O_NOFOLLOW")
_HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
_PROBE: Final = bytes(4096)
"""One block, because a full disk may still accept a smaller file."""

TEMPORARY: Final = ".tmp-"
"""Prefix of temporary files, whose names are ``.tmp-<pid>-<thread>-<random>``."""

_REASONS: Final = {
    errno.ENOSPC: ("no space left on the device", "free space, or choose another directory"),
    errno.EDQUOT: ("the disk quota is used up", "free space, or choose another directory"),
    errno.EFBIG: ("a file over the size limit of the process", "raise the limit (ulimit -f)"),
    errno.EROFS: ("a read-only file system", "choose a directory that can be written"),
    errno.EACCES: ("permission denied", "give this user access, or choose another directory"),
    errno.EPERM: ("an operation that is not permitted", "choose another directory"),
    errno.ENOTDIR: ("a file where a directory should be", "remove it, or choose another directory"),
    errno.EEXIST: ("a file where a directory should be", "remove it, or choose another directory"),
    errno.EISDIR: ("a directory where an image should be", "remove it"),
    errno.ENXIO: ("a socket where an image should be", "remove it"),
    errno.ENOENT: ("a directory that does not exist", "create it, or choose another directory"),
    errno.ELOOP: ("a symbolic link", "replace the link by what it points to"),
    errno.ENAMETOOLONG: ("a path that is too long", "choose a shorter directory"),
    errno.EMFILE: ("too many open files", "close some, or raise the limit (ulimit -n)"),
    errno.EIO: ("an input/output error of the device", "check the device"),
}


class NotRegularError(OSError):
    """Something other than a regular file has the name of an image. ``kind`` describes it."""

    def __init__(self, kind: str) -> None:
        super().__init__(errno.EINVAL, f"{kind} instead of a regular file")
        self.kind = kind


class UnsupportedError(OSError):
    """The system or the file system lacks what a store needs to keep its promises."""

    def __init__(self, lacks: str, hint: str) -> None:
        super().__init__(errno.ENOTSUP, lacks)
        self.hint = hint


def reason_and_hint(error: OSError) -> tuple[str, str]:
    """Return what an error of the operating system means, and a hint."""
    if isinstance(error, NotRegularError):
        return error.kind, "remove it"
    if isinstance(error, UnsupportedError):
        return error.strerror or "", error.hint
    number = error.errno or 0
    return _REASONS.get(number, (os.strerror(number), "choose another image directory"))


def directory_descriptor(path: Path) -> int:
    """Open a directory that is no link. The caller closes it.

    Raises:
        UnsupportedError: the system has no descriptors of directories. Without them, a directory
            could be swapped for a link between a check and its use.
    """
    if not _HAS_DESCRIPTORS:
        raise UnsupportedError(
            "a system without descriptors of directories",
            "use a store in a bucket, see docs/stores.md",
        )
    try:
        descriptor = os.open(path, _DIRECTORY)
    except NotADirectoryError as error:
        if path.is_symlink():  # Linux calls it no directory
            error.errno, error.strerror = errno.ELOOP, os.strerror(errno.ELOOP)
        raise
    try:
        _refuse_link(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def open_directory(path: Path, below: Sequence[str] = ()) -> Iterator[int]:
    """Open a directory, or one below it, without following links below it.

    Raises:
        UnsupportedError: as `directory_descriptor`.
    """
    descriptor = directory_descriptor(path)
    try:
        for name in below:
            parent, descriptor = descriptor, os.open(name, _DIRECTORY, dir_fd=descriptor)
            try:
                _refuse_link(descriptor, name, parent)
            finally:
                os.close(parent)
        yield descriptor
    finally:
        os.close(descriptor)


def sync_directory(descriptor: int) -> None:
    """Sync the entries of a directory.

    Raises:
        UnsupportedError: the file system has no such operation.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    else:
        return
    raise UnsupportedError(
        "a file system that cannot sync a directory",
        "open the store with durable=False (--no-durable), which survives no power failure",
    )


def _refuse_link(descriptor: int, name: str | Path, directory: int | None = None) -> None:
    """Raise ELOOP if the open file was reached through a link, where opening does not refuse it."""
    if _REFUSES_LINKS:
        return
    there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not os.path.samestat(os.fstat(descriptor), there):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def make_directory(path: Path, *, durable: bool) -> list[Path]:
    """Create a directory and its parents. With `durable`, sync their entries.

    Returns:
        The directories that were created, innermost first.
    """
    missing = []
    for each in (path, *path.parents):
        if os.path.lexists(each):
            break
        missing.append(each)
    path.mkdir(parents=True, exist_ok=True)
    if durable:
        for created in missing:
            with open_directory(created.parent) as descriptor:
                sync_directory(descriptor)
    return missing


def regular_descriptor(directory: int, name: str) -> tuple[int, int]:
    """Open a regular file; return its descriptor, which the caller closes, and its size in bytes.

    Raises ELOOP for a link.
    """
    descriptor = os.open(name, _READ, dir_fd=directory)
    try:
        _refuse_link(descriptor, name, directory)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularError(_kind(status.st_mode))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


@contextmanager
def open_regular(directory: int, name: str) -> Iterator[tuple[int, int]]:
    """`regular_descriptor`, closed at the end."""
    descriptor, size = regular_descriptor(directory, name)
    try:
        yield descriptor, size
    finally:
        os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    """Read the rest of an open file."""
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return file.readall()


def write_atomically(directory: int, name: str, raw: bytes, *, durable: bool) -> None:
    """Write a file so that a reader sees the old file or the new one, whole.

    A link of that name is replaced, not followed. With `durable` the bytes are synced; the caller
    syncs the directory for the name.
    """
    put_in_place(directory, write_temporary(directory, raw, durable=durable), name)


def write_temporary(directory: int, raw: bytes, *, durable: bool) -> str:
    """Write a temporary file for `put_in_place` and return its name. Removes it on failure."""
    temporary = _temporary_name()
    try:
        _write_new(directory, temporary, raw, durable=durable)
    except BaseException:
        # BaseException, so that an interrupt leaves no file behind either.
        remove(directory, temporary)
        raise
    return temporary


def put_in_place(directory: int, temporary: str, name: str) -> None:
    """Rename a temporary file. Removes it on failure."""
    try:
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        remove(directory, temporary)
        raise


def remove(directory: int, temporary: str) -> None:
    """Remove a temporary file. Ignores failures."""
    with suppress(OSError):
        os.unlink(temporary, dir_fd=directory)


def touch(descriptor: int) -> None:
    """Set the modification time of an open file to now. Ignores read-only file systems."""
    try:
        os.utime(descriptor)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def renew_age(directory: int, name: str, descriptor: int) -> bool:
    """Set the modification time of an open file to now; return whether its name still exists.

    If this returns False, the caller must write the file again: it was deleted or moved aside
    since it was opened, or it belongs to another user and its time cannot be set. In a directory
    that cannot be written, such a file is accepted as it is.
    """
    try:
        touch(descriptor)
    except PermissionError:
        if os.access(".", os.W_OK, dir_fd=directory, effective_ids=True):
            return False
    return os.access(name, os.F_OK, dir_fd=directory)


def probe_directory(path: Path, *, durable: bool) -> int:
    """Write and remove a file in a directory; return its modification time in nanoseconds.

    If the directory is missing, a temporary directory beside it is probed instead, so that the
    directory itself is created with the first image only.
    """
    for there in (path, *path.parents):
        try:
            os.lstat(there)
        except FileNotFoundError:
            continue
        break
    with open_directory(there) as directory:
        if there == path:
            return _probe(directory, durable=durable)
        name = _temporary_name()
        os.mkdir(name, dir_fd=directory)
        try:
            with open_directory(there, [name]) as made:
                return _probe(made, durable=durable)
        finally:
            os.rmdir(name, dir_fd=directory)


def _probe(directory: int, *, durable: bool) -> int:
    name = _temporary_name()
    try:
        _write_new(directory, name, _PROBE, durable=durable)
        return os.stat(name, dir_fd=directory).st_mtime_ns
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)


def _temporary_name() -> str:
    return f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{secrets.token_hex(8)}"


def _write_new(directory: int, name: str, raw: bytes, *, durable: bool) -> None:
    descriptor = os.open(name, _CREATE, 0o644, dir_fd=directory)
    try:
        rest = memoryview(raw)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    )
    return next((name for test, name in kinds if test(mode)), "something other than a file")
