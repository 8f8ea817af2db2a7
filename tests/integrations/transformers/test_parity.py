"""Layouts against the image processors of transformers: zero mismatches."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor

from rawmm import ContractError, layouts
from rawmm.layouts import models
from tests.integrations.transformers import real, tiled
from tests.integrations.transformers.sizes import SIZES, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integrations.transformers.real import Real
    from tests.integrations.transformers.sizes import Size

QWEN2_VL: Final = {"patch_size": 14, "min_pixels": 3_136, "max_pixels": 12_845_056}
ERNIE: Final = {"patch_size": 14, "temporal_patch_size": 1} | {
    "min_pixels": 3_136,
    "max_pixels": 4_842_768,
}
VIDEO_LLAMA_3: Final = {"patch_size": 14, "merge_size": 1, "temporal_patch_size": 1} | {
    "min_pixels": 3_136,
    "max_pixels": 1_003_520,
}
MISTRAL_SMALL: Final = {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1540}

CASES: Final[dict[str, Callable[[], Real]]] = {
    "qwen3_vl": real.qwen_vl,
    "qwen2_vl": lambda: real.qwen_vl(**QWEN2_VL),
    "qwen2_vl-class": lambda: real.qwen_vl(**QWEN2_VL | {"max_pixels": 1_003_520}),
    "qwen-merge-3": lambda: real.qwen_vl(patch_size=16, merge_size=3, temporal_patch_size=1),
    "glm4v": real.glm4v,
    "glm4v-class": lambda: real.glm4v(max_pixels=11_760_000),
    "glm46v": real.glm46v,
    "kimi_k25": real.kimi_k25,
    "kimi_k3": lambda: real.kimi_k25(in_patch_limit=65_536),
    "kimi-short": lambda: real.kimi_k25(patch_limit_on_one_side=36, merge_kernel_size=3),
    "gemma3-tiny": lambda: real.gemma3(image_size=56),
    "internvl": real.internvl,
    "internvl-tiny": lambda: real.internvl(image_size=56),
    "internvl-many": lambda: real.internvl(image_size=28, min_patches=2, max_patches=40),
    "internvl-whole": lambda: real.internvl(max_patches=1),
    "pixtral": real.pixtral,
    "ernie4_5_vl": lambda: real.ernie4_5_vl(**ERNIE),
    "video_llama_3": lambda: real.video_llama_3(**VIDEO_LLAMA_3),
    "hunyuan_vl": real.hunyuan_vl,
    "hunyuan_vl-plain": lambda: real.hunyuan_vl(cat_extra_token=False, merge_size=3),
    "paddleocr_vl": real.paddleocr_vl,
    "paddleocr_vl-small": lambda: real.paddleocr_vl(min_pixels=784, max_pixels=40_000),
    "glmga": real.glmga,
    "glm5_next": real.glm5_next,
    "glm5_next-few": lambda: real.glm5_next(min_image_tokens=3, max_image_tokens=70),
    "gemma4": real.gemma4,
    "gemma4-70": lambda: real.gemma4(max_soft_tokens=70, patch_size=14, pooling_kernel_size=2),
    "muse_glimmer": real.muse_glimmer,
    "muse_glimmer-few": lambda: real.muse_glimmer(max_image_tokens=37, merge_size=1),
    "nemotron_h_omni": real.nemotron_h_omni,
    "nemotron_h_omni-short": lambda: real.nemotron_h_omni(
        max_model_len=300, min_num_patches=7, downsample_ratio=0.25
    ),
    "inkling": real.inkling,
    "inkling-smaller": lambda: real.inkling(rescale_image_frac=0.37, patch_size=14),
    "inkling-larger": lambda: real.inkling(
        rescale_image_frac=1.7, rescale_image_max_upscaled_long_edge=900
    ),
    "inkling-larger-unbounded": lambda: real.inkling(
        rescale_image_frac=1.3, rescale_image_max_upscaled_long_edge=None
    ),
    "ovis2": real.ovis2,
    "ovis2-many": lambda: real.ovis2(image_size=56, max_patches=25, image_seq_length=4),
    "ovis2-whole": lambda: real.ovis2(max_patches=1),
    "deepseek_ocr2": real.deepseek_ocr2,
    "deepseek_ocr2-tiny": lambda: real.deepseek_ocr2(
        image_size=64, tile_size=48, max_patches=9, min_patches=1
    ),
    "lfm2_vl": tiled.lfm2_vl,
    "lfm2_vl-plain": lambda: tiled.lfm2_vl(use_image_special_tokens=False, use_thumbnail=False),
    "lfm2_vl-whole": lambda: tiled.lfm2_vl(min_tiles=1, max_tiles=1),
    "lfm2_vl-odd": lambda: tiled.lfm2_vl(
        patch_size=14,
        tile_size=70,
        downsample_factor=3,
        min_tiles=5,
        max_tiles=40,
        max_pixels_tolerance=0.7,
    ),
    "llama4": tiled.llama4,
    "llama4-max": lambda: tiled.llama4(resize_to_max_canvas=True),
    "llama4-odd": lambda: tiled.llama4(image_size=28, max_patches=25, downsample_ratio=1),
    "molmo2": tiled.molmo2,
    "molmo2-plain": lambda: tiled.molmo2(image_use_col_tokens=False, max_crops=1),
    "molmo2-odd": lambda: tiled.molmo2(
        max_crops=24,
        pooling_size=(3, 2),
        overlap_margins=(2, 5),
        use_single_crop_col_tokens=False,
        use_single_crop_start_token=False,
    ),
    "step3p7": tiled.step3p7,
    "step3p7-odd": lambda: tiled.step3p7(image_size=112, tile_size=84, max_image_size=500),
    "idefics3": real.idefics3,
    "idefics3-tiny": lambda: real.idefics3(
        longest_edge=151, max_image_size=28, image_seq_len=4, joins_line_feeds=False
    ),
    "idefics3-whole": lambda: real.idefics3(do_image_splitting=False),
    "smolvlm": lambda: real.smolvlm(
        longest_edge=2_048, max_image_size=512, patch_size=16, image_seq_len=64
    ),
    "llava_onevision": lambda: real.llava_onevision(patch_size=12),
    "llava_onevision-tiny": lambda: real.llava_onevision(
        image_size=24,
        patch_size=6,
        num_image_tokens=17,
        image_grid_pinpoints=[[24, 48], [48, 24], [48, 50], [72, 72], [24, 96], [72, 72], [24, 24]],
        vision_aspect_ratio="anyres_max_2",
        vision_feature_select_strategy="default",
    ),
    "minicpmv4_6": real.minicpmv4_6,
    "minicpmv4_6-4x": lambda: real.minicpmv4_6(
        scale_resolution=60, patch_size=4, max_slice_nums=36, downsample_mode="4x"
    ),
    "minicpmv4_6-whole": lambda: real.minicpmv4_6(slice_mode=False, digits_per_token=3),
    "minicpmv4_7": lambda: real.minicpmv4_7(scale_resolution=56, use_image_id=False),
    "mistral_small": lambda: real.pixtral(**MISTRAL_SMALL),
}

SIZES_ONLY: Final[dict[str, Callable[[], Real]]] = {
    "idefics3-larger": lambda: real.idefics3(
        longest_edge=9_000, max_image_size=700, marked_tiles=9
    ),
}
"""More cases, whose scaled images are too large to make."""

CALLED: Final = [
    *SMALL[::17],
    (1, 200), (1, 201), (201, 1), (7, 1400), (7, 1401), (9, 1809), (1, 1024), (1, 1025), (1541, 1),
    (2, 3081), (3, 3), (1, 3), (3, 100), (48, 48), (80, 112), (784, 14), (42, 70),
]  # fmt: skip
"""Sizes for images that go through the whole image processor."""


TORCHVISION_ONLY: Final = {
    "inkling", "kimi_k25", "lfm2_vl", "llama4", "molmo2", "muse_glimmer", "nemotron_h_omni", "step3p7",
}  # fmt: skip
"""Families whose image processor needs torchvision; `real` takes its functions from the source."""

UNDESCRIBED: Final = {
    "pixel_values",
    "pixel_values_local",
    "pixel_attention_mask",  # of Idefics 3, all ones for a single image
    "image_merge_sizes",  # of VideoLLaMA 3, always the parameter
    "image_position_ids",  # of Gemma 4, they follow from the grid
}
"""Outputs of image processors that payloads do not repeat."""

REFUSALS: Final = r"aspect ratio|Size must contain|0 x 0|exceeds|height and width must be > 0"


def described(layout: layouts.Layout, size: Size) -> layouts.Geometry | None:
    """The geometry, or None where the layout refuses the size."""
    try:
        return layout.describe(*size)
    except ContractError as error:
        if (error.code, error.path) != ("image_limit", "$"):
            raise
        return None


def real_grid(case: Real, size: Size) -> list[int] | None:
    try:
        return case.grid(*size)
    except ValueError:
        return None


@pytest.mark.parametrize("name", CASES | SIZES_ONLY)
def test_every_size_agrees(name: str) -> None:
    case = (CASES | SIZES_ONLY)[name]()
    grids = {size: (described(case.layout, size), real_grid(case, size)) for size in case.sizes}
    assert len(grids) >= 2_000
    mismatches = {
        size: (ours, theirs)
        for size, (ours, theirs) in grids.items()
        if (ours.grid if ours else None) != theirs
    }
    assert mismatches == {}


@pytest.mark.parametrize("name", [*CASES, "gemma3"])
def test_processor_that_is_called_agrees(name: str) -> None:
    case = CASES[name]() if name in CASES else real.gemma3()
    if case.image_processor is None:
        assert case.layout.family in TORCHVISION_ONLY
        return
    own = case.layout.parameters
    sides = ("image_size", "max_image_size", "scale_resolution")
    large = max(own.get(name, 0) for name in sides) > 300
    for size in CALLED[::10] if large else CALLED:
        geometry = described(case.layout, size)
        image = Image.new("RGB", size, (200, 100, 50))
        if geometry is None:
            with pytest.raises(ValueError, match=REFUSALS):
                case.image_processor(images=[image], return_tensors="np")
            continue
        out = case.image_processor(images=[image], return_tensors="np")
        assert out.keys() - geometry.payload.keys() <= UNDESCRIBED
        payload = {key: np.asarray(out[key]).tolist() for key in geometry.payload}
        assert geometry.payload == payload, size
        frames = own.get("temporal_patch_size", 1)
        patches = math.prod(geometry.grid) * own["patch_size"] ** 2
        pixels = sum(np.asarray(out[name]).size for name in out if name.startswith("pixel_values"))
        if "image_position_ids" in out:  # of which those of padding are negative
            padded = int((out["image_position_ids"][..., 0] < 0).sum())
            pixels -= 3 * padded * own["patch_size"] ** 2
        assert pixels == 3 * frames * patches, size


@pytest.mark.parametrize("name", [*CASES, "gemma3"])
def test_number_of_tokens_in_the_prompt_agrees(name: str) -> None:
    case = CASES[name]() if name in CASES else real.gemma3()
    for size in CALLED[::9]:
        geometry = described(case.layout, size)
        if geometry is not None:
            found = case.num_tokens(Image.new("RGB", size))
            assert geometry.num_tokens == found, size
            assert geometry.placeholder_length == (1 if "kimi" in name else found)
            runs = case.layout.placeholder(*size)
            assert sum(run.length for run in runs) == found
            marks = [run for run in runs if run.token != case.layout.image_token]
            assert len(case.layout.marks(geometry)) == sum(run.length for run in marks)


def test_called_sizes_are_many_and_some_are_refused() -> None:
    for name in ("qwen3_vl", "glm4v", "pixtral"):
        layout = CASES[name]().layout
        refused = [size for size in CALLED if described(layout, size) is None]
        assert len(refused) >= 3
        assert len(CALLED) - len(refused) >= 100


SIDES = st.one_of(st.integers(1, 100), st.integers(1, 5_000), st.integers(1, 2**31 - 1))
PIXELS = st.tuples(st.integers(1, 2**25), st.integers(1, 2**25)).map(sorted)


@st.composite
def parameters(draw: st.DrawFn, family: str) -> dict[str, Any]:
    """Parameters of a family, of any size that a model might have and more."""
    patch, few = st.integers(1, 40), st.integers(1, 4)
    if family in {"qwen_vl", "glm4v", "hunyuan_vl", "paddleocr_vl"}:
        low, high = draw(PIXELS)
        names = {"patch_size": patch, "merge_size": few, "temporal_patch_size": few}
        return draw(st.fixed_dictionaries(names)) | {"min_pixels": low, "max_pixels": high}
    if family == "kimi_k25":
        names = {
            "patch_size": patch,
            "merge_kernel_size": few,
            "in_patch_limit": st.integers(1, 2**17),
            "patch_limit_on_one_side": st.integers(1, 1024),
        }
        return draw(st.fixed_dictionaries(names))
    if family in {"glm5_next", "muse_glimmer"}:
        names = {"patch_size": patch, "merge_size": few, "temporal_patch_size": few}
        low, high = draw(st.tuples(st.integers(1, 9_000), st.integers(1, 9_000)).map(sorted))
        chosen = draw(st.fixed_dictionaries(names)) | {"max_image_tokens": high}
        return chosen | ({"min_image_tokens": low} if family == "glm5_next" else {})
    if family == "gemma4":
        tokens = st.sampled_from((70, 140, 280, 560, 1120))
        names = {"patch_size": patch, "pooling_kernel_size": few, "max_soft_tokens": tokens}
        return draw(st.fixed_dictionaries(names))
    if family == "nemotron_h_omni":
        names = {
            "patch_size": patch,
            "downsample_ratio": st.sampled_from((1.0, 0.5, 0.25)),
            "min_num_patches": st.integers(1, 2_000),
            "max_num_patches": st.integers(1, 20_000),
            "max_model_len": st.integers(1, 20_000),
        }
        return draw(st.fixed_dictionaries(names))
    if family == "llava_onevision":
        sides = st.integers(1, 9).map(lambda one: 24 * one)
        return {
            "image_size": 24,
            "patch_size": 12,
            "num_image_tokens": draw(st.integers(1, 900)),
            "image_grid_pinpoints": draw(st.lists(st.tuples(sides, sides), min_size=1)),
            "vision_aspect_ratio": f"anyres_max_{draw(st.integers(1, 20))}",
        }
    if family == "minicpmv4_6":
        return {
            "patch_size": draw(patch),
            "scale_resolution": draw(st.integers(1, 900)),
            "max_slice_nums": draw(st.integers(1, 60)),
            "slice_mode": draw(st.booleans()),
            "downsample_mode": draw(st.sampled_from(["4x", "16x"])),
        }
    if family == "idefics3":
        return {
            "longest_edge": draw(st.integers(1, 5_000)),
            "max_image_size": 14 * draw(st.integers(1, 60)),
            "do_image_splitting": draw(st.booleans()),
            "marked_tiles": 1_000,
        }
    if family == "ovis2":
        return {
            "image_size": 14 * draw(st.integers(1, 40)),
            "max_patches": draw(st.integers(1, 30)),
        }
    if family == "pixtral":
        names = {
            "patch_size": patch,
            "spatial_merge_size": few,
            "longest_edge": st.integers(1, 5000),
        }
        return draw(st.fixed_dictionaries(names))
    low, high = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted))
    return {
        "image_size": 14 * draw(st.integers(1, 40)),
        "min_patches": low,
        "max_patches": high,
    }


@pytest.mark.parametrize(
    "family",
    [
        "gemma4", "glm4v", "glm5_next", "hunyuan_vl", "idefics3", "internvl", "kimi_k25", "llava_onevision", "minicpmv4_6", "muse_glimmer",
        "nemotron_h_omni", "ovis2", "paddleocr_vl", "pixtral", "qwen_vl",
    ],
)  # fmt: skip
def test_any_size_under_any_parameters_agrees(family: str) -> None:
    @given(SIDES, SIDES, parameters(family))
    def agree(width: int, height: int, chosen: dict[str, Any]) -> None:
        case = getattr(real, family)(**chosen)
        ours = described(case.layout, (width, height))
        assert (ours.grid if ours else None) == real_grid(case, (width, height))

    agree()


@given(SIDES, SIDES)
@example(1, 1)
@example(200, 40_001)
def test_any_size_of_qwen3_vl_agrees(width: int, height: int) -> None:
    ours = described(QWEN3_VL.layout, (width, height))
    assert (ours.grid if ours else None) == real_grid(QWEN3_VL, (width, height))


QWEN3_VL = real.qwen_vl()


def test_families_that_need_torchvision_are_listed() -> None:
    """Newer releases may bring variants of those that do not."""
    need_torchvision = {
        cls.family
        for cls in layouts.FAMILIES.values()
        if any(
            sorted(found) == ["torchvision"]
            for found in IMAGE_PROCESSOR_MAPPING_NAMES.values()
            if found.get("torchvision") in cls.processors
        )
    }
    assert need_torchvision == TORCHVISION_ONLY


def test_known_models_have_an_image_processor_of_their_family() -> None:
    compared = {
        model_type: IMAGE_PROCESSOR_MAPPING_NAMES[model_type]["torchvision"]
        for model_type in models.MODEL_TYPES
        if model_type in IMAGE_PROCESSOR_MAPPING_NAMES
    }
    assert {"lfm3_vl", "mistral_large4", "qwen3_5", "qwen3_5_moe"} <= compared.keys()
    for model_type, name in compared.items():
        assert name in layouts.FAMILIES[models.MODEL_TYPES[model_type].family].processors


@pytest.mark.parametrize(
    "model_type", ["kimi_vl", "step3", "step3_vl", "deepseek_ocr", "deepseek_vl_v2"]
)
def test_models_of_the_guide_without_layout_have_no_image_processor(model_type: str) -> None:
    """Newer releases may bring one."""
    assert model_type not in IMAGE_PROCESSOR_MAPPING_NAMES
    assert model_type not in CONFIG_MAPPING_NAMES


def test_every_family_has_a_case() -> None:
    assert {make().layout.family for make in CASES.values()} == set(layouts.FAMILIES)


def _written_by(prompt: dict[str, Any], **attributes: Any) -> Callable[[Real, Image.Image], str]:
    def write(case: Real, image: Image.Image) -> str:
        out = case.image_processor(images=[image], return_tensors="np")
        own = case.layout.parameters
        writer = SimpleNamespace(**own | attributes, image_processor=case.image_processor)
        return str(prompt["replace_image_token"](writer, out, 0))

    return write


TILED: Final = ("lfm2_vl", "llama4", "molmo2", "step3p7")

WRITERS: dict[str, Callable[[Real, Image.Image], str]] = {
    "hunyuan_vl": _written_by(real.HUNYUAN_PROMPT, image_token="<image>"),
    "internvl": _written_by(
        real.from_source("internvl/processing_internvl.py", "replace_image_token"),
        start_image_token="<img>",
        image_token="<IMG_CONTEXT>",
        end_image_token="</img>",
    ),
    "idefics3": _written_by(
        real.IDEFICS_PROMPT,
        fake_image_token="<fake_token_around_image>",
        global_image_tag="<global-img>",
        image_token="<image>",
    ),
    "smolvlm": _written_by(
        real.SMOLVLM_PROMPT,
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        image_token="<image>",
    ),
    "ovis2": _written_by(real.OVIS_PROMPT),
    "pixtral": _written_by(
        real.PIXTRAL_PROMPT,
        image_token="[IMG]",
        image_break_token="[IMG_BREAK]",
        image_end_token="[IMG_END]",
    ),
}
WRITERS |= {name: real.minicpm_written for name in CASES if name.startswith("minicpm")}
WRITERS |= {name: tiled.written for name in CASES if name.startswith(TILED)}
"""What the processor of a family writes for an image."""


@pytest.mark.parametrize("family", sorted(WRITERS))
def test_marks_are_the_tokens_that_the_processor_writes(family: str) -> None:
    case = CASES[family]()
    for size in (*CALLED[::11], (1600, 1200), (700, 3000), (33, 40_000)):
        if described(case.layout, size) is None:
            continue
        written = WRITERS[family](case, Image.new("RGB", size))
        runs = case.layout.placeholder(*size)
        assert "".join(run.token * run.length for run in runs) == written


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_number_of_an_image_in_its_prompt_counts(digits: int) -> None:
    tokens = real.numbers_tokenizer(digits)
    inner = MiniCPMV4_6ImageProcessorPil(scale_resolution=28, patch_size=3)
    processor = real.minicpm_processor(inner, tokens, MiniCPMV4_6Processor)
    layout = layouts.layout_of(processor)
    assert layout.parameters["digits_per_token"] == digits
    chosen = random.Random(1)
    sizes = [(chosen.randint(1, 90), chosen.randint(1, 90)) for _ in range(112)]
    names = []
    for index, size in enumerate(sizes):
        geometry = layout.describe(*size, index=index)
        runs = layout.placeholder(*size, index=index)
        assert sum(run.length for run in runs) == geometry.num_tokens
        marks = [run for run in runs if run.token != layout.image_token]
        assert len(layout.marks(geometry)) == sum(run.length for run in marks)
        assert layout.accepts(layout.describe(*size), geometry.num_tokens)
        names += [run.token.replace("\n", "Ċ") for run in runs for _ in range(run.length)]
    images = [Image.new("RGB", size) for size in sizes]
    assert tokens.convert_tokens_to_ids(names) == real.minicpm_ids(processor, images)


@pytest.mark.parametrize("images", [1, 2, 7])
def test_images_of_a_call_of_nemotron_share_its_budget(images: int) -> None:
    layout = layouts.get("nemotron_h_omni", max_model_len=300, min_num_patches=700)
    changed = 0
    for width, height in SIZES[::3]:
        try:
            grid = real.nemotron_grid(layout.parameters, width, height, images)
        except ZeroDivisionError:
            grid = (0, 0)
        try:
            ours = layout.describe(width, height, images=images).grid
        except ContractError:
            ours = None
        assert ours == ([1, *grid] if all(grid) else None), (width, height)
        alone = described(layout, (width, height))
        changed += ours != (alone.grid if alone else None)
    assert (changed > 300) == (images > 1)


@pytest.mark.parametrize("strategy", ["full", "default"])
def test_image_that_shares_its_prompt_is_not_cut(strategy: str) -> None:
    """Where the processor is called with a list of images for each prompt."""
    parameters = {"image_size": 24, "patch_size": 6, "num_image_tokens": 17}
    pinpoints = [[24, 48], [48, 24], [72, 72]]
    layout = layouts.get(
        "llava_onevision",
        **parameters,
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy=strategy,
    )
    processor = real.llava_processor(layout)
    chosen = random.Random(2)
    for numbers in ([2], [1], [3, 1, 2]):
        prompts = [
            [(chosen.randint(1, 99), chosen.randint(1, 99)) for _ in range(number)]
            for number in numbers
        ]
        images = [[Image.new("RGB", size) for size in sizes] for sizes in prompts]
        texts = ["<image>" * number for number in numbers]
        out = processor(images=images, text=texts, padding=True, return_tensors="np")
        flat = processor(
            images=[one for some in images for one in some],
            text=texts,
            padding=True,
            return_tensors="np",
        )
        assert out["batch_num_images"].tolist() == numbers
        pixels = iter(out["pixel_values"])
        for row, sizes in enumerate(prompts):
            number = len(sizes)
            own = [
                layout.describe(*size, index=index, images=number)
                for index, size in enumerate(sizes)
            ]
            image_id = processor.image_token_id
            assert (out["input_ids"][row] == image_id).sum() == sum(one.num_tokens for one in own)
            for one, size in zip(own, sizes, strict=True):
                assert one.payload == {
                    "image_sizes": [[size[1], size[0]]],
                    "batch_num_images": [number],
                }
                frames = [frame for frame in next(pixels) if number == 1 or frame.any()]
                assert number == 1 or one.grid[0] == len(frames) == 1
            each = sum(layout.describe(*size).num_tokens for size in sizes)
            assert (flat["input_ids"][row] == image_id).sum() == each
