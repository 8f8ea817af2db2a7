"""Offload from bytes to bytes replaces images and changes no other byte."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

import rawmm.errors
from rawmm.errors import ContractError, OffloadError
from rawmm.images import Limits
from rawmm.offload import offload_images_inplace, offload_request
from rawmm.offload.parallel import map_in_order
from rawmm.offload.url_extractor import UrlExtractor
from rawmm.store import ImageStore
from rawmm.store.directory_writer import DirectoryWriter
from tests.unit.images.pictures import (
    assert_silent,
    data_url,
    part,
    picture,
    url_of,
)

RAW = picture() + b"!"  # so that the base64 text is padded
URL = data_url(RAW)


def uri(store: ImageStore) -> str:
    return store.put(RAW).uri


def changed(text: str, store: ImageStore) -> str:
    return offload_request(text.encode(), store=store).body.decode()


def is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def refused_as(body: bytes, store: ImageStore) -> str:
    """The code of the error, or an empty string if there is none."""
    try:
        offload_request(body, store=store)
    except (ContractError, OffloadError) as error:
        return error.code
    return ""


class TestBytes:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            # The URL alone changes where the part has the shape of the contract.
            (
                '[ {"type":"image_url" ,\t"image_url":{"url":\n"URL","detail":1e400}, "n":1.0} ]',
                '[ {"type":"image_url" ,\t"image_url":{"url":\n"URI","detail":1e400}, "n":1.0} ]',
            ),
            # Another shape is written anew, its other fields as they were.
            (
                '[1.0,{"type":"image_url","n":1E400,"image_url":"URL"} ,-0]',
                '[1.0,{"type":"image_url","n":1E400,"image_url":{"url":"URI"}} ,-0]',
            ),
            (
                '{"a":{"type":"image","n":[ 1.50 ],"image":"URL"}, "b" : 1e-400}',
                '{"a":{"type":"image_url","n":[ 1.50 ],"image_url":{"url":"URI"}}, "b" : 1e-400}',
            ),
            (
                '[{"image_url":{ "url" : "URL", "x":{"y":{}} },"type":"image"}]',
                '[{"image_url":{ "url" : "URI", "x":{"y":{}} },"type":"image_url"}]',
            ),
            (
                '[{"type":"image","image":"URL","image_url":null,"q":"data:text/plain,A"}]',
                '[{"type":"image_url","image_url":{"url":"URI"},"q":"data:text/plain,A"}]',
            ),
            # Neither a text, nor a key is an image.
            (
                '[{"type":"text","text":"URL"},{"URL":"x" },{"URL"\r\n :"say \\"URL\\""}]',
                '[{"type":"text","text":"URL"},{"URL":"x" },{"URL"\r\n :"say \\"URL\\""}]',
            ),
            ('{"content":["URL"],"x":null}',) * 2,
            ('["data:\\"x\\\\", "data:\\\\","data:\\\\\\"",{"data:\\"":1}]',) * 2,
            ('[{"type":"text","text":"\\\\"},{"text":"URL"}]',) * 2,
        ],
    )
    def test_only_image_urls_change(self, store: ImageStore, before: str, after: str) -> None:
        expected = after.replace("URL", URL).replace("URI", uri(store))
        assert changed(before.replace("URL", URL), store) == expected

    @pytest.mark.parametrize(
        "spelling",
        [
            URL.replace("/", "\\/"),
            URL.replace("data:", "\\u0064\\u0041t\\u0061\\u003A"),
            URL.replace("data:image", "DATA:IMAGE"),
            URL.replace("=", "\\u003d"),
            URL[:60] + f"\\u{ord(URL[60]):04X}" + URL[61:],
            URL.replace("A", "\\u0041"),
        ],
        ids=["slashes", "head", "capitals", "padding", "one inside", "all of one"],
    )
    def test_url_in_every_spelling_is_stored(self, store: ImageStore, spelling: str) -> None:
        body = json.dumps([part("URL"), part("URL")]).replace("URL", spelling, 1)
        body = body.replace("URL", url_of(seed=99))
        out = json.loads(changed(body, store))
        assert [store.read(one["image_url"]["url"]) for one in out] == [
            RAW,
            picture(seed=99),
        ]

    def test_reference_stays(self, store: ImageStore) -> None:
        there = uri(store)
        odd = there.replace("file:", "\\u0066ile:").replace("/", "\\/")
        body = json.dumps([part("URL")]).replace("URL", odd)
        assert changed(body, store) == body
        shape = changed('{"type": "image", "image": "URL"}'.replace("URL", odd), store)
        assert shape == '{"type":"image_url","image_url":{"url":"URL"}}'.replace("URL", odd)

    def test_bytes_of_any_kind_are_read_and_not_changed(self, store: ImageStore) -> None:
        body = json.dumps([part(URL)]).encode()
        for kind in (bytes, bytearray, memoryview):
            given = kind(body)
            assert (
                offload_request(given, store=store).body == changed(body.decode(), store).encode()
            )
            assert given == body
        assert offload_request(b" {} ", store=store).body == b" {} "

    def test_images_with_an_equal_cheap_key_are_distinct(self, store: ImageStore) -> None:
        raws = [picture(seed=seed) for seed in (1, 2)]
        raws = [raw + bytes(300 - len(raw)) for raw in raws]
        for _ in range(2):
            value = [part(data_url(raw)) for raw in raws]
            out = json.loads(changed(json.dumps(value), store))
            offload_images_inplace(value, store=store)
            assert out == value
            assert [store.read(one["image_url"]["url"]) for one in out] == raws

    def test_only_whole_values_are_extracted(self) -> None:
        text = rb'{"data:x":"say \"data:y\"","a": "data:\"z", "b":"file:", "c":" data:"}'
        found = UrlExtractor(text)
        assert [text[cut.start : cut.end] for cut in found.spans] == [rb'"data:\"z"', b'"file:"']
        assert found.splice(found.rest, {1: b"2"}) == text.replace(b'"file:"', b"2")

    def test_text_like_a_replacement_is_kept(self, store: ImageStore) -> None:
        texts = [f"{'0' * 32}:0", ":0", "", "0:0", f"{'a' * 32}:1"]
        body = json.dumps([part(URL), *texts])
        assert json.loads(changed(body, store))[1:] == texts
        for text in texts:
            with pytest.raises(OffloadError) as caught:
                changed(json.dumps([part(URL), part(text)]), store)
            assert (caught.value.code, caught.value.path) == (
                "bad_locator",
                "$[1].image_url.url",
            )

    def test_stats_equal_those_of_the_in_place_call(self, tmp_path: Path) -> None:
        value = [part(URL), part(URL), part(url_of("GIF")), part(url_of("JPEG", 2))]
        body = json.dumps(value).encode()
        first = ImageStore(tmp_path / "one")
        second = ImageStore(tmp_path / "two")
        for _ in range(2):
            stats = offload_images_inplace(json.loads(body), store=first)
            assert offload_request(body, store=second).stats == stats
        assert first.counters == second.counters


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "code", "path"),
        [
            ("", "malformed", "$"),
            ("[", "malformed", "$"),
            ("[1,]", "malformed", "$"),
            ('"data:', "malformed", "$"),
            ('["data:\\x"]', "malformed", "$"),
            ('["URL"URL"]', "malformed", "$"),
            ('[{"type":"text","text":"x"URL"}]', "malformed", "$"),
            ('[{"type":"text","text":"data:\n"}]', "malformed", "$"),
            ('[{"type":"text","text":"data:\\ud800"}]', "malformed", "$"),
            ('[{"type":"image","image":"data:image/png;base64,\n"}]', "malformed", "$"),
            ('[{"type":"image","image":"data:image/png;base64,\\q"}]', "malformed", "$"),
            ('[{"type":"image","image":"https://x.y"}, "file:\\q"]', "malformed", "$"),
            ('{"a":1,"a":2,"b":"data:\n"}', "malformed", "$"),
            ("[NaN]", "malformed", "$[0]"),
            ("[" * 100_000, "too_deep", "$"),
            ('{"a":[{"b":1,"c":"URL","b":"URL"}]}', "duplicate_key", "$.a[0].b"),
            ('{"data:x":1,"data:x":2}', "duplicate_key", '$["data:... (6 characters)"]'),
            ('[{"type":"image","image":"URL="}]', "bad_base64", "$[0].image"),
            (
                '[{"type":"image","image":"data:image/png;base64,AAAA"}]',
                "not_an_image",
                "$[0].image",
            ),
            ('[{"type":"image","image":"data:text/plain,x"}]', "bad_locator", "$[0].image"),
            ('[{"type":"image","image":"data:image/png,x"}]', "bad_locator", "$[0].image"),
            ('[{"type":"image","image":"file:///etc/passwd"}]', "path_escape", "$[0].image"),
            ('[{"type":"image","image":1.5}]', "wrong_type", "$[0].image"),
            ('[{"type":"image","image":{"url":1e400}}]', "wrong_type", "$[0].image"),
            ('[{"type":"image"}]', "wrong_type", "$[0].image_url"),
        ],
    )
    def test_each_defect_has_its_code(
        self, store: ImageStore, text: str, code: str, path: str
    ) -> None:
        body = text.replace("URL", URL).encode()
        with pytest.raises((ContractError, OffloadError)) as caught:
            offload_request(body, store=store)
        assert (caught.value.code, caught.value.path) == (code, path)
        assert_silent(caught.value, URL)
        assert not store.root.exists()

    @pytest.mark.parametrize("place", ["head", "base64"])
    def test_byte_that_json_forbids_in_a_string_is_malformed(
        self, store: ImageStore, place: str
    ) -> None:
        """A URL is stored without parsing its string. Each byte is judged as a JSON parser does."""
        before, after = URL.encode().split(b";" if place == "head" else b"iVBOR")
        middle = b";a=%sb;" if place == "head" else b"iVBOR%s"
        for value in (b"data:image/png", b"DATA:image/png"):
            head = value + before[len(value) :]
            for byte in (*(bytes([number]) for number in range(256)), b"\xc3\xa9", b"\xed\xa0\x80"):
                body = b'[{"image_url":{"url":"' + head + middle % byte + after + b'"}}]'
                assert (refused_as(body, store) != "malformed") == is_json(body), byte

    def test_location_is_that_in_the_whole_text(self, store: ImageStore) -> None:
        text = json.dumps([part(URL)])[:-1] + "!"
        with pytest.raises(ContractError) as caught:
            changed(text, store)
        assert f"at byte {len(text) - 1} of {len(text)}" in str(caught.value)

    @pytest.mark.parametrize("body", [None, "[]", 1, {}, [b"[]"]])
    def test_body_that_is_not_bytes_is_refused(self, body: Any) -> None:
        with pytest.raises(ContractError) as caught:
            offload_request(body)
        assert caught.value.code == "wrong_type"

    @pytest.mark.parametrize("good", [0, 1, 5, 30])
    def test_first_error_in_the_document_wins(self, tmp_path: Path, good: int) -> None:
        root = tmp_path / "images"
        bad = [
            part(URL[:-1]),
            part(data_url(picture()[:-20])),
            part("https://x.y"),
            {"type": "image"},
        ]
        for start in range(len(bad)):
            parts = [part(url_of(seed=seed)) for seed in range(good)] + bad[start:] + bad[:start]
            body = json.dumps(parts).encode()
            value = json.loads(body)
            for durable in (False, True):
                store = ImageStore(root, durable=durable)
                with pytest.raises(OffloadError) as expected:
                    offload_images_inplace(value, store=store, mode="inline")
                for act in (
                    lambda: offload_request(body, store=store),  # noqa: B023
                    lambda: offload_images_inplace(value, store=store),  # noqa: B023
                ):
                    with pytest.raises(OffloadError) as caught:
                        act()
                    assert str(caught.value) == str(expected.value)
                    assert caught.value.path.startswith(f"$[{good}].image")
                    assert not root.exists()

    def test_no_directory_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
            monkeypatch.delenv(name, raising=False)
        assert offload_request(b"[{}]").body == b"[{}]"
        for urls, code in (
            ([URL, URL[:-1]], "no_image_dir"),
            ([URL[:-1], URL], "bad_base64"),
            (["file:///x", URL[:-1]], "no_image_dir"),
        ):
            with pytest.raises(OffloadError) as caught:
                offload_request(json.dumps([part(url) for url in urls]).encode())
            assert (caught.value.code, caught.value.path) == (code, "$[0].image_url.url")

    def test_request_that_fails_leaves_nothing_behind(self, store: ImageStore) -> None:
        store.put(picture(seed=99))
        body = json.dumps([*(part(url_of(seed=seed)) for seed in range(9)), part("x")]).encode()
        body = body.replace(b'"x"', json.dumps(data_url(b"GIF89a")).encode())
        with pytest.raises(OffloadError):
            offload_request(body, store=store)
        assert len(list(store.root.iterdir())) == 1

    def test_malformed_request_writes_nothing(
        self, store: ImageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        staged: list[Any] = []
        monkeypatch.setattr(DirectoryWriter, "stage", lambda _, image: staged.append(image))
        with pytest.raises(OffloadError):
            offload_request(json.dumps([part(URL), part("https://x.y")]).encode(), store=store)
        assert staged == []

    def test_limits_are_enforced(self, store: ImageStore) -> None:
        body = json.dumps([part(URL), part(URL)]).encode()
        with pytest.raises(OffloadError) as caught:
            offload_request(body, store=store, limits=Limits(max_images=1))
        assert (caught.value.code, caught.value.path) == ("image_limit", "$[1].image_url.url")


class TestParallel:
    def test_results_are_in_order(self) -> None:
        def late(number: int) -> int:
            time.sleep(0.001 * (7 - number % 7))
            return number * 2

        assert map_in_order(late, range(50), threads=8) == [number * 2 for number in range(50)]

    def test_first_error_is_raised_and_what_came_before_it_was_done(self) -> None:
        done: set[int] = set()

        def fails(number: int) -> None:
            time.sleep(0.001 * (number % 3))
            if number in {13, 14, 15, 40}:
                raise ValueError(number)
            done.add(number)

        for _ in range(20):
            done.clear()
            with pytest.raises(ValueError, match="13"):
                map_in_order(fails, range(60), threads=8)
            assert done.issuperset(range(13))
            assert len(done) < 50  # 40 fails as well, and 7 others may be under way then

    def test_other_threads_help(self) -> None:
        barrier = threading.Barrier(4, timeout=600)
        map_in_order(lambda _: barrier.wait(), range(4), threads=4)

    def test_busy_pool_does_not_block_a_call(self) -> None:
        def nested(_: int) -> int:
            return sum(map_in_order(lambda number: number, range(20), threads=8))

        assert map_in_order(nested, range(64), threads=32) == [190] * 64

    def test_interrupt_ends_the_work(self) -> None:
        begun = []

        def interrupted(number: int) -> None:
            begun.append(number)
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            time.sleep(0.01)

        with pytest.raises(KeyboardInterrupt):
            map_in_order(interrupted, range(10_000), threads=4)
        count = len(begun)
        time.sleep(0.05)
        assert len(begun) == count < 9_000

    def test_temporary_file_that_someone_removes_is_written_again(
        self, store: ImageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = DirectoryWriter.stage

        def removed(writer: DirectoryWriter, image: Any) -> str | None:
            name = stage(writer, image)
            assert name is not None
            (store.root / name).unlink()
            return name

        monkeypatch.setattr(DirectoryWriter, "stage", removed)
        body = json.dumps([part(URL), part(url_of())]).encode()
        assert offload_request(body, store=store).stats.images_deduplicated == 0
        assert len(list(store.root.iterdir())) == 2
        assert store.verify() == []

    def test_images_of_one_request_are_synced_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        barrier = threading.Barrier(4, timeout=600)
        sync, synced = os.fsync, []

        def waiting(descriptor: int) -> None:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                barrier.wait()
            else:
                synced.append(sorted(path.name[:5] for path in (tmp_path / "images").iterdir()))
            sync(descriptor)

        store = ImageStore(tmp_path / "images")
        store.put_data_url(URL)
        monkeypatch.setattr(os, "fsync", waiting)
        body = json.dumps([part(url_of(seed=seed)) for seed in range(1, 5)]).encode()
        offload_request(body, store=store)
        # The directory once, when every name is in it.
        assert len(synced) == 1
        assert len(synced[0]) == 5
        assert ".tmp-" not in synced[0]


SOURCES = os.pathsep.join(
    str(path) for path in (Path(rawmm.errors.__file__).parents[1], Path(__file__).parents[3])
)


def test_child_of_a_fork_offloads_and_the_interpreter_ends(tmp_path: Path) -> None:
    """While other threads offload, and count, all the time."""
    code = """
