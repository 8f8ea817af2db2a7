"""``kill -9`` at any point of an offload by several processes, and of a collection."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore, fsck
from rawmm.store.files import open_directory
from rawmm.store.listing import Listing, list_images
from tests.faults.children import CONTEXT
from tests.faults.writers import (
    AFTER,
    BEFORE,
    INSIDE,
    collect_until_killed,
    offload_until_killed,
    urls_of,
)
from tests.unit.images.pictures import chat_request, data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

KILLS: Final = 200
"""Inside of an offload. A kill before or after it proves nothing."""
MOST_KILLS: Final = 4 * KILLS
AT_ONCE: Final = 4
"""Writers that are killed in each round; one more lives on."""
IMAGES: Final = 6
PIXELS: Final = (320, 240)
LONG_AGO: Final = timedelta(hours=2).total_seconds()
GOLDEN: Final = (5**0.5 - 1) / 2
"""The fractional parts of its multiples are spread evenly, however many there are."""
COLLECTIONS: Final = 40
UNDISTURBED: Final = 3
"""The first of them, to see how long one takes."""
GRACE: Final = timedelta(seconds=2)
"""As short as a test can wait; longer than from a writer's start to its collector's."""


@pytest.fixture(scope="module")
def urls() -> list[str]:
    """Images of noise: large files, so that there is time to be killed while one is written."""
    import io

    from PIL import Image

    found = []
    for seed in range(IMAGES):
        out = io.BytesIO()
        pixels = random.Random(seed).randbytes(PIXELS[0] * PIXELS[1] * 3)
        Image.frombytes("RGB", PIXELS, pixels).save(out, "PNG", compress_level=1)
        found.append(data_url(out.getvalue()))
    return found


class Killable:
    """Processes that begin the same work at the same moment.

    Each has a pipe of its own to wait for the start: a barrier has a lock that all share, and a
    process that is killed while it holds the lock stops the others for ever.
    """

    def __init__(
        self, work: Callable[..., None], root: Path, urls: Sequence[str], number: int
    ) -> None:
        self.states: Any = CONTEXT.Array("b", number, lock=False)
        self._starts: list[Connection] = []
        self._processes: list[ForkServerProcess] = []
        for index in range(number):
            ours, theirs = CONTEXT.Pipe()
            args = (str(root), urls, self.states, index, theirs)
            process = CONTEXT.Process(target=work, args=args)
            process.start()
            theirs.close()
            self._starts.append(ours)
            self._processes.append(process)

    def begin(self) -> float:
        """Let them begin; when that was."""
        for start in self._starts:
            start.recv()
        for start in self._starts:
            start.send(None)
        return time.monotonic()

    def kill(self, *indices: int) -> list[int]:
        """Kill some at once; how far each had come."""
        for index in indices:
            pid = self._processes[index].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        for index in indices:
            self._processes[index].join()
            assert self._processes[index].exitcode == -signal.SIGKILL
            self._starts[index].close()
        return [self.states[index] for index in indices]

    def wait_for(self, index: int) -> None:
        """Until one has ended its work."""
        deadline = time.monotonic() + 600
        while self.states[index] != AFTER:
            assert time.monotonic() < deadline, "one that was not killed did not end"
            assert self._processes[index].is_alive()
            time.sleep(0.001)


def _duration(roots: Iterator[Path], urls: Sequence[str]) -> float:
    """The seconds that undisturbed writers need for the offload."""
    took = []
    for _ in range(5):
        writers = Killable(offload_until_killed, next(roots), urls, AT_ONCE + 1)
        begun = writers.begin()
        for index in range(AT_ONCE + 1):
            writers.wait_for(index)
        took.append(time.monotonic() - begun)
        writers.kill(*range(AT_ONCE + 1))
    return statistics.median(took)


def _listed(root: Path) -> Listing:
    with open_directory(root) as directory:
        return list_images(directory)


def test_killed_writer_leaves_whole_images_only(
    tmp_path: Path, urls: list[str], counted: Callable[..., None]
) -> None:
    roots = (tmp_path / f"images-{number}" for number in range(1000))
    duration = _duration(roots, urls)
    names = {ImageStore(tmp_path).prepare(url).raw_image_id for url in urls}
    states = [0, 0, 0]
    stale = rounds = 0
    shift = random.random()
    while states[INSIDE] < KILLS:
        assert sum(states) < MOST_KILLS, f"too few kills landed inside: {states}"
        moment = duration * ((shift + rounds * GOLDEN) % 1)
        rounds += 1
        root = next(roots)
        writers = Killable(offload_until_killed, root, urls, AT_ONCE + 1)
        begun = writers.begin()
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        for state in writers.kill(*range(AT_ONCE)):
            states[state] += 1
        # What is there under its name is whole, at once, and while another still writes.
        if root.exists():
            assert ImageStore(root).verify() == []
            assert not [finding for finding in fsck(root) if finding.kind == "corrupt"]
        writers.wait_for(AT_ONCE)
        writers.kill(AT_ONCE)
        stale += _after_the_kills(root, urls, names)
    assert stale > 0, "no kill hit a write"
    counted(
        kills=sum(states),
        before=states[BEFORE],
        inside=states[INSIDE],
        after=states[AFTER],
        rounds=rounds,
        stale_files_removed=stale,
        offload=f"{duration * 1000:.0f} ms",
    )


def _after_the_kills(root: Path, urls: list[str], names: set[str]) -> int:
    """Run again; then nothing is lost, and `fsck` removes what is stale. How many files."""
    body = chat_request(*urls)
    stats = offload_images_inplace(body, image_dir=root)
    assert stats.images_rewritten == len(urls)
    for url in urls_of(body):
        ImageStore(root).read(url)
    left = _listed(root).temporary
    # They are young: their writers could still be at work on another host.
    assert fsck(root, [body], repair=True) == []
    assert _listed(root).temporary == left
    for name in left:
        old = time.time() - LONG_AGO
        os.utime(root / name, (old, old))
    found = fsck(root, [body], repair=True)
    assert [(each.kind, each.file.name, each.repaired) for each in found] == [
        ("stale", name, True) for name in left
    ]
    assert {path.name for path in root.iterdir()} == names
    assert fsck(root, [body]) == []
    return len(left)


def test_killed_collector_loses_no_referenced_image(
    tmp_path: Path, counted: Callable[..., None]
) -> None:
    images = [picture(seed=seed) for seed in range(240)]
    named, again = images[::6], images[1::6]
    first = ImageStore(tmp_path / "first", durable=False)
    all_names = {first.put(raw).raw_image_id for raw in images}
    kept = {first.prepare(raw).raw_image_id for raw in (*named, *again)}
    for name in all_names:
        os.utime(first.root / name, (0, 0))
    stores = [ImageStore(tmp_path / str(number), durable=False) for number in range(COLLECTIONS)]
    for store in stores:
        shutil.copytree(first.root, store.root)
    time.sleep(GRACE.total_seconds())
    urls = [data_url(raw) for raw in named]
    states = [0, 0, 0]
    deleted = put_back = 0
    duration = 0.0
    for number, store in enumerate(stores):
        collector = Killable(collect_until_killed, store.root, urls, 1)
        begun = collector.begin()
        # Some of what no record names is stored again, while the collector takes it away.
        for raw in again:
            store.put(raw)
        if number < UNDISTURBED:
            collector.wait_for(0)
            duration = time.monotonic() - begun
        else:
            moment = begun + duration * ((number * GOLDEN) % 1)
            time.sleep(max(0.0, moment - time.monotonic()))
        states[collector.kill(0)[0]] += 1
        put_back += len(_listed(store.root).aside)
        found = fsck(store.root, repair=True)
        assert all(each.kind == "stale" and each.repaired for each in found)
        left = set(_listed(store.root).images)
        assert kept <= left <= all_names
        deleted += len(all_names - left)
        assert store.verify() == []
    assert states[INSIDE] >= COLLECTIONS // 4, states
    assert deleted > 0
    counted(
        kills=COLLECTIONS,
        before=states[BEFORE],
        inside=states[INSIDE],
        after=states[AFTER],
        deleted=deleted,
        put_back=put_back,
        collection=f"{duration * 1000:.0f} ms",
    )
