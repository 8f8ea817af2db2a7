"""Random message lists: all or nothing, and nothing lost."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import OffloadError
from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore
from tests.unit.images.pictures import (
    FORMATS,
    assert_silent,
    data_url,
    picture,
    temporary_files,
    url_of,
)
from tests.unit.offload.typed_parts import CONTAINERS, DICTS, TYPED, image_url_of, parts_in

RAW = {url_of(kind, seed): picture(kind, seed=seed) for kind in FORMATS for seed in range(3)}
BAD = [
    "https://x.y/z.png",
    "",
    "file:///etc/passwd",
    "data:image/png;base64,aGVs*bG8=",
    url_of()[:-3],
    data_url(picture()[:-20]),
    data_url(b"GIF89a"),
]

good = st.sampled_from(sorted(RAW))
makers = st.sampled_from([*TYPED.values(), *DICTS.values()])
texts = st.one_of(
    st.text(max_size=5).map(lambda text: {"type": "text", "text": text, "image_url": None}),
)


def messages(urls: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    image = st.builds(lambda make, url: make(url), makers, urls)
    content = st.lists(image, min_size=1, max_size=4)
    one = st.builds(
        lambda make, parts: make(parts), st.sampled_from([*CONTAINERS.values()]), content
    )
    text = st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(texts, max_size=2))
    return st.lists(st.one_of(one, text), max_size=4)


def urls_in(value: list[Any]) -> list[str]:
    return [image_url_of(each) for each in parts_in(value) if not _is_text(each)]


def _is_text(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "text"


class TestAllOrNothing:
    @given(messages(good))
    def test_successful_call_leaves_references_to_the_same_bytes(self, value: list[Any]) -> None:
        before = urls_in(value)
        with tempfile.TemporaryDirectory() as directory:
            store = ImageStore(directory, durable=False)
            stats = offload_images_inplace(value, store=store)
            after = urls_in(value)
            assert [store.read(url) for url in after] == [RAW[url] for url in before]
            assert all(url.startswith("file:///") for url in after)
            assert stats.images_seen == stats.images_rewritten == len(before)
            assert stats.bytes_in == sum(len(RAW[url]) for url in before)
            assert len(before) - stats.images_deduplicated == len(set(before))
            assert stats.bytes_written == sum(len(RAW[url]) for url in set(before))
            assert store.verify() == []
            assert not temporary_files(Path(directory))
            # Once more changes nothing: references stay.
            again = copy.deepcopy(value)
            assert offload_images_inplace(value, store=store).images_rewritten == 0
            assert value == again

    @given(messages(st.one_of(good, st.sampled_from(BAD))))
    def test_failure_leaves_the_value_unchanged(self, value: list[Any]) -> None:
        before = copy.deepcopy(value)
        bad = [url for url in urls_in(value) if url not in RAW]
        with tempfile.TemporaryDirectory() as directory:
            try:
                offload_images_inplace(value, image_dir=directory)
            except OffloadError as error:
                assert bad
                assert_silent(error, *bad)
                assert value == before
                assert not list(Path(directory).iterdir())
            else:
                assert not bad

    @given(messages(st.one_of(good, st.sampled_from(BAD))))
    def test_inline_mode_refuses_the_same_and_changes_nothing(self, value: list[Any]) -> None:
        before = copy.deepcopy(value)
        with tempfile.TemporaryDirectory() as directory:
            said = []
            for mode in ("inline", "offload"):
                try:
                    offload_images_inplace(value, image_dir=directory, mode=mode)
                except OffloadError as error:
                    said.append(str(error))
                else:
                    said.append("")
                if mode == "inline":
                    assert value == before
            assert said[0] == said[1]
