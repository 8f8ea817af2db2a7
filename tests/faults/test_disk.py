"""Disks that are full, read-only or gone give a typed error, and nothing is lost or changed.

Each fault is a real one, in a child of its own. A file system is mounted where that is allowed;
where it is not, a limit of the process stands in for it. The limit is tested everywhere.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import rawmm
from rawmm.errors import OffloadError, RawMMError
from tests.faults import machine
from tests.faults.children import in_child
from tests.faults.entry_points import ENTRY_POINTS
from tests.unit.images.pictures import assert_silent, picture, temporary_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILLER = "filler"
MOST_CALLS = 100_000


def _refused(entry_point: str, root: Path) -> str:
    """The message of the entry point's error. No partial file is left."""
    before = {path.name for path in root.iterdir()} if root.is_dir() else set()
    with pytest.raises(OffloadError) as caught:
        ENTRY_POINTS[entry_point](root)
    assert caught.value.code == "store_failed"
    assert caught.value.hint
    link: BaseException | None = caught.value
    while link is not None:
        assert isinstance(link, RawMMError)
        link = link.__cause__ or link.__context__
    assert_silent(caught.value)
    if root.is_dir():
        assert not temporary_files(root)
        assert before <= {path.name for path in root.iterdir()}
    return caught.value.got


def _stored(root: Path) -> rawmm.StoredImage:
    return rawmm.ImageStore(root).put(picture(seed=99))


def _all_is_well(entry_point: str, root: Path, kept: rawmm.StoredImage) -> None:
    """The fault is over: what was stored is there, and the same call succeeds."""
    store = rawmm.ImageStore(root)
    assert store.read(kept.raw_image_id) == picture(seed=99)
    ENTRY_POINTS[entry_point](root)
    assert store.verify() == []
    assert not temporary_files(root)
    assert len([path for path in root.iterdir() if path.name != FILLER]) > 1


def full_disk(entry_point: str, root: Path, blocks_left: int) -> str:
    """In a child."""
    machine.small_disk(root, 256)
    kept = _stored(root)
    filler = root / FILLER
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - 4096 * blocks_left)
    got = _refused(entry_point, root)
    filler.unlink()
    _all_is_well(entry_point, root, kept)
    return got


def used_up_quota(entry_point: str, root: Path) -> str:
    """In a child."""
    kept = _stored(root)
    machine.limit_files(20)
    got = _refused(entry_point, root)
    machine.lift_limit()
    _all_is_well(entry_point, root, kept)
    return got


def read_only_disk(entry_point: str, root: Path) -> str:
    """Runs in a child process, for which the directory is read-only."""
    machine.mount_read_only(root)
    return _refused(entry_point, root)


def no_permission(entry_point: str, root: Path) -> str:
    """In a child."""
    ENTRY_POINTS[entry_point](
        root.with_name("first")
    )  # another user may not load what this one needs
    root.chmod(0o555)
    machine.become_nobody(root)
    return _refused(entry_point, root)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
class TestEveryEntryPoint:
    @pytest.mark.parametrize("blocks_left", [0, 1])
    def test_full_disk_is_reported_and_loses_nothing(
        self, entry_point: str, blocks_left: int, tmp_path: Path, counted: Callable[..., None]
    ) -> None:
        root = tmp_path / "images"
        root.mkdir()
        if in_child(machine.can_mount).value:
            got = in_child(full_disk, entry_point, root, blocks_left).value
            assert got.startswith("no space left")
        else:
            got = in_child(used_up_quota, entry_point, root).value
            assert got.startswith("a file over the size")
        counted(refused=1)

    def test_exhausted_quota_is_reported_and_loses_nothing(
        self, entry_point: str, tmp_path: Path, counted: Callable[..., None]
    ) -> None:
        root = tmp_path / "images"
        got = in_child(used_up_quota, entry_point, root).value
        assert got.startswith("a file over the size")
        counted(refused=1)

    def test_read_only_directory_is_reported_and_loses_nothing(
        self, entry_point: str, tmp_path: Path, counted: Callable[..., None]
    ) -> None:
        root = tmp_path / "images"
        kept = _stored(root)
        if in_child(machine.can_mount).value:
            assert in_child(read_only_disk, entry_point, root).value == "a read-only file system"
            counted(read_only_disk=1)
        assert in_child(no_permission, entry_point, root).value == "permission denied"
        counted(no_permission=1)
        root.chmod(0o755)
        _all_is_well(entry_point, root, kept)

    @pytest.mark.slow
    def test_directory_removed_repeatedly_is_reported_or_made_again(
        self, entry_point: str, tmp_path: Path, counted: Callable[..., None]
    ) -> None:
        root = tmp_path / "images"
        stop = threading.Event()
        removed = 0

        def remove() -> None:
            nonlocal removed
            while not stop.wait(random.random() * 0.004):
                with suppress(OSError):
                    shutil.rmtree(root)
                    removed += 1

        remover = threading.Thread(target=remove)
        remover.start()
        refused = done = 0
        calls = 0  # a store makes its directory again, so it rarely fails
        try:
            while calls < MOST_CALLS and not (removed >= 20 and refused and done >= 50):
                calls += 1
                try:
                    ENTRY_POINTS[entry_point](root)
                    done += 1
                except OffloadError as error:
                    assert error.code == "store_failed", error  # noqa: PT017  (or it is done)
                    refused += 1
        finally:
            stop.set()
            remover.join()
        _all_is_well(entry_point, root, _stored(root))
        assert done
        assert refused
        counted(calls=done + refused, removals=removed, done=done, refused=refused)
