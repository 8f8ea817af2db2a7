"""`layouts.get`: errors for a wrong family or parameter list the valid ones."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import ContractError, layouts

QWEN_PARAMETERS = (
    "the parameters of qwen_vl and their defaults are patch_size=16, merge_size=2, "
    "temporal_patch_size=2, min_pixels=65536, max_pixels=16777216"
)


def test_every_family_is_registered() -> None:
    assert set(layouts.FAMILIES) == {
        "deepseek_ocr2",
        "gemma3",
        "gemma4",
        "glm4v",
        "glm5_next",
        "hunyuan_vl",
        "idefics3",
        "inkling",
        "internvl",
        "kimi_k25",
        "lfm2_vl",
        "llama4",
        "llava_onevision",
        "minicpmv4_6",
        "molmo2",
        "muse_glimmer",
        "nemotron_h_omni",
        "ovis2",
        "paddleocr_vl",
        "pixtral",
        "qwen_vl",
        "step3p7",
    }
    for family, cls in layouts.FAMILIES.items():
        layout = layouts.get(family)
        assert type(layout) is cls
        assert layout.family == family
        assert layout.parameters == cls.defaults()


@pytest.mark.parametrize("family", ["qwen", "", "Qwen_VL", None, 3, ["qwen_vl"]])
def test_unknown_family_is_refused(family: Any) -> None:
    with pytest.raises(ContractError) as caught:
        layouts.get(family)
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.family")
    assert f"expected one of {', '.join(layouts.FAMILIES)}" in str(caught.value)


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        layouts.get("qwen_vl", patch_size=14, merge_kernel_size=2)
    assert str(caught.value) == (
        "$.merge_kernel_size: expected a parameter of qwen_vl, got 'merge_kernel_size'; "
        f"{QWEN_PARAMETERS} [unknown_field]"
    )


def test_pan_and_scan_is_not_a_parameter() -> None:
    with pytest.raises(
        ContractError, match=r"expected a parameter of gemma3, got 'do_pan_and_scan'"
    ):
        layouts.get("gemma3", do_pan_and_scan=True)


@pytest.mark.parametrize(
    ("value", "code", "got"),
    [
        ("14", "wrong_type", "'14'"),
        (14.0, "wrong_type", "14.0"),
        (True, "wrong_type", "true"),
        (None, "wrong_type", "null"),
        ([14, 14], "wrong_type", "an array of 2"),
        (0, "out_of_range", "0"),
        (-14, "out_of_range", "-14"),
        (2**53, "out_of_range", str(2**53)),
    ],
)
def test_invalid_number_is_refused(value: Any, code: str, got: str) -> None:
    expected = "an integer" if code == "wrong_type" else "an integer from 1 to 2^53-1"
    with pytest.raises(ContractError) as caught:
        layouts.get("qwen_vl", patch_size=value)
    assert str(caught.value) == (
        f"$.patch_size: expected {expected}, got {got}; {QWEN_PARAMETERS} [{code}]"
    )


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_every_number_is_checked(family: str) -> None:
    for name, default in layouts.FAMILIES[family].defaults().items():
        for value in ("x", 0):
            with pytest.raises(ContractError) as caught:
                layouts.get(family, **{name: value})
            assert caught.value.path == f"$.{name}"
            assert f"{name}={default!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "parameters", "code", "path", "expected"),
    [
        ("qwen_vl", {"min_pixels": 9, "max_pixels": 8}, "out_of_range", "$.min_pixels",
         "at most max_pixels, which is 8"),
        ("glm4v", {"min_pixels": 9, "max_pixels": 8}, "out_of_range", "$.min_pixels",
         "at most max_pixels, which is 8"),
        ("internvl", {"min_patches": 13}, "out_of_range", "$.min_patches",
         "at most max_patches, which is 12"),
        ("internvl", {"image_size": 450}, "bad_value", "$.image_size",
         "a multiple of patch_size, which is 14"),
        ("gemma3", {"patch_size": 15}, "bad_value", "$.image_size",
         "a multiple of patch_size, which is 15"),
        ("llava_onevision", {"image_grid_pinpoints": 384}, "wrong_type", "$.image_grid_pinpoints",
         "an array of arrays"),
        ("llava_onevision", {"image_grid_pinpoints": [384]}, "wrong_type", "$.image_grid_pinpoints",
         "an array of arrays"),
        ("llava_onevision", {"image_grid_pinpoints": []}, "bad_length", "$.image_grid_pinpoints",
         "an array of arrays"),
        ("llava_onevision", {"image_grid_pinpoints": [[384]]}, "bad_length",
         "$.image_grid_pinpoints", "an array of arrays"),
        ("llava_onevision", {"image_grid_pinpoints": [[384, True]]}, "wrong_type",
         "$.image_grid_pinpoints", "an array of arrays"),
        ("llava_onevision", {"image_grid_pinpoints": [[384, 383]]}, "out_of_range",
         "$.image_grid_pinpoints", "sides of 1 to 4096 tiles of 384 pixels"),
        ("llava_onevision", {"vision_aspect_ratio": 9}, "wrong_type", "$.vision_aspect_ratio",
         "a string"),
        ("llava_onevision", {"vision_aspect_ratio": "anyres"}, "bad_value",
         "$.vision_aspect_ratio", "anyres_max_N"),
        ("llava_onevision", {"vision_feature_select_strategy": "cls"}, "bad_value",
         "$.vision_feature_select_strategy", "full or default"),
        ("gemma4", {"max_soft_tokens": 281}, "bad_value", "$.max_soft_tokens", "one of 70, 140"),
        ("inkling", {"rescale_image_frac": 1}, "wrong_type", "$.rescale_image_frac", "a float"),
        ("inkling", {"rescale_image_frac": 0.0}, "out_of_range", "$.rescale_image_frac", "over 0"),
        ("lfm2_vl", {"max_pixels_tolerance": 2}, "wrong_type", "$.max_pixels_tolerance", "a float"),
        ("lfm2_vl", {"max_pixels_tolerance": 0.0}, "out_of_range", "$.max_pixels_tolerance",
         "over 0 to 1024"),
        ("nemotron_h_omni", {"downsample_ratio": 1}, "wrong_type", "$.downsample_ratio",
         "a number below 1"),
        ("nemotron_h_omni", {"downsample_ratio": 1.5}, "out_of_range", "$.downsample_ratio",
         "over 0 to 1"),
        ("molmo2", {"pooling_size": 2}, "wrong_type", "$.pooling_size", "an array of two integers"),
        ("molmo2", {"pooling_size": [2]}, "bad_length", "$.pooling_size",
         "an array of two integers"),
        ("molmo2", {"pooling_size": [2, 0]}, "out_of_range", "$.pooling_size", "1 to 378"),
        ("molmo2", {"overlap_margins": [20, 20]}, "out_of_range", "$.overlap_margins",
         "fewer patches than a crop's side"),
        ("molmo2", {"use_single_crop_col_tokens": 1}, "wrong_type", "$.use_single_crop_col_tokens",
         "true, false or null"),
        ("minicpmv4_6", {"downsample_mode": 4}, "wrong_type", "$.downsample_mode", "16x or 4x"),
        ("minicpmv4_6", {"downsample_mode": "8x"}, "bad_value", "$.downsample_mode", "16x or 4x"),
        ("kimi_k25", {"image_mean": 0.5}, "wrong_type", "$.image_mean", "an array of three"),
        ("kimi_k25", {"image_mean": "abc"}, "wrong_type", "$.image_mean", "an array of three"),
        ("kimi_k25", {"image_std": [1, 2]}, "bad_length", "$.image_std", "an array of three"),
        ("kimi_k25", {"image_std": [1, 2, "3"]}, "wrong_type", "$.image_std", "an array of three"),
        ("kimi_k25", {"image_std": [1, 2, True]}, "wrong_type", "$.image_std", "an array of three"),
        ("kimi_k25", {"image_std": [1, 2, float("nan")]}, "out_of_range", "$.image_std", "finite"),
        ("kimi_k25", {"image_std": [1, 2, 10**400]}, "out_of_range", "$.image_std", "finite"),
    ],
)  # fmt: skip
def test_contradictory_parameters_are_refused(
    family: str, parameters: dict[str, Any], code: str, path: str, expected: str
) -> None:
    with pytest.raises(ContractError) as caught:
        layouts.get(family, **parameters)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert f"expected {expected}" in str(caught.value)


def test_equal_bounds_are_accepted() -> None:
    assert layouts.get("qwen_vl", min_pixels=65_536, max_pixels=65_536).describe(9, 9)
    assert layouts.get("internvl", min_patches=12).describe(9, 9).grid == [13, 32, 32]
