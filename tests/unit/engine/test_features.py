"""The features of an engine request: references, cached images, errors."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import pytest

from rawmm import (
    ContractError,
    GenerateFeatures,
    MultiModalData,
    PlaceholderRange,
    ProcessedPayloadError,
    decode_json,
    encode_json,
    to_builtins,
)
from rawmm.engine.features import generate_features
from rawmm.engine.refs import split_raw_mm_ref
from rawmm.engine.retry import generate_with_image_ref_retry
from tests.builders import FINGERPRINT, item, mm_hash_of, sidecar
from tests.unit.engine.engine import CacheMissError


def key(number: int, fingerprint: str | None = FINGERPRINT) -> tuple[str, str | None]:
    """What identifies a cached image."""
    return mm_hash_of(number), fingerprint


def refused(*args: Any, **kwargs: Any) -> ContractError:
    with pytest.raises(ContractError) as caught:
        generate_features(*args, **kwargs)
    return caught.value


class TestSlots:
    def test_every_slot_has_a_reference(self) -> None:
        given = sidecar(item(0), item(1, raw_image_uri="file:///run/1.png"))
        features = generate_features(given)
        assert features is not None
        assert features.mm_hashes == given.mm_hashes
        assert features.mm_placeholders == given.mm_placeholders
        assert features.kwargs_data is not None
        first, second = map(split_raw_mm_ref, filter(None, features.kwargs_data["image"]))
        assert first.raw_image_id == given.mm_items["image"][0].raw_image_id
        assert second.raw_image_uri == "file:///run/1.png"
        assert (first.family, first.fingerprint) == ("qwen_vl", FINGERPRINT)
        assert (first.modality, first.mm_hash) == ("image", mm_hash_of(0))
        assert second.payload == given.mm_items["image"][1].payload
        assert decode_json(encode_json(features), GenerateFeatures) == features

    def test_item_without_a_locator_is_null(self) -> None:
        features = generate_features(sidecar(item(0, raw_image_id=None), item(1)))
        assert features is not None
        assert features.kwargs_data is not None
        assert [slot is None for slot in features.kwargs_data["image"]] == [True, False]

    @pytest.mark.parametrize(
        "cached",
        [
            {key(0), key(2)},
            [key(2), key(0)],
            (list(key(2)), list(key(0))),
            {key(0): 1, key(2): 2},
            lambda sha, fingerprint: (sha, fingerprint) != key(1),
        ],
    )
    def test_image_cached_by_hash_and_fingerprint_is_null(self, cached: Any) -> None:
        features = generate_features(sidecar(item(0), item(1), item(2)), cached=cached)
        assert features is not None
        assert features.kwargs_data is not None
        assert [slot is None for slot in features.kwargs_data["image"]] == [True, False, True]

    def test_same_image_of_another_layout_is_not_cached(self) -> None:
        given = sidecar(item(0), item(0, layout_fingerprint="0" * 32), hashes=[mm_hash_of(0)] * 2)
        features = generate_features(given, cached={key(0)})
        assert features is not None
        assert features.kwargs_data is not None
        assert [slot is None for slot in features.kwargs_data["image"]] == [True, False]

    @pytest.mark.parametrize("cached", [None, [key(0), key(1)]])
    def test_all_cached_is_null(self, cached: Any) -> None:
        bare = sidecar(item(0, raw_image_id=None), item(1, raw_image_id=None))
        features = generate_features(bare, cached=cached)
        assert features is not None
        assert to_builtins(features)["kwargs_data"] is None
        assert features.mm_hashes == bare.mm_hashes

    def test_materialize_overrides_the_cache(self) -> None:
        features = generate_features(
            sidecar(item(0)), cached=[key(0)], materialize_all_image_refs=True
        )
        assert features == generate_features(sidecar(item(0)))

    def test_sidecar_without_media_gives_no_features(self) -> None:
        assert generate_features(None) is None
        assert generate_features(MultiModalData()) is None
        assert generate_features(MultiModalData(mm_items={"image": []})) is None

    def test_plain_data_and_foreign_objects_are_accepted(self) -> None:
        given = sidecar(item(0))
        assert generate_features(to_builtins(given)) == generate_features(given)

    def test_nothing_is_shared_or_changed(self) -> None:
        given = sidecar(item(0), item(1))
        before = copy.deepcopy(given)
        features = generate_features(given)
        assert features is not None
        features.mm_hashes["image"].clear()
        features.mm_placeholders["image"][0].offset = 99
        assert given == before


class TestEngineNames:
    def test_engine_name_is_used_in_all_lists(self) -> None:
        kimi = item(0, family="kimi_k25", vllm_modality="vision_chunk")
        features = generate_features(sidecar(kimi))
        assert features is not None
        assert features.kwargs_data is not None
        assert set(features.mm_hashes) == set(features.mm_placeholders) == {"vision_chunk"}
        (slot,) = features.kwargs_data["vision_chunk"]
        assert slot is not None
        assert split_raw_mm_ref(slot).modality == "vision_chunk"

    def test_two_modalities_of_one_name_are_in_prompt_order(self) -> None:
        chunk = {"family": "kimi_k25", "vllm_modality": "vision_chunk"}
        given = MultiModalData(
            mm_hashes={"video": [mm_hash_of(7)], "image": [mm_hash_of(0), mm_hash_of(1)]},
            mm_placeholders={
                "video": [PlaceholderRange(offset=5, length=2)],
                "image": [
                    PlaceholderRange(offset=0, length=4),
                    PlaceholderRange(offset=9, length=1),
                ],
            },
            mm_items={
                "video": [item(7, modality="video", **chunk)],
                "image": [item(0, **chunk), item(1, **chunk)],
            },
        )
        features = generate_features(given)
        assert features is not None
        assert features.mm_hashes == {"vision_chunk": [mm_hash_of(0), mm_hash_of(7), mm_hash_of(1)]}
        assert [one.offset for one in features.mm_placeholders["vision_chunk"]] == [0, 5, 9]
        given.mm_placeholders["video"][0].offset = 3
        assert refused(given).path == "$.mm_placeholders.vision_chunk[1]"


class TestErrors:
    @pytest.mark.parametrize("how", [{"cached": [key(0)]}, {"materialize_all_image_refs": True}])
    def test_descriptor_only_where_its_image_is_needed(self, how: Any) -> None:
        assert str(refused(sidecar(item(0), item(1, raw_image_id=None)), **how)) == (
            "$.mm_items.image[1]: expected raw_image_id or raw_image_uri, got a descriptor-only"
            " item that is not known to be cached; the sidecars of the message graph keep"
            " the locators [no_locator]"
        )

    def test_item_without_fingerprint_is_refused(self) -> None:
        error = refused(sidecar(item(0, layout_fingerprint=None)))
        assert (error.code, error.path) == ("missing_field", "$.mm_items.image[0]")
        assert generate_features(sidecar(item(0, layout_fingerprint=None)), cached=[key(0, None)])

    @pytest.mark.parametrize("name", ["mm_hashes", "mm_placeholders", "mm_items"])
    def test_missing_list_is_refused(self, name: str) -> None:
        given = sidecar(item(0), item(1))
        setattr(given, name, {})
        error = refused(given, cached=lambda *_: True)
        assert (error.code, error.path) == ("count_mismatch", f"$.{name}.image")
        assert error.expected == "2 entries"

    def test_invalid_assignment_to_the_sidecar_is_refused(self) -> None:
        given = sidecar(item(0), item(1))
        given.mm_hashes["image"].pop()
        assert refused(given).code == "count_mismatch"

    @pytest.mark.parametrize(
        "cached", [{mm_hash_of(0)}, [mm_hash_of(1), mm_hash_of(0)], {mm_hash_of(0): True}]
    )
    def test_hashes_alone_are_refused(self, cached: Any) -> None:
        assert str(refused(sidecar(item(0)), cached=cached)) == (
            "$.cached: expected a container of pairs (hash, layout fingerprint), or a function of"
            " both, got the hash of an image alone; the same image at another resolution is"
            " another item [wrong_type]"
        )

    @pytest.mark.parametrize("cached", [mm_hash_of(0), b"", 5, object(), [[[]]], [{}]])
    def test_other_value_as_cache_is_refused(self, cached: Any) -> None:
        error = refused(sidecar(item(0)), cached=cached)
        assert (error.code, error.path) == ("wrong_type", "$.cached")

    def test_object_that_is_no_sidecar_is_refused(self) -> None:
        with pytest.raises(ProcessedPayloadError) as caught:
            generate_features(SimpleNamespace())
        assert (caught.value.code, caught.value.path) == ("not_json", "$")


class TestRetry:
    """As in the docstring of `generate_features`."""

    def run(self, cached: Any) -> list[GenerateFeatures]:
        given = sidecar(item(0), item(1))
        sent: list[Any] = []

        async def generate(
            *, multi_modal_data: Any, features: Any, materialize_all_image_refs: bool
        ) -> str:
            if materialize_all_image_refs:
                features = generate_features(multi_modal_data, materialize_all_image_refs=True)
            sent.append(features)
            await asyncio.sleep(0)
            if features.kwargs_data is None or None in features.kwargs_data["image"]:
                raise CacheMissError
            return "done"

        features = generate_features(given, cached=cached)
        call = generate_with_image_ref_retry(generate, multi_modal_data=given, features=features)
        assert asyncio.run(call) == "done"
        return sent

    @pytest.mark.parametrize("cached", [[key(0)], [key(0), key(1)]])
    def test_miss_is_retried_with_all_references(self, cached: Any) -> None:
        first, second = self.run(cached)
        assert second.kwargs_data is not None
        assert None not in second.kwargs_data["image"]
        assert second.mm_hashes == first.mm_hashes

    def test_no_retry_without_missing_images(self) -> None:
        assert len(self.run([])) == 1
