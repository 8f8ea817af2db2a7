"""The cache: one run per image, a limit in bytes, no cached errors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import ContractError, MaterializeError, MMRefs
from rawmm.materialize import CacheCounters, ProcessedImageCache, materialize
from tests.unit.images.pictures import picture
from tests.unit.materialize.processor import PatchProcessor, file_of, ref_to, refs_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm import ImageStore

RED, BLUE = picture(size=(84, 56), seed=200), picture("JPEG", size=(56, 112), seed=7)
THREADS = 8
SOON = 600
"""Seconds after which a thread that waits for another is taken for stuck."""


def array(size: int) -> dict[str, Any]:
    return {"pixel_values": np.zeros(size, dtype=np.uint8)}


def unwanted() -> Any:
    pytest.fail("it was in the cache")


class TestBound:
    def test_least_recently_used_image_is_evicted(self) -> None:
        cache = ProcessedImageCache(max_bytes=300)
        for key in "abc":
            cache.get(key, lambda: array(100))
        cache.get("a", unwanted)
        cache.get("d", lambda: array(100))
        assert cache.nbytes == 300
        for key in "cad":
            cache.get(key, unwanted)
        assert cache.counters == CacheCounters(hits=4, misses=4, evictions=1)
        runs = []
        cache.get("b", lambda: runs.append(1) or array(1))  # type: ignore[func-returns-value]
        assert runs == [1]

    def test_too_large_image_is_not_cached_and_evicts_nothing(self) -> None:
        cache = ProcessedImageCache(max_bytes=300)
        cache.get("a", lambda: array(300))
        big = array(301)
        assert cache.get("b", lambda: big) is big
        assert (len(cache), cache.nbytes) == (1, 300)
        cache.get("a", unwanted)

    def test_every_array_counts(self) -> None:
        cache = ProcessedImageCache(max_bytes=10_000)
        grid = np.zeros((1, 3), dtype=np.int64)
        nested = [np.zeros(5, dtype=np.float32), (np.zeros(2, dtype=np.float64),)]
        cache.get("a", lambda: array(100) | {"image_grid_thw": grid, "more": nested})
        assert cache.nbytes == 100 + 24 + 20 + 16
        cache.get("b", lambda: {"rows": 3})
        assert cache.nbytes > 160  # a number has no nbytes, but a size

    def test_cache_of_zero_bytes_keeps_nothing(self) -> None:
        cache = ProcessedImageCache(max_bytes=0)
        runs: list[int] = []
        for _ in range(2):
            cache.get("a", lambda: runs.append(1) or array(1))  # type: ignore[func-returns-value]
        assert (len(runs), len(cache), cache.nbytes) == (2, 0, 0)

    def test_clear_empties_the_cache(self) -> None:
        cache = ProcessedImageCache()
        cache.get("a", lambda: array(100))
        cache.clear()
        assert (len(cache), cache.nbytes) == (0, 0)
        cache.get("a", lambda: array(7))
        assert cache.nbytes == 7

    @pytest.mark.parametrize("bound", [-1, 1.5, True, "1 GB", None])
    def test_invalid_limit_is_refused(self, bound: Any) -> None:
        with pytest.raises(ContractError) as caught:
            ProcessedImageCache(bound)
        assert (caught.value.code, caught.value.path) == ("out_of_range", "$.max_bytes")

    @given(
        st.integers(0, 60),
        st.lists(st.integers(0, 12), max_size=60),
        st.lists(st.integers(0, 25), min_size=13, max_size=13),
    )
    def test_behaves_like_a_simple_model(
        self, bound: int, asked: list[int], sizes: list[int]
    ) -> None:
        cache = ProcessedImageCache(bound)
        model: OrderedDict[int, int] = OrderedDict()
        runs: list[int] = []
        for key in asked:

            def run(key: int = key) -> dict[str, Any]:
                runs.append(key)
                return array(sizes[key])

            runs.clear()
            cache.get(key, run)
            assert runs == ([] if key in model else [key])
            if key in model or sizes[key] <= bound:
                model[key] = sizes[key]
                model.move_to_end(key)
            while sum(model.values()) > bound:
                model.popitem(last=False)
            assert (len(cache), cache.nbytes) == (len(model), sum(model.values()))


def together(cache: ProcessedImageCache, run: Callable[[], Any]) -> list[Any]:
    """The results of threads that request an image during the first run."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        assert go_on.wait(SOON)
        return run()

    def ask() -> Any:
        try:
            return cache.get("a", slow)
        except Exception as error:  # noqa: BLE001  (what was raised is looked at below)
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.submit(ask)
        assert begun.wait(SOON)
        others = [pool.submit(ask) for _ in range(THREADS - 1)]
        while cache.counters.waits < THREADS - 1:
            pass
        go_on.set()
        return [one.result(SOON) for one in (first, *others)]


