"""Properties of every family and every size."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm import ContractError, layouts

if TYPE_CHECKING:
    from rawmm.layouts import Geometry, Layout

SIDES = st.one_of(st.integers(1, 64), st.integers(1, 4_000), st.integers(1, 2**31 - 1))
SYMMETRIC = {"gemma3", "glm4v", "hunyuan_vl", "kimi_k25", "pixtral", "qwen_vl"}
"""Families that treat both sides in the same way. Others compare ratios, or begin with one side."""
LAYOUTS = st.sampled_from([layouts.get(family) for family in layouts.FAMILIES])


def described(layout: Layout, width: int, height: int) -> Geometry | None:
    try:
        return layout.describe(width, height)
    except ContractError as error:
        if error.code != "image_limit":
            raise
        return None


TILED = ("idefics3", "lfm2_vl", "llama4", "minicpmv4_6", "molmo2", "step3p7")
"""Families whose tiles and marks `Layout.placeholder` lists; their grid does not say them."""


@given(LAYOUTS, SIDES, SIDES)
def test_transposed_image_has_the_transposed_grid(layout: Layout, width: int, height: int) -> None:
    one, other = described(layout, width, height), described(layout, height, width)
    if one is None or other is None:
        assert one is other
        return
    if layout.family not in SYMMETRIC:
        return
    assert [one.grid[0], one.grid[2], one.grid[1]] == other.grid
    # They differ in the marks at the ends of rows only.
    assert one.num_tokens == other.num_tokens or layout.family in {"pixtral", "hunyuan_vl"}


@given(LAYOUTS, SIDES, SIDES)
def test_tokens_follow_from_the_grid(layout: Layout, width: int, height: int) -> None:
    geometry = described(layout, width, height)
    if geometry is None:
        return
    assert min(geometry.grid) >= 1
    if layout.family in TILED:
        runs = layout.placeholder(width, height)
        assert geometry.num_tokens == sum(run.length for run in runs)
        return
    parameters = layout.parameters
    names = ("merge_size", "merge_kernel_size", "pooling_kernel_size")
    merge = next((parameters[name] for name in names if name in parameters), 1)
    merge = round(1 / parameters.get("downsample_ratio", 1 / merge))
    frames, rows, columns = geometry.grid
    if layout.family == "deepseek_ocr2":
        assert geometry.num_tokens == columns // 4**2 + 1
        return
    tokens = {
        "hunyuan_vl": rows // merge * (columns // merge + 1) + 2,
        "ovis2": frames * parameters.get("image_seq_length", 0) + 3 + max(0, frames - 2),
        "gemma3": parameters.get("image_seq_length"),
        "internvl": geometry.grid[0] * parameters.get("image_seq_length", 0) + 2,
        "pixtral": geometry.grid[1] * (geometry.grid[2] + 1),
    }.get(layout.family, prod(geometry.grid) // merge**2)
    assert geometry.num_tokens == tokens
    assert geometry.grid[1] % merge == geometry.grid[2] % merge == 0


@given(LAYOUTS, SIDES, SIDES)
def test_grid_is_within_the_limits(layout: Layout, width: int, height: int) -> None:
    geometry = described(layout, width, height)
    if geometry is None:
        return
    parameters: dict[str, Any] = layout.parameters
    pixels = prod(geometry.grid) * parameters["patch_size"] ** 2
    if layout.family == "qwen_vl":
        # A side of one token is never shortened; at 200 to 1 the other stays under the limit.
        assert parameters["min_pixels"] <= pixels <= parameters["max_pixels"]
    elif layout.family == "kimi_k25":
        assert max(geometry.grid) <= parameters["patch_limit_on_one_side"]
    elif layout.family == "pixtral":
        assert max(geometry.grid) * parameters["patch_size"] <= parameters["longest_edge"]
    elif layout.family == "internvl":
        assert 1 <= geometry.grid[0] <= parameters["max_patches"] + 1


@given(LAYOUTS, SIDES, SIDES)
def test_payload_is_valid_in_a_descriptor(layout: Layout, width: int, height: int) -> None:
    geometry = described(layout, width, height)
    if geometry is None:
        return
    item = rawmm.raw_mm_item(
        modality="image",
        family=layout.family,
        layout_fingerprint=layout.fingerprint(),
        payload=geometry.payload,
    )
    assert rawmm.decode_json(rawmm.encode_json(item), rawmm.RawMMItem) == item


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_layout_needs_no_state(family: str) -> None:
    """The order of sizes makes no difference."""
    layout = layouts.get(family)
    sizes = [(width, height) for width in (1, 33, 640) for height in (7, 480)]
    sizes = [size for size in sizes if described(layout, *size)]
    forward = {size: layout.describe(*size) for size in sizes}
    assert {size: layouts.get(family).describe(*size) for size in reversed(sizes)} == forward
