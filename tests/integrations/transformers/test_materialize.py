"""Materialized images against the image processors of transformers, called as consumers do."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rawmm import (
    ENGINE,
    STORED,
    ImageDecoding,
    ImageStore,
    MaterializeError,
    MultiModalData,
    PlaceholderRange,
)
from rawmm.describe import describe_image
from rawmm.materialize import Materialized, ProcessedImageCache, layout_of, materialize
from tests.integrations.engine.pixels import decode_image
from tests.integrations.transformers import real
from tests.integrations.transformers.test_image_files import file
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rawmm import StoredImage
    from rawmm.layouts import Layout
    from tests.integrations.transformers.real import Real


def idefics3(longest_edge: int) -> Real:
    """With an image processor that returns no tiles unless it is asked."""
    case = real.idefics3(longest_edge=longest_edge, max_image_size=28)
    case.image_processor.return_row_col_info = False
    return case


CASES: Final[dict[str, Callable[[], Real]]] = {
    "qwen3_vl": real.qwen_vl,
    "qwen2_vl": lambda: real.qwen_vl(patch_size=14, min_pixels=3_136, max_pixels=1_003_520),
    "glm4v": real.glm4v,
    "gemma3": real.gemma3,
    "internvl": real.internvl,
    "internvl-whole": lambda: real.internvl(max_patches=1),
    "pixtral": real.pixtral,
    "idefics3": lambda: idefics3(longest_edge=112),
    "llava_onevision": lambda: real.llava_onevision(
        image_size=28, image_grid_pinpoints=[[28, 56], [56, 28], [84, 84]]
    ),
    "minicpmv4_6": lambda: real.minicpmv4_6(scale_resolution=112),
}
JOINED: Final = CASES.keys() - {"pixtral", "idefics3", "llava_onevision", "minicpmv4_6"}
"""Those whose outputs of a call are those of its images, one after the other."""

FILES = [
    picture(size=(150, 70), seed=1),
    picture("JPEG", size=(70, 150), seed=2, quality=80),
    file("JPEG", "RGB", (150, 90), orientation=6),
    file("PNG", "RGBA", (33, 40)),
    file("GIF", "P", (400, 31)),
    picture("WEBP", size=(640, 480), seed=3),
]


@pytest.fixture
def stored(tmp_path: Path) -> list[StoredImage]:
    store = ImageStore(tmp_path, durable=False)
    return [store.put(raw) for raw in FILES]


def sidecar_of(
    images: list[StoredImage], layout: Layout, decoding: ImageDecoding
) -> MultiModalData:
    described = [describe_image(one, layout, decoding=decoding) for one in images]
    ranges, end = [], 0
    for one in described:
        ranges.append(PlaceholderRange(offset=end + 2, length=one.placeholder_length))
        end += 2 + one.placeholder_length
    return MultiModalData(
        mm_items={"image": [one.item for one in described]},
        mm_hashes={"image": [one.mm_hash for one in described]},
        mm_placeholders={"image": ranges},
    )


def as_consumers_do(
    processor: Any, *raw: bytes, decoding: ImageDecoding = ENGINE
) -> dict[str, Any]:
    """The output for images as the engine opens them, or as bare processors are called."""
    if decoding == ENGINE:
        images = [decode_image(one) for one in raw]
    else:
        images = [Image.open(io.BytesIO(one)).convert("RGB") for one in raw]
    return dict(processor(images=images, return_tensors="np"))


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert type(got[key]) is type(value)
        assert np.asarray(got[key]).dtype == np.asarray(value).dtype
        assert np.array_equal(got[key], value), key


def run(
    images: list[StoredImage],
    processor: Any,
    described_as: Layout,
    decoding: ImageDecoding = ENGINE,
    **more: Any,
) -> Materialized:
    return materialize(
        sidecar_of(images, described_as, decoding),
        image_processor=processor,
        image_dir=images[0].path.parent,
        return_tensors="np",
        decoding=decoding,
        **more,
    )


@pytest.mark.parametrize("decoding", [ENGINE, STORED])
@pytest.mark.parametrize("name", CASES)
def test_each_image_equals_the_processors_output(
    name: str, decoding: ImageDecoding, stored: list[StoredImage]
) -> None:
    case = CASES[name]()
    processor, layout = case.image_processor, case.layout
    cache = ProcessedImageCache()
    for _ in range(2):
        found = run(stored, processor, layout, decoding, layout=layout, cache=cache)
        for one, raw in zip(found.images, FILES, strict=True):
            wanted = as_consumers_do(processor, raw, decoding=decoding)
            assert_same(dict(one.outputs), wanted)
    assert cache.counters.misses == len(FILES)


@pytest.mark.parametrize("name", sorted(JOINED))
def test_model_inputs_are_those_of_one_call(name: str, stored: list[StoredImage]) -> None:
    case = CASES[name]()
    joint = as_consumers_do(case.image_processor, *FILES)
    assert_same(run(stored, case.image_processor, case.layout).model_inputs(), joint)


def test_pixtral_pads_the_images_of_a_call(stored: list[StoredImage]) -> None:
    case = real.pixtral()
    found = run(stored, case.image_processor, case.layout)
    with pytest.raises(MaterializeError) as caught:
        found.model_inputs()
    assert (caught.value.code, caught.value.path) == ("geometry_mismatch", "$[1]")
    same = run([stored[0]] * 2, case.image_processor, case.layout)
    assert_same(same.model_inputs(), as_consumers_do(case.image_processor, FILES[0], FILES[0]))


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_read_from_the_image_processor(name: str) -> None:
    case = CASES[name]()
    found = layout_of(case.image_processor)
    assert found == layout_of(case.image_processor, case.layout.family)
    for size in ((150, 70), (70, 150), (640, 480), (1234, 4321)):
        assert found.describe(*size) == case.layout.describe(*size)
    if case.layout.family in {"qwen_vl", "glm4v"}:
        assert found.fingerprint() == case.layout.fingerprint()


def test_tiles_of_other_settings_are_refused(stored: list[StoredImage]) -> None:
    described_as = CASES["idefics3"]().layout
    processor = idefics3(longest_edge=140).image_processor
    with pytest.raises(MaterializeError) as caught:
        run(stored, processor, described_as, layout=described_as)
    assert (caught.value.code, caught.value.path) == (
        "geometry_mismatch",
        "$.mm_items.image[0].payload.rows",
    )


def test_number_of_an_image_in_its_prompt_may_have_more_digits(stored: list[StoredImage]) -> None:
    case = CASES["minicpmv4_6"]()
    sidecar = sidecar_of(stored[:1], case.layout, ENGINE)
    [first] = sidecar.mm_placeholders["image"]
    for more, accepted in ((0, True), (1, True), (3, True), (4, False), (-1, False)):
        place = PlaceholderRange(offset=first.offset, length=first.length + more)
        moved = MultiModalData(
            mm_items=sidecar.mm_items,
            mm_hashes=sidecar.mm_hashes,
            mm_placeholders={"image": [place]},
        )
        arguments: dict[str, Any] = {"image_dir": stored[0].path.parent, "return_tensors": "np"}
        if accepted:
            assert materialize(moved, image_processor=case.image_processor, **arguments).images
        else:
            with pytest.raises(MaterializeError) as caught:
                materialize(moved, image_processor=case.image_processor, **arguments)
            assert caught.value.code == "geometry_mismatch"


def test_parameters_by_their_old_names_are_read() -> None:
    """Bounds on pixels by their old names, which the processor turns into a size."""
    published = {"min_pixels": 3_136, "max_pixels": 12_845_056, "patch_size": 14, "merge_size": 2}
    found = layout_of(Qwen2VLImageProcessorPil(**published), "qwen_vl")
    parameters = found.parameters
    assert {name: parameters[name] for name in published} == published


@pytest.mark.parametrize(
    "other",
    [
        {"size": {"shortest_edge": 65_536, "longest_edge": 100_352}},
        {"merge_size": 4},
        {"patch_size": 28},
    ],
)
def test_processor_with_other_settings_is_refused(
    other: dict[str, Any], stored: list[StoredImage]
) -> None:
    case = real.qwen_vl()
    settings = {"patch_size": 16, "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216}}
    run(stored, Qwen2VLImageProcessorPil(**settings), case.layout)
    processor = Qwen2VLImageProcessorPil(**settings | other)
    # The grid tells. Of images that decodings show differently the fingerprint is compared, too.
    stored = [one for one in stored if not one.header.ambiguous]
    for layout in (None, case.layout):
        with pytest.raises(MaterializeError) as caught:
            run(stored, processor, case.layout, layout=layout)
        assert caught.value.code == "geometry_mismatch"


def test_pan_and_scan_is_refused_by_name(stored: list[StoredImage]) -> None:
    case = real.gemma3()
    processor = type(case.image_processor)(
        size={"height": 896, "width": 896},
        do_pan_and_scan=True,
        pan_and_scan_min_crop_size=32,
        pan_and_scan_max_num_crops=4,
        pan_and_scan_min_ratio_to_activate=1.2,
    )
    with pytest.raises(MaterializeError) as caught:
        run(stored[:1], processor, case.layout)
    assert (caught.value.code, caught.value.path) == (
        "bad_value",
        "$.image_processor.do_pan_and_scan",
    )
