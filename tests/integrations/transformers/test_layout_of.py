"""`layout_of` against calls of image processors of transformers with drawn settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.image_utils import SizeDict
from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import (
    DeepseekOcr2ImageProcessorPil,
)
from transformers.models.ernie4_5_vl_moe.image_processing_pil_ernie4_5_vl_moe import (
    Ernie4_5_VLMoeImageProcessorPil,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.glm5_next.image_processing_pil_glm5_next import (
    Glm5NextImageProcessorPil,
)
from transformers.models.glm46v.image_processing_pil_glm46v import Glm46VImageProcessorPil
from transformers.models.glmga.image_processing_pil_glmga import GlmgaImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.hunyuan_vl.image_processing_pil_hunyuan_vl import (
    HunYuanVLImageProcessorPil,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor
from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil
from transformers.models.paddleocr_vl.image_processing_pil_paddleocr_vl import (
    PaddleOCRVLImageProcessorPil,
)
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.video_llama_3.image_processing_pil_video_llama_3 import (
    VideoLlama3ImageProcessorPil,
)

from rawmm import ContractError, layouts
from rawmm.layouts import layout_of
from rawmm.testing import check_layout
from tests.integrations.transformers.real import (
    IDEFICS_MARKS,
    MINICPM_TOKENS,
    byte_tokenizer,
    images_only,
    minicpm_ids,
    minicpm_processor,
    numbers_tokenizer,
    tokenizer,
)

# Qwen's image processor warns of arguments that trainers set nevertheless.
pytestmark = pytest.mark.filterwarnings("ignore:Passing `min_pixels`:FutureWarning")


def edges(low: int, high: int) -> st.SearchStrategy[Any]:
    """Sizes in every form: a dict, a SizeDict, numbers, and parts of them."""
    side = st.integers(low, high)
    square = side.map(lambda one: {"height": one, "width": one})
    entries = st.one_of(
        st.fixed_dictionaries({"shortest_edge": side, "longest_edge": side}),
        square,
        st.fixed_dictionaries({"height": side, "width": side}),
        st.fixed_dictionaries({"longest_edge": side}),
        st.fixed_dictionaries({"shortest_edge": side}),
        square.map(lambda one: {f"max_{name}": value for name, value in one.items()}),
    )
    return st.one_of(
        entries,
        entries.map(lambda one: SizeDict(**one)),
        side,
        st.tuples(side, side),
        side.map(lambda one: (one, one)),
        st.none(),
    )


def chosen(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


SWITCHES: Final = {
    # Attributes of any type count as true or false; arguments of a call must be one of them.
    "do_resize": st.sampled_from([True] * 8 + [False, None, 1, 0, "yes"]),
    "do_normalize": st.sampled_from([True] * 12 + [1]),
}
PATCHES: Final = {
    "size": edges(1, 60_000),
    "min_pixels": st.one_of(st.none(), st.integers(1, 30_000)),
    "max_pixels": st.one_of(st.none(), st.integers(1, 60_000)),
    "patch_size": st.integers(2, 20),
    "merge_size": st.integers(1, 3),
    "temporal_patch_size": st.integers(1, 3),
    **SWITCHES,
}
SETTINGS: Final[dict[type, dict[str, st.SearchStrategy[Any]]]] = {
    Qwen2VLImageProcessorPil: PATCHES,
    Ernie4_5_VLMoeImageProcessorPil: PATCHES,
    Glm4vImageProcessorPil: PATCHES,
    Gemma3ImageProcessorPil: {
        "size": edges(14, 14),
        "do_pan_and_scan": st.sampled_from([False, None, True]),
        **SWITCHES,
    },
    GotOcr2ImageProcessorPil: {
        "size": edges(14, 14),
        "crop_to_patches": st.sampled_from([True, False, None]),
        "min_patches": st.integers(1, 4),
        "max_patches": st.integers(1, 8),
        **SWITCHES,
    },
    Idefics3ImageProcessorPil: {
        "size": edges(4, 84),
        "max_image_size": st.one_of(
            edges(14, 60), st.fixed_dictionaries({"longest_edge": st.integers(14, 60)})
        ),
        "do_image_splitting": st.sampled_from([True, False, None]),
        **SWITCHES,
    },
    LlavaOnevisionImageProcessorPil: {
        "size": edges(8, 60),
        "image_grid_pinpoints": st.one_of(
            st.lists(st.lists(st.integers(60, 200), min_size=2, max_size=2), min_size=1),
            st.just([(60, 60)]),
            st.just(((60, 60),)),
            st.just([]),
        ),
        "crop_size": st.sampled_from([None, {"height": 9, "width": 9}]),
        **SWITCHES,
    },
    MiniCPMV4_6ImageProcessorPil: {
        "patch_size": st.integers(1, 20),
        "scale_resolution": st.integers(20, 300),
        "max_slice_nums": st.integers(1, 20),
        "slice_mode": st.sampled_from([True, True, False, None, 0]),
        "downsample_mode": st.sampled_from(["16x", "4x", "8x", 4]),
        "use_image_id": st.booleans(),
        **SWITCHES,
    },
    PixtralImageProcessorPil: {
        "size": edges(4, 300),
        "patch_size": st.one_of(
            st.integers(2, 20),
            st.integers(2, 20).map(lambda one: {"height": one, "width": one}),
            st.just({"height": 4, "width": 5}),
            st.just([9, 9]),
        ),
        "do_center_crop": st.sampled_from([False, None]),
        **SWITCHES,
    },
}
OTHERS: Final = (
    DeepseekOcr2ImageProcessorPil,
    Gemma4ImageProcessorPil,
    Glm46VImageProcessorPil,
    Glm5NextImageProcessorPil,
    GlmgaImageProcessorPil,
    HunYuanVLImageProcessorPil,
    Ovis2ImageProcessorPil,
    PaddleOCRVLImageProcessorPil,
    SmolVLMImageProcessorPil,
    VideoLlama3ImageProcessorPil,
)
COUNTED: Final[dict[type, dict[str, Any]]] = {
    Idefics3ImageProcessorPil: {"return_row_col_info": True, "size": {"longest_edge": 84}},
    LlavaOnevisionImageProcessorPil: {
        "size": {"height": 60, "width": 60},
        "image_grid_pinpoints": [[60, 90]],
    },
}
"""Attributes that every case has: outputs of the payload, and small tiles."""

IMAGE_SIDES: Final = st.integers(1, 300)


def laid_out(layout: layouts.Layout, width: int, height: int) -> dict[str, Any] | None:
    try:
        return layout.describe(width, height).payload
    except ContractError as error:
        if error.code != "image_limit":
            raise
        return None


def called(processor: Any, width: int, height: int, call: dict[str, Any]) -> dict[str, Any] | None:
    """The processor's outputs other than the pixels; None if it raises."""
    try:
        out = processor(images=[Image.new("RGB", (width, height))], return_tensors="np", **call)
    except (ValueError, TypeError):
        return None
    pixels = {"pixel_values", "pixel_attention_mask"}
    return {key: np.asarray(value).tolist() for key, value in out.items() if key not in pixels}


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_layout_is_what_the_processor_does_or_refused_by_name(kind: type) -> None:
    drawn = SETTINGS[kind]
    compared, refused = [], []

    @settings(max_examples=400)
    @given(chosen(**drawn), chosen(**drawn), IMAGE_SIDES, IMAGE_SIDES)
    def agree(attributes: dict[str, Any], call: dict[str, Any], width: int, height: int) -> None:
        processor = kind()
        for name, value in {**COUNTED.get(kind, {}), **attributes}.items():
            setattr(processor, name, value)
        try:
            layout = layout_of(processor, **call)
        except ContractError as error:
            refused.append(error.path.removeprefix("$."))
            return
        wanted = called(processor, width, height, call)
        assert laid_out(layout, width, height) == wanted, (layout, attributes, call)
        compared.append(wanted)

    agree()
    assert len(compared) >= 40, len(refused)
    parameters = {name for cls in layouts.FAMILIES.values() for name in cls.defaults()}
    assert {*refused} <= drawn.keys() | parameters
    assert refused


