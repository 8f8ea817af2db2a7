"""A directory in front of a store: verified, bounded, and one read for many readers."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import ContractError, MaterializeError, OffloadError
from rawmm.images import Limits, prepare_image
from rawmm.materialize import materialize
from rawmm.store import CachedStore, ImageStore, ObjectImageStore, open_store
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = [picture(seed=seed, size=(60, 40), compress_level=0) for seed in range(8)]
SIZE = len(IMAGES[0])
_names = itertools.count()


class CountingStore(ObjectImageStore):
    """An object store that counts how often it is read, and takes its time."""

    pause = 0.0

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.reads = 0
        self.guard = threading.Lock()

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        with self.guard:
            self.reads += 1
        time.sleep(self.pause)
        return super().read(locator, expected_hash)


@pytest.fixture
def remote() -> CountingStore:
    return CountingStore(f"memory://cached-{next(_names)}/images")


def taken(root: Path) -> int:
    return sum(path.stat().st_size for path in root.iterdir() if path.is_file())


def test_second_read_comes_from_the_directory(remote: CountingStore, tmp_path: Path) -> None:
    stored = remote.put(IMAGES[0])
    store = CachedStore(tmp_path / "cache", remote, 10 * SIZE)
    for locator in (stored.uri, stored.raw_image_id, stored.uri):
        assert store.read(locator, stored.sha256[:32]) == IMAGES[0]
    assert remote.reads == 1
    assert (store.counters.hits, store.counters.misses) == (2, 1)
    assert CachedStore(tmp_path / "cache", remote, 10 * SIZE).read(stored.uri) == IMAGES[0]
    assert remote.reads == 1


def test_damaged_file_is_read_again(remote: CountingStore, tmp_path: Path) -> None:
    stored = remote.put(IMAGES[0])
    store = CachedStore(tmp_path, remote, 10 * SIZE)
    store.read(stored.uri)
    for damage in (IMAGES[1], b"", IMAGES[0][:-1]):
        (tmp_path / stored.raw_image_id).write_bytes(damage)
        assert store.read(stored.uri) == IMAGES[0]
        assert (tmp_path / stored.raw_image_id).read_bytes() == IMAGES[0]
    assert store.counters.damaged == 3


def test_directory_never_exceeds_its_bound(remote: CountingStore, tmp_path: Path) -> None:
    stored = [remote.put(raw) for raw in IMAGES]
    bound = 3 * SIZE + SIZE // 2
    store = CachedStore(tmp_path, remote, bound)
    for _ in range(3):
        for one, raw in zip(stored, IMAGES, strict=True):
            assert store.read(one.uri) == raw
            store.read(stored[0].uri)  # read most recently
            assert taken(tmp_path) <= bound
    assert store.counters.evicted > 0
    assert (tmp_path / stored[0].raw_image_id).exists()
    other = CachedStore(tmp_path, remote, bound)  # does not know what the first has added
    for one in stored:
        other.read(one.uri)
        assert taken(tmp_path) <= bound


@pytest.mark.parametrize("bound", [0, SIZE - 1])
def test_image_that_does_not_fit_is_read_and_not_kept(
    bound: int, remote: CountingStore, tmp_path: Path
) -> None:
    stored = remote.put(IMAGES[0])
    store = CachedStore(tmp_path, remote, bound)
    assert store.read(stored.uri) == store.read(stored.uri) == IMAGES[0]
    assert remote.reads == 2
    assert taken(tmp_path) == 0


def test_many_readers_of_one_image_read_it_once(remote: CountingStore, tmp_path: Path) -> None:
    stored = remote.put(IMAGES[0])
    remote.pause = 0.05
    # Two objects, as in two processes.
    stores = [CachedStore(tmp_path, remote, 10 * SIZE) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        reads = [pool.submit(stores[number % 2].read, stored.uri) for number in range(16)]
        assert {one.result() for one in reads} == {IMAGES[0]}
    assert remote.reads == 1


def test_failure_is_passed_on_and_the_next_read_tries_again(
    remote: CountingStore, tmp_path: Path
) -> None:
    image = prepare_image(IMAGES[0], Limits())
    store = CachedStore(tmp_path, remote, 10 * SIZE)
    for locator, code in (
        (image.raw_image_id, "missing_image"),
        ("memory://elsewhere/" + image.raw_image_id, "path_escape"),
        ("../x", "path_escape"),
        (7, "wrong_type"),
    ):
        with pytest.raises(MaterializeError) as caught:
            store.read(locator)
        assert caught.value.code == code
    stored = remote.put(image)
    assert store.read(stored.uri) == IMAGES[0]
    for locator in (stored.uri, stored.raw_image_id):
        with pytest.raises(MaterializeError) as caught:
            store.read(locator, "0" * 32)
        assert caught.value.code == "hash_mismatch"
    with pytest.raises(MaterializeError) as caught:
        store.read("memory://elsewhere/" + image.raw_image_id)
    assert caught.value.code == "path_escape"


def test_directory_that_cannot_be_written_is_no_failure(
    remote: CountingStore, tmp_path: Path
) -> None:
    stored = remote.put(IMAGES[0])
    (tmp_path / "file").write_text("x")
    store = CachedStore(tmp_path / "file" / "cache", remote, 10 * SIZE)
    assert store.read(stored.uri) == IMAGES[0]


def test_other_methods_are_those_of_the_store(remote: CountingStore, tmp_path: Path) -> None:
    store = CachedStore(tmp_path, remote, 10 * SIZE)
    stored = store.put(IMAGES[0])
    assert store.uri(prepare_image(IMAGES[0], Limits()).info) == stored.uri
    assert store.root == remote.root
    assert store.limits is remote.limits
    assert store.exists(stored.uri, renew=True)
    assert store.read(stored.uri) == IMAGES[0]
    assert list(store.names()) == [stored.raw_image_id]
    store.delete(stored.raw_image_id)
    assert not store.exists(stored.uri)
    with pytest.raises(MaterializeError):
        store.read(stored.uri)
    done = materialize(None, image_processor=print, store=store)
    assert done.images == []


@pytest.mark.parametrize(
    ("remote_given", "bound"),
    [(7, 1), (None, 1), ("memory://a/b", -1), ("memory://a/b", 1.5), ("memory://a/b", True)],
)
def test_wrong_argument_is_refused(remote_given: Any, bound: Any, tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        CachedStore(tmp_path, remote_given, bound)


def test_directory_with_images_of_its_own_is_refused(remote: CountingStore, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    CachedStore(tmp_path, remote, SIZE)
    name = ImageStore(tmp_path).put(IMAGES[0]).raw_image_id
    for behind in (remote, ImageStore(tmp_path), str(tmp_path)):
        with pytest.raises(ContractError) as caught:
            CachedStore(tmp_path, behind, 0)
        assert (caught.value.code, caught.value.path) == ("bad_locator", "$.local")
    assert (tmp_path / name).exists()
    empty = tmp_path / "empty"
    with pytest.raises(ContractError):
        CachedStore(empty, str(empty), SIZE)


def test_path_whose_code_raises_is_refused(remote: CountingStore) -> None:
    class Hostile:
        def __fspath__(self) -> str:
            raise ValueError("CANARY")

    for call in (lambda: open_store(Hostile()), lambda: CachedStore(Hostile(), remote, 1)):
        with pytest.raises(OffloadError) as caught:
            call()
        assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_store_that_returns_other_bytes_is_found_out(
    remote: CountingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = remote.put(IMAGES[0])
    monkeypatch.setattr(CountingStore, "read", lambda *_: IMAGES[1])
    with pytest.raises(MaterializeError) as caught:
        CachedStore(tmp_path, remote, 10 * SIZE).read(stored.uri)
    assert caught.value.code == "hash_mismatch"
    assert taken(tmp_path) == 0


def test_directory_caches_another_directory(tmp_path: Path) -> None:
    behind = ImageStore(tmp_path / "shared")
    stored = behind.put(IMAGES[0])
    store = CachedStore(tmp_path / "cache", behind, 10 * SIZE)
    assert store.read(stored.raw_image_id) == store.read(stored.uri) == IMAGES[0]
    assert store.counters.hits == 1
    assert open_store(tmp_path / "cache").names() == [stored.raw_image_id]
