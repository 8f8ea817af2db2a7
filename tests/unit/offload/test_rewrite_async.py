"""Offload on an event loop: a thread does the work, and only the loop touches the value."""

from __future__ import annotations

import asyncio
import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import OffloadError
from rawmm.images import Limits
from rawmm.offload import ImageOffloadStats, offload_images_async, offload_images_inplace
from rawmm.store import ImageStore
from tests.unit.images.pictures import assert_silent, part, picture, url_of
from tests.unit.offload.gated_store import PATIENCE, GatedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


"""Seconds until a gate that never opens fails the test instead of hanging it."""


async def until(event: threading.Event) -> None:
    """Wait without blocking the loop."""
    assert await asyncio.to_thread(event.wait, PATIENCE), "the write did not begin"


def body(*urls: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part(url)]} for url in urls]}


def urls_of(value: dict[str, Any]) -> list[str]:
    return [message["content"][0]["image_url"]["url"] for message in value["messages"]]


async def while_storing(
    value: Any, store: GatedStore, change: Callable[[], None]
) -> ImageOffloadStats:
    """Offload `value`; `change` runs on the loop between the search and the rewrite."""
    task = asyncio.create_task(offload_images_async(value, store=store))
    await until(store.reached)
    change()
    store.gate.set()
    return await task


@pytest.mark.parametrize("given", ["offload", "again", "mixed", "none"])
def test_async_call_does_what_the_plain_call_does(given: str, tmp_path: Path) -> None:
    urls = {
        "offload": [url_of(seed=0), url_of("JPEG", 1), url_of(seed=0)],
        "again": [url_of(seed=0)],
        "mixed": [ImageStore(tmp_path).put(picture()).uri, url_of(seed=2)],
        "none": [],
    }[given]
    if given == "again":
        ImageStore(tmp_path).put(picture(seed=0))
    plain, on_loop = body(*urls), body(*urls)
    (tmp_path / "one").mkdir()
    dirs = [tmp_path] * 2 if given in {"again", "mixed"} else [tmp_path / "one", tmp_path / "two"]
    before = offload_images_inplace(copy.deepcopy(plain), image_dir=dirs[0])
    after = asyncio.run(offload_images_async(on_loop, image_dir=dirs[1]))
    if given == "mixed":
        assert (before.images_deduplicated, after.images_deduplicated) == (0, 1)
        before.images_deduplicated, before.bytes_written = 1, 0
    assert after == before
    assert all(url.startswith("file:///") for url in urls_of(on_loop))


def test_nothing_to_store_needs_no_directory_and_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    value = {"messages": [{"role": "user", "content": "text"}]}

    async def without_threads() -> ImageOffloadStats:
        closed = ThreadPoolExecutor()
        closed.shutdown()
        asyncio.get_running_loop().set_default_executor(closed)
        return await offload_images_async(value)

    assert asyncio.run(without_threads()) == ImageOffloadStats()
    with pytest.raises(OffloadError) as caught:
        asyncio.run(offload_images_async(body(url_of())))
    assert caught.value.code == "no_image_dir"


def test_event_loop_runs_while_images_are_stored(root: Path) -> None:
    store = GatedStore(root)
    value = body(url_of())

    async def story() -> int:
        task = asyncio.create_task(offload_images_async(value, store=store))
        await until(store.reached)
        beats = 0
        for _ in range(100):  # the write waits for this gate, and only the loop opens it
            await asyncio.sleep(0)
            beats += 1
        store.gate.set()
        await task
        return beats

    assert asyncio.run(story()) == 100
    assert store.threads.isdisjoint({threading.get_ident()})


class Watched(dict[str, Any]):
    """A dict that knows which threads looked at it or changed it."""

    threads: set[int]

    def __getitem__(self, key: str) -> Any:
        self.threads.add(threading.get_ident())
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.threads.add(threading.get_ident())
        super().__setitem__(key, value)

    def items(self) -> Any:
        self.threads.add(threading.get_ident())
        return super().items()

    def __contains__(self, key: object) -> bool:
        self.threads.add(threading.get_ident())
        return super().__contains__(key)


@pytest.mark.parametrize("good", [True, False])
def test_thread_does_not_touch_the_value(good: bool, root: Path) -> None:  # noqa: FBT001
    Watched.threads = set()
    source = Watched(url=url_of() if good else "https://example.com/a.png")
    value = Watched(messages=[Watched(content=[Watched(type="image_url", image_url=source)])])
    if good:
        asyncio.run(offload_images_async(value, image_dir=root))
    else:
        with pytest.raises(OffloadError):
            asyncio.run(offload_images_async(value, image_dir=root))
    assert Watched.threads == {threading.get_ident()}


def test_failure_names_the_part_and_changes_nothing(root: Path) -> None:
    bad = "data:image/png;base64,aGVs*bG8="
    value = body(url_of(seed=0), url_of(seed=1), bad)
    before = copy.deepcopy(value)
    with pytest.raises(OffloadError) as caught:
        asyncio.run(offload_images_async(value, image_dir=root))
    assert caught.value.code == "bad_base64"
    assert caught.value.path == "$.messages[2].content[0].image_url.url"
    assert_silent(caught.value, bad)
    assert value == before
    assert not root.exists()


