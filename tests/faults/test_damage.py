"""Stored files that are truncated, altered or replaced by a link, and clocks that go backwards."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.errors import MaterializeError, OffloadError
from rawmm.materialize.reading import read_image
from rawmm.store import collect_garbage, fsck
from tests.faults.writers import urls_of
from tests.unit.images.pictures import FORMATS, chat_request, data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> rawmm.ImageStore:
    return rawmm.ImageStore(tmp_path / "images", durable=False)


def _assert_found(store: rawmm.ImageStore, stored: rawmm.StoredImage) -> None:
    """Readers of the damaged file get an error."""
    for read in (
        lambda: store.read(stored.raw_image_id),
        lambda: store.read(stored.uri),
        lambda: store.read(stored.raw_image_id, stored.sha256[:16]),
        lambda: read_image(stored.raw_image_id, stored.sha256[:32], store, store.limits),
        lambda: rawmm.describe_image(stored.path, "qwen_vl", image_dir=store.root),
    ):
        with pytest.raises(MaterializeError) as caught:
            read()
        assert caught.value.code == "hash_mismatch"
    assert [error.code for error in store.verify()] == ["hash_mismatch"]
    assert [(each.kind, each.file) for each in fsck(store.root)] == [("corrupt", stored.path)]


@pytest.mark.parametrize("kind", FORMATS)
class TestDamagedFile:
    def test_truncated_file_is_found_and_repaired(
        self, kind: str, store: rawmm.ImageStore, counted: Callable[..., None]
    ) -> None:
        raw = picture(kind)
        stored = store.put(raw)
        body = chat_request(data_url(raw, f"image/{kind.lower()}"))
        text = json.dumps(body).encode()
        for size in range(len(raw)):
            stored.path.write_bytes(raw[:size])
            _assert_found(store, stored)
            # Of another size: the next offload of the image replaces the file.
            if size % 2:
                rawmm.offload_request(text, store=store)
            else:
                assert store.put(raw).written
            assert stored.path.read_bytes() == raw
        counted(cuts=len(raw), found=len(raw), repaired=len(raw))

    def test_flipped_bit_is_found_and_repaired(
        self, kind: str, store: rawmm.ImageStore, counted: Callable[..., None]
    ) -> None:
        raw = picture(kind)
        stored = store.put(raw)
        for place in range(len(raw)):
            damaged = bytearray(raw)
            damaged[place] ^= 1 << place % 8
            stored.path.write_bytes(damaged)
            _assert_found(store, stored)
            assert store.put(raw, verify=True).written
            assert stored.path.read_bytes() == raw
        counted(flips=len(raw), found=len(raw), repaired=len(raw))

    def test_quarantined_image_can_be_stored_again(
        self, kind: str, store: rawmm.ImageStore
    ) -> None:
        raw = picture(kind)
        stored = store.put(raw)
        damaged = raw[:-1] + bytes([raw[-1] ^ 1])
        stored.path.write_bytes(damaged)
        (finding,) = fsck(store.root, quarantine=True)
        assert finding.repaired
        assert damaged in [path.read_bytes() for path in store.root.iterdir()]
        assert store.put(raw).written
        assert store.read(stored.raw_image_id) == raw


@pytest.mark.parametrize("target", ["same image", "other file", "nothing", "itself", "directory"])
def test_symlink_in_place_of_an_image_is_refused(
    target: str, store: rawmm.ImageStore, tmp_path: Path, counted: Callable[..., None]
) -> None:
    raw = picture()
    stored = store.put(raw)
    kept = store.put(picture(seed=1))
    outside = tmp_path / "outside"
    if target == "directory":
        outside.mkdir()
    elif target != "nothing":
        outside.write_bytes(raw if target == "same image" else b"a secret")
    stored.path.unlink()
    stored.path.symlink_to(stored.path if target == "itself" else outside)
    body = chat_request(data_url(raw), data_url(picture(seed=2)))
    before = json.dumps(body)
    storing: tuple[Callable[[], Any], ...] = (
        lambda: store.put(raw),
        lambda: store.put(raw, verify=True),
        lambda: rawmm.offload_images_inplace(body, store=store),
        lambda: rawmm.offload_request(before.encode(), store=store),
        lambda: rawmm.offload_request(json.dumps(chat_request(stored.uri)).encode(), store=store),
    )
    for store_it in storing:
        with pytest.raises(OffloadError) as refused:
            store_it()
        assert refused.value.code == "path_escape"
        assert json.dumps(body) == before
    for name in (stored.raw_image_id, stored.uri):
        with pytest.raises(MaterializeError) as caught:
            store.read(name)
        assert caught.value.code == "path_escape"
    assert [(each.kind, each.file) for each in fsck(store.root, quarantine=True)] == [
        ("corrupt", stored.path)
    ]
    collect_garbage(store.root, [{"raw_image_id": kept.raw_image_id}], grace=timedelta(0))
    assert stored.path.is_symlink()
    if outside.is_file():
        assert outside.read_bytes() in (raw, b"a secret")
    # Once the link is gone the same call succeeds, and nothing else was lost.
    stored.path.unlink()
    rawmm.offload_images_inplace(body, store=store)
    assert store.read(urls_of(body)[0]) == raw
    assert store.read(kept.raw_image_id) == picture(seed=1)
    assert store.verify() == []
    counted(entry_points=len(storing) + 2, refused=len(storing) + 2)


class TestBackwardClock:
    """Files with times from a wrong clock, in the distant past and in the future."""

    TIMES = (0, -DAY, DAY, 365 * DAY, 100 * 365 * DAY)

    @pytest.mark.parametrize("shift", TIMES)
    def test_gc_deletes_nothing_at_a_wrong_time(
        self, shift: int, store: rawmm.ImageStore, counted: Callable[..., None]
    ) -> None:
        raws = [picture(seed=seed) for seed in range(3)]
        named, found_again, unnamed = (store.put(raw) for raw in raws)
        for each in (named, found_again, unnamed):
            os.utime(each.path, (time.time() + shift,) * 2)
        record = {"raw_image_id": named.raw_image_id}
        # Found again, it is as young as any, even where its time was still to come.
        assert not store.put(raws[1]).written
        assert abs(found_again.path.stat().st_mtime - time.time()) < DAY / 2
        stats = collect_garbage(store.root, [record], grace=timedelta(days=1))
        assert stats.deleted == []
        assert (stats.referenced, stats.young) == (1, 2)
        records = [record, {"raw_image_id": found_again.raw_image_id}]
        assert [each.file for each in fsck(store.root, records)] == [unnamed.path]
        for each, raw in zip((named, found_again, unnamed), raws, strict=True):
            assert store.read(each.raw_image_id) == raw
        counted(images=3, lost=0)

    @pytest.mark.parametrize("shift", [DAY, 365 * DAY, 100 * 365 * DAY])
    def test_temporary_file_from_the_future_is_not_stale(
        self, shift: int, store: rawmm.ImageStore
    ) -> None:
        store.put(picture())
        temporary = store.root / f".tmp-{2**22 - 1}-1-{'0' * 16}"
        temporary.write_bytes(b"half")
        os.utime(temporary, (time.time() + shift,) * 2)
        assert fsck(store.root, repair=True) == []
        assert temporary.exists()

    def test_gc_keeps_images_from_the_future(self, store: rawmm.ImageStore) -> None:
        kept = store.put(picture())
        future = store.put(picture(seed=1))
        os.utime(future.path, (time.time() + DAY,) * 2)
        record = {"raw_image_id": kept.raw_image_id}
        assert collect_garbage(store.root, [record], grace=timedelta(0)).young == 1
        assert store.read(future.raw_image_id) == picture(seed=1)
