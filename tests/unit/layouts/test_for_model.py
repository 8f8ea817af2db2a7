"""`for_model`: configurations and ids of models."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import ContractError, layouts
from rawmm.layouts import for_model, models
from tests.cases import each

QWEN2 = {"patch_size": 14, "min_pixels": 3_136, "max_pixels": 12_845_056}
PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "patch_size": 16,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "size": {"shortest_edge": 65_536, "longest_edge": 1_000_000},
    "image_mean": [0.5, 0.5, 0.5],
}
SMOLVLM = {
    "image_processor_type": "SmolVLMImageProcessor",
    "size": {"longest_edge": 2_048},
    "max_image_size": {"longest_edge": 512},
    "do_image_splitting": True,
}


@pytest.mark.parametrize(
    ("config", "family", "parameters"),
    [
        ({"model_type": "qwen3_vl"}, "qwen_vl", {}),
        ({"model_type": "qwen3_5_moe"}, "qwen_vl", {}),
        ({"model_type": "qwen2_5_vl"}, "qwen_vl", QWEN2),
        (PREPROCESSOR, "qwen_vl", {"max_pixels": 1_000_000}),
        (
            {"model_type": "lfm3_vl", "vision_config": {"patch_size": 14}, **PREPROCESSOR},
            "qwen_vl",
            {"max_pixels": 1_000_000},
        ),
        ({"image_processor": PREPROCESSOR}, "qwen_vl", {"max_pixels": 1_000_000}),
        (
            {"model_type": "qwen3_vl", "vision_config": {"patch_size": 14, "depth": 3}},
            "qwen_vl",
            {"patch_size": 14},
        ),
        (
            {"image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 5_000},
            "qwen_vl",
            {**QWEN2, "max_pixels": 5_000},
        ),
        (
            {"model_type": "mistral3"},
            "pixtral",
            {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1_540},
        ),
        (
            {
                "model_type": "mistral_large4",
                "vision_config": {"patch_size": 14},
                "spatial_merge_size": 2,
                "image_processor_type": "PixtralImageProcessor",
                "patch_size": {"height": 14, "width": 14},
                "size": {"longest_edge": 1_540},
            },
            "pixtral",
            {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1_540},
        ),
        (
            {
                "patch_size": 14,
                "spatial_merge_size": 2,
                "image_processor": {
                    "image_processor_type": "PixtralImageProcessor",
                    "size": {"longest_edge": 1_540},
                },
            },
            "pixtral",
            {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1_540},
        ),
        (
            {"model_type": "internvl", "vision_config": {"patch_size": [14, 14]}},
            "internvl",
            {},
        ),
        (
            {
                "model_type": "kimi_k25",
                "media_proc_cfg": {
                    "patch_size": 14,
                    "merge_kernel_size": 2,
                    "in_patch_limit": 65_536,
                    "patch_limit_on_one_side": 512,
                    "fixed_output_tokens": None,
                    "image_mean": [0.5, 0.5, 0.5],
                    "image_std": [0.5, 0.5, 0.5],
                },
            },
            "kimi_k25",
            {"in_patch_limit": 65_536},
        ),
        (
            {"model_type": "smolvlm", "scale_factor": 4, "vision_config": {"patch_size": 16}}
            | SMOLVLM,
            "idefics3",
            {"longest_edge": 2_048, "max_image_size": 512, "patch_size": 16, "image_seq_len": 64},
        ),
        (
            {"image_processor": SMOLVLM, "image_seq_len": 64},
            "idefics3",
            {"longest_edge": 2_048, "max_image_size": 512, "image_seq_len": 64},
        ),
        ({"model_type": "minicpmv4_7"}, "minicpmv4_6", {}),
        (
            {"image_processor_type": "MiniCPMV4_6ImageProcessorFast", "max_slice_nums": 36},
            "minicpmv4_6",
            {"max_slice_nums": 36},
        ),
        ("openbmb/MiniCPM-V-4.6", "minicpmv4_6", {}),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen_vl", {}),
        ("Qwen/Qwen3.6-35B-A3B", "qwen_vl", {}),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen_vl", QWEN2),
        ("google/gemma-4-31B-it", "gemma4", {}),
        ("zai-org/GLM-5.3-Flash", "glm5_next", {}),
    ],
)
def test_model_has_the_layout_of_its_processor(
    config: Any, family: str, parameters: dict[str, Any]
) -> None:
    assert for_model(config) == layouts.get(family, **parameters)


@pytest.mark.parametrize(
    ("config", "code", "path"),
    [
        ("Qwen/Qwen3-8B", "bad_value", "$"),
        ({"model_type": "llama"}, "bad_value", "$.model_type"),
        ({"model_type": ["llama"]}, "bad_value", "$.model_type"),
        ({"model_type": "lfm3_vl"}, "bad_value", "$"),
        ({"model_type": "smolvlm"}, "bad_value", "$"),
        (SMOLVLM | {"scale_factor": 0}, "bad_value", "$.scale_factor"),
        ({}, "bad_value", "$"),
        ({"image_processor_type": "HouseImageProcessor"}, "bad_value", "$"),
        (None, "wrong_type", "$"),
        ([], "wrong_type", "$"),
        ({1: 2}, "wrong_type", "$"),
        (PREPROCESSOR | {"do_resize": False}, "bad_value", "$.do_resize"),
        (PREPROCESSOR | {"patch_size": 0}, "out_of_range", "$.patch_size"),
    ],
)
def test_unknown_model_or_setting_is_refused(config: Any, code: str, path: str) -> None:
    with pytest.raises(ContractError) as caught:
        for_model(config)
    assert (caught.value.code, caught.value.path) == (code, path)


@each("model_type", models.MODEL_TYPES)
def test_every_known_model_type_has_a_valid_layout(model_type: str) -> None:
    model = models.MODEL_TYPES[model_type]
    if model.parameters is not None:
        assert for_model({"model_type": model_type}).family == model.family
