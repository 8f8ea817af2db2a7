"""Upgrades of trainer references and training samples."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import MMRefs, convert, layouts, to_builtins, validate
from rawmm.upgrades import upgrade
from tests.unit.images.pictures import assert_silent, data_url, picture
from tests.unit.upgrades import forms
from tests.unit.upgrades.forms import PNG, SHA, STORED, URL, bare_grid, envelope, without_version

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm import RawMMError

URIS = ["file:///images/a.png", "file:///images/b.png"]
HASHES = ["a" * 32, "b" * 32]
LAYOUT = layouts.get("qwen_vl", min_pixels=1024)


def descriptor(*items: Any, **more: Any) -> dict[str, Any]:
    return {
        "mm_items": {"image": list(items)},
        "mm_hashes": {"image": HASHES[: len(items)]},
        "mm_placeholders": {
            "image": [{"offset": 3, "length": 6}, {"offset": 14, "length": 8}][: len(items)]
        },
        **more,
    }


def refusal(value: Any, kind: Any = MMRefs, **options: Any) -> RawMMError:
    return forms.refusal(value, kind, **options)


class TestDescriptorAndUris:
    def test_each_image_gets_its_url(self) -> None:
        value = [descriptor(envelope(), envelope(raw_image_id="b.png")), URIS]
        before = copy.deepcopy(value)
        result = upgrade(value, MMRefs)
        assert to_builtins(result.value) == [
            [
                [envelope(raw_image_uri=URIS[0]), HASHES[0], URIS[0], 3, 6],
                [envelope(raw_image_id="b.png"), HASHES[1], URIS[1], 14, 8],
            ]
        ]
        assert value == before
        assert (result.form, len(result.notes)) == ("descriptor_and_uris", 1)
        again = upgrade(result.value, MMRefs)
        assert (again.value, again.form, again.notes) == (result.value, "image_refs", [])

    def test_items_of_older_forms_are_upgraded_first(self, tmp_path: Path) -> None:
        hashes = {"mm_hashes": {"image": ["a07e50973f7c1376" * 2, SHA]}}
        items = (bare_grid(), without_version(raw_image_data=URL))
        result = upgrade([descriptor(*items, **hashes), URIS], MMRefs, image_dir=tmp_path)
        first, second = (ref.item for ref in result.value.images)
        assert (first.raw_image_id, second.raw_image_id) == ("a07e50973f7c1376.png", STORED)
        assert first.version == second.version == 1
        assert result.form == "descriptor_only"
        assert [note.path for note in result.notes] == [
            "$[0].mm_items.image[0]",
            "$[0].mm_items.image[1]",
            "$",
        ]

    def test_no_images_are_no_references(self) -> None:
        empties: list[Any] = [{}, descriptor(), {"mm_items": {}, "mm_hashes": {"video": []}}]
        for empty in empties:
            assert to_builtins(upgrade([empty, []], MMRefs).value) == [[]]

    @pytest.mark.parametrize(
        ("sidecar", "uris", "code", "path"),
        [
            (descriptor(envelope()), URIS, "count_mismatch", "$[0].mm_items.image"),
            (descriptor(envelope(), envelope()), URIS[:1], "count_mismatch", "$[0].mm_items.image"),
            (
                descriptor(envelope(), mm_hashes={}),
                URIS[:1],
                "count_mismatch",
                "$[0].mm_hashes.image",
            ),
            (
                descriptor(envelope(), mm_placeholders={}),
                URIS[:1],
                "count_mismatch",
                "$[0].mm_placeholders.image",
            ),
            (
                descriptor(envelope(), mm_hashes={"image": HASHES}),
                URIS[:1],
                "count_mismatch",
                "$[0].mm_hashes.image",
            ),
            (
                {"mm_items": {"video": [envelope(modality="video")]}},
                [],
                "unsupported_modality",
                "$[0].mm_items.video",
            ),
            ({"mm_hashes": {"audio": HASHES}}, [], "unsupported_modality", "$[0].mm_hashes.audio"),
            (descriptor(envelope(version=2)), URIS[:1], "unsupported_version", "$[0].mm_items.image[0].version"),
            (descriptor(bare_grid(raw_image_id="../a")), URIS[:1], "path_escape", "$[0].mm_items.image[0].raw_image_id"),
            (descriptor({"pixel_values": []}), URIS[:1], "processed_payload", "$[0].mm_items.image[0].pixel_values"),
            (descriptor(envelope(), extra=1), URIS[:1], "unknown_field", "$[0].extra"),
            (descriptor(envelope()), ["file:///../a.png"], "path_escape", "$[1][0]"),
            (descriptor(envelope()), ["a.png"], "bad_locator", "$[1][0]"),
            (descriptor(envelope()), [None], "wrong_type", "$[1][0]"),
            (descriptor(envelope()), ["file:///images/000000000000001a.png"], "hash_mismatch", "$[1][0]"),
            (
                descriptor(envelope(), envelope(), mm_placeholders={"image": [{"offset": 3, "length": 6}, {"offset": 4, "length": 1}]}),
                URIS,
                "placeholder_order",
                "$[0].mm_placeholders.image[1]",
            ),
        ],
    )  # fmt: skip
    def test_invalid_pairs_are_refused(self, sidecar: Any, uris: Any, code: str, path: str) -> None:
        error = refusal([sidecar, uris])
        assert (error.code, error.path) == (code, path)


class TestInlineUrls:
    VALUE = ([[URL, 3, 2], [data_url(picture("JPEG", (64, 64)), "image/jpeg"), 14, 4]],)

    def test_hash_and_descriptor_are_made_again(self, tmp_path: Path) -> None:
        value = copy.deepcopy(list(self.VALUE))
        result = upgrade(value, MMRefs, image_dir=tmp_path / "images", layout=LAYOUT)
        validate(result.value)
        assert value == list(self.VALUE)
        first, second = result.value.images
        assert to_builtins(first.item) == envelope(
            layout_fingerprint=LAYOUT.fingerprint(),
            payload=LAYOUT.describe(24, 16).payload,
            raw_image_id=STORED,
        )
        assert (first.hash, first.uri) == (SHA[:32], (tmp_path / "images" / STORED).as_uri())
        assert (first.offset, first.length, second.offset, second.length) == (3, 2, 14, 4)
        for ref in result.value.images:
            raw = (tmp_path / "images" / str(ref.item.raw_image_id)).read_bytes()
            assert hashlib.sha256(raw).hexdigest().startswith(ref.hash)
        assert (result.form, len(result.notes)) == ("inline_urls", 1)
        assert "family qwen_vl" in result.notes[0].change
        again = upgrade(result.value, MMRefs)
        assert (again.value, again.form, again.notes) == (result.value, "image_refs", [])

    def test_file_is_read_where_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PNG)
        uri = (tmp_path / "a.png").as_uri()
        (ref,) = upgrade([[[uri, 0, 2]]], MMRefs, layout=LAYOUT).value.images
        assert (ref.uri, ref.item.raw_image_uri, ref.hash) == (uri, uri, SHA[:32])
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

    def test_family_is_its_default_layout(self, tmp_path: Path) -> None:
        tokens = layouts.get("qwen_vl").describe(24, 16).num_tokens
        result = upgrade([[[URL, 0, tokens]]], MMRefs, image_dir=tmp_path, layout="qwen_vl")
        assert (
            result.value.images[0].item.layout_fingerprint == layouts.get("qwen_vl").fingerprint()
        )
        error = refusal([[[URL, 0, tokens]]], layout="qwen")
        assert (error.code, error.path) == ("bad_value", "$.family")

    def test_missing_layout_is_refused(self, tmp_path: Path) -> None:
        error = refusal(list(self.VALUE), image_dir=tmp_path)
        assert (error.code, error.path) == ("historical_form", "$")
        assert "inline_urls" in error.got
        assert (
            error.hint
            == "give the model's layout, from which hashes and descriptors can be computed"
        )
        assert_silent(error, URL)

    def test_references_to_the_trainer_carry_no_images(self) -> None:
        error = refusal(list(self.VALUE), layout=LAYOUT)
        assert (error.code, error.path) == ("no_image_dir", "$[0][0][0]")

    @pytest.mark.parametrize(
        ("image", "code", "path"),
        [
            ([URL, 3, 3], "geometry_mismatch", "$[0][1][2]"),
            ([URL, 3, 0], "out_of_range", "$[0][1][2]"),
            ([URL, -1, 2], "out_of_range", "$[0][1][1]"),
            ([URL, "3", 2], "wrong_type", "$[0][1][1]"),
            ([URL, 3, True], "wrong_type", "$[0][1][2]"),
            ([URL, 1, 2], "placeholder_order", "$[0][1]"),
            ([URL, 3], "bad_length", "$[0][1]"),
            ({"url": URL}, "bad_length", "$[0][1]"),
            (["data:image/png;base64,a*==", 3, 2], "bad_base64", "$[0][1][0]"),
            (["data:image/png;base64,aGVsbG8=", 3, 2], "not_an_image", "$[0][1][0]"),
            (["file:///no/such/file.png", 3, 2], "missing_image", "$[0][1][0]"),
            (["file:///a/../b.png", 3, 2], "path_escape", "$[0][1][0]"),
            (["images/a.png", 3, 2], "bad_locator", "$[0][1][0]"),
            (["hdfs://bucket/a.png", 3, 2], "bad_locator", "$[0][1][0]"),
            ([7, 3, 2], "bad_locator", "$[0][1][0]"),
            ([data_url(picture(size=(1, 300))), 3, 2], "image_limit", "$[0][1][0]"),
        ],
    )
    def test_invalid_urls_are_refused(
        self, image: Any, code: str, path: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "images"
        error = refusal([[[URL, 0, 2], image]], image_dir=folder, layout=LAYOUT)
        assert (error.code, error.path) == (code, path)
        assert_silent(error, URL)
        assert not folder.exists()


class TestTrainingSamples:
    """An array of a release's fields: the references in it are rawmm's, the rest is not."""

    @staticmethod
    def sample(refs: Any) -> list[Any]:
        return [
            [1, 2, 3],
            [True, False, True],
            [0.5, 0.5, 0.5],
            [1.0],
            "demo",
            None,
            refs,
            [0, 1, 1],
            None,
        ]

    def test_references_are_upgraded_in_the_sample(self) -> None:
        old = [descriptor(envelope()), URIS[:1]]
        sample = self.sample(old)
        before = copy.deepcopy(sample)
        result = upgrade(sample, None)
        assert sample == before
        refs = to_builtins(convert(upgrade(old, MMRefs).value, MMRefs))
        assert result.value == self.sample(refs)
        assert result.form == "descriptor_and_uris"
        assert [note.path for note in result.notes] == ["$[6]"]
        again = upgrade(result.value, None)
        assert (again.value, again.form, again.notes) == (result.value, "image_refs", [])
        result.value[0].append(4)
        result.value[6][0][0][0]["payload"]["image_grid_thw"].append(4)
        assert sample == before

    def test_sample_without_images_stays(self) -> None:
        without: list[Any] = [None, []]
        for refs in without:
            result = upgrade(self.sample(refs), None)
            assert result.value == self.sample(refs)
            assert (result.form, result.notes) == ("canonical", [])

    @pytest.mark.parametrize(
        ("refs", "code", "path"),
        [
            ([descriptor(envelope()), []], "count_mismatch", "$[6][0].mm_items.image"),
            ([[[URL, 0, 2]]], "historical_form", "$[6]"),
            ([[[envelope(), "a" * 32, "file:///a", 3, 0]]], "out_of_range", "$[6][0][0][4]"),
            ([descriptor({"pixel_values": 1}), URIS[:1]], "processed_payload", "$[6][0].mm_items.image[0].pixel_values"),
        ],
    )  # fmt: skip
    def test_bad_reference_is_refused_at_its_path(self, refs: Any, code: str, path: str) -> None:
        error = refusal(self.sample(refs), None)
        assert (error.code, error.path) == (code, path)

    def test_other_arrays_are_no_samples(self) -> None:
        others: list[Any] = [
            [[1]], [[1], [1], []], [[True], [True], []], [[], [], []], [1, 2, 3],
        ]  # fmt: skip
        for other in others:
            assert refusal(other, None).code == "unknown_type"


def test_canonical_references_are_unchanged() -> None:
    refs = [[[without_version(raw_image_uri=URIS[0]), HASHES[0], URIS[0], 3, 6]]]
    result = upgrade(refs, MMRefs)
    assert to_builtins(result.value) == refs
    assert (result.form, result.notes) == ("image_refs", [])
