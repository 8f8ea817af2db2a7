"""The index of data URLs never returns another image or a missing file."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import native
from rawmm.errors import OffloadError
from rawmm.images import Limits, prepare
from rawmm.images.data_url import DataUrl, parse_data_url
from rawmm.images.prepare import ImageInfo, prepare_image
from rawmm.offload import offload_images_inplace, offload_request
from rawmm.store import ImageStore
from rawmm.store.text_hash import text_hash
from rawmm.store.url_index import UrlIndex
from tests.unit.images.pictures import data_url, part, picture, temporary_files, url_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUTES = ["request", "inplace", "put"]


def info_of(url: str) -> ImageInfo:
    return prepare_image(url, Limits()).info


def view(url: str) -> DataUrl:
    return parse_data_url(memoryview(url.encode()))


def put(store: ImageStore, route: str, url: str, limits: Limits | None = None) -> Any:
    """Store one image; the name of its file."""
    if route == "put":
        assert limits is None or limits is store.limits
        return store.put_data_url(url).raw_image_id
    value = [part(url)]
    if route == "inplace":
        offload_images_inplace(value, store=store, limits=limits)
        return value[0]["image_url"]["url"].rpartition("/")[2]
    body = offload_request(msgspec.json.encode(value), store=store, limits=limits).body
    return msgspec.json.decode(body)[0]["image_url"]["url"].rpartition("/")[2]


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: Any) -> bytes:
        raise AssertionError("decoded again")

    monkeypatch.setattr(prepare, "decode_data_url", decoded)


class TestIndex:
    def test_text_and_type_are_the_key(self) -> None:
        index = UrlIndex()
        url = url_of()
        info = info_of(url)
        index.put(parse_data_url(url), info)
        assert index.get(parse_data_url(url)) is info
        assert index.get(view(url)) is info  # string and bytes are the same text
        assert index.get(view(url.replace("image/png", "IMAGE/PNG"))) is info
        assert index.get(view(url.replace("image/png", "image/jpeg"))) is None
        assert index.get(view(url_of(seed=1))) is None

    def test_text_that_differs_in_one_character_is_distinguished(self) -> None:
        index = UrlIndex()
        url = url_of()
        index.put(view(url), info_of(url))
        start = url.index(",") + 1
        for at in range(start, len(url)):
            other = url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]
            assert index.get(view(other)) is None
        assert index.get(view(url[:-4])) is None

    def test_text_with_an_equal_cheap_key_is_distinguished(self) -> None:
        index = UrlIndex()
        url = data_url(bytes(300) + b"x" * 99)
        twin = data_url(b"1" + bytes(299) + b"x" * 99)
        assert parse_data_url(url).cheap_key == parse_data_url(twin).cheap_key
        index.put(view(url), info_of(url_of()))
        assert view(twin) in index
        assert index.get(view(twin)) is None

    def test_least_recently_used_entry_is_evicted(self) -> None:
        index = UrlIndex(max_entries=3)
        urls = [view(url_of(seed=seed)) for seed in range(4)]
        info = info_of(url_of())
        for url in urls[:3]:
            index.put(url, info)
        assert index.get(urls[0]) is info
        index.put(urls[3], info)
        assert len(index) == 3
        assert [url in index for url in urls] == [True, False, True, True]

    def test_non_ascii_text_is_not_indexed(self) -> None:
        index = UrlIndex()
        odd = parse_data_url("data:image/png;base64,é\ud800")
        index.put(odd, info_of(url_of()))
        assert index.get(odd) is None

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))]
    )
    def test_copy_of_an_index_has_no_digests(self, copied: Callable[[UrlIndex], UrlIndex]) -> None:
        index = UrlIndex(max_entries=3)
        index.put(view(url_of()), info_of(url_of()))
        other = copied(index)
        assert (len(index), len(other)) == (1, 0)
        assert other.get(view(url_of())) is None

    def test_digest_is_not_shown(self) -> None:
        index = UrlIndex()
        index.put(view(url_of()), info_of(url_of()))
        digest = next(iter(index._entries.values())).digest
        shown = repr(index) + str(index) + pickle.dumps(index).decode("latin-1")
        assert repr(digest)[2:-1] not in shown
        assert digest.hex() not in shown

    def test_child_of_a_fork_knows_what_its_parent_stored(self) -> None:
        index = UrlIndex()
        index.put(view(url_of()), info_of(url_of()))
        child = os.fork()
        if not child:
            os._exit(index.get(view(url_of())) is None)
        assert os.waitpid(child, 0)[1] == 0

    def test_threads_share_an_index(self) -> None:
        index = UrlIndex(max_entries=5)
        urls = [url_of(seed=seed) for seed in range(20)]
        infos = {url: info_of(url) for url in urls}

        def work(turn: int) -> None:
            for step in range(400):
                url = urls[(turn * 7 + step) % len(urls)]
                found = index.get(view(url))
                assert found is None or found == infos[url]
                index.put(view(url), infos[url])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert 0 < len(index) <= 5


@pytest.mark.parametrize("route", ROUTES)
class TestStore:
    def test_image_sent_again_is_not_decoded(
        self, store: ImageStore, route: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = url_of()
        name = put(store, route, url)
        forbid_decoding(monkeypatch)
        for again in ROUTES:
            assert put(store, again, url) == name
        size = len(picture())
        counters = store.counters
        assert (counters.seen, counters.stored, counters.deduplicated) == (4, 1, 3)
        assert (counters.bytes_in, counters.bytes_written) == (4 * size, size)

    @pytest.mark.parametrize("lacks", [["keyed"], ["keyed", "blake3"]])
    def test_results_are_equal_with_another_hash_or_none(
        self, store: ImageStore, route: str, lacks: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(native, "text_digest", None)
        if "blake3" in lacks:
            monkeypatch.setitem(sys.modules, "blake3", None)
        text_hash.cache_clear()
        try:
            assert put(store, route, url_of()) == put(store, route, url_of())
            assert len(store.url_index) == (0 if "blake3" in lacks else 1)
        finally:
            text_hash.cache_clear()
        assert store.counters.deduplicated == 1
        assert store.verify() == []

    @pytest.mark.parametrize("damage", ["deleted", "truncated", "empty", "directory gone"])
    def test_missing_or_truncated_file_is_written_again(
        self, store: ImageStore, route: str, damage: str
    ) -> None:
        url = url_of()
        file = store.root / put(store, route, url)
        if damage == "truncated":
            file.write_bytes(picture()[:-1])
        elif damage == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
        if damage == "directory gone":
            store.root.rmdir()
        assert put(store, route, url) == file.name
        assert file.read_bytes() == picture()
        assert not temporary_files(store.root)
        assert store.counters.stored == 2
        assert store.counters.verify_failures == (damage in ("truncated", "empty"))

    def test_link_in_its_place_is_refused(self, store: ImageStore, route: str) -> None:
        url = url_of()
        file = store.root / put(store, route, url)
        file.rename(store.root / "elsewhere")
        file.symlink_to("elsewhere")
        with pytest.raises(OffloadError) as caught:
            put(store, route, url)
        assert caught.value.code == "path_escape"

    @pytest.mark.parametrize(
        "limits",
        [Limits(max_bytes=10), Limits(max_edge=10), Limits(max_pixels=9), Limits(min_edge=99)],
    )
    def test_limits_of_this_call_hold(self, tmp_path: Path, route: str, limits: Limits) -> None:
        url = url_of()
        wide = ImageStore(tmp_path / "images", durable=False)
        put(wide, route, url)
        if route == "put":
            wide.limits = limits
        with pytest.raises(OffloadError) as caught:
            put(wide, route, url, limits)
        fresh = ImageStore(tmp_path / "fresh", durable=False, limits=limits)
        with pytest.raises(OffloadError) as expected:
            put(fresh, route, url, limits)
        assert (caught.value.code, caught.value.path) == (
            expected.value.code,
            expected.value.path,
        )
        assert expected.value.code == "image_limit"

    def test_declared_type_that_is_wrong_is_refused_on_demand(
        self, store: ImageStore, route: str
    ) -> None:
        wrong = url_of().replace("image/png", "image/gif")
        for _ in range(2):
            put(store, route, url_of())
            put(store, route, wrong)
        strict = ImageStore(store.root, limits=Limits(mislabelled="refuse"))
        strict.url_index = store.url_index
        with pytest.raises(OffloadError) as caught:
            put(strict, route, wrong)
        assert caught.value.code == "image_type_mismatch"

    def test_missing_end_marker_is_refused_on_demand(self, store: ImageStore, route: str) -> None:
        url = data_url(picture()[:-12])
        put(store, route, url)
        strict = ImageStore(store.root, limits=Limits(truncated="refuse"))
        strict.url_index = store.url_index
        with pytest.raises(OffloadError) as caught:
            put(strict, route, url)
        assert caught.value.code == "not_an_image"


def test_verify_reads_an_indexed_image(store: ImageStore) -> None:
    url = url_of()
    file = store.put_data_url(url).path
    file.write_bytes(bytes(len(picture())))
    assert not store.put_data_url(url).written  # the size is right
    assert store.put_data_url(url, verify=True).written
    assert file.read_bytes() == picture()


def test_bytes_are_not_a_data_url(store: ImageStore) -> None:
    stored: Any = store.put_data_url(picture())
    assert stored.sha256 == info_of(url_of()).sha256
