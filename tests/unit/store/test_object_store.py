"""An object store in memory keeps the promises of a directory, and refuses what names no place."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.errors import ContractError, MaterializeError, OffloadError, RawMMError
from rawmm.images import Limits
from rawmm.store import (
    CachedStore,
    ObjectImageStore,
    collect_garbage,
    fsck,
    open_store,
    store_for,
)
from rawmm.store.object_client import Create, Delete
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RAW = picture()
_names = itertools.count()


@pytest.fixture
def store() -> ObjectImageStore:
    made = open_store(f"memory://store-{next(_names)}/run one/images")
    assert isinstance(made, ObjectImageStore)
    return made


def key(store: ObjectImageStore, name: str) -> str:
    return f"{store.prefix}/{name}"


def replace(store: ObjectImageStore, name: str, raw: bytes) -> None:
    """Put other bytes under a name, as another program would."""
    store.client.do(Delete(key(store, name)))
    assert store.client.do(Create(key(store, name), raw))


def test_image_is_written_once_and_found_again(store: ObjectImageStore) -> None:
    first, again = store.put(RAW), store.put(memoryview(RAW), verify=True)
    assert (first.written, again.written) == (True, False)
    assert first.uri == f"{store.root}/{first.raw_image_id}"
    assert "run%20one" in first.uri
    assert store.read(first.uri) == store.read(first.raw_image_id, first.sha256[:16]) == RAW
    assert open_store(store.root).names() == [first.raw_image_id]
    assert store_for(first.uri).read(first.uri) == RAW
    counters = store.counters
    assert (counters.seen, counters.stored, counters.deduplicated) == (2, 1, 1)
    assert (counters.bytes_in, counters.bytes_written) == (2 * len(RAW), len(RAW))
    store.delete(first.raw_image_id)
    store.delete(first.raw_image_id)
    assert not store.exists(first.uri)


def test_many_images_at_once_keep_their_order(store: ObjectImageStore) -> None:
    images = [picture(seed=seed) for seed in range(50)]

    async def all_of_it() -> None:
        stored = await store.put_many_async([*images, *images])
        assert [one.raw_image_id for one in stored[:50]] == [
            store.prepare(raw).raw_image_id for raw in images
        ]
        assert await store.read_many_async(one.uri for one in stored) == [*images, *images]
        assert await store.exists_async(stored[0].uri, renew=True)
        with pytest.raises(MaterializeError) as caught:
            await store.read_many_async([stored[0].uri, f"{'a' * 64}.png"])
        assert caught.value.code == "missing_image"
        with pytest.raises(OffloadError):
            await store.put_many_async([images[0], b"no image"])

    asyncio.run(all_of_it())
    assert store.counters.stored == 50


@pytest.mark.parametrize("verify", [False, True])
def test_damaged_object_is_replaced(*, verify: bool, store: ObjectImageStore) -> None:
    stored = store.put(RAW)
    for damage in (RAW[:-1], b"", bytes(len(RAW)) if verify else RAW + b"x"):
        replace(store, stored.raw_image_id, damage)
        assert [error.code for error in store.verify()] == ["hash_mismatch"]
        assert [one.kind for one in fsck(store.root)] == ["corrupt"]
        with pytest.raises(MaterializeError) as caught:
            store.read(stored.uri)
        assert caught.value.code == "hash_mismatch"
        assert store.put(RAW, verify=verify).written
        assert store.read(stored.uri) == RAW
    assert store.verify() == []


def test_object_of_the_right_size_is_trusted(store: ObjectImageStore) -> None:
    stored = store.put(RAW)
    replace(store, stored.raw_image_id, bytes(len(RAW)))
    assert not store.put(RAW).written
    assert store.put(RAW, verify=True).written


def test_limits_are_enforced(store: ObjectImageStore) -> None:
    small = open_store(store.root, limits=Limits(max_edge=5))
    for raw, code in ((RAW, "image_limit"), (b"no image", "not_an_image")):
        with pytest.raises(OffloadError) as caught:
            small.put(raw)
        assert caught.value.code == code
    assert store.names() == []


def test_offload_writes_all_images_or_none(store: ObjectImageStore) -> None:
    good = [part(data_url(picture(seed=seed))) for seed in range(3)]
    bad = [*good, part(data_url(b"no image"))]
    with pytest.raises(OffloadError):
        rawmm.offload_images_inplace(bad, store=store)
    assert store.names() == []
    assert bad[0] == part(data_url(picture(seed=0)))
    rawmm.offload_images_inplace(good, store=store)
    assert [one["image_url"]["url"] for one in good] == [
        store.uri(store.prepare(picture(seed=seed)).info) for seed in range(3)
    ]


def test_offload_puts_images_at_the_same_time(
    store: ObjectImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=60)
    put = ObjectImageStore.put

    def waiting(self: ObjectImageStore, *args: Any, **options: Any) -> Any:
        together.wait()
        return put(self, *args, **options)

    monkeypatch.setattr(ObjectImageStore, "put", waiting)
    value = [part(data_url(picture(seed=seed))) for seed in range(3)]
    stats = rawmm.offload_images_inplace(value, store=store)
    assert (stats.images_rewritten, len(store.names())) == (3, 3)


WRONG_ROOTS: dict[str, str] = {
    "s3://key:SECRET@bucket/x": "bad_locator",
    "s3://SECRET@bucket": "bad_locator",
    "s3://": "bad_locator",
    "s3:///x": "bad_locator",
    "s3:/bucket/x": "bad_locator",
    "memory://BUCKET/x": "bad_locator",
    "memory://a/b//c": "bad_locator",
    "memory://a/./c": "bad_locator",
    "memory://a/b?sig=SECRET": "bad_locator",
    "memory://a/b#SECRET": "bad_locator",
    "memory://a/%0a": "bad_locator",
    "memory://a/b\\c": "bad_locator",
    "memory://a/../b": "path_escape",
    "memory://a/%2e%2e/b": "path_escape",
    "memory://a/%00": "path_escape",
    "memory://a/" + "x" * 5000: "bad_locator",
}


@pytest.mark.parametrize("root", WRONG_ROOTS)
def test_root_that_names_no_place_is_refused(root: str) -> None:
    with pytest.raises(OffloadError) as caught:
        open_store(root)
    assert caught.value.code == WRONG_ROOTS[root]
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": "SECRET"},
        {"at_once": 0},
        {"config": "SECRET"},
        {"config": {"SECRET": 1}},
        {"config": {1: "SECRET"}},
        {"limits": 7},
        {"nonsense": 1},
    ],
    ids=repr,
)
def test_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ContractError) as caught:
        open_store("memory://a/b", **options)
    if "timeout" not in options:
        assert "SECRET" not in str(caught.value)


WRONG_LOCATORS: dict[str, tuple[object, str]] = {
    "up": ("../x.png", "path_escape"),
    "slash": ("a/b.png", "path_escape"),
    "space": ("a b.png", "bad_locator"),
    "no string": (7, "wrong_type"),
    "none": (None, "wrong_type"),
    "bytes": (b"a.png", "wrong_type"),
    "other scheme": ("file:///a.png", "bad_locator"),
    "other bucket": ("memory://other/images/a.png", "path_escape"),
    "sibling": ("memory://{bucket}/run one/images2/a.png", "path_escape"),
    "the root": ("memory://{bucket}/run one/images", "path_escape"),
    "the bucket": ("memory://{bucket}", "path_escape"),
    "out by escape": ("memory://{bucket}/run one/images/%2e%2e/a.png", "path_escape"),
    "query": ("memory://{bucket}/run one/images/a.png?x", "bad_locator"),
}


@pytest.mark.parametrize("case", WRONG_LOCATORS)
@pytest.mark.parametrize("action", ["read", "exists", "read_async", "exists_async"])
def test_locator_of_another_place_is_refused(
    action: str, case: str, store: ObjectImageStore
) -> None:
    locator, code = WRONG_LOCATORS[case]
    if isinstance(locator, str):
        locator = locator.format(bucket=store.root.split("/")[2])
    call: Callable[[Any], Any] = getattr(store, action)
    with pytest.raises(MaterializeError if "read" in action else OffloadError) as caught:
        asyncio.run(call(locator)) if action.endswith("_async") else call(locator)
    assert caught.value.code == code


@pytest.mark.parametrize("spelling", ["run one", "run%20one", "run%20%6Fne"])
def test_every_spelling_of_a_url_names_the_image(spelling: str, store: ObjectImageStore) -> None:
    stored = store.put(RAW)
    bucket = store.root.split("/")[2]
    assert store.read(f"memory://{bucket}/{spelling}/images/{stored.raw_image_id}") == RAW
    assert open_store(f"memory://{bucket}/{spelling}/images/").root == store.root


def test_other_objects_are_no_images(store: ObjectImageStore) -> None:
    for name in ("notes.txt", f".gc/{'a' * 64}.png", f"below/{'b' * 64}.png", "a.png"):
        assert store.client.do(Create(key(store, name), b"x"))
    stored = store.put(RAW)
    assert store.names() == [stored.raw_image_id]
    assert fsck(store.root) == []
    stats = collect_garbage(store.root, [], grace=timedelta(0), allow_empty=True)
    assert stats.deleted == [stored.raw_image_id]
    assert store.read("notes.txt") == b"x"


def test_whole_bucket_is_a_folder(store: ObjectImageStore) -> None:
    whole = open_store(f"memory://whole-{next(_names)}")
    stored = whole.put(RAW)
    assert whole.read(stored.uri) == RAW
    stats = collect_garbage(str(whole.root), [stored.uri])
    assert (stats.referenced, stats.marked) == (1, 0)


def test_young_image_is_not_marked_and_records_must_name_some(store: ObjectImageStore) -> None:
    store.put(RAW)
    stats = collect_garbage(store.root, [], grace=timedelta(days=1), allow_empty=True)
    assert (stats.deleted, stats.young, stats.marked) == ([], 1, 0)
    with pytest.raises(ContractError):
        collect_garbage(store.root, [])


def test_missing_package_is_named() -> None:
    program = (
        "import sys; sys.modules['obstore'] = None\n"
        "import rawmm\n"
        "try:\n    rawmm.open_store('s3://bucket/x')\n"
        "except rawmm.OffloadError as error:\n    print(error, error.__context__)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'rawmm[stores]'" in said.stdout
    assert said.stdout.endswith("[store_failed] None\n")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
@pytest.mark.parametrize("url", ["memory://copied/x", "s3://bucket/x"])
def test_copy_has_the_options_and_counters_of_its_own(
    url: str, copied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY")
    options: dict[str, Any] = {
        "limits": Limits(max_bytes=10**5),
        "config": {"region": "eu-west-1"},
        "retries": 2,
        "timeout": 7.0,
        "at_once": 3,
        "fetcher": None,
    }
    original = ObjectImageStore(url, **options)
    if url.startswith("memory"):
        original.put(RAW)
    made = copied(original)
    assert made.__reduce__()[0].keywords == original.__reduce__()[0].keywords == options
    assert (made.root, made.counters.seen) == (original.root, 0)
    assert made.client is original.client
    assert b"CANARY" not in pickle.dumps(original)
    cached = copied(CachedStore(tmp_path, original, 10**6))
    assert (cached.root, cached.max_bytes) == (original.root, 10**6)
    if url.startswith("memory"):
        assert cached.read(cached.names()[0]) == RAW
        assert cached.counters.misses == 1


def test_error_of_a_request_can_be_pickled(store: ObjectImageStore) -> None:
    with pytest.raises(RawMMError) as caught:
        store.read(f"{'a' * 64}.png")
    assert pickle.loads(pickle.dumps(caught.value)).code == "missing_image"
