"""Upgrades of historical descriptors."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    ContractError,
    MultiModalData,
    OffloadError,
    ProcessedPayloadError,
    RawMMItem,
    convert,
    to_builtins,
    validate,
)
from rawmm.upgrades import upgrade
from tests.builders import item_document
from tests.unit.images.pictures import assert_silent, data_url, url_of
from tests.unit.upgrades import forms
from tests.unit.upgrades.forms import (
    GRID,
    PNG,
    SHA,
    STORED,
    URL,
    bare_grid,
    envelope,
    sidecar,
    without_version,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm import RawMMError


def upgraded_item(item: dict[str, Any], **options: Any) -> dict[str, Any]:
    before = copy.deepcopy(item)
    result = upgrade(item, RawMMItem, **options)
    assert item == before
    assert isinstance(result.value, RawMMItem)
    validate(result.value)
    fields: dict[str, Any] = to_builtins(result.value)
    return fields


def refusal(value: Any, kind: Any = RawMMItem, **options: Any) -> RawMMError:
    return forms.refusal(value, kind, **options)


class TestDescriptorOnly:
    def test_descriptor_is_put_in_an_envelope(self) -> None:
        assert upgraded_item(bare_grid()) == item_document(
            payload={"image_grid_thw": GRID}, raw_image_id="a07e50973f7c1376.png"
        )

    @pytest.mark.parametrize("grid", [[1, 8, 8], [[1, 8, 8]]])
    def test_grid_is_unchanged(self, grid: Any) -> None:
        assert upgraded_item(bare_grid(image_grid_thw=grid))["payload"] == {"image_grid_thw": grid}

    def test_descriptor_may_lack_its_image(self) -> None:
        item = bare_grid()
        del item["raw_image_id"]
        assert "raw_image_id" not in upgraded_item(item)

    def test_note_states_the_decision(self) -> None:
        result = upgrade(bare_grid(), RawMMItem)
        assert result.form == "descriptor_only"
        assert list(map(str, result.notes)) == [
            "$: put in an envelope of version 1, modality image and family qwen_vl "
            "[descriptor_only]"
        ]

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"family": "qwen_vl"}, "unknown_field", "$.family"),
            ({"raw_image_id": "../a.png"}, "path_escape", "$.raw_image_id"),
            ({"raw_image_id": "/etc/passwd"}, "path_escape", "$.raw_image_id"),
            ({"raw_image_id": ".."}, "path_escape", "$.raw_image_id"),
            ({"raw_image_id": "a b"}, "bad_locator", "$.raw_image_id"),
            ({"raw_image_id": None}, "wrong_type", "$.raw_image_id"),
            (
                {"image_layout_fingerprint": "F" * 32},
                "bad_format",
                "$.image_layout_fingerprint",
            ),
            ({"image_layout_fingerprint": 7}, "wrong_type", "$.image_layout_fingerprint"),
            ({"image_grid_thw": b"raw"}, "array_payload", "$.image_grid_thw"),
            ({"image_grid_thw": [{1: 2}]}, "not_json", "$.image_grid_thw[0]"),
            ({"pixel_values": [1]}, "processed_payload", "$.pixel_values"),
        ],
    )
    def test_invalid_descriptor_is_refused(
        self, change: dict[str, Any], code: str, path: str
    ) -> None:
        error = refusal(bare_grid(**change))
        assert (error.code, error.path) == (code, path)

    def test_refuses_an_item_without_a_grid(self) -> None:
        item = bare_grid()
        del item["image_grid_thw"]
        assert (refusal(item).code, refusal(item).path) == ("missing_field", "$")

    def test_too_deep_grid_is_refused_at_its_path(self) -> None:
        deep: Any = 1
        for _ in range(63):
            deep = [deep]
        assert upgraded_item(bare_grid(image_grid_thw=deep))["payload"] == {"image_grid_thw": deep}
        error = refusal(bare_grid(image_grid_thw=[deep]))
        assert error.code == "too_deep"
        assert error.path.startswith("$.image_grid_thw[0]")


class TestUri:
    def test_item_gets_its_version(self) -> None:
        item = without_version(raw_image_uri="file:///images/a.png", vllm_modality="vision_chunk")
        result = upgrade(item, RawMMItem)
        assert to_builtins(result.value) == {**item, "version": 1}
        assert result.form == "uri"
        assert [(note.path, note.change) for note in result.notes] == [("$", "version 1 added")]

    def test_item_may_lack_its_fingerprint(self) -> None:
        item = without_version(raw_image_uri="s3://bucket/a")
        del item["layout_fingerprint"]
        assert upgraded_item(item) == {**item, "version": 1}

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"raw_image_uri": "file:///a/../b"}, "path_escape", "$.raw_image_uri"),
            ({"raw_image_uri": "https://x/y.png"}, "bad_locator", "$.raw_image_uri"),
            ({"raw_image_uri": None}, "wrong_type", "$.raw_image_uri"),
            ({"raw_image_id": "a.png"}, "locator_conflict", "$"),
            ({"surprise": 1}, "unknown_field", "$.surprise"),
            ({"payload": {"pixel_values": 1}}, "processed_payload", "$.payload.pixel_values"),
        ],
    )
    def test_invalid_uri_is_refused(self, change: dict[str, Any], code: str, path: str) -> None:
        item = without_version(raw_image_uri="file:///images/a.png") | change
        assert (refusal(item).code, refusal(item).path) == (code, path)


class TestInline:
    def test_image_stays_inline_without_a_directory(self) -> None:
        item = without_version(raw_image_data=URL)
        assert upgraded_item(item) == envelope(raw_image_uri=URL)
        result = upgrade(item, RawMMItem)
        assert result.form == "inline"
        assert [note.change for note in result.notes] == [
            "version 1 added; the image of raw_image_data is still inline, in raw_image_uri"
        ]

    def test_image_is_stored_with_a_directory(self, tmp_path: Path) -> None:
        item = without_version(raw_image_data=URL)
        result = upgrade(item, RawMMItem, image_dir=tmp_path / "images")
        assert to_builtins(result.value) == envelope(raw_image_id=STORED)
        assert (tmp_path / "images" / STORED).read_bytes() == PNG
        assert [note.change for note in result.notes] == [
            "version 1 added; the image of raw_image_data is stored, under its raw_image_id"
        ]

    def test_url_prefix_is_written_in_lower_case(self) -> None:
        item = without_version(raw_image_data=URL.replace("data:image/png", "DATA:image/PNG"))
        assert upgraded_item(item) == envelope(raw_image_uri=URL)

    @pytest.mark.parametrize("folder", ["images", None])
    @pytest.mark.parametrize("sha256", [SHA, SHA[:32], SHA[:16]])
    def test_hash_beside_it_is_checked(
        self, sha256: str, folder: str | None, tmp_path: Path
    ) -> None:
        options: dict[str, Any] = {"image_dir": tmp_path / folder} if folder else {}
        good = sidecar(without_version(raw_image_data=URL), hashes=[sha256])
        assert upgrade(good, MultiModalData, **options).form == "inline"
        other = "0" * 15 + "1"
        bad = sidecar(
            *(without_version(raw_image_data=URL) for _ in range(2)), hashes=[sha256, other]
        )
        error = refusal(bad, MultiModalData, **options)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == (
            "hash_mismatch",
            "$.mm_items.image[1].raw_image_data",
        )
        assert (error.expected, error.got) == (
            f"the image of hash {other}, as recorded beside it",
            f"the image of hash {SHA[:16]}",
        )
        assert_silent(error, URL)

    def test_text_that_is_not_a_hash_is_refused(self) -> None:
        for sha256, code in (("A" * 32, "bad_format"), (7, "wrong_type"), ("0" * 15, "bad_format")):
            bad = sidecar(without_version(raw_image_data=URL), hashes=[sha256])
            error = refusal(bad, MultiModalData)
            assert (error.code, error.path) == (code, "$.mm_hashes.image[0]")

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("data:image/png;base64,aGVs*bG8=", "bad_base64"),
            ("data:image/png;base64,aGVsbG8", "bad_base64"),
            ("data:image/png;base64,", "bad_base64"),
            ("data:image/png;base64,aGVsbG8=", "not_an_image"),
            ("data:text/plain;base64,aGVsbG8=", "bad_locator"),
            ("file:///images/a.png", "bad_locator"),
            ("", "bad_locator"),
            (data_url(PNG[:-20]), "not_an_image"),
            (None, "wrong_type"),
            (["x"], "wrong_type"),
        ],
    )
    def test_invalid_image_data_is_refused(self, url: Any, code: str, tmp_path: Path) -> None:
        item = without_version(raw_image_data=url)
        for options in ({}, {"image_dir": tmp_path / "images"}):
            error = refusal(item, **options)
            assert (error.code, error.path) == (code, "$.raw_image_data")
            assert_silent(error, str(url))
        assert not (tmp_path / "images").exists()

    def test_bytes_are_an_array_as_anywhere_in_an_item(self) -> None:
        error = refusal(without_version(raw_image_data=PNG))
        assert isinstance(error, ProcessedPayloadError)
        assert (error.code, error.path) == ("array_payload", "$.raw_image_data")

    @pytest.mark.parametrize("name", ["raw_image_id", "raw_image_uri"])
    def test_second_locator_is_a_conflict(self, name: str) -> None:
        item = without_version(raw_image_data=URL, **{name: "x"})
        assert (refusal(item).code, refusal(item).path) == ("locator_conflict", "$")

    def test_nothing_is_stored_for_a_document_that_is_refused(self, tmp_path: Path) -> None:
        good = without_version(raw_image_data=URL)
        bad = without_version(raw_image_data=url_of(seed=1), payload=[])
        error = refusal(sidecar(good, bad), MultiModalData, image_dir=tmp_path / "images")
        assert (error.code, error.path) == ("wrong_type", "$.mm_items.image[1].payload")
        assert not (tmp_path / "images").exists()

    def test_repeated_image_is_stored_once(self, tmp_path: Path) -> None:
        items = [without_version(raw_image_data=url) for url in (URL, url_of(seed=1), URL)]
        result = upgrade(sidecar(*items), MultiModalData, image_dir=tmp_path)
        names = [item.raw_image_id for item in result.value.mm_items["image"]]
        assert names[0] == names[2] == STORED
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(set(map(str, names)))

    def test_directory_that_cannot_be_written_is_named_at_the_item(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        data = sidecar(without_version(raw_image_data=URL))
        error = refusal(data, MultiModalData, image_dir=tmp_path / "file")
        assert isinstance(error, OffloadError)
        assert (error.code, error.path) == ("store_failed", "$.mm_items.image[0]")


class TestCanonical:
    @pytest.mark.parametrize(
        "item",
        [
            envelope(),
            envelope(raw_image_id="a.png"),
            envelope(raw_image_uri=URL),
            envelope(payload={"image_grid_thw": [1, 8, 8]}),
            envelope(payload={"grids": [[1, 8, 8]], "other": None}, vllm_modality="vision_chunk"),
        ],
    )
    def test_canonical_item_is_unchanged(self, item: dict[str, Any], tmp_path: Path) -> None:
        result = upgrade(item, RawMMItem, image_dir=tmp_path / "images")
        assert to_builtins(result.value) == item
        assert (result.form, result.notes, result.changed) == ("envelope_v1", [], False)
        assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("item", "code", "path"),
    [
        (envelope(version=2), "unsupported_version", "$.version"),
        (envelope(version="1"), "wrong_type", "$.version"),
        (envelope(raw_image_data=URL), "unknown_field", "$.raw_image_data"),
        (without_version(raw_image_id="a.png"), "missing_field", "$"),
        (without_version(), "missing_field", "$"),
        (envelope(kind="other", raw_image_uri="file:///a"), "bad_value", "$.kind"),
        ({"image_grid_thw": GRID, "raw_image_id": "a.png"}, "missing_field", "$"),
        ({}, "missing_field", "$"),
        ([], "wrong_type", "$"),
        (None, "wrong_type", "$"),
    ],
)
def test_forms_that_never_were_are_refused(item: Any, code: str, path: str) -> None:
    assert (refusal(item).code, refusal(item).path) == (code, path)


@pytest.mark.parametrize(
    ("item", "code", "path"),
    [
        ({"pixel_values": {"__nd__": True}}, "processed_payload", "$.pixel_values"),
        ({"image_grid_thw": {"__nd__": True, "data": b""}}, "array_payload", "$.image_grid_thw"),
        ({"__nd__": True, "data": b""}, "array_payload", "$"),
        (
            envelope(payload={"a": [{"image_embeds": 1}]}),
            "processed_payload",
            "$.payload.a[0].image_embeds",
        ),
    ],
)
def test_processed_items_are_refused_with_advice(item: Any, code: str, path: str) -> None:
    for error in (refusal(item), refusal(sidecar(item), MultiModalData)):
        assert isinstance(error, ProcessedPayloadError)
        assert error.code == code
        assert error.path.endswith(path.removeprefix("$"))
        assert error.hint is not None
        assert "the wire form processed cannot be upgraded" in error.hint
        assert "run the rollout again from the source images" in error.hint


def test_upgraded_document_shares_nothing_with_its_source() -> None:
    for item in (
        envelope(payload={"image_grid_thw": [[1, 2, 3]]}),
        without_version(raw_image_uri="file:///a", payload={"image_grid_thw": [[1, 2, 3]]}),
        bare_grid(image_grid_thw=[[1, 2, 3]]),
    ):
        before = json.dumps(item)
        value = upgrade(item, RawMMItem).value
        value.payload["image_grid_thw"][0].append(4)
        value.payload["new"] = 1
        assert json.dumps(item) == before
    struct = convert(envelope(payload={"image_grid_thw": [[1, 2, 3]]}), RawMMItem)
    value = upgrade(struct, RawMMItem).value
    assert value == struct
    assert value is not struct
    value.payload["image_grid_thw"][0].append(4)
    assert struct.payload == {"image_grid_thw": [[1, 2, 3]]}
