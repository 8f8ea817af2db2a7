"""Geometries of each family, computed by hand. The parity tests compare with real processors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from rawmm import ContractError, layouts
from tests.cases import each

KIMI_K3 = {"in_patch_limit": 65_536}
QWEN2_VL = {"patch_size": 14, "min_pixels": 3_136, "max_pixels": 12_845_056}
MISTRAL_SMALL = {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1540}


@each(
    ("family", "parameters", "size", "grid", "num_tokens"),
    [
        # 32 x 24 tokens of 32 pixels, without rounding.
        ("qwen_vl", {}, (1024, 768), [1, 48, 64], 768),
        # 8.5 and 9.5 tokens, both rounded to even.
        ("qwen_vl", {}, (272, 304), [1, 20, 16], 80),
        # Fewer than 65,536 pixels: enlarged to that number.
        ("qwen_vl", {}, (1, 1), [1, 16, 16], 64),
        # Twice 16,777,216 pixels: both sides by the root of 2, rounded down.
        ("qwen_vl", {}, (8192, 4096), [1, 180, 362], 16_290),
        ("qwen_vl", {}, (200, 1), [1, 2, 228], 114),
        ("qwen_vl", QWEN2_VL, (1024, 768), [1, 54, 74], 999),
        ("qwen_vl", QWEN2_VL, (1, 1), [1, 4, 4], 4),
        ("glm4v", {}, (1024, 768), [1, 54, 74], 999),
        # Enlarged to 28 x 28, then to 12,544 pixels in two frames: 80 x 80, so three tokens.
        ("glm4v", {}, (1, 1), [1, 6, 6], 9),
        ("kimi_k25", {}, (1024, 768), [1, 56, 74], 1036),
        ("kimi_k25", {}, (1, 1), [1, 2, 2], 1),
        ("kimi_k25", {}, (28, 29), [1, 4, 2], 2),
        # 16,384 patches fit exactly; one pixel more does not make a patch.
        ("kimi_k25", {}, (1792, 1792), [1, 128, 128], 4096),
        ("kimi_k25", {"fixed_output_tokens": 7}, (28, 29), [1, 4, 2], 7),
        # Cases published for Kimi K3, which has the same rule.
        ("kimi_k25", KIMI_K3, (27, 28), [1, 2, 2], 1),
        ("kimi_k25", KIMI_K3, (7168, 7168), [1, 256, 256], 16_384),
        ("kimi_k25", KIMI_K3, (100_000, 10), [1, 2, 512], 256),
        ("kimi_k25", KIMI_K3, (8000, 4000), [1, 182, 364], 16_562),
        ("gemma3", {}, (1, 5000), [1, 64, 64], 256),
        ("gemma3", {"image_size": 448, "image_seq_length": 64}, (9, 9), [1, 32, 32], 64),
        # One tile of 256 tokens, and two marks.
        ("internvl", {}, (448, 448), [1, 32, 32], 258),
        # 4:3 as 4 x 3 tiles and a thumbnail.
        ("internvl", {}, (640, 480), [13, 32, 32], 3330),
        # 2:1 fits 2 x 1 and 4 x 2. The larger counts only if half of it is filled.
        ("internvl", {"max_patches": 8}, (1264, 632), [3, 32, 32], 770),
        ("internvl", {"max_patches": 8}, (1268, 634), [9, 32, 32], 2306),
        ("internvl", {"max_patches": 1}, (640, 480), [1, 32, 32], 258),
        # 3 x 4 tiles and the overview of 169 tokens and two marks, one mark more, two line feeds
        # between rows, and the empty line.
        ("idefics3", {}, (640, 480), [13, 26, 26], 13 * 171 + 1 + 2 + 1),
        ("idefics3", {"joins_line_feeds": False}, (640, 480), [13, 26, 26], 13 * 171 + 1 + 2 + 2),
        ("idefics3", {"do_image_splitting": False}, (640, 480), [1, 26, 26], 172),
        ("idefics3", {"longest_edge": 364}, (640, 480), [1, 26, 26], 172),
        ("idefics3", {"marked_tiles": 4}, (100, 1), [5, 26, 26], 5 * 171 + 1 + 1),
        # 3:4 is scaled to 576 x 768 pixels on 768 x 768, of which half a tile of 27 x 27 is padding:
        # 40 rows of 54 and one more; the overview has 729.
        ("llava_onevision", {}, (640, 480), [5, 27, 27], 729 + 40 * (54 + 1)),
        (
            "llava_onevision",
            {"vision_feature_select_strategy": "default"},
            (640, 480),
            [5, 27, 27],
            729 + 40 * (54 + 1) - 1,
        ),
        ("llava_onevision", {"image_grid_pinpoints": [[384, 384]]}, (9, 9), [2, 27, 27], 1_485),
        # 32 x 32 patches, 16 of them a token, two marks, and three tokens of the number.
        ("minicpmv4_6", {}, (448, 448), [1, 32, 32], 64 + 2 + 3),
        # An overview of 28 x 36 patches, and two slices of 40 x 28.
        ("minicpmv4_6", {}, (640, 480), [1, 1, 3_248], 3 + 63 + 2 + 2 * (70 + 2)),
        ("minicpmv4_6", {"use_image_id": False}, (448, 448), [1, 32, 32], 64 + 2),
        ("minicpmv4_6", {"downsample_mode": "4x"}, (448, 448), [1, 32, 32], 256 + 2 + 3),
        ("pixtral", {}, (640, 480), [1, 30, 40], 30 * 41),
        ("pixtral", {}, (641, 1), [1, 1, 41], 42),
        # 2048 x 1025 scaled to 1024 x 512.5, the half dropped.
        ("pixtral", {}, (2048, 1025), [1, 32, 64], 32 * 65),
        ("pixtral", MISTRAL_SMALL, (640, 480), [1, 36, 46], 18 * 24),
        # The geometries of the families below are those of their processors.
        ("lfm2_vl", {}, (640, 480), [1, 26, 36], 13 * 18 + 2),
        ("lfm2_vl", {}, (1, 1), [1, 16, 16], 64 + 2),
        ("lfm2_vl", {}, (20, 900), [1, 108, 4], 54 * 2 + 2),
        # 2 x 3 tiles of 256 tokens and a mark, the scaled image of 13 x 18 and a mark, two marks.
        ("lfm2_vl", {}, (2000, 1500), [1, 1, 6 * 1024 + 26 * 36], 6 * 257 + 235 + 2),
        ("lfm2_vl", {"use_thumbnail": False}, (2000, 1500), [6, 32, 32], 6 * 257 + 2),
        (
            "lfm2_vl",
            {"use_image_special_tokens": False},
            (2000, 1500),
            [1, 1, 6 * 1024 + 26 * 36],
            6 * 256 + 234,
        ),
        ("lfm2_vl", {"min_tiles": 1, "max_tiles": 1}, (2000, 1500), [1, 26, 36], 236),
        ("glm5_next", {}, (640, 480), [1, 36, 46], 18 * 23),
        ("glm5_next", {}, (1, 1), [1, 8, 8], 16),
        ("glm5_next", {}, (8000, 6000), [1, 154, 206], 77 * 103),
        ("glm5_next", {"min_image_tokens": 3, "max_image_tokens": 70}, (640, 480), [1, 14, 20], 70),
        ("gemma4", {}, (640, 480), [1, 42, 57], 14 * 19),
        ("gemma4", {}, (3000, 100), [1, 9, 273], 3 * 91),
        # No whole row of tokens, so a single one.
        ("gemma4", {}, (9000, 10), [1, 3, 840], 280),
        ("gemma4", {}, (10, 9000), [1, 840, 3], 280),
        ("inkling", {}, (640, 480), [1, 12, 17], 204),
        ("inkling", {"rescale_image_frac": 0.37, "patch_size": 14}, (640, 480), [1, 13, 17], 221),
        # Enlarged to 2,048 pixels at most, and never made smaller by that.
        ("inkling", {"rescale_image_frac": 4.0}, (640, 480), [1, 39, 52], 2028),
        ("step3p7", {}, (640, 480), [1, 1, 2704], 171),
        ("step3p7", {}, (2000, 1500), [1, 1, 18_256], 1169),
        ("step3p7", {}, (3000, 100), [1, 1, 41_584], 2661),
        ("step3p7", {}, (100, 3000), [1, 1, 41_584], 2690),
        ("step3p7", {}, (20, 900), [1, 1, 7888], 504),
        ("molmo2", {}, (2000, 1500), [7, 27, 27], 996),
        ("molmo2", {}, (1, 1), [2, 27, 27], 424),
        ("llama4", {}, (640, 480), [5, 24, 24], 5 * 144 + 7),
        ("llama4", {}, (1, 1), [1, 24, 24], 144 + 3),
        ("llama4", {}, (100, 3000), [10, 24, 24], 10 * 144 + 12),
        ("deepseek_ocr2", {}, (640, 480), [1, 1, 4096], 257),
        ("deepseek_ocr2", {}, (2000, 1500), [1, 1, 17_920], 1121),
        ("nemotron_h_omni", {}, (640, 480), [1, 30, 40], 300),
        ("nemotron_h_omni", {}, (1, 1), [1, 32, 32], 256),
        ("ovis2", {}, (2000, 1500), [10, 32, 32], 2571),
        ("idefics3", {}, (1500, 4000), [9, 26, 26], 9 * 171 + 1 + 3 + 1),
        ("minicpmv4_6", {}, (2000, 1500), [1, 1, 10_080], 655),
        ("minicpmv4_6", {}, (1500, 4000), [1, 1, 9104], 593),
    ],
)
def test_size_gives_grid_and_tokens(
    family: str, parameters: dict[str, Any], size: tuple[int, int], grid: list[int], num_tokens: int
) -> None:
    layout = layouts.get(family, **parameters)
    geometry = layout.describe(*size)
    assert (geometry.grid, geometry.num_tokens) == (grid, num_tokens)
    runs = layout.placeholder(*size)
    assert sum(run.length for run in runs) == num_tokens
    marks = [run.token for run in runs if run.token != layout.image_token]
    assert len(layout.marks(geometry)) >= len(marks)


@pytest.mark.parametrize(
    ("family", "payload"),
    [
        ("qwen_vl", {"image_grid_thw": [[1, 30, 40]]}),
        ("glm4v", {"image_grid_thw": [[1, 34, 46]]}),
        ("kimi_k25", {"grid_thws": [[1, 36, 46]]}),
        ("gemma3", {"num_crops": [0]}),
        ("idefics3", {"rows": [[3]], "cols": [[4]]}),
        ("internvl", {"num_patches": [13]}),
        ("llava_onevision", {"image_sizes": [[480, 640]], "batch_num_images": [1]}),
        (
            "minicpmv4_6",
            {
                "target_sizes": [[28, 36], [40, 28], [40, 28]],
                "grids": [[1, 2]],
                "num_patches_per_image": [3],
            },
        ),
        ("pixtral", {"image_sizes": [[480, 640]]}),
    ],
)
def test_size_gives_the_payload_of_the_family(family: str, payload: dict[str, Any]) -> None:
    assert layouts.get(family).describe(640, 480).payload == payload


def test_message_has_one_placeholder_of_kimi_and_all_of_the_others() -> None:
    for family in layouts.FAMILIES:
        layout = layouts.get(family)
        geometry = layout.describe(640, 480)
        kimi = family == "kimi_k25"
        assert geometry.placeholder_length == (1 if kimi else geometry.num_tokens)
        assert layout.vllm_modality == ("vision_chunk" if kimi else None)


@pytest.mark.parametrize(
    ("family", "fits", "refused"),
    [
        ("qwen_vl", (200, 1), (201, 1)),
        ("qwen_vl", (7, 1400), (7, 1401)),
        ("glm4v", (1, 200), (1, 201)),
        ("pixtral", (1, 1024), (1, 1025)),
        ("pixtral", (2049, 3), (2049, 2)),
        ("deepseek_ocr2", (2047, 1), (2049, 1)),
    ],
)
def test_shape_that_the_processor_refuses_is_refused(
    family: str, fits: tuple[int, int], refused: tuple[int, int]
) -> None:
    layout = layouts.get(family)
    assert layout.describe(*fits).num_tokens
    with pytest.raises(ContractError) as caught:
        layout.describe(*refused)
    assert (caught.value.code, caught.value.path) == ("image_limit", "$")
    assert f"got {refused[0]} x {refused[1]} pixels" in str(caught.value)


def test_image_with_others_in_a_list_of_its_prompt_is_not_cut() -> None:
    layout = layouts.get("llava_onevision")
    shared = layout.describe(640, 480, index=1, images=2)
    assert (shared.grid, shared.num_tokens) == ([1, 27, 27], 730)
    assert shared.payload == {"image_sizes": [[480, 640]], "batch_num_images": [2]}
    assert layout.describe(640, 480, images=1) == layout.describe(640, 480, index=3)
    assert layout.placeholder(640, 480, images=2) == [layouts.Run("<image>", 730)]


def test_image_after_ten_others_has_one_token_more() -> None:
    layout = layouts.get("minicpmv4_6")
    lengths = [layout.describe(640, 480, index=index).num_tokens for index in (0, 9, 10, 100)]
    assert [one - lengths[0] for one in lengths] == [0, 0, 1, 2]
    assert [run.token for run in layout.placeholder(640, 480, index=12)][:4] == [
        "<image_id>",
        "1",
        "2",
        "</image_id>",
    ]
    first = layout.describe(640, 480)
    assert [layout.accepts(first, lengths[0] + more) for more in (-1, 0, 1, 3, 4)] == [
        *(False, True, True),
        *(True, False),
    ]


@pytest.mark.parametrize(
    ("numbers", "code", "path"),
    [
        ({"index": -1}, "out_of_range", "$.index"),
        ({"index": True}, "wrong_type", "$.index"),
        ({"index": "1"}, "wrong_type", "$.index"),
        ({"images": 0}, "out_of_range", "$.images"),
        ({"index": 2, "images": 2}, "out_of_range", "$.images"),
        ({"images": 1.0}, "wrong_type", "$.images"),
    ],
)
@pytest.mark.parametrize("family", ["qwen_vl", "lfm2_vl", "minicpmv4_6"])
def test_invalid_number_of_images_is_refused(
    family: str, numbers: dict[str, Any], code: str, path: str
) -> None:
    layout = layouts.get(family)
    for method in (layout.describe, layout.placeholder):
        with pytest.raises(ContractError) as caught:
            method(640, 480, **numbers)
        assert (caught.value.code, caught.value.path) == (code, path)


@each(
    "family", sorted(set(layouts.FAMILIES) - {"minicpmv4_6", "llava_onevision", "nemotron_h_omni"})
)
def test_other_images_of_the_prompt_change_nothing(family: str) -> None:
    layout = layouts.get(family)
    alone = layout.describe(640, 480)
    assert layout.describe(640, 480, index=12, images=99) == alone
    assert layout.placeholder(640, 480, index=12, images=99) == layout.placeholder(640, 480)
    assert layout.accepts(alone, alone.num_tokens)
    assert not layout.accepts(alone, alone.num_tokens + 1)


def test_tiles_without_marks_are_refused() -> None:
    layout = layouts.get("idefics3", marked_tiles=3)
    assert layouts.get("idefics3", marked_tiles=4).describe(640, 480).num_tokens
    with pytest.raises(ContractError, match="at most 3 rows and columns of tiles") as caught:
        layout.describe(640, 480)
    assert (caught.value.code, caught.value.path) == ("image_limit", "$")


@each("family", layouts.FAMILIES)
@each(
    ("width", "height", "code", "path"),
    [
        (0, 5, "out_of_range", "$.width"),
        (5, -1, "out_of_range", "$.height"),
        (2**31, 5, "out_of_range", "$.width"),
        (5, 2**31, "out_of_range", "$.height"),
        (5.0, 5, "wrong_type", "$.width"),
        (5, "5", "wrong_type", "$.height"),
        (True, 5, "wrong_type", "$.width"),
        (5, None, "wrong_type", "$.height"),
    ],
)
def test_invalid_size_is_refused(
    family: str, width: Any, height: Any, code: str, path: str
) -> None:
    with pytest.raises(ContractError) as caught:
        layouts.get(family).describe(width, height)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert "expected a number of pixels from 1 to 2^31-1" in str(caught.value)


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_layouts_are_compared_and_hashed_by_value(family: str) -> None:
    layout = layouts.get(family)
    assert layout == layouts.get(family, **layout.parameters)
    assert hash(layout) == hash(layouts.get(family))
    assert pickle.loads(pickle.dumps(layout)) == copy.deepcopy(layout) == layout
    assert layout != layouts.get(
        family, patch_size=32 if family in {"deepseek_ocr2", "lfm2_vl"} else 7
    )
    with pytest.raises(AttributeError):
        layout.patch_size = 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_geometries_share_nothing(family: str) -> None:
    layout = layouts.get(family)
    first = layout.describe(640, 480)
    expected = copy.deepcopy(first)
    first.grid[0] = 99
    assert first.payload == expected.payload
    for value in first.payload.values():
        value.append(1)
    assert layout.describe(640, 480) == expected