@pytest.mark.parametrize("by_call", [False, True])
def test_max_pixels_set_after_construction_counts(*, by_call: bool) -> None:
    processor = Qwen2VLImageProcessorPil()
    before = layout_of(processor).describe(1600, 1200).grid
    call: dict[str, Any] = {"max_pixels": 4_000_000} if by_call else {}
    if not by_call:
        processor.max_pixels = 4_000_000
    layout = layout_of(processor, **call)
    assert called(processor, 1600, 1200, call) == laid_out(layout, 1600, 1200)
    assert layout.describe(1600, 1200).grid == [1, 86, 114]
    assert before == [1, 60, 82]


def test_smaller_max_pixels_give_the_smaller_grid() -> None:
    processor = Qwen2VLImageProcessorPil()
    processor.max_pixels = 196_000
    assert called(processor, 1600, 1200, {}) == {"image_grid_thw": [[1, 26, 36]]}
    assert layout_of(processor).describe(1600, 1200).grid == [1, 26, 36]


ODD_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "do_resize": (1, 0, 1.0, "yes", [True]),
    "do_rescale": (1, "", 0.0),
    "do_convert_rgb": (1,),
    "disable_grouping": (1,),
    "rescale_factor": (1, "x", True, [0.5]),
    "image_mean": ([1, 1, 1], "x", 1),
    "image_std": ((True, 0.5, 0.5), {}),
    "return_tensors": (1, ["pt"]),
    "data_format": (1,),
}