import atexit, json, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from rawmm.store import (ImageStore)
from rawmm.offload import (offload_request)
from rawmm.offload.parallel import map_in_order
from tests.unit.images.pictures import part, url_of

store = ImageStore(sys.argv[1])
def body(first):
    return json.dumps([part(url_of(seed=first + n)) for n in range(5)]).encode()

def offload(first):
    assert offload_request(body(first), store=store).stats.images_seen == 5

done = threading.Event()
def always(first):
    while not done.is_set():
        offload(first)

threads = [threading.Thread(target=always, args=(n * 5,)) for n in range(3)]
for thread in threads: thread.start()
children = []
for n in range(8):
    offload(100)
    pid = os.fork()
    if not pid:
        offload(200 + n * 5)
        offload(0)
        meeting = threading.Barrier(2, timeout=600)
        map_in_order(lambda _: meeting.wait(), range(2), threads=2)
        os._exit(0)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
done.set()
for thread in threads: thread.join()
atexit.register(lambda: (offload(900), print("at exit")))
print(codes, store.verify())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "images")],
        env=os.environ | {"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{[0] * 8} []\nat exit\n"


def test_memory_stays_below_half_a_body_more(tmp_path: Path) -> None:
    raws = [picture(size=(2000, 800), seed=seed, compress_level=0) for seed in range(10)]
    body = json.dumps([part(data_url(raw)) for raw in raws]).encode()
    store = ImageStore(tmp_path / "images", durable=False)
    offload_request(json.dumps([part(URL)]).encode(), store=store)
    tracemalloc.start()
    try:
        offload_request(body, store=store)
        first = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        offload_request(body, store=store)
        again = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert first < len(body) / 2
    assert again < len(body) / 20
