"""Reading the layout of an image processor from the attributes that transformers has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rawmm import ContractError, layouts
from rawmm.layouts import layout_of
from tests.unit.materialize.processor import QWEN, PatchProcessor


@pytest.mark.parametrize(
    ("family", "attributes", "parameters"),
    [
        ("qwen_vl", {}, {}),
        (
            "qwen_vl",
            {
                "patch_size": 14,
                "merge_size": 3,
                "temporal_patch_size": 1,
                "size": {"shortest_edge": 9, "longest_edge": 99},
            },
            {
                "patch_size": 14,
                "merge_size": 3,
                "temporal_patch_size": 1,
                "min_pixels": 9,
                "max_pixels": 99,
            },
        ),
        (
            "glm4v",
            {"size": SimpleNamespace(shortest_edge=9, longest_edge=99)},
            {"min_pixels": 9, "max_pixels": 99},
        ),
        (
            "qwen_vl",
            {"min_pixels": 9, "max_pixels": 99, "size": {}},
            {"min_pixels": 9, "max_pixels": 99},
        ),
        (
            "kimi_k25",
            {
                "patch_size": 28,
                "merge_size": 4,
                "max_patches": 1000,
                "size": {"max_height": 64, "max_width": 64},
                "image_mean": [0.1, 0.2, 0.3],
            },
            {
                "patch_size": 28,
                "merge_kernel_size": 4,
                "in_patch_limit": 1000,
                "patch_limit_on_one_side": 64,
                "image_mean": (0.1, 0.2, 0.3),
            },
        ),
        (
            "gemma3",
            {"size": {"height": 448, "width": 448}, "image_seq_length": 64},
            {"image_size": 448, "image_seq_length": 64},
        ),
        (
            "internvl",
            {"size": {"height": 56, "width": 56}, "min_patches": 2, "max_patches": 4},
            {"image_size": 56, "min_patches": 2, "max_patches": 4},
        ),
        (
            "internvl",
            {"crop_to_patches": False, "min_patches": 2, "max_patches": 4},
            {"min_patches": 1, "max_patches": 1},
        ),
        (
            "internvl",
            {"crop_to_patches": True, "max_patches": 4},
            {"max_patches": 4},
        ),
        (
            "pixtral",
            {"patch_size": {"height": 28, "width": 28}, "size": {"longest_edge": 1540}},
            {"patch_size": 28, "longest_edge": 1540},
        ),
    ],
)
def test_stated_parameters_are_read(
    family: str, attributes: dict[str, Any], parameters: dict[str, Any]
) -> None:
    found = layout_of(SimpleNamespace(**attributes), family)
    assert found == layouts.get(family, **parameters)


def test_processor_states_all_parameters() -> None:
    assert layout_of(PatchProcessor(), "qwen_vl") == QWEN


def test_object_without_settings_has_the_defaults() -> None:
    assert layout_of(print, "qwen_vl") == layouts.get("qwen_vl")


def test_invalid_parameter_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        layout_of(SimpleNamespace(patch_size=0), "qwen_vl")
    assert (caught.value.code, caught.value.path) == ("out_of_range", "$.patch_size")


def test_unknown_family_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        layout_of(print, "house_vl")
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.family")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen2VLImageProcessor", "qwen_vl"),
        ("Qwen2VLImageProcessorFast", "qwen_vl"),
        ("Glm46VImageProcessorPil", "glm4v"),
    ],
)
def test_family_is_that_of_the_class(name: str, family: str) -> None:
    processor = type(name, (), {"patch_size": 28})()
    assert layout_of(processor) == layouts.get(family, patch_size=28)


def test_unknown_class_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        layout_of(PatchProcessor())
    assert (caught.value.code, caught.value.got) == ("bad_value", "'PatchProcessor'")


def test_every_family_names_its_processors() -> None:
    names = [name for cls in layouts.FAMILIES.values() for name in cls.processors]
    assert len(names) == len(set(names)) >= len(layouts.FAMILIES)
    for cls in layouts.FAMILIES.values():
        assert cls.processors
        assert cls.attributes.keys() <= cls.defaults().keys()


def test_processor_around_the_image_processor_states_the_prompt() -> None:
    pixtral = SimpleNamespace(patch_size={"height": 16, "width": 16}, size={"longest_edge": 1540})
    around = SimpleNamespace(image_processor=pixtral, patch_size=14, spatial_merge_size=2)
    expected = layouts.get("pixtral", patch_size=14, spatial_merge_size=2, longest_edge=1540)
    assert layout_of(around, "pixtral") == expected


def test_images_kwargs_of_the_processor_count_before_attributes() -> None:
    inner = SimpleNamespace(crop_to_patches=False, size={"height": 28, "width": 28})
    around = SimpleNamespace(image_processor=inner, images_kwargs={"crop_to_patches": True})
    assert layout_of(inner, "internvl").parameters["max_patches"] == 1
    assert layout_of(around, "internvl").parameters["max_patches"] == 12
    assert layout_of(around, "internvl", crop_to_patches=False).parameters["max_patches"] == 1
    around.images_kwargs = {"crop_to_patches": 1}
    with pytest.raises(ContractError) as caught:
        layout_of(around, "internvl")
    assert caught.value.path == "$.crop_to_patches"


@pytest.mark.parametrize(
    ("family", "attributes", "call", "setting"),
    [
        ("qwen_vl", {"do_resize": False}, {}, "do_resize"),
        ("qwen_vl", {"do_resize": None}, {}, "do_resize"),
        ("qwen_vl", {}, {"do_resize": False}, "do_resize"),
        ("qwen_vl", {}, {"do_resize": 1}, "do_resize"),
        ("qwen_vl", {}, {"do_normalize": 1}, "do_normalize"),
        ("qwen_vl", {}, {"rescale_factor": 1}, "rescale_factor"),
        ("qwen_vl", {}, {"image_mean": [0, 0, 0]}, "image_mean"),
        ("internvl", {}, {"crop_to_patches": 1}, "crop_to_patches"),
        ("lfm2_vl", {}, {"use_thumbnail": 1}, "use_thumbnail"),
        ("qwen_vl", {"do_center_crop": True}, {}, "do_center_crop"),
        ("qwen_vl", {"size": {"height": 9, "width": 9}}, {}, "size"),
        ("qwen_vl", {"size": {"longest_edge": 9}}, {}, "size"),
        ("qwen_vl", {"size": 9}, {}, "size"),
        ("qwen_vl", {"size": (9, 9)}, {}, "size"),
        ("qwen_vl", {"size": (9, 9, 9)}, {}, "size"),
        ("qwen_vl", {"size": "large"}, {}, "size"),
        ("qwen_vl", {"size": True}, {}, "size"),
        ("qwen_vl", {}, {"size": None}, "size"),
        ("gemma3", {"size": {"height": 896, "width": 448}}, {}, "size"),
        ("gemma3", {"size": {"shortest_edge": 896}}, {}, "size"),
        ("gemma3", {"do_pan_and_scan": True}, {}, "do_pan_and_scan"),
        ("pixtral", {"patch_size": {"height": 14, "width": 28}}, {}, "patch_size"),
        ("kimi_k25", {"size": {"max_height": 9, "max_width": 8}}, {}, "size"),
        ("inkling", {"do_resize": False}, {}, "do_resize"),
        ("ovis2", {"use_covering_area_grid": False}, {}, "use_covering_area_grid"),
        ("deepseek_ocr2", {"crop_to_patches": False}, {}, "crop_to_patches"),
        ("hunyuan_vl", {"spatial_patch_size": 2}, {}, "spatial_patch_size"),
    ],
)
def test_setting_that_the_layout_does_not_cover_is_refused(
    family: str, attributes: dict[str, Any], call: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ContractError) as caught:
        layout_of(SimpleNamespace(**attributes), family, **call)
    assert (caught.value.code, caught.value.path) == ("bad_value", f"$.{setting}")


def test_argument_without_a_known_effect_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        layout_of(SimpleNamespace(), "qwen_vl", resize_somehow=True)
    assert (caught.value.code, caught.value.path) == ("unknown_field", "$.resize_somehow")


def test_arguments_that_change_only_pixels_are_allowed() -> None:
    call: dict[str, Any] = {"do_normalize": False, "image_mean": None, "return_tensors": "pt"}
    assert layout_of(SimpleNamespace(), "qwen_vl", **call) == layouts.get("qwen_vl")


@pytest.mark.parametrize(
    ("attributes", "parameters"),
    [
        ({}, {}),
        ({"rescale_image_frac": None}, {}),
        ({"rescale_image_frac": 0.5}, {"rescale_image_frac": 0.5}),
        (
            {"rescale_image_max_upscaled_long_edge": None},
            {"rescale_image_max_upscaled_long_edge": None},
        ),
        ({"size": {"height": 20, "width": 20}}, {"patch_size": 20}),
    ],
)
def test_none_is_a_value_where_the_family_says_so(
    attributes: dict[str, Any], parameters: dict[str, Any]
) -> None:
    found = layout_of(SimpleNamespace(**attributes), "inkling")
    assert found == layouts.get("inkling", **parameters)
