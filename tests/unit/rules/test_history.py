"""Earlier versions of the contract judge the vectors of today as their packages did.

The lists are the verdicts of these packages. `tests/integrations/versions` runs them.
"""

from __future__ import annotations

import json
from typing import Final

import pytest

from rawmm.model.schemas import conformance_vectors, released
from rawmm.model.types import TYPES
from rawmm.rules import BY_ITSELF
from rawmm.versions import version_errors

ACCEPTED_BEFORE_1_1: Final = frozenset(
    {
        "EncodedArray/invalid/shape_65_dimensions",
        "GenerateFeatures/invalid/kwargs_data_key_too_long",
        "GenerateFeatures/invalid/mm_hashes_key_too_long",
        "GenerateFeatures/invalid/mm_placeholders_key_too_long",
        "GenerateFeatures/invalid/slot_of_another_hash",
        "GenerateFeatures/invalid/slot_of_another_modality",
        "GenerateFeatures/invalid/slot_pixel_values",
        "GenerateFeatures/invalid/slot_unreadable",
        "MMImageItem/invalid/family_too_long",
        "MMImageItem/invalid/modality_too_long",
        "MMImageItem/invalid/payload_too_many_values",
        "MMImageItem/invalid/raw_image_id_too_long",
        "MMImageItem/invalid/vllm_modality_too_long",
        "MMImageRef/invalid/uri_of_another_file",
        "MessageNode/invalid/timestamp_integer_rounded",
        "MultiModalData/invalid/mm_hashes_key_too_long",
        "MultiModalData/invalid/mm_items_key_too_long",
        "MultiModalData/invalid/mm_placeholders_key_too_long",
        "RawMMItem/invalid/family_too_long",
        "RawMMItem/invalid/modality_too_long",
        "RawMMItem/invalid/payload_too_many_values",
        "RawMMItem/invalid/payload_too_much_text",
        "RawMMItem/invalid/raw_image_id_too_long",
        "RawMMItem/invalid/vllm_modality_too_long",
        "RawMMRef/invalid/family_too_long",
        "RawMMRef/invalid/modality_too_long",
        "RawMMRef/invalid/payload_too_many_values",
        "RawMMRef/invalid/raw_image_id_too_long",
        "RawMMRef/invalid/stored_under_another_hash",
        "SamplingMask/invalid/count_negative",
        "SamplingMask/invalid/id_negative",
    }
)
"""Invalid today, and valid in 1.0 alone."""

ACCEPTED_BEFORE_1_2: Final = frozenset(
    {
        "AssistantMessage/invalid/provider_state_embeddings",
        "GenerateFeatures/invalid/kwargs_data_without_modality",
        "MessageNode/invalid/tool_parameters_pixel_values",
        "MultiModalData/invalid/modality_pixel_values",
        "RawMMItem/invalid/pixel_values_in_capitals",
        "RawMMItem/invalid/pixel_values_of_videos",
        "RawMMRef/invalid/payload_input_features",
        "Tool/invalid/parameters_pixel_values",
        "Trace/invalid/info_embeddings",
        "Trace/invalid/tool_image_without_tokens",
        "Trace/invalid/two_images_with_one_run",
        "Trace/invalid/unknown_pixel_values",
    }
)
"""Invalid today, and valid in 1.0 and 1.1."""

REFUSED_BEFORE_1_1: Final = frozenset(
    {
        "MessageNode/valid/packed",
        "MessageNode/valid/packed_beside_lists",
        "MessageNode/valid/packed_empty",
        "Trace/valid/packed",
    }
)
"""Valid today, and invalid in 1.0 alone."""

REFUSED_BEFORE_1_2: Final = frozenset(
    {
        "ContentPart/valid/full",
        "ContentPart/valid/id_of_the_caller",
        "ContentPart/valid/minimal",
        "GenerateFeatures/valid/adjacent_modalities",
        "GenerateFeatures/valid/base64_and_metadata",
        "GenerateFeatures/valid/empty_maps",
        "GenerateFeatures/valid/ids_of_the_caller",
        "MMImageItem/valid/full",
        "MessageNode/valid/engine_outputs",
        "MessageNode/valid/engine_outputs_null",
        "MessageNode/valid/stored_image_without_sidecar",
        "MessageNode/valid/unknown_fields",
        "RawMMItem/valid/full",
        "RawMMRef/valid/without_fingerprint",
        "Trace/valid/images_of_messages_without_tokens",
        "Trace/valid/reordered_tool_images",
        "Trace/valid/stored_images_without_sidecars",
        "Trace/valid/unknown_fields_of_nodes",
    }
)
"""Valid today, and invalid in 1.0 and 1.1."""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_vectors_have_the_verdict_of_the_version(version: str) -> None:
    accepted, refused = set(ACCEPTED_BEFORE_1_2), set(REFUSED_BEFORE_1_2)
    if version == "1.0":
        accepted |= ACCEPTED_BEFORE_1_1
        refused |= REFUSED_BEFORE_1_1
    differ = set()
    for vector in conformance_vectors():
        name, case = vector["type"], vector["case"]
        if name not in released(version)["$defs"] or vector.get("code") == "malformed":
            continue
        document = json.loads(vector["document"])
        errors = version_errors(document, TYPES[name], version, BY_ITSELF)
        valid = not any(True for _ in errors)
        expected = case in accepted or ("code" not in vector and case not in refused)
        if valid != expected:
            differ.add(case)
    assert not differ