def test_limits_are_enforced(root: Path) -> None:
    value = body(url_of(seed=0), url_of(seed=1))
    with pytest.raises(OffloadError) as caught:
        asyncio.run(offload_images_async(value, image_dir=root, limits=Limits(max_images=1)))
    assert (caught.value.code, caught.value.path) == (
        "image_limit",
        "$.messages[1].content[0].image_url.url",
    )


def test_part_that_cannot_be_changed_is_refused(root: Path) -> None:
    @dataclass(frozen=True)
    class Frozen:
        type: str
        image_url: str

    value = Frozen("image_url", url_of())
    with pytest.raises(OffloadError) as caught:
        asyncio.run(offload_images_async(value, image_dir=root))
    assert caught.value.code == "wrong_type"
    assert value.image_url == url_of()


def test_cancelled_call_changes_nothing(root: Path) -> None:
    store = GatedStore(root)
    value = body(url_of(seed=0), url_of(seed=1))
    before = copy.deepcopy(value)

    async def story() -> None:
        task = asyncio.create_task(offload_images_async(value, store=store))
        await until(store.reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert value == before
        store.gate.set()
        # The thread cannot be cancelled: it stores what it was given, and that is all.
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(story())
    assert value == before
    assert len(list(root.iterdir())) == 2
    assert asyncio.run(offload_images_async(value, image_dir=root)).images_deduplicated == 2


def test_calls_at_once_on_one_value_rewrite_it_once(root: Path) -> None:
    store = ImageStore(root)
    value = body(url_of(seed=0), url_of(seed=1), url_of(seed=0))
    shared = {"messages": [value["messages"][0], *body(url_of(seed=2))["messages"]]}

    async def story() -> list[ImageOffloadStats]:
        return await asyncio.gather(
            *(offload_images_async(one, store=store) for one in (value, value, shared, shared))
        )

    total = sum(asyncio.run(story()), ImageOffloadStats())
    assert urls_of(value) == [store.put(picture(seed=seed)).uri for seed in (0, 1, 0)]
    assert urls_of(shared) == [store.put(picture(seed=seed)).uri for seed in (0, 2)]
    assert shared["messages"][0] is value["messages"][0]
    assert total.images_rewritten == 4
    assert total.images_seen == 10
    # Two threads may write one image at once; the store allows it.
    assert total.bytes_written >= sum(path.stat().st_size for path in root.iterdir())


def test_old_shapes_survive_calls_at_once(root: Path) -> None:
    value = [{"type": "image", "image": url_of()}]

    async def story() -> None:
        await asyncio.gather(*(offload_images_async(value, image_dir=root) for _ in range(3)))

    asyncio.run(story())
    assert value == [part(ImageStore(root).put(picture()).uri)]


def test_image_added_meanwhile_is_stored_too(root: Path) -> None:
    value = body(url_of(seed=0))
    more = body(url_of(seed=1))["messages"]
    stats = asyncio.run(
        while_storing(value, GatedStore(root), lambda: value["messages"].insert(0, *more))
    )
    assert urls_of(value) == [ImageStore(root).put(picture(seed=seed)).uri for seed in (1, 0)]
    assert (stats.images_seen, stats.images_rewritten, stats.images_deduplicated) == (2, 2, 0)


def test_part_replaced_meanwhile_is_not_overwritten(root: Path) -> None:
    value = body(url_of(seed=0), url_of(seed=1))
    source = value["messages"][0]["content"][0]["image_url"]
    asyncio.run(while_storing(value, GatedStore(root), lambda: source.update(url=url_of(seed=2))))
    assert urls_of(value) == [ImageStore(root).put(picture(seed=seed)).uri for seed in (2, 1)]


def test_part_removed_meanwhile_stays_removed(root: Path) -> None:
    value = body(url_of(seed=0))
    removed = value["messages"][0]
    before = copy.deepcopy(removed)
    stats = asyncio.run(while_storing(value, GatedStore(root), value["messages"].clear))
    assert value == {"messages": []}
    assert removed == before
    size = sum(path.stat().st_size for path in root.iterdir())
    assert stats == ImageOffloadStats(bytes_written=size)


def test_bad_image_added_meanwhile_is_an_error_and_changes_nothing(root: Path) -> None:
    value = body(url_of(seed=0))
    bad = body("https://example.com/a.png")["messages"]
    with pytest.raises(OffloadError) as caught:
        asyncio.run(while_storing(value, GatedStore(root), lambda: value["messages"].extend(bad)))
    assert caught.value.path == "$.messages[1].content[0].image_url.url"
    assert urls_of(value) == [url_of(seed=0), "https://example.com/a.png"]


@dataclass(frozen=True)
class FrozenPart:
    image_url: str
    type: str = "image_url"


def test_frozen_part_that_moves_meanwhile_is_replaced_where_it_is(root: Path) -> None:
    parts: list[Any] = [FrozenPart(url_of(seed=0))]
    asyncio.run(while_storing(parts, GatedStore(root), lambda: parts.insert(0, "text")))
    assert parts == ["text", FrozenPart(ImageStore(root).put(picture(seed=0)).uri)]
