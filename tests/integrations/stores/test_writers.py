"""Processes that write the same images at once, beside a collector; and a forked child."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from rawmm.errors import MaterializeError
from rawmm.offload import offload_images_inplace
from rawmm.store import CachedStore, ObjectImageStore, collect_garbage, fsck
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.integrations.stores.proxy import Proxy

WRITERS = 8
IMAGES = [picture(seed=seed) for seed in range(20)]
CONTEXT = multiprocessing.get_context("spawn")


def write_all(root: str, images: Sequence[bytes], seed: int) -> tuple[int, int]:
    """Put images in an order of its own; returns how many were put, and how many written."""
    store = ObjectImageStore(root)
    order = list(images)
    random.Random(seed).shuffle(order)
    if seed % 3 == 0:
        asyncio.run(store.put_many_async(order))
    elif seed % 3 == 1:
        for raw in order:
            store.put(raw, verify=True)
    else:
        offload_images_inplace([part(data_url(raw)) for raw in order], store=store)
    for raw in order:
        assert store.read(store.prepare(raw).raw_image_id) == raw
    assert store.counters.verify_failures == 0
    return store.counters.seen, store.counters.stored


def test_eight_writers_of_twenty_images_store_twenty(any_bucket: str) -> None:
    with ProcessPoolExecutor(WRITERS, CONTEXT) as pool:
        running = [pool.submit(write_all, any_bucket, IMAGES, seed) for seed in range(WRITERS)]
        done = [one.result() for one in running]
    assert sum(seen for seen, _ in done) == WRITERS * len(IMAGES)
    assert sum(written for _, written in done) == len(IMAGES)
    store = ObjectImageStore(any_bucket)
    assert len(store.names()) == len(IMAGES)
    assert store.verify() == []
    assert fsck(any_bucket) == []


def test_garbage_is_marked_then_deleted_unless_it_is_written_again(any_bucket: str) -> None:
    store = ObjectImageStore(any_bucket)
    kept, again, garbage = (store.put(raw) for raw in IMAGES[:3])
    records = [kept.uri]
    # The servers give times in whole seconds, and a collection allows for one second more.
    grace = timedelta(seconds=1)
    asyncio.run(asyncio.sleep(3.5))
    stats = collect_garbage(any_bucket, records, grace=grace)
    assert (stats.deleted, stats.marked) == ([], 2)
    assert not store.put(IMAGES[1]).written
    assert store.exists(again.raw_image_id, renew=True)
    for _ in range(100):
        stats = collect_garbage(any_bucket, [*records, again.uri], grace=grace)
        if stats.deleted:
            break
        asyncio.run(asyncio.sleep(0.1))
    assert stats.deleted == [garbage.raw_image_id]
    assert stats.bytes_freed == garbage.size
    assert store.names() == sorted([kept.raw_image_id, again.raw_image_id])
    assert [name for name, _ in store.client.listed(store.prefix) if ".gc/" in name] == []


def test_collection_of_one_folder_leaves_those_below_alone(bucket: str) -> None:
    outer, inner = ObjectImageStore(bucket), ObjectImageStore(f"{bucket}/below")
    inner.put(IMAGES[0])
    garbage = outer.put(IMAGES[1])
    stats = collect_garbage(bucket, [], grace=timedelta(0), allow_empty=True)
    assert stats.deleted == [garbage.raw_image_id]
    assert outer.names() == []
    assert len(inner.names()) == 1


def test_dry_run_writes_nothing(bucket: str) -> None:
    store = ObjectImageStore(bucket)
    garbage = store.put(IMAGES[0])
    before = list(store.client.listed(""))
    stats = collect_garbage(bucket, [], grace=timedelta(0), allow_empty=True, dry_run=True)
    assert stats.deleted == [garbage.raw_image_id]
    assert list(store.client.listed("")) == before


def outcome_of_child(root: str) -> int:
    """Fork a child that reads the first image; returns 0 for its bytes, 1 for a typed error."""
    child = os.fork()
    if not child:
        code = 9
        try:
            store = ObjectImageStore(root, retries=0)
            for read in (store.read, lambda name: asyncio.run(store.read_async(name))):
                try:
                    code = 0 if read(store.prepare(IMAGES[0]).raw_image_id) == IMAGES[0] else 2
                except MaterializeError as error:
                    code = 1 if "was forked" in error.got else 3
                    if error.__context__ is not None:
                        code = 4
        finally:
            os._exit(code)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        asyncio.run(asyncio.sleep(0.1))
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def fork_before_and_after(root: str) -> list[int]:
    """Fork a child before this process uses the store, and one after."""
    before = outcome_of_child(root)
    ObjectImageStore(root).read(ObjectImageStore(root).prepare(IMAGES[0]).raw_image_id)
    return [before, outcome_of_child(root)]


def test_forked_child_works_or_says_why_not(bucket: str) -> None:
    """A data loader of a trainer forks its workers. obstore would wait in them for ever."""
    ObjectImageStore(bucket).put(IMAGES[0])
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        assert pool.submit(fork_before_and_after, bucket).result() == [0, 1]


def read_through(root: str, endpoint: str, cache: str, names: list[str]) -> int:
    """Read images through a directory; returns how many came from the store."""
    store = CachedStore(cache, ObjectImageStore(root, config={"endpoint": endpoint}), 10**6)
    for name in names:
        assert store.read(name) in IMAGES
    return store.counters.misses


def test_processes_of_a_machine_read_each_image_once(
    bucket: str, proxy: Proxy, tmp_path: Path
) -> None:
    store = ObjectImageStore(bucket)
    names = [store.put(raw).raw_image_id for raw in IMAGES]
    with ProcessPoolExecutor(4, CONTEXT) as pool:
        running = [
            pool.submit(read_through, bucket, proxy.endpoint, str(tmp_path), names)
            for _ in range(4)
        ]
        assert sum(one.result() for one in running) == len(IMAGES)
    assert proxy.counts["GET"] == len(IMAGES)
