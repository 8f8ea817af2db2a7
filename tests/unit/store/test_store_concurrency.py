"""Many processes and threads use one store."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING

from rawmm.errors import MaterializeError
from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore, StoredImage
from tests.unit.images.pictures import part, picture, temporary_files, url_of

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 5
COPIES = 8


def _store_all(root: str) -> list[tuple[str, int]]:
    store = ImageStore(root, durable=False)
    value = [part(url_of(seed=seed % IMAGES)) for seed in range(IMAGES * 3)]
    stats = offload_images_inplace(value, store=store)
    assert stats.images_rewritten == IMAGES * 3
    for each in value:
        store.read(each["image_url"]["url"])
    return [(each["image_url"]["url"], stats.bytes_written) for each in value]


def _check(root: Path) -> None:
    assert len(list(root.iterdir())) == IMAGES
    assert not temporary_files(root)
    assert ImageStore(root).verify() == []


def test_many_processes_store_the_same_images(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        answers = list(pool.map(_store_all, [str(tmp_path / "images")] * COPIES))
    assert len({tuple(url for url, _ in answer) for answer in answers}) == 1
    _check(tmp_path / "images")


def test_many_threads_share_a_store(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", durable=False)
    start = threading.Barrier(COPIES)

    def work(_: int) -> list[StoredImage]:
        start.wait()
        return [store.put(picture(seed=seed % IMAGES)) for seed in range(IMAGES * 20)]

    with ThreadPoolExecutor(COPIES) as pool:
        answers = list(pool.map(work, range(COPIES)))
    _check(store.root)
    counters = store.counters
    assert counters.seen == COPIES * IMAGES * 20
    assert counters.stored + counters.deduplicated == counters.seen
    assert IMAGES <= counters.stored <= COPIES * IMAGES
    assert counters.stored == sum(image.written for answer in answers for image in answer)
    assert counters.bytes_written == sum(
        image.bytes_written for answer in answers for image in answer
    )
    assert counters.bytes_in == sum(image.size for answer in answers for image in answer)
    assert counters.verify_failures == 0


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    raw = picture("PNG", (400, 400))
    store = ImageStore(tmp_path / "images", durable=False)
    stored = store.put(raw)
    stop = threading.Event()
    seen: list[int] = []

    def write() -> None:
        while not stop.is_set():
            # The name goes, and comes back with the next put.
            stored.path.unlink(missing_ok=True)
            store.put(raw)
            stop.wait(0.001)

    def read() -> None:
        reads = 0
        while reads < 200:
            try:
                seen.append(len(store.read(stored.raw_image_id)))
                reads += 1
            except MaterializeError as error:
                if error.code != "missing_image":
                    raise

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(read) for _ in range(4)]:
                done.result()
    finally:
        stop.set()
        writer.join()
    assert set(seen) == {len(raw)}
