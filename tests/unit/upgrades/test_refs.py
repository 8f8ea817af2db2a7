"""Upgrades of historical reference strings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    GenerateFeatures,
    ProcessedPayloadError,
    RawMMError,
    RawMMRef,
    convert,
    to_builtins,
)
from rawmm.engine.refs import raw_mm_ref, split_raw_mm_ref
from rawmm.upgrades import upgrade
from tests.builders import FINGERPRINT, urlsafe_base64
from tests.unit.images.pictures import assert_silent
from tests.unit.upgrades.forms import PNG, SHA, STORED, URL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIELDS: dict[str, Any] = {
    "family": "qwen_vl",
    "fingerprint": FINGERPRINT,
    "modality": "image",
    "mm_hash": SHA[:32],
    "payload": {"image_grid_thw": [[1, 8, 8]], "é": "中"},
}
WITH_ID = {**FIELDS, "raw_image_id": "a.png"}
WITH_URI = {**FIELDS, "raw_image_uri": "file:///images/a.png"}


def text(fields: Any) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def v2(fields: dict[str, Any]) -> str:
    names = ("family", "fingerprint", "modality", "mm_hash", "raw_image_id")
    return ":".join(
        ["mmraw:v2:demo", *map(fields.__getitem__, names), urlsafe_base64(text(fields["payload"]))]
    )


def v3(fields: dict[str, Any]) -> str:
    renamed = {name.replace("raw_image_uri", "raw_uri"): value for name, value in fields.items()}
    return "mmraw:v3:" + urlsafe_base64(text(renamed))


def in_base64(fields: dict[str, Any]) -> str:
    return "mmraw:" + urlsafe_base64(text(fields))


def loose(fields: dict[str, Any]) -> str:
    return "mmraw:" + json.dumps(dict(reversed(fields.items())), ensure_ascii=False, indent=1)


OLD: list[tuple[str, Callable[[dict[str, Any]], str], dict[str, Any]]] = [
    ("mmraw_v2", v2, WITH_ID),
    ("mmraw_v3", v3, WITH_ID),
    ("mmraw_v3", v3, WITH_URI),
    ("mmraw_base64", in_base64, WITH_ID),
    ("mmraw_base64", in_base64, WITH_URI),
    ("mmraw_json", loose, WITH_URI),
]


def features(*refs: str | None) -> dict[str, Any]:
    count = len(refs)
    return {
        "mm_hashes": {"image": [SHA[:32]] * count},
        "mm_placeholders": {"image": [{"offset": 9 * i, "length": 9} for i in range(count)]},
        "kwargs_data": {"image": list(refs)},
    }


@pytest.mark.parametrize(("form", "write", "fields"), OLD)
def test_old_reference_equals_the_current_form(
    form: str, write: Callable[[dict[str, Any]], str], fields: dict[str, Any]
) -> None:
    result = upgrade(write(fields), RawMMRef)
    assert result.value == convert(fields, RawMMRef)
    assert (result.form, result.changed) == (form, True)
    (note,) = result.notes
    assert note.path == "$"
    assert note.change == "written as compact JSON" + (
        ", without the id of a run" if form in {"mmraw_v2", "mmraw_v3"} else ""
    )
    again = upgrade(result.value, RawMMRef)
    assert (again.value, again.form, again.notes) == (result.value, "mmraw", [])


@pytest.mark.parametrize("fields", [WITH_ID, WITH_URI])
def test_reference_of_today_stays(fields: dict[str, Any]) -> None:
    ref = raw_mm_ref(**fields)
    result = upgrade(ref, RawMMRef)
    assert result.value == split_raw_mm_ref(ref)
    assert (result.form, result.notes) == ("mmraw", [])


@pytest.mark.parametrize("write", [in_base64, lambda fields: "mmraw:" + text(fields)])
def test_image_in_a_reference_is_checked_and_located(
    write: Callable[[dict[str, Any]], str], tmp_path: Path
) -> None:
    ref = write({**FIELDS, "raw_image_data": URL})
    assert to_builtins(upgrade(ref, RawMMRef).value) == {**FIELDS, "raw_image_uri": URL}
    stored = upgrade(ref, RawMMRef, image_dir=tmp_path)
    assert to_builtins(stored.value) == {**FIELDS, "raw_image_id": STORED}
    assert (tmp_path / STORED).read_bytes() == PNG
    assert str(stored.notes[0]).count("the image is stored, under its raw_image_id") == 1
    with pytest.raises(RawMMError) as caught:
        upgrade([write({**FIELDS, "raw_image_data": URL, "mm_hash": "0" * 32})], list[RawMMRef])
    assert (caught.value.code, caught.value.path) == ("hash_mismatch", "$[0]")
    assert_silent(caught.value, URL)


def test_references_are_distinguished_from_other_strings() -> None:
    one = v2(WITH_ID)
    assert upgrade(one, None).value == convert(WITH_ID, RawMMRef)
    assert upgrade([one, one], None).value == [convert(WITH_ID, RawMMRef)] * 2
    assert upgrade({"a": one}, None).value == {"a": convert(WITH_ID, RawMMRef)}
    for other in ("", "mmraw", "hello", [one, "hello"], {"a": one, "b": 1}, [], {}):
        with pytest.raises(RawMMError) as caught:
            upgrade(other, None)
        assert (caught.value.code, caught.value.path) == ("unknown_type", "$")


def test_every_slot_of_features_is_upgraded_and_nulls_stay() -> None:
    before = features(v2(WITH_ID), None, v3(WITH_URI), raw_mm_ref(**WITH_ID))
    result = upgrade(before, GenerateFeatures)
    today = raw_mm_ref(**WITH_ID)
    assert to_builtins(result.value) == features(today, None, raw_mm_ref(**WITH_URI), today)
    assert result.form == "mmraw_v2"
    assert [(note.path, note.form) for note in result.notes] == [
        ("$.kwargs_data.image[0]", "mmraw_v2"),
        ("$.kwargs_data.image[2]", "mmraw_v3"),
    ]
    struct = convert(before, GenerateFeatures)
    assert upgrade(struct, GenerateFeatures).value == result.value
    assert to_builtins(struct) == before
    again = upgrade(result.value, GenerateFeatures)
    assert (again.value, again.form, again.notes) == (result.value, "mmraw", [])
    cached = features() | {"kwargs_data": None}
    assert to_builtins(upgrade(cached, GenerateFeatures).value) == cached


@pytest.mark.parametrize(
    ("ref", "code", "below"),
    [
        ("mmraw:v4:abc", "unsupported_version", ""),
        ("mmraw:v2:a:b", "bad_format", ""),
        ("mmraw:*", "bad_base64", ""),
        ("mmraw:", "bad_base64", ""),
        ("mmraw:{", "malformed", ""),
        (v2({**WITH_ID, "raw_image_id": "../a.png"}), "path_escape", ".raw_image_id"),
        (in_base64({**WITH_ID, "family": "a/b"}), "bad_format", ".family"),
        (in_base64({**WITH_ID, "payload": {"pixel_values": 1}}), "processed_payload", ".payload.pixel_values"),
        (in_base64({**FIELDS, "raw_image_data": "data:image/png;base64,a*"}), "bad_base64", ""),
        (in_base64(FIELDS), "no_locator", ""),
    ],
)  # fmt: skip
def test_bad_reference_is_refused_at_its_path(ref: str, code: str, below: str) -> None:
    for value, kind, path in (
        (ref, RawMMRef, "$"),
        (features(None, ref), GenerateFeatures, "$.kwargs_data.image[1]"),
    ):
        with pytest.raises(RawMMError) as caught:
            upgrade(value, kind)
        assert (caught.value.code, caught.value.path) == (code, path + below)


def test_processed_reference_is_refused_with_advice() -> None:
    ref = f"mmfile:v1:demo:{FINGERPRINT}:image:{SHA[:32]}"
    for value, kind in ((ref, RawMMRef), (features(ref), GenerateFeatures), (ref, None)):
        with pytest.raises(ProcessedPayloadError) as caught:
            upgrade(value, kind)
        assert caught.value.code == "processed_payload"
        assert "mmfile:" in caught.value.got


@pytest.mark.parametrize(
    "slots", [[7], {"image": 7}, {"image": [7]}, {"image": ["hello"]}, {7: ["mmraw:v2:x"]}]
)
def test_slots_of_another_shape_are_left_to_validation(slots: Any) -> None:
    with pytest.raises(RawMMError) as caught:
        upgrade(features(None) | {"kwargs_data": slots}, GenerateFeatures)
    assert caught.value.path.startswith("$.kwargs_data")
