"""`ImageStore(normalize=True)`: images that look the same to every reader."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rawmm
from rawmm import ENGINE, STORED, ImageStore, Limits, OffloadError
from rawmm.offload.batch import OffloadBatch
from rawmm.offload.image_parts import ImageParts
from tests.unit.images.odd_pictures import gradient, saved
from tests.unit.images.pictures import data_url, exif_of, part

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = saved(gradient())
TURNED = saved(gradient(), "JPEG", exif=exif_of(6))
CLEAR = saved(gradient("RGBA"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path, normalize=True, durable=False)


def assert_normal(raw: bytes, given: bytes) -> None:
    """A PNG with the engine's pixels, whoever decodes it."""
    assert raw.startswith(b"\x89PNG")
    wanted = np.asarray(rawmm.decode_image(given, ENGINE))
    for decoding in (ENGINE, STORED):
        np.testing.assert_array_equal(np.asarray(rawmm.decode_image(raw, decoding)), wanted)


@pytest.mark.parametrize(("raw", "media_type"), [(TURNED, "image/jpeg"), (CLEAR, "image/png")])
@pytest.mark.parametrize("way", ["put", "put_data_url", "offload", "offload_request"])
def test_ambiguous_image_is_stored_upright_and_opaque(
    way: str, raw: bytes, media_type: str, store: ImageStore
) -> None:
    url = data_url(raw, media_type)
    body = [part(url)]
    for _ in range(2):  # the second time the image exists
        if way == "put":
            store.put(raw)
        elif way == "put_data_url":
            store.put_data_url(url)
        elif way == "offload":
            body = [part(url)]
            rawmm.offload_images_inplace(body, store=store, limits=Limits(mislabelled="refuse"))
        else:
            rawmm.offload_request(rawmm.encode_json(body), store=store)
        [name] = store.names()
        assert_normal(store.read(name), raw)
    assert store.counters.normalized == 2
    assert store.counters.stored == 1
    if way == "offload":
        assert body[0]["image_url"]["url"].endswith(name)
        assert rawmm.describe_image(store.put(raw), "qwen_vl").item.ambiguous is None


def test_lost_file_is_written_normalized_again(store: ImageStore) -> None:
    url = data_url(CLEAR)
    for offload in (
        lambda: store.put_data_url(url),
        lambda: rawmm.offload_images_inplace([part(url)], store=store),
    ):
        offload()
        [name] = store.names()
        store.delete(name)
        offload()
        assert store.names() == [name]
        assert_normal(store.read(name), CLEAR)


def test_plain_image_stays_as_it_is(store: ImageStore) -> None:
    stored = store.put(PLAIN)
    assert stored.path.read_bytes() == PLAIN
    assert store.counters.normalized == 0


def test_image_stays_as_it_is_by_default(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    for raw in (TURNED, CLEAR):
        assert store.put(raw).path.read_bytes() == raw
    assert store.counters.normalized == 0


def test_image_that_cannot_be_decoded_is_refused(store: ImageStore) -> None:
    end = CLEAR.index(b"IEND") - 4
    body = CLEAR.index(b"IDAT") + 8
    damaged = CLEAR[:body] + bytes(end - 4 - body) + CLEAR[end - 4 :]
    with pytest.raises(OffloadError) as caught:
        store.put(damaged)
    assert caught.value.code == "not_an_image"
    assert store.names() == []
    assert base64.b64encode(CLEAR).decode()[:40] not in str(caught.value)


def test_normalized_image_over_a_limit_is_refused(tmp_path: Path) -> None:
    raw = saved(gradient(size=(300, 300)), "JPEG", quality=1, exif=exif_of(6))
    store = ImageStore(tmp_path, normalize=True, limits=Limits(max_bytes=len(raw) + 10))
    with pytest.raises(OffloadError) as caught:
        store.put(raw)
    assert caught.value.code == "image_limit"


def test_lost_temporary_file_is_written_normalized_again(store: ImageStore) -> None:
    """A cleaner may remove the file between the check of all images and the writing of each."""
    found = ImageParts([part(data_url(CLEAR))])
    with OffloadBatch(None, store, None) as batch:
        planned = batch.prepare(found)
        for path in store.root.iterdir():
            path.unlink()
        batch.write(found, planned)
    [name] = store.names()
    assert_normal(store.read(name), CLEAR)
