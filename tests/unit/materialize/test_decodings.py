"""The two sides of a run: how images were described, and how `materialize` decodes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL.JpegImagePlugin import JpegImageFile

import rawmm
from rawmm import (
    ENGINE,
    STORED,
    ContractError,
    ImageDecoding,
    MMImageRef,
    MMRefs,
    RawMMError,
)
from rawmm.describe import describe_image
from rawmm.materialize import ProcessedImageCache, materialize
from tests.unit.images.odd_pictures import gradient, saved
from tests.unit.images.pictures import exif_of
from tests.unit.materialize.processor import QWEN, PatchProcessor

if TYPE_CHECKING:
    from rawmm import ImageStore

SIZE = (84, 56)
TURNED = saved(gradient(size=SIZE), "JPEG", exif=exif_of(6))
UPSIDE_DOWN = saved(gradient(size=SIZE), exif=exif_of(3))
CLEAR = saved(gradient("RGBA", SIZE))
PLAIN = saved(gradient(size=SIZE))


def ref(store: ImageStore, raw: bytes, decoding: ImageDecoding, offset: int = 0) -> MMImageRef:
    stored = store.put(raw)
    found = describe_image(stored, QWEN, decoding=decoding)
    return MMImageRef(
        item=found.item,
        hash=found.mm_hash,
        uri=stored.uri,
        offset=offset,
        length=found.placeholder_length,
    )


def run(refs: list[MMImageRef], processor: PatchProcessor, **options: Any) -> Any:
    options = {"return_tensors": "np"} | options
    return materialize(MMRefs(images=refs), image_processor=processor, **options)


def refused(*args: Any, **options: Any) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        run(*args, **options)
    return caught.value


@pytest.mark.parametrize("decoding", [ENGINE, STORED, ImageDecoding(background=(0, 9, 0))])
@pytest.mark.parametrize("layout", [QWEN, None])
@pytest.mark.parametrize("raw", [TURNED, UPSIDE_DOWN, CLEAR, PLAIN])
def test_processor_gets_the_pixels_of_the_decoding(
    decoding: ImageDecoding,
    layout: rawmm.layouts.Layout | None,
    raw: bytes,
    store: ImageStore,
    processor: PatchProcessor,
) -> None:
    run([ref(store, raw, decoding)], processor, layout=layout, decoding=decoding)
    [seen] = processor.seen
    wanted = rawmm.decode_image(raw, decoding)
    np.testing.assert_array_equal(np.asarray(seen), np.asarray(wanted))


def test_default_is_the_engine(store: ImageStore, processor: PatchProcessor) -> None:
    run([ref(store, TURNED, ENGINE)], processor)
    assert processor.seen[0].size == (56, 84)


@pytest.mark.parametrize("layout", [QWEN, None])
@pytest.mark.parametrize("raw", [TURNED, UPSIDE_DOWN, CLEAR])
@pytest.mark.parametrize(
    ("described", "decoded"),
    [(ENGINE, STORED), (STORED, ENGINE), (ENGINE, ImageDecoding(background=(0, 0, 0)))],
)
def test_other_decoding_is_refused_before_the_processor(
    described: ImageDecoding,
    decoded: ImageDecoding,
    layout: rawmm.layouts.Layout | None,
    raw: bytes,
    store: ImageStore,
    processor: PatchProcessor,
) -> None:
    error = refused([ref(store, raw, described)], processor, layout=layout, decoding=decoded)
    assert isinstance(error, ContractError)
    assert (error.code, error.path) == ("mixed_layouts", "$[0][0][0].layout_fingerprint")
    assert "decoding" in (error.hint or "")
    assert not processor.seen


def test_reference_to_the_same_image_with_another_decoding_is_refused(
    store: ImageStore, processor: PatchProcessor
) -> None:
    refs = [ref(store, CLEAR, ENGINE), ref(store, CLEAR, STORED, offset=20)]
    error = refused(refs, processor)
    assert (error.code, error.path) == ("mixed_layouts", "$[0][1][0].layout_fingerprint")


def test_plain_image_needs_no_decoding_without_a_layout(
    store: ImageStore, processor: PatchProcessor
) -> None:
    """All decodings see the same pixels."""
    run([ref(store, PLAIN, STORED)], processor)
    assert refused([ref(store, PLAIN, STORED)], processor, layout=QWEN).code == "mixed_layouts"


def test_cache_does_not_mix_decodings(store: ImageStore, processor: PatchProcessor) -> None:
    cache = ProcessedImageCache()
    found = [
        run([ref(store, CLEAR, one)], processor, decoding=one, cache=cache).model_inputs()
        for one in (ENGINE, STORED, ENGINE)
    ]
    assert cache.counters.misses == 2
    first, second, third = (one["pixel_values"] for one in found)
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


def test_decoding_of_another_type_is_refused(store: ImageStore, processor: PatchProcessor) -> None:
    error = refused([ref(store, PLAIN, ENGINE)], processor, decoding="exif")
    assert (error.code, error.path) == ("wrong_type", "$.decoding")


def test_limit_that_decodes_does_not_decode_twice(
    store: ImageStore, processor: PatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ref(store, TURNED, ENGINE)
    loads: list[JpegImageFile] = []
    load = JpegImageFile.load

    def counted(image: JpegImageFile) -> Any:
        loads.append(image)
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", counted)
    run([one], processor, limits=rawmm.Limits(decode=True))
    assert len({id(image) for image in loads}) == 1
