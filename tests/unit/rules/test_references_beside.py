"""References must agree with the hash, modality and URI beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rawmm import (
    GenerateFeatures,
    MMImageRef,
    MMRefs,
    RawMMError,
    RawMMRef,
    convert,
    decode_json,
    encode_json,
    iter_errors,
)
from tests.builders import item_document, urlsafe_base64

A, B = "ab" * 32, "cd" * 32
FIELDS: dict[str, Any] = {
    "family": "qwen_vl", "fingerprint": "1d" * 16, "modality": "image", "mm_hash": A[:32],
    "payload": {"image_grid_thw": [1, 2, 2]}, "raw_image_id": f"{A}.png",
}  # fmt: skip


def text(**changes: Any) -> str:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return "mmraw:" + json.dumps(fields)


def v2(mm_hash: str = A[:32], raw_image_id: str = f"{A}.png", payload: str = "{}") -> str:
    fields = ("demo", "qwen_vl", "1d" * 16, "image", mm_hash, raw_image_id, urlsafe_base64(payload))
    return ":".join(("mmraw:v2", *fields))


def features(*slots: Any, modality: str = "image", sha256: str = A[:32]) -> dict[str, Any]:
    return {
        "mm_hashes": {modality: [sha256] * len(slots)},
        "mm_placeholders": {
            modality: [{"offset": 2 * index, "length": 1} for index in range(len(slots))]
        },
        "kwargs_data": {modality: list(slots)},
    }


def refusals(value: Any, kind: Any) -> list[tuple[str, str]]:
    """Codes and paths of the errors. All entry points report the same first error."""
    found = [(error.code, error.path) for error in iter_errors(value, kind)]
    for act in (lambda: convert(value, kind), lambda: decode_json(json.dumps(value), kind)):
        with pytest.raises(RawMMError) as caught:
            act()
        assert (caught.value.code, caught.value.path) == found[0]
        assert caught.value.__cause__ is None
    return found


@pytest.mark.parametrize(
    "ref",
    [
        text(),
        "mmraw:" + urlsafe_base64(text()[6:]),
        "mmraw:v3:" + urlsafe_base64(json.dumps({**FIELDS, "run_id": "demo"})),
        v2(),
        text(mm_hash=A),
        text(mm_hash=A[:16]),
        text(raw_image_id="a.png"),
        text(raw_image_id=None, raw_image_uri=f"s3://bucket/{A}.png"),
        text(raw_image_id=None, raw_image_data="data:image/png;base64,AAAA"),
    ],
)
def test_valid_reference_is_accepted_in_each_form(ref: str) -> None:
    value = features(None, ref)
    assert list(iter_errors(value, GenerateFeatures)) == []
    built = convert(value, GenerateFeatures)
    assert decode_json(encode_json(built), GenerateFeatures) == built


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("mmraw:junk", "malformed"),
        ("mmraw:{}", "missing_field"),
        ("mmraw:", "bad_base64"),
        ("mmraw:v4:e30", "unsupported_version"),
        ("mmraw:v2:demo", "bad_format"),
        (text(payload={"a": [{"pixel_values": [1]}]}), "processed_payload"),
        (v2(payload='{"image_embeds":[1]}'), "processed_payload"),
        (
            "mmraw:v3:" + urlsafe_base64(json.dumps(FIELDS | {"payload": {"__nd__": True}})),
            "array_payload",
        ),
        (text(payload={"a": float("inf")}), "malformed"),
        (text(raw_image_id=None), "no_locator"),
        (text(raw_image_uri="file:///a.png"), "locator_conflict"),
        (text(raw_image_id=None, raw_image_uri="https://host/a.png"), "bad_locator"),
        (text(raw_image_id="../a"), "path_escape"),
        (text(raw_image_id=f"{B}.png"), "hash_mismatch"),
        (text(raw_image_id=None, raw_image_uri=f"file:///images/{B}.png"), "hash_mismatch"),
        (text(mm_hash=B, raw_image_id=f"{B}.png"), "hash_mismatch"),
        (v2(B, f"{B}.png"), "hash_mismatch"),
        (text(modality="video"), "modality_mismatch"),
    ],
)
def test_error_of_a_slot_has_code_and_path(ref: str, code: str) -> None:
    assert refusals(features(None, ref), GenerateFeatures) == [(code, "$.kwargs_data.image[1]")]


def test_error_shows_the_path_inside_the_reference() -> None:
    value = features(text(payload={"grid": {"pixel_values": [1, 2]}}))
    (error,) = iter_errors(value, GenerateFeatures)
    assert str(error).startswith(
        "$.kwargs_data.image[0]: expected raw media only, got the key 'pixel_values' with an array"
        " of 2 at $.payload.grid.pixel_values of the reference; "
    )


def test_every_invalid_slot_is_listed() -> None:
    value = features("mmraw:junk", None, text(modality="video", mm_hash=B, raw_image_id="x"))
    assert refusals(value, GenerateFeatures) == [
        ("malformed", "$.kwargs_data.image[0]"),
        ("modality_mismatch", "$.kwargs_data.image[2]"),
        ("hash_mismatch", "$.kwargs_data.image[2]"),
    ]


def test_slot_without_a_hash_is_parsed() -> None:
    value = features("mmraw:junk", text()) | {"mm_hashes": {}}
    found = refusals(value, GenerateFeatures)
    assert ("malformed", "$.kwargs_data.image[0]") in found
    assert not [path for _, path in found if path.endswith("[1]")]


@pytest.mark.parametrize("secret", ["data:image/png;base64,c2VjcmV0c2VjcmV0", "A1b2" * 40])
def test_content_of_a_reference_is_never_shown(secret: str) -> None:
    for field in ("family", "fingerprint", "mm_hash", "raw_image_id"):
        (error, *_) = iter_errors(features(text(**{field: secret + "!"})), GenerateFeatures)
        assert secret[-16:] not in str(error)


class TestReference:
    @pytest.mark.parametrize("name", [f"{B}.png", f"{B[:16]}.jpg"])
    def test_file_named_by_another_hash_is_refused(self, name: str) -> None:
        value = FIELDS | {"raw_image_id": name}
        assert refusals(value, RawMMRef) == [("hash_mismatch", "$.raw_image_id")]
        value = {**FIELDS, "raw_image_uri": f"file:///images/{name}"}
        del value["raw_image_id"]
        assert refusals(value, RawMMRef) == [("hash_mismatch", "$.raw_image_uri")]

    @pytest.mark.parametrize("name", [f"{A}.png", f"{A[:16]}.jpg", "screenshot.png"])
    def test_file_named_by_its_hash_or_without_one_is_accepted(self, name: str) -> None:
        assert list(iter_errors(FIELDS | {"raw_image_id": name}, RawMMRef)) == []


def image_ref(uri: str, sha256: str = A[:32], **item: Any) -> list[Any]:
    return [item_document(**item), sha256, uri, 0, 1]


class TestTrainerReference:
    @pytest.mark.parametrize(
        ("value", "code", "path"),
        [
            (image_ref("file:///a.png", modality="video"), "unsupported_modality", "[0].modality"),
            (image_ref(f"file:///{B}.png"), "hash_mismatch", "[2]"),
            (image_ref("file:///a.png", raw_image_id=f"{B}.png"), "hash_mismatch",
             "[0].raw_image_id"),
            (image_ref("file:///a.png", raw_image_uri=f"s3://b/{B}.png"), "hash_mismatch",
             "[0].raw_image_uri"),
            (image_ref("file:///x/a.png", raw_image_uri="file:///x/b.png"), "locator_conflict",
             "[2]"),
            (image_ref(f"file:///x/{A}.png", raw_image_uri="file:///x/b.png"), "locator_conflict",
             "[2]"),
        ],
    )  # fmt: skip
    def test_item_and_uri_of_different_images_are_refused(
        self, value: Any, code: str, path: str
    ) -> None:
        assert refusals(value, MMImageRef) == [(code, f"${path}")]
        assert refusals([[value]], MMRefs) == [(code, f"$[0][0]{path}")]

    @pytest.mark.parametrize(
        "value",
        [
            image_ref("file:///elsewhere/a.png", raw_image_uri="file:///x/a.png"),
            image_ref("file:///x/a%20b.png", raw_image_uri="file:///y/a b.png"),
            image_ref("s3://bucket/object", raw_image_uri="file:///x/a.png"),
            image_ref("s3://bucket/object", raw_image_id="a.png"),
            image_ref(f"file:///x/{A}.png", raw_image_uri=f"file:///x/{A[:16]}.jpg"),
            image_ref("file:///x/a.png", raw_image_uri="data:image/png;base64,AAAA"),
        ],
    )
    def test_item_and_uri_of_one_image_are_accepted(self, value: Any) -> None:
        assert list(iter_errors(value, MMImageRef)) == []