class TestSingleFlight:
    def test_concurrent_requests_share_one_run(self) -> None:
        for bound in (1_000, 0):  # waiting threads get it, whether it is cached or not
            cache = ProcessedImageCache(bound)
            outputs = array(100)
            found = together(cache, lambda outputs=outputs: outputs)  # type: ignore[misc]
            assert all(one is outputs for one in found)
            assert (cache.counters.misses, cache.counters.waits) == (1, THREADS - 1)

    def test_error_is_raised_in_all_threads_and_not_cached(self) -> None:
        cache = ProcessedImageCache()
        failure = MaterializeError("not_an_image", expected="an image", got="none")

        def fail() -> Any:
            raise failure

        assert together(cache, fail) == [failure] * THREADS
        assert cache.counters.misses == 1
        outputs = array(1)
        assert cache.get("a", lambda: outputs) is outputs
        assert cache.get("a", unwanted) is outputs

    def test_interrupt_stops_one_thread_only(self) -> None:
        """Another thread runs instead."""
        cache = ProcessedImageCache()
        begun, go_on = threading.Event(), threading.Event()
        outputs = array(1)

        def interrupted() -> Any:
            begun.set()
            assert go_on.wait(SOON)
            raise KeyboardInterrupt

        def ask() -> Any:
            with pytest.raises(KeyboardInterrupt):
                cache.get("a", interrupted)

        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(ask)
            assert begun.wait(SOON)
            others = [pool.submit(cache.get, "a", lambda: outputs) for _ in range(2)]
            while cache.counters.waits < 2:
                pass
            go_on.set()
            first.result(SOON)
            assert all(one.result(SOON) is outputs for one in others)

    def test_run_may_raise_cancelled_error(self) -> None:
        def cancelled() -> Any:
            raise CancelledError

        with pytest.raises(CancelledError):
            ProcessedImageCache().get("a", cancelled)

    def test_other_images_do_not_wait(self) -> None:
        cache = ProcessedImageCache()
        both = threading.Barrier(2, timeout=SOON)

        def run() -> Any:
            both.wait()
            return array(1)

        with ThreadPoolExecutor(2) as pool:
            for one in [pool.submit(cache.get, key, run) for key in "ab"]:
                one.result(SOON)

    def test_many_threads_get_their_images_within_the_bound(self) -> None:
        cache = ProcessedImageCache(max_bytes=500)

        def ask(number: int) -> None:
            for step in range(200):
                key = (number * 7 + step * step) % 11
                got = cache.get(key, lambda key=key: array(60 + key))  # type: ignore[misc]
                assert got["pixel_values"].size == 60 + key
                assert cache.nbytes <= 500

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask, range(THREADS)))
        counters = cache.counters
        assert counters.hits + counters.misses + counters.waits == THREADS * 200
        assert (
            cache.nbytes
            == sum(
                cache.get(key, lambda: array(1_000))["pixel_values"].size
                for key in range(11)
                if cache.counters.misses == counters.misses
            )
            or counters.evictions
        )


