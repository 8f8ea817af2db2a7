"""The results of `materialize` for all kinds of arguments."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import rawmm
from rawmm import MMRefs, MultiModalData, PlaceholderRange
from rawmm.describe import describe_image
from rawmm.materialize import Materialized, ProcessedImageCache, materialize
from tests.unit.images.pictures import data_url, picture
from tests.unit.materialize.processor import QWEN, PatchProcessor, ref_to, refs_to

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm import ImageStore

RED, BLUE = picture(size=(84, 56), seed=200), picture("JPEG", size=(56, 112), seed=7)


def decoded(*raw: bytes) -> list[Image.Image]:
    return [Image.open(io.BytesIO(one)).convert("RGB") for one in raw]


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert got[key].dtype == value.dtype
        assert np.array_equal(got[key], value), key


def sidecar_of(*raw: bytes, store: ImageStore) -> MultiModalData:
    """A sidecar with ids, as in the message graph."""
    described = [describe_image(store.put(one), QWEN) for one in raw]
    ends = np.cumsum([one.placeholder_length + 3 for one in described])
    return MultiModalData(
        mm_items={"image": [one.item for one in described]},
        mm_hashes={"image": [one.mm_hash for one in described]},
        mm_placeholders={
            "image": [
                PlaceholderRange(
                    offset=int(end) - one.placeholder_length, length=one.placeholder_length
                )
                for one, end in zip(described, ends, strict=True)
            ]
        },
    )


def test_model_inputs_equal_one_call_of_the_processor(
    store: ImageStore, processor: PatchProcessor
) -> None:
    out = materialize(
        MMRefs(images=refs_to(store, RED, BLUE, RED)), image_processor=processor
    ).model_inputs()
    assert_same(out, PatchProcessor()(images=decoded(RED, BLUE, RED)))
    assert out["pixel_values"].shape == (24 + 32 + 24, 14 * 14 * 3)
    assert out["image_grid_thw"].tolist() == [[1, 4, 6], [1, 8, 4], [1, 4, 6]]


def test_each_image_has_its_own_outputs(store: ImageStore, processor: PatchProcessor) -> None:
    refs = refs_to(store, RED, BLUE)
    images = materialize(refs, image_processor=processor).images
    for one, ref, raw in zip(images, refs, (RED, BLUE), strict=True):
        assert_same(dict(one.outputs), PatchProcessor()(images=decoded(raw)))
        assert (one.offset, one.length) == (ref.offset, ref.length)
        assert one.sha256.startswith(ref.hash)
        assert len(one.sha256) == 64
        assert one.geometry == QWEN.describe(*decoded(raw)[0].size)


def test_every_kind_of_argument_is_accepted(store: ImageStore, processor: PatchProcessor) -> None:
    refs, sidecar = refs_to(store, RED, BLUE), sidecar_of(RED, BLUE, store=store)
    wanted = PatchProcessor()(images=decoded(RED, BLUE))
    for way in (
        MMRefs(images=refs),
        refs,
        tuple(refs),
        rawmm.to_builtins(MMRefs(images=refs)),
        sidecar,
        rawmm.to_builtins(sidecar),
    ):
        found = materialize(way, image_processor=processor, image_dir=store.root)
        assert_same(found.model_inputs(), wanted)
    one = materialize(refs[1], image_processor=processor).model_inputs()
    assert_same(one, PatchProcessor()(images=decoded(BLUE)))


@pytest.mark.parametrize("nothing", [None, [], [[]], MMRefs(images=[]), {}, MultiModalData()])
def test_no_images_give_no_inputs(nothing: Any, processor: PatchProcessor) -> None:
    found = materialize(nothing, image_processor=processor, mm_token_type_ids=[0, 0])
    assert found == Materialized([])
    assert found.model_inputs() == {}
    assert processor.seen == []


def test_inputs_are_unchanged(store: ImageStore, processor: PatchProcessor) -> None:
    refs = MMRefs(images=refs_to(store, RED))
    before = rawmm.encode_msgpack(refs)
    materialize(refs, image_processor=processor)
    assert rawmm.encode_msgpack(refs) == before


def test_image_is_processed_once_in_a_call(store: ImageStore, processor: PatchProcessor) -> None:
    found = materialize(refs_to(store, RED, BLUE, RED, RED), image_processor=processor)
    assert len(processor.seen) == 2
    assert found.images[0].outputs is found.images[3].outputs
    # The cache has no room for it.
    materialize(
        refs_to(store, RED, RED), image_processor=processor, cache=ProcessedImageCache(max_bytes=0)
    )
    assert len(processor.seen) == 3


def test_joined_arrays_are_copies(store: ImageStore, processor: PatchProcessor) -> None:
    cache = ProcessedImageCache()
    refs = refs_to(store, RED)
    found = materialize(refs, image_processor=processor, cache=cache).model_inputs()
    found["pixel_values"][:] = -1
    again = materialize(refs, image_processor=processor, cache=cache).model_inputs()
    assert_same(again, PatchProcessor()(images=decoded(RED)))
    assert len(processor.seen) == 1


def test_outputs_are_read_only(store: ImageStore, processor: PatchProcessor) -> None:
    outputs: Any = materialize(refs_to(store, RED), image_processor=processor).images[0].outputs
    with pytest.raises(TypeError):
        outputs["pixel_values"] = None


def test_processor_is_asked_for_the_kind_of_tensors(
    store: ImageStore, processor: PatchProcessor
) -> None:
    refs = refs_to(store, RED)
    materialize(refs, image_processor=processor)
    materialize(refs, image_processor=processor, return_tensors="np")
    materialize(refs, image_processor=processor, return_tensors=None)
    assert processor.asked == ["pt", "np", None]


@pytest.mark.parametrize("grid", [[1, 4, 6], [[1, 4, 6]]])
def test_both_shapes_of_a_grid_are_accepted(
    grid: list[Any], store: ImageStore, processor: PatchProcessor
) -> None:
    (ref,) = refs_to(store, RED)
    ref.item.payload = {"image_grid_thw": grid, "note": "the family's own"}
    assert len(materialize(ref, image_processor=processor).images) == 1


def test_inline_image_is_decoded(processor: PatchProcessor) -> None:
    described = describe_image(data_url(BLUE, "image/jpeg"), QWEN)
    sidecar = MultiModalData(
        mm_items={"image": [described.item]},
        mm_hashes={"image": [described.mm_hash]},
        mm_placeholders={"image": [{"offset": 1, "length": described.placeholder_length}]},
    )
    found = materialize(sidecar, image_processor=processor).model_inputs()
    assert_same(found, PatchProcessor()(images=decoded(BLUE)))


def test_layout_that_described_the_images_is_accepted(
    store: ImageStore, processor: PatchProcessor
) -> None:
    refs = refs_to(store, RED, BLUE)
    refs[1].item.layout_fingerprint = None
    assert len(materialize(refs, image_processor=processor, layout=QWEN).images) == 2


def test_processor_without_settings_needs_the_layout(store: ImageStore) -> None:
    whole = PatchProcessor()

    def bare(**arguments: Any) -> Any:
        return whole(**arguments)

    found = materialize(refs_to(store, RED), image_processor=bare, layout=QWEN)
    assert_same(found.model_inputs(), PatchProcessor()(images=decoded(RED)))


def test_token_types_that_agree_are_accepted(store: ImageStore, processor: PatchProcessor) -> None:
    refs = refs_to(store, RED, BLUE)
    types = [0, 0, *[1] * 6, 0, 0, *[1] * 8, 0]
    found = materialize(refs, image_processor=processor, mm_token_type_ids=types)
    assert [(one.offset, one.length) for one in found.images] == [(2, 6), (10, 8)]


def test_image_without_a_hash_in_its_name_is_read(
    tmp_path: Path, processor: PatchProcessor
) -> None:
    path = tmp_path / "a page.png"
    path.write_bytes(RED)
    ref = ref_to(RED, path.as_uri())
    assert len(materialize(ref, image_processor=processor).images) == 1
