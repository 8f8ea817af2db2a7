"""Child processes of the kill and crowd tests: they offload real images and report progress."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore, collect_garbage
from tests.unit.images.pictures import chat_request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

BEFORE, INSIDE, AFTER = range(3)
"""The progress of a writer."""
FOREVER: Final = 600


def urls_of(body: dict[str, Any]) -> list[str]:
    """The image URLs of such a body."""
    return [each["image_url"]["url"] for each in body["messages"][0]["content"]]


def offload_until_killed(
    root: str, urls: Sequence[str], states: Any, index: int, start: Connection
) -> None:
    """Offload once, with every sync, and wait. ``states[index]`` tells how far it got."""
    body = chat_request(*urls)
    store = ImageStore(root)
    _wait_for(start)
    states[index] = INSIDE
    offload_images_inplace(body, store=store)
    states[index] = AFTER
    time.sleep(FOREVER)


def collect_until_killed(
    root: str, urls: Sequence[str], states: Any, index: int, start: Connection
) -> None:
    """Collect what `urls` do not name, and wait; as `offload_until_killed`."""
    store = ImageStore(root)
    records = [{"raw_image_id": store.prepare(url).raw_image_id} for url in urls]
    _wait_for(start)
    states[index] = INSIDE
    collect_garbage(root, records, grace=timedelta(seconds=2))
    states[index] = AFTER
    time.sleep(FOREVER)


def _wait_for(start: Connection) -> None:
    start.send(None)
    start.recv()


def store_from_threads(
    root: str, images: Sequence[bytes], urls: Sequence[str], threads: int, seed: int, start: Barrier
) -> tuple[int, int]:
    """Store the same images from many threads, each in an order of its own.

    Returns how many images were stored or found, and how many of these were written.
    """
    store = ImageStore(root, durable=seed % 2 == 0)
    failures: list[BaseException] = []
    ready = threading.Barrier(threads)

    def work(number: int) -> None:
        order = list(range(len(images)))
        random.Random(seed * threads + number).shuffle(order)
        try:
            ready.wait()
            if number % 2:
                body = chat_request(*(urls[index] for index in order))
                offload_images_inplace(body, store=store)
                for url in urls_of(body):
                    store.read(url)
            else:
                for index in order:
                    store.read(store.put(images[index], verify=number % 4 == 0).raw_image_id)
        except BaseException as error:  # noqa: BLE001  (raised below, in the thread that answers)
            failures.append(error)

    start.wait()
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]
    counters = store.counters
    assert counters.verify_failures == 0
    return counters.seen, counters.stored