class TestMaterialize:
    def test_threads_process_an_image_once(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        cache = ProcessedImageCache()
        refs = MMRefs(images=refs_to(store, RED, BLUE, RED))
        start = threading.Barrier(THREADS, timeout=SOON)

        def run(_: int) -> Any:
            start.wait()
            return materialize(refs, image_processor=processor, cache=cache).model_inputs()

        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(run, range(THREADS)))
        assert len(processor.seen) == 2
        for one in found[1:]:
            assert np.array_equal(one["pixel_values"], found[0]["pixel_values"])

    def test_every_waiting_thread_gets_the_error_at_its_own_path(self, store: ImageStore) -> None:
        cache = ProcessedImageCache()
        begun, go_on = threading.Event(), threading.Event()

        class Failing(PatchProcessor):
            def __call__(self, **_: Any) -> Any:
                begun.set()
                assert go_on.wait(SOON)
                raise OSError

        processor = Failing()

        def run(refs: Any) -> MaterializeError:
            with pytest.raises(MaterializeError) as caught:
                materialize(refs, image_processor=processor, cache=cache)
            return caught.value

        ref = ref_to(store.put(RED))
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(run, MMRefs(images=[ref]))
            assert begun.wait(SOON)
            second = pool.submit(run, ref)
            while not cache.counters.waits:
                pass
            go_on.set()
            errors = first.result(SOON), second.result(SOON)
        assert [error.path for error in errors] == ["$[0][0][2]", "$[2]"]
        assert {error.code for error in errors} == {"processor_failed"}
        assert all("OSError" in error.got for error in errors)
        assert len(cache) == 0

    def test_key_contains_layout_processor_and_tensors(self, store: ImageStore) -> None:
        """The same image is processed once for each of these."""
        cache = ProcessedImageCache()
        refs = refs_to(store, RED)
        one, other = PatchProcessor(), PatchProcessor()
        assert one == other
        for _ in range(2):
            for processor in (one, other):
                for kind in ("pt", "np"):
                    materialize(refs, image_processor=processor, cache=cache, return_tensors=kind)
        assert (len(cache), len(one.seen), len(other.seen)) == (4, 2, 2)
        one.size["longest_edge"] //= 2
        materialize(refs, image_processor=one, cache=cache)
        assert len(one.seen) == 3

    def test_key_contains_the_hash_of_the_file(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        """The name and the length of a descriptor's hash do not matter."""
        cache = ProcessedImageCache()
        (ref,) = refs_to(store, RED)
        materialize(ref, image_processor=processor, cache=cache)
        copy = file_of(ref, store).with_name("page.png")
        copy.write_bytes(RED)
        short = ref_to(RED, copy.as_uri(), hash=ref.hash[:16])
        materialize(short, image_processor=processor, cache=cache)
        assert len(processor.seen) == 1

    def test_processor_lives_as_long_as_its_outputs(self, store: ImageStore) -> None:
        """Otherwise a new one with the same id could get its outputs."""
        import gc
        import weakref

        class Processor(PatchProcessor):
            pass

        cache, processor = ProcessedImageCache(), Processor()
        materialize(refs_to(store, RED), image_processor=processor, cache=cache)
        alive = weakref.ref(processor)
        del processor
        gc.collect()
        assert alive() is not None
        cache.clear()
        gc.collect()
        assert alive() is None

    def test_errors_are_not_cached(self, store: ImageStore) -> None:
        class Flaky(PatchProcessor):
            def __call__(self, **arguments: Any) -> Any:
                out = super().__call__(**arguments)
                if len(self.seen) == 1:
                    raise MemoryError
                return out

        cache, processor = ProcessedImageCache(), Flaky()
        refs = refs_to(store, RED)
        with pytest.raises(MaterializeError):
            materialize(refs, image_processor=processor, cache=cache)
        for _ in range(2):
            assert materialize(refs, image_processor=processor, cache=cache).images
        assert len(processor.seen) == 2