@pytest.mark.parametrize("kind", [*SETTINGS, *OTHERS], ids=lambda kind: kind.__name__)
def test_argument_of_another_type_is_refused_as_in_the_call(kind: type) -> None:
    for name, values in ODD_ARGUMENTS.items():
        for value in values:
            call = {"images": [Image.new("RGB", (60, 90))], "return_tensors": "np"}
            with pytest.raises((StrictDataclassFieldValidationError, TypeError)):
                kind()(**call | {name: value})
            with pytest.raises(ContractError) as caught:
                layout_of(kind(), **{name: value})
            assert (caught.value.code, caught.value.path) in {
                ("bad_value", f"$.{name}"),
                ("unknown_field", f"$.{name}"),
            }


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("by_call", [False, True])
def test_do_resize_false_is_refused_by_name(kind: type, *, by_call: bool) -> None:
    processor = kind()
    call: dict[str, Any] = {"do_resize": False} if by_call else {}
    if not by_call:
        processor.do_resize = False
    with pytest.raises(ContractError) as caught:
        layout_of(processor, **call)
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.do_resize")


def test_argument_that_the_processor_does_not_know_is_refused() -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (Glm4vImageProcessorPil(), {"max_pixels": 100}),
        (Qwen2VLImageProcessorPil(), {"max_tokens": 100}),
    ]
    for processor, call in calls:
        (name,) = call
        with pytest.raises(ContractError) as caught:
            layout_of(processor, **call)
        assert (caught.value.code, caught.value.path) == ("unknown_field", f"$.{name}")


@pytest.mark.parametrize(
    "kind",
    [*SETTINGS, *OTHERS],
    ids=lambda kind: kind.__name__,
)
def test_config_without_settings_has_the_defaults_of_the_class(kind: type) -> None:
    name = kind.__name__.removesuffix("Pil")
    found = layouts.for_model({"image_processor_type": name})
    if kind is GotOcr2ImageProcessorPil:  # InternVLProcessor cuts images in each call
        assert found == layout_of(kind(), crop_to_patches=True, size={"height": 448, "width": 448})
    elif kind is Ovis2ImageProcessorPil:
        assert found == layouts.get("ovis2")
    else:
        assert found == layout_of(kind())


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
def test_layout_of_other_processors_agrees_at_drawn_sizes(kind: type) -> None:
    call: dict[str, Any] = {}
    if kind is Ovis2ImageProcessorPil:
        call = {"size": {"height": 28, "width": 28}, "crop_to_patches": True}
    if kind is DeepseekOcr2ImageProcessorPil:
        call = {"size": {"height": 64, "width": 64}, "tile_size": 48}
    if kind is SmolVLMImageProcessorPil:
        call = {"size": {"longest_edge": 150}, "max_image_size": {"longest_edge": 28}}
    processor = kind()
    layout = layout_of(processor, **call)
    assert check_layout(layout, processor, count=150, max_pixels=100_000, **call) > 150


