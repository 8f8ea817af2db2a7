"""Eight processes of eight threads store the same images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rawmm.store import ImageStore, fsck
from tests.faults.children import CONTEXT, in_child
from tests.faults.writers import store_from_threads
from tests.unit.images.pictures import FORMATS, data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROCESSES = 8
THREADS = 8
IMAGES = 100


def test_concurrent_writers_store_each_image_once(
    tmp_path: Path, counted: Callable[..., None]
) -> None:
    kinds = list(FORMATS)
    images = [picture(kinds[seed % 4], seed=seed) for seed in range(IMAGES)]
    urls = [data_url(raw, f"image/{kinds[seed % 4].lower()}") for seed, raw in enumerate(images)]
    root = tmp_path / "images"
    manager = CONTEXT.Manager()
    with manager, ThreadPoolExecutor(PROCESSES) as pool:
        start = manager.Barrier(PROCESSES)

        def one(seed: int) -> tuple[int, int]:
            args = (str(root), images, urls, THREADS, seed, start)
            seen, stored = in_child(store_from_threads, *args).value
            return seen, stored

        answers = list(pool.map(one, range(PROCESSES)))
    seen, written = (sum(column) for column in zip(*answers, strict=True))
    expected = {ImageStore(root).prepare(raw).raw_image_id for raw in images}
    assert len(expected) == IMAGES
    assert {path.name for path in root.iterdir()} == expected
    assert ImageStore(root).verify() == []
    assert fsck(root) == []
    assert seen == PROCESSES * THREADS * IMAGES
    assert IMAGES <= written < seen
    counted(stored_or_found=seen, written=written, files=len(expected), unverified=0)
