"""`collect_garbage`: the images that it keeps and deletes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel

from rawmm.errors import ContractError, OffloadError
from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore, collect_garbage, fsck
from rawmm.store.listing import move_aside
from tests import builders
from tests.unit.images.pictures import part, picture, temporary_files, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

NOW = timedelta(0)
HOUR = timedelta(hours=1)


def let_time_pass(root: Path) -> None:
    """Until what is there is older than a file that is written now."""
    newest = max(path.lstat().st_ctime_ns for path in root.iterdir())
    clock = root.with_name("clock")
    while True:
        clock.write_bytes(b"")
        if clock.stat().st_mtime_ns > newest:
            return
        time.sleep(0.001)


def names(store: ImageStore) -> set[str]:
    return {path.name for path in store.root.iterdir()}


def collect(store: ImageStore, *records: Any, **options: Any) -> list[str]:
    let_time_pass(store.root)
    return collect_garbage(store.root, records, **{"grace": NOW} | options).deleted


def test_unreferenced_image_is_deleted(store: ImageStore) -> None:
    kept, gone, also = (store.put(picture(seed=seed)) for seed in range(3))
    let_time_pass(store.root)
    stats = collect_garbage(store.root, [{"raw_image_id": kept.raw_image_id}], grace=NOW)
    assert stats.deleted == sorted([gone.raw_image_id, also.raw_image_id])
    assert stats.bytes_freed == gone.size + also.size
    assert (stats.referenced, stats.young, stats.restored) == (1, 0, [])
    assert names(store) == {kept.raw_image_id}


def single_records(name: str) -> dict[str, Any]:
    item = builders.item(raw_image_id=name)
    return {
        "dict": {"raw_image_id": name},
        "mapping": MappingProxyType({"raw_image_id": name}),
        "text": name,
        "bytes": name.encode(),
        "struct": item,
        "model": Model(raw_image_id=name),
        "None": None,
        "number": 5,
    }


class Model(BaseModel):
    raw_image_id: str


@pytest.mark.parametrize("kind", single_records("a.png"))
def test_one_record_in_place_of_a_list_is_refused(store: ImageStore, kind: str) -> None:
    image = store.put(picture())
    record = single_records(image.raw_image_id)[kind]
    let_time_pass(store.root)
    with pytest.raises(ContractError) as caught:
        collect_garbage(store.root, record, grace=NOW, allow_empty=True)
    assert caught.value.code == "wrong_type"
    assert names(store) == {image.raw_image_id}
    if record is not None:
        with pytest.raises(ContractError, match="wrong_type"):
            fsck(store.root, record)


@pytest.mark.parametrize("grace", [None, 3.0, "1d"])
def test_grace_of_another_type_is_refused(store: ImageStore, grace: Any) -> None:
    store.put(picture())
    with pytest.raises(ContractError, match="wrong_type"):
        collect_garbage(store.root, [], grace=grace)


def test_records_of_a_rollout_keep_its_images(store: ImageStore) -> None:
    messages = [part(url_of(seed=seed)) for seed in range(3)]
    offload_images_inplace(messages, store=store)
    assert collect(store, messages) == []
    assert len(collect(store, messages[:1])) == 2


def test_nothing_is_deleted_within_the_grace_period(store: ImageStore) -> None:
    image = store.put(picture())
    let_time_pass(store.root)
    stats = collect_garbage(store.root, [], grace=HOUR, allow_empty=True)
    assert (stats.deleted, stats.young) == ([], 1)
    stats = collect_garbage(
        store.root, [], grace=timedelta(milliseconds=1) * 600_000, allow_empty=True
    )
    assert stats.young == 1
    assert image.path.exists()


def test_copy_with_an_old_time_is_young(store: ImageStore) -> None:
    image = store.put(picture())
    os.utime(image.path, ns=(0, 0))
    assert collect(store, grace=HOUR, allow_empty=True) == []


def test_file_from_the_future_is_young(store: ImageStore) -> None:
    image = store.put(picture())
    ahead = time.time() + 10**6
    os.utime(image.path, (ahead, ahead))
    assert collect(store, allow_empty=True) == []
    os.utime(image.path)
    assert collect(store, allow_empty=True) == [image.raw_image_id]


def test_clock_is_that_of_the_files(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(picture())
    monkeypatch.setattr(time, "time_ns", lambda: 2 * 10**18)
    monkeypatch.setattr(time, "time", lambda: 2 * 10**9)
    assert collect(store, grace=HOUR, allow_empty=True) == []


def test_storing_again_makes_an_image_young(store: ImageStore) -> None:
    image = store.put(picture())
    before = image.path.stat().st_mtime_ns
    let_time_pass(store.root)
    assert not store.put(picture()).written
    assert image.path.stat().st_mtime_ns > before


def test_image_stored_while_records_are_read_stays(store: ImageStore) -> None:
    old, again, named = (store.put(picture(seed=seed)) for seed in range(3))
    let_time_pass(store.root)

    def records() -> Iterator[Any]:
        yield [named.uri]
        store.put(picture(seed=1))
        store.put(picture(seed=7))

    stats = collect_garbage(store.root, records(), grace=NOW)
    assert stats.deleted == [old.raw_image_id]
    assert stats.young == 1
    assert again.path.exists()
    assert len(names(store)) == 3


@pytest.mark.parametrize("failure", [OSError("x"), KeyboardInterrupt(), ContractError])
def test_record_that_cannot_be_read_stops_it_all(store: ImageStore, failure: Any) -> None:
    store.put(picture())
    let_time_pass(store.root)
    before = names(store)

    def records() -> Iterator[Any]:
        yield "0" * 32
        if failure is ContractError:
            yield ["mmraw:v9:x"]
        else:
            raise failure

    expected = failure if failure is ContractError else type(failure)
    with pytest.raises(expected):
        collect_garbage(store.root, records(), grace=NOW, allow_empty=True)
    assert names(store) == before


def test_records_without_references_need_allow_empty(store: ImageStore) -> None:
    image = store.put(picture())
    cases: tuple[list[Any], ...] = ([], [[]], [{"raw_image_id": "0" * 64 + ".png"}])
    for records in cases:
        with pytest.raises(ContractError) as caught:
            collect(store, *records)
        assert str(caught.value) == (
            f"$: expected records that name some of the 1 image in '{store.root}', got records "
            "that name none; pass the records of this directory, or allow_empty if no image is "
            "needed [no_references]"
        )
        assert image.path.exists()
    assert collect(store, allow_empty=True) == [image.raw_image_id]
    assert collect_garbage(store.root, [], grace=NOW).deleted == []  # nothing to lose


def test_dry_run_changes_nothing(store: ImageStore) -> None:
    image = store.put(picture())
    left = store.root / f".gc-{'0' * 16}-{'a' * 64}.png"
    left.write_bytes(b"")
    let_time_pass(store.root)
    before = (names(store), store.root.stat().st_mtime_ns, image.path.stat())
    stats = collect_garbage(store.root, [], grace=NOW, dry_run=True, allow_empty=True)
    assert stats.deleted == [image.raw_image_id]
    assert stats.bytes_freed == image.size
    assert (names(store), store.root.stat().st_mtime_ns, image.path.stat()) == before


def test_only_names_that_a_store_gives_are_deleted(store: ImageStore) -> None:
    store.put(picture())
    keep = {
        "cat.png",
        "notes.txt",
        f"{'a' * 64}.json",
        f"{'a' * 64}",
        f"{'a' * 63}.png",
        f"{'A' * 64}.png",
        f"{'a' * 64}.png.bak",
        f"{'a' * 32}.png",
        f".{'a' * 64}.png",
        "1234567890123456.png",  # a time in microseconds
        f".tmp-1-1-{'0' * 16}",
        f".corrupt-{'0' * 16}-{'a' * 64}.png",
        f".gc-{'0' * 16}-notes.txt",
    }
    for name in keep:
        (store.root / name).write_bytes(b"x")
    link, folder = store.root / f"{'b' * 64}.png", store.root / f"{'c' * 64}.png"
    link.symlink_to("cat.png")
    folder.mkdir()
    gone = {f"{'d' * 64}.{kind}" for kind in ("png", "jpg", "jpeg", "webp", "gif")}
    gone.add("a07e50973f7c1376.png")
    for name in gone:
        (store.root / name).write_bytes(b"x")
    image = store.put(picture())
    assert set(collect(store, allow_empty=True)) == gone | {image.raw_image_id}
    assert names(store) == keep | {link.name, folder.name}


def test_files_of_an_interrupted_collection_are_restored(store: ImageStore) -> None:
    image, other = store.put(picture()), store.put(picture(seed=1))
    away = store.root / f".gc-{'0' * 16}-{image.raw_image_id}"
    image.path.rename(away)
    doubled = store.root / f".gc-{'1' * 16}-{other.raw_image_id}"
    doubled.write_bytes(b"older")
    let_time_pass(store.root)
    stats = collect_garbage(store.root, [], grace=NOW, allow_empty=True)
    assert stats.restored == [image.raw_image_id, other.raw_image_id]
    # Its status changed just now, so it has a grace again.
    assert stats.deleted == [other.raw_image_id]
    assert names(store) == {image.raw_image_id}
    assert image.path.read_bytes() == picture()


@pytest.mark.parametrize("failure", [PermissionError, OSError])
def test_file_is_restored_without_hard_links(
    store: ImageStore, failure: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, other = store.put(picture()), store.put(picture(seed=1))
    image.path.rename(store.root / f".gc-{'0' * 16}-{image.raw_image_id}")
    (store.root / f".gc-{'1' * 16}-{other.raw_image_id}").write_bytes(b"older")

    def refuse(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(os, "link", refuse)
    collect_garbage(store.root, [], grace=HOUR, allow_empty=True)
    assert names(store) == {image.raw_image_id, other.raw_image_id}
    assert other.path.read_bytes() == picture(seed=1)


def test_negative_grace_is_refused(store: ImageStore) -> None:
    store.put(picture())
    with pytest.raises(ContractError) as caught:
        collect_garbage(store.root, [], grace=timedelta(seconds=-1), allow_empty=True)
    assert caught.value.code == "out_of_range"


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("nowhere", "file"):
        for dry_run in (False, True):
            with pytest.raises(OffloadError) as caught:
                collect_garbage(tmp_path / name, [], dry_run=dry_run)
            assert caught.value.code == "store_failed"
            assert str(tmp_path / name) in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


# --- writers and collectors in other processes

ROUNDS = 12
WRITERS = 2
COLLECTORS = 2
IMAGES = 6
HANGS = 300
"""Seconds after which a process must have died; no outcome depends on them."""


class Gates(NamedTuple):
    """Barriers for the processes of a test, which therefore needs no clock.

    In each round all files are old at first. The collectors read the clock and the directory,
    then everybody starts: writers store, collectors judge and delete.
    """

    old: Barrier
    read: Barrier
    written: Barrier
    over: Barrier


def _write(root: str, seed: int, gates: Gates, answers: Queue[tuple[str, int]]) -> None:
    """Store some of the images in each round; count those that are gone when it is over."""
    store = ImageStore(root, durable=False)
    images = [store.prepare(picture(seed=each)) for each in range(IMAGES)]
    chance = random.Random(seed)
    lost = 0
    for _ in range(ROUNDS):
        chosen = chance.choices(images[1:], k=8)  # the first one is never stored again
        gates.old.wait(HANGS)
        gates.read.wait(HANGS)
        for image in chosen:
            store.put(image)
        gates.written.wait(HANGS)
        gates.over.wait(HANGS)
        lost += sum(not store.path(image.raw_image_id).exists() for image in chosen)
    answers.put(("lost", lost))


def _collect(root: str, gates: Gates, answers: Queue[tuple[str, int]]) -> None:
    """Collect in each round; in every third one only after all is written."""
    deleted = kept = 0
    for number in range(ROUNDS):
        gates.old.wait(HANGS)
        late = number % 3 == 0

        def records(*, late: bool = late) -> Iterator[Any]:
            gates.read.wait(HANGS)
            if late:
                gates.written.wait(HANGS)
            yield []

        stats = collect_garbage(root, records(), grace=NOW, allow_empty=True)
        if not late:
            gates.written.wait(HANGS)
        deleted += len(stats.deleted)
        kept += stats.young if late else 0
        gates.over.wait(HANGS)
    answers.put(("deleted", deleted))
    answers.put(("kept", kept))


@pytest.mark.slow
def test_processes_that_write_and_collect_lose_no_image(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", durable=False)
    context = multiprocessing.get_context("spawn")
    everybody = WRITERS + COLLECTORS
    gates = Gates(
        old=context.Barrier(everybody + 1),
        read=context.Barrier(everybody),
        written=context.Barrier(everybody),
        over=context.Barrier(everybody + 1),
    )
    answers: Queue[tuple[str, int]] = context.Queue()
    root = str(store.root)
    workers = [
        *(context.Process(target=_write, args=(root, n, gates, answers)) for n in range(WRITERS)),
        *(context.Process(target=_collect, args=(root, gates, answers)) for _ in range(COLLECTORS)),
    ]
    for worker in workers:
        worker.start()
    for _ in range(ROUNDS):
        for seed in range(IMAGES):
            store.put(picture(seed=seed))
        let_time_pass(store.root)
        gates.old.wait(HANGS)
        gates.over.wait(HANGS)
    told = [answers.get(timeout=HANGS) for _ in range(WRITERS + 2 * COLLECTORS)]
    for worker in workers:
        worker.join(HANGS)
        assert worker.exitcode == 0
    count = {what: sum(number for name, number in told if name == what) for what, _ in told}
    assert count["lost"] == 0
    assert count["deleted"] >= ROUNDS  # in each round, the image that nobody stores again
    assert count["kept"] >= ROUNDS // 3
    assert temporary_files(store.root) == []
    assert store.verify() == []


def test_image_that_is_put_back_has_its_name_on_the_disk(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer may have synced the directory while the name was away."""
    stored = store.put(picture())
    let_time_pass(store.root)
    fsync = os.fsync
    synced: list[bool] = []

    def stored_again(directory: int, name: str, why: str) -> str:
        os.utime(stored.path)
        return move_aside(directory, name, why)

    def spy(file: int) -> None:
        synced.append(stored.path.exists())
        fsync(file)

    monkeypatch.setattr("rawmm.store.gc.move_aside", stored_again)
    monkeypatch.setattr(os, "fsync", spy)
    stats = collect_garbage(store.root, [], grace=NOW, allow_empty=True)
    assert (stats.deleted, stats.young) == ([], 1)
    assert synced == [True]


@pytest.mark.parametrize(
    "text",
    [
        "Data: compare file:///a/NAME",
        "data: [see NAME]",
        "DATA:image/png;base64,AAAA and NAME",
    ],
)
def test_text_that_begins_like_a_data_url_keeps_its_image(store: ImageStore, text: str) -> None:
    name = store.put(picture()).raw_image_id
    text = text.replace("NAME", name)
    for record in (text, {text: 1}, [text.encode()], {"a": json.dumps([text])}):
        assert collect(store, record) == []


def test_references_to_images_elsewhere_are_counted(store: ImageStore) -> None:
    image = store.put(picture())
    (store.root / "cat.png").write_bytes(b"x")
    record = [
        image.uri,
        f"file:///moved/{image.raw_image_id}",
        {"raw_image_id": "cat.png"},
        f"file:///a/{'a' * 64}.png",
        f"file:///a/{'a' * 64}.png",
        {"raw_image_id": "dog.png"},
    ]
    assert collect_garbage(store.root, [record]).elsewhere == 2