def test_processor_around_the_image_processor_counts() -> None:
    names = {"start_image_token": "<img>", "end_image_token": "</img>"}
    names |= {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    inner = GotOcr2ImageProcessorPil(size={"height": 28, "width": 28})
    assert layout_of(inner).parameters["max_patches"] == 1
    processor = images_only(InternVLProcessor)(inner, tokenizer(**names), image_seq_length=4)
    layout = layout_of(processor)
    parameters = {"image_size": 28, "image_seq_length": 4, "max_patches": 12}
    assert layout == layouts.get("internvl", **parameters)
    for size in ((28, 28), (300, 40), (90, 200)):
        out = processor(
            images=[Image.new("RGB", size)],
            text="<IMG_CONTEXT>",
            return_mm_token_type_ids=True,
        )
        assert sum(out["mm_token_type_ids"][0]) == layout.describe(*size).num_tokens


@pytest.mark.parametrize("merges", [(), (("Ċ", "Ċ"),)])
@pytest.mark.parametrize("digits", [0, 1, 3])
def test_tokenizer_states_the_marks_of_idefics3(
    merges: tuple[tuple[str, str], ...], digits: int
) -> None:
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 6) for column in range(1, 5)]
    tokens = byte_tokenizer(*IDEFICS_MARKS, *tiles, merges=merges, digits=digits)
    inner = Idefics3ImageProcessorPil(
        size={"longest_edge": 112}, max_image_size={"longest_edge": 28}
    )
    processor = Idefics3Processor(inner, tokens, image_seq_len=4)
    layout = layout_of(processor)
    sizes = {"longest_edge": 112, "max_image_size": 28, "image_seq_len": 4}
    expected = {"joins_line_feeds": bool(merges), "marked_tiles": 4}
    assert layout == layouts.get("idefics3", **sizes, **expected)
    for size in ((28, 28), (300, 40), (90, 200)):
        [ids] = processor(images=[Image.new("RGB", size)], text="<image>")["input_ids"]
        runs = layout.placeholder(*size)
        names = [run.token.replace("\n", "Ċ") for run in runs for _ in range(run.length)]
        assert tokens.convert_tokens_to_ids(names) == ids


@pytest.mark.parametrize(
    ("longest_edge", "marks", "marked_tiles"),
    [(111, 4, 6), (111, 9, 6), (111, 3, 3), (250, 9, 9), (250, 12, 9), (250, 7, 7)],
)
def test_tokenizers_with_all_marks_that_images_need_have_one_layout(
    longest_edge: int, marks: int, marked_tiles: int
) -> None:
    numbers = range(1, marks + 1)
    tiles = [f"<row_{row}_col_{column}>" for row in numbers for column in numbers]
    processor = SimpleNamespace(
        image_processor=Idefics3ImageProcessorPil(
            size={"longest_edge": longest_edge}, max_image_size={"longest_edge": 28}
        ),
        tokenizer=byte_tokenizer(*IDEFICS_MARKS, *tiles),
    )
    assert layout_of(processor).parameters["marked_tiles"] == marked_tiles


@pytest.mark.parametrize(
    ("inner", "around", "call", "used"),
    [
        ({}, {}, {}, True),
        ({"use_image_id": False}, {}, {}, False),
        ({}, {"default_use_image_id": False}, {}, False),
        ({"use_image_id": False}, {"use_image_id": True}, {}, True),
        ({}, {"use_image_id": False}, {}, False),
        ({}, {}, {"use_image_id": False}, False),
    ],
)
def test_number_of_an_image_is_written_where_the_processor_says_so(
    inner: dict[str, Any], around: dict[str, Any], call: dict[str, Any], *, used: bool
) -> None:
    processor = minicpm_processor(
        MiniCPMV4_6ImageProcessorPil(**inner), numbers_tokenizer(1), MiniCPMV4_6Processor
    )
    vars(processor).update(around)
    layout = layout_of(processor, **call)
    assert layout.parameters["use_image_id"] == used
    for size in ((28, 28), (700, 90)):
        ids = minicpm_ids(processor, [Image.new("RGB", size)], **call)
        assert len(ids) == layout.describe(*size).num_tokens


def test_slices_that_the_processor_does_not_write_are_refused() -> None:
    inner = MiniCPMV4_6ImageProcessorPil(slice_mode=False)
    processor = minicpm_processor(inner, numbers_tokenizer(1), MiniCPMV4_6Processor)
    assert not layout_of(processor).parameters["slice_mode"]
    inner.slice_mode = True
    with pytest.raises(ContractError) as caught:
        layout_of(processor)
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.slice_mode")


def test_numbers_of_many_lengths_are_refused() -> None:
    tokens = byte_tokenizer(merges=[("1", "0"), ("1", "2")], digits=0, **MINICPM_TOKENS)
    processor = minicpm_processor(MiniCPMV4_6ImageProcessorPil(), tokens, MiniCPMV4_6Processor)
    with pytest.raises(ContractError) as caught:
        layout_of(processor)
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.tokenizer")


@pytest.mark.parametrize("lost", [*IDEFICS_MARKS, "<row_1_col_1>"])
def test_tokenizer_without_a_mark_of_idefics3_is_refused(lost: str) -> None:
    marks = {*IDEFICS_MARKS, "<row_1_col_1>"} - {lost}
    processor = SimpleNamespace(
        image_processor=Idefics3ImageProcessorPil(), tokenizer=byte_tokenizer(*sorted(marks))
    )
    with pytest.raises(ContractError) as caught:
        layout_of(processor)
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.tokenizer")
