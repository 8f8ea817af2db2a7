"""List an image directory and classify its files by name: images, temporary files, others."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import OffloadError, raise_alone, shown_path
from rawmm.images import EXTENSIONS
from rawmm.locators import stored_hash
from rawmm.store.files import TEMPORARY, open_directory, reason_and_hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXTENSIONS: Final = frozenset({*EXTENSIONS.values(), "jpeg"})  # the last one before the contract
_TEMPORARY: Final = re.compile(re.escape(TEMPORARY) + r"(?P<pid>[0-9]{1,10})-[0-9]+-[0-9a-f]{16}\Z")
_ASIDE: Final = re.compile(r"\.(?P<why>gc|corrupt)-[0-9a-f]{16}-(?P<name>[^.].*)\Z", re.DOTALL)


class Aside(NamedTuple):
    """The hidden name of an image that was moved aside: ``.<why>-<random>-<image name>``.

    ``why`` is ``gc`` for a file that `collect_garbage` is about to delete, and ``corrupt`` for one
    that `fsck` quarantined.
    """

    why: str
    name: str


class Listing(NamedTuple):
    """The names in an image directory by kind, sorted."""

    images: list[str]
    temporary: list[str]
    aside: list[str]
    foreign: list[str]


def list_images(directory: int) -> Listing:
    """List an open directory."""
    found = Listing([], [], [], [])
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        if is_image_name(name):
            found.images.append(name)
        elif _TEMPORARY.match(name):
            found.temporary.append(name)
        elif aside(name):
            found.aside.append(name)
        else:
            found.foreign.append(name)
    return found


def is_image_name(name: str) -> bool:
    """Whether a name is one that stores give: a hash and the extension of an image."""
    return stored_hash(name) is not None and name.rpartition(".")[2] in _EXTENSIONS


def writer_of(temporary: str) -> int:
    """Return the process id in the name of a temporary file."""
    match = _TEMPORARY.match(temporary)
    return int(match["pid"]) if match else 0


def aside(name: str) -> Aside | None:
    """Parse the hidden name of an image that was moved aside; None for any other name."""
    match = _ASIDE.match(name)
    if match is None or not is_image_name(match["name"]):
        return None
    return Aside(match["why"], match["name"])


def move_aside(directory: int, name: str, why: str) -> str:
    """Rename an image to a unique hidden name and return that name."""
    hidden = f".{why}-{secrets.token_hex(8)}-{name}"
    os.rename(name, hidden, src_dir_fd=directory, dst_dir_fd=directory)
    return hidden


def put_back(directory: int, hidden: str, name: str) -> None:
    """Restore the name of a file that was moved aside, unless a newer file has it.

    A newer file was written because this one was missing. Calling this twice is harmless.
    """
    try:
        os.link(hidden, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return
    except OSError:
        # The file system has no hard links, or protected_hardlinks forbids this one.
        if os.access(name, os.F_OK, dir_fd=directory, follow_symlinks=False):
            os.unlink(hidden, dir_fd=directory)
        else:
            os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
        return
    try:
        os.unlink(hidden, dir_fd=directory)
    except FileNotFoundError:
        return


@contextmanager
def opened(root: Path, what: str) -> Iterator[int]:
    """Open an image directory, and translate any `OSError` in the block.

    Raises:
        OffloadError: ``store_failed``.
    """
    try:
        with open_directory(root) as directory:
            yield directory
    except OSError as error:
        reason, hint = reason_and_hint(error)
        raise_alone(
            OffloadError(
                "store_failed", expected=f"{what} {shown_path(root)}", got=reason, hint=hint
            )
        )
