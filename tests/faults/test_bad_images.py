"""Every image of Pillow's own tests, many of them broken on purpose, is stored or refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import rawmm
from tests.faults.children import in_child
from tests.faults.judging import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PILLOW = "12.0.0"
FILES = 1058
"""Files under Tests/images; with the folders there are 1,084 entries."""
MOST_MEGABYTES = 200


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files, out of the source distribution as pip gets it. Nothing is built from it."""
    folder = tmp_path_factory.mktemp("pillow")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=pillow"]
    fetched = subprocess.run(
        [*pip, f"--dest={folder}", f"pillow=={PILLOW}"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    with tarfile.open(folder / f"pillow-{PILLOW}.tar.gz") as archive:
        members = [each for each in archive if "/Tests/images/" in each.name and each.isfile()]
        archive.extractall(folder, members, filter="data")
    return sorted(folder / each.name for each in members)


def test_bad_image_is_stored_or_refused_with_a_code(
    images: list[Path], tmp_path: Path, counted: Callable[..., None]
) -> None:
    assert len(images) == FILES
    root = tmp_path / "images"
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        outcomes = list(pool.map(lambda file: in_child(judge, file, root), images))
    most = max(outcome.peak_mb for outcome in outcomes)
    assert most < MOST_MEGABYTES
    judged = [outcome.value for outcome in outcomes]
    for file, each in zip(images, judged, strict=True):
        assert each.put == each.put_data_url == each.offload_request, (file.name, each)
        # A family may refuse a shape. What cannot be stored cannot be described.
        assert each.put in ("stored", each.describe), (file.name, each)
    assert rawmm.ImageStore(root).verify() == []
    codes = Counter(each.put for each in judged)
    assert codes["stored"] > 100
    assert codes["not_an_image"] > 100
    decoded = Counter(each.decode for each in judged if each.put == "stored")
    counted(
        files=len(judged),
        **dict(codes.most_common()),
        stored_and_decoded=decoded["stored"],
        stored_but_not_decoded=decoded["not_an_image"],
        most_memory=f"{most:.0f} MB",
    )
