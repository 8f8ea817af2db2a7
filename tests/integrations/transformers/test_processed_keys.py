"""Every name that a processor of transformers returns is a processed key, or a known other name."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rawmm import PROCESSED_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES: Final = ("image_processing_*.py", "video_processing_*.py", "feature_extraction_*.py",
                "processing_*.py")  # fmt: skip
SPEC: Final = find_spec("transformers")
SUSPICIOUS: Final = ("pixel", "embed", "feature", "patch", "crop", "hidden_state", "input_values")
"""Parts of the names of pixels, features and embeddings."""
OTHER: Final = frozenset(
    {
        # Geometry and counts.
        "audio_embed_sizes", "image_num_crops", "image_patch_indices_per_batch",
        "image_patch_indices_per_subsequence", "input_values_cutoffs", "num_crops",
        "num_image_patches", "num_local_patches", "num_patches", "num_patches_per_frame",
        "num_patches_per_image", "patch_offsets", "patches_grid",
        # Masks.
        "feature_attention_mask", "image_embeds_position_mask", "input_features_mask",
        "input_values_mask", "patch_newline_masks", "pixel_attention_mask", "pixel_mask",
        # Settings.
        "codebook_crop_size", "crop_to_patches", "dense_max_patches", "do_center_crop",
        "feature_extractor_type", "max_num_patches", "max_patches", "max_pixels", "min_patches",
        "min_pixels", "pan_and_scan_max_num_crops", "pan_and_scan_min_crop_size", "patch_size",
    }
)  # fmt: skip
"""Names of other things, which descriptors may have."""


def texts(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value


def names_in(tree: ast.Module) -> Iterator[str]:
    """Names of inputs that a module lists, and the keys of dicts that it writes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == "model_input_names":
                    yield from texts(node.value)
                elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                    yield str(target.slice.value)
        elif isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value


def returned() -> dict[str, list[str]]:
    """The suspicious names in the processors, with the files that have them."""
    assert SPEC is not None
    assert SPEC.origin is not None
    found: dict[str, list[str]] = {}
    for pattern in FILES:
        for path in sorted((Path(SPEC.origin).parent / "models").glob(f"*/{pattern}")):
            for name in set(names_in(ast.parse(path.read_bytes()))):
                if name.isidentifier() and any(part in name for part in SUSPICIOUS):
                    found.setdefault(name, []).append(path.name)
    return found


RETURNED: Final = returned()


@pytest.mark.parametrize("name", sorted(RETURNED))
def test_name_of_a_processor_is_processed_or_known(name: str) -> None:
    assert (name in PROCESSED_KEYS) != (name in OTHER), RETURNED[name]


def test_no_known_name_is_stale() -> None:
    assert RETURNED.keys() >= OTHER


def test_names_of_the_first_processors_are_found() -> None:
    assert {"pixel_values", "pixel_values_videos", "flattened_patches", "input_features",
            "input_values"} <= RETURNED.keys()  # fmt: skip
    assert len(RETURNED) > 20


@pytest.mark.parametrize(
    "name", ["image_sizes", "image_grid_thw", "video_grid_thw", "spatial_shapes", "target_sizes"]
)
def test_geometry_is_no_processed_key(name: str) -> None:
    assert name not in PROCESSED_KEYS
