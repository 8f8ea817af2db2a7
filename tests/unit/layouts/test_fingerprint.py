"""Fingerprints of layouts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import ContractError, ProcessedPayloadError, layouts
from rawmm.layouts import image_layout_fingerprint

QWEN3_VL = (
    "image-layout:v1:qwen_vl:max_pixels=16777216:merge_size=2:min_pixels=65536:patch_size=16:"
    "temporal_patch_size=2"
)
KIMI_K25 = (
    "image-layout:v1:kimi_k25:fixed_output_tokens=null:image_mean=[0.5,0.5,0.5]:"
    "image_std=[0.5,0.5,0.5]:in_patch_limit=16384:merge_kernel_size=2:patch_limit_on_one_side=512:"
    "patch_size=14"
)


@pytest.mark.parametrize(
    ("family", "text", "digest"),
    [
        ("qwen_vl", QWEN3_VL, "c2f096345b0d84e6bd2ee38b815cc329"),
        ("kimi_k25", KIMI_K25, "a05685ad7bfa971ee9967c50c722b892"),
        (
            "gemma3",
            "image-layout:v1:gemma3:image_seq_length=256:image_size=896:patch_size=14",
            "a49fded8fe1cc67265868c715d3d8d11",
        ),
        (
            "glm4v",
            "image-layout:v1:glm4v:max_pixels=9633792:merge_size=2:min_pixels=12544:patch_size=14:"
            "temporal_patch_size=2",
            "5608198092c236c757c216a0d4d2f8ea",
        ),
        (
            "internvl",
            "image-layout:v1:internvl:image_seq_length=256:image_size=448:max_patches=12:"
            "min_patches=1:patch_size=14",
            "8bdffe7f7f635cab167a47f2aeac4e5e",
        ),
        (
            "pixtral",
            "image-layout:v1:pixtral:longest_edge=1024:patch_size=16:spatial_merge_size=1",
            "457bf61718676f3591488b15d8f21e4e",
        ),
    ],
)
def test_default_fingerprints_are_pinned(family: str, text: str, digest: str) -> None:
    """Pinned forever, because stored descriptors have them."""
    assert hashlib.sha256(text.encode()).hexdigest()[:32] == digest
    assert layouts.get(family).fingerprint() == digest


def test_every_parameter_changes_the_fingerprint() -> None:
    for family, cls in layouts.FAMILIES.items():
        found = {layouts.get(family).fingerprint()}
        for name, default in cls.defaults().items():
            other: Any = 2 * (default or 1)
            if name == "image_grid_pinpoints":
                other = [[768, 384]]
            elif isinstance(default, tuple):
                other = [one + 1 for one in default]
            if isinstance(default, bool) or name == "use_single_crop_col_tokens":
                other = not default
            texts = {"downsample_mode": "4x", "vision_aspect_ratio": "anyres_max_3"}
            if isinstance(default, str):
                other = texts.get(name, "default")
            if name == "rescale_image_frac":
                other = 0.5
            parameters = {name: other}
            if name == "image_size":
                parameters["image_grid_pinpoints"] = [[768, 768]]
            if name == "patch_size" and "image_grid_pinpoints" not in cls.defaults():
                parameters["image_size"] = 2 * cls.defaults().get("image_size", 0)
            if name == "min_pixels":
                parameters["max_pixels"] = 2**30
            known = {key: value for key, value in parameters.items() if key in cls.defaults()}
            found.add(layouts.get(family, **known).fingerprint())
        assert len(found) == len(cls.defaults()) + 1


def test_means_are_converted_to_tuples_of_floats() -> None:
    layout = layouts.get("kimi_k25", image_mean=[0, 1, 0.5])
    assert layout.parameters["image_mean"] == (0.0, 1.0, 0.5)
    assert [type(channel) for channel in layout.parameters["image_mean"]] == [float] * 3
    text = KIMI_K25.replace("image_mean=[0.5,0.5,0.5]", "image_mean=[0.0,1.0,0.5]")
    assert layout.fingerprint() == hashlib.sha256(text.encode()).hexdigest()[:32]


NESTED = st.from_regex(r"[a-z]{0,4}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NESTED, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


NAMES = st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True)
KEYS = st.from_regex(r"[a-z_]{1,9}", fullmatch=True).filter(lambda key: key != "family")


@given(NAMES, st.dictionaries(KEYS, JSON, max_size=5))
def test_fingerprint_is_the_hash_of_its_text(family: str, values: dict[str, Any]) -> None:
    text = f"image-layout:v1:{family}:" + ":".join(
        f"{key}={json.dumps(value, sort_keys=True, separators=(',', ':'))}"
        for key, value in sorted(values.items())
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    assert image_layout_fingerprint(family=family, **values) == digest
    assert image_layout_fingerprint(family=family, **dict(reversed(values.items()))) == digest


@pytest.mark.parametrize("family", ["qwen:vl", "", "qwen vl", "qwen_vl\n", None, 7])
def test_invalid_family_name_is_refused(family: Any) -> None:
    with pytest.raises(ContractError) as caught:
        image_layout_fingerprint(family=family, patch_size=14)
    assert (caught.value.code, caught.value.path) == ("bad_format", "$.family")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "not_json"),
        ({1: 2}, "not_json"),
        (object(), "not_json"),
        (2**53, "not_json"),
        ({"pixel_values": 1}, "processed_payload"),
        (np.zeros(3), "array_payload"),
        (b"14", "array_payload"),
    ],
)
def test_value_that_is_not_json_is_refused(value: Any, code: str) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        image_layout_fingerprint(family="qwen_vl", patch_size=value)
    assert caught.value.code == code
    assert caught.value.path.startswith("$.patch_size")
