"""Upgrades of the pruned forms of August: no modality, no fingerprint, or one without ``v1``."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    GenerateFeatures,
    MessageNode,
    MMRefs,
    MultiModalData,
    RawMMError,
    RawMMItem,
    RawMMRef,
    Trace,
    convert,
    layouts,
    raw_mm_ref,
    to_builtins,
)
from rawmm.upgrades import upgrade
from tests.unit.images.pictures import assert_silent
from tests.unit.upgrades.forms import (
    PNG,
    SHA,
    STORED,
    URL,
    bare_grid,
    envelope,
    node,
    refusal,
    sidecar,
)
from tests.unit.upgrades.test_refs import features, in_base64, loose, text, v2, v3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LAYOUT = layouts.get("qwen_vl", patch_size=14)
CURRENT = LAYOUT.fingerprint()
OLD_TEXT = "image-layout:qwen_vl:" + ":".join(
    f"{name}={value}" for name, value in sorted(LAYOUT.parameters.items())
)
OLD = hashlib.sha256(OLD_TEXT.encode()).hexdigest()
OTHER_FAMILY = layouts.get("kimi_k25")
URI = {"raw_image_uri": "file:///images/a.png"}
ID = {"raw_image_id": "a.png"}
REF = {
    "family": "qwen_vl",
    "modality": "image",
    "mm_hash": SHA[:32],
    "payload": {"image_grid_thw": [[1, 8, 8]]},
    **URI,
}


def pruned(item: dict[str, Any], *more: str) -> dict[str, Any]:
    """The item without its modality, its fingerprint and more fields."""
    gone = {"modality", "layout_fingerprint", *more}
    return {name: value for name, value in item.items() if name not in gone}


def whole(**more: Any) -> dict[str, Any]:
    return envelope(layout_fingerprint=CURRENT, **more)


def items_of(data: Any) -> Any:
    return to_builtins(upgrade(data, MultiModalData).value)["mm_items"]


@pytest.mark.parametrize("locator", [{}, URI, ID, {"raw_image_uri": URL}])
@pytest.mark.parametrize("version", [(), ("version",)])
@pytest.mark.parametrize("grid", [[1, 8, 8], [[1, 8, 8]]])
class TestItems:
    def test_item_equals_the_original_with_the_layout(
        self, locator: dict[str, str], version: tuple[str, ...], grid: Any
    ) -> None:
        item = whole(payload={"image_grid_thw": grid}, **locator)
        old = pruned(item, *version)
        before = copy.deepcopy(old)
        result = upgrade(sidecar(old), MultiModalData, layout=LAYOUT)
        assert result.value == convert(sidecar(item), MultiModalData)
        assert {note.path for note in result.notes} == {"$.mm_items.image[0]"}
        assert {"pruned_item", "unversioned_fingerprint"} <= {note.form for note in result.notes}
        assert old == before
        again = upgrade(result.value, MultiModalData, layout=LAYOUT)
        assert (again.value, again.notes) == (result.value, [])

    def test_item_has_no_fingerprint_without_a_layout_of_its_family(
        self, locator: dict[str, str], version: tuple[str, ...], grid: Any
    ) -> None:
        item = whole(payload={"image_grid_thw": grid}, **locator)
        old = sidecar(pruned(item, *version))
        wanted = convert(sidecar(item | {"modality": "image"}), MultiModalData)
        wanted.mm_items["image"][0].layout_fingerprint = None
        for layout in (None, OTHER_FAMILY):
            assert upgrade(old, MultiModalData, layout=layout).value == wanted


def test_modality_is_the_key_of_the_list() -> None:
    old = pruned(envelope(**ID))
    listed = {"mm_items": {"video": [old, old], "image": [old]}}
    assert items_of(listed) == {
        modality: [{**old, "modality": modality}] * count
        for modality, count in (("video", 2), ("image", 1))
    }


def test_modality_of_a_single_item_is_image() -> None:
    assert upgrade(pruned(envelope(**URI)), RawMMItem).value.modality == "image"
    assert upgrade(pruned(envelope(**URI), "version"), None).value.modality == "image"


def test_item_under_the_key_of_another_modality_is_refused() -> None:
    error = refusal({"mm_items": {"video": [envelope()]}}, MultiModalData, layout=LAYOUT)
    assert (error.code, error.path) == ("modality_mismatch", "$.mm_items.video[0].modality")


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"family": "a/b"}, "bad_format", ".family"),
        ({"version": 2}, "unsupported_version", ".version"),
        ({"surprise": 1}, "unknown_field", ".surprise"),
        ({"payload": {"pixel_values": 1}}, "processed_payload", ".payload.pixel_values"),
        ({"raw_image_id": "../a.png"}, "path_escape", ".raw_image_id"),
        ({"kind": "another"}, "missing_field", ""),
    ],
)
def test_invalid_pruned_item_is_refused_at_its_path(
    change: dict[str, Any], code: str, path: str
) -> None:
    for layout in (None, LAYOUT):
        error = refusal(sidecar(pruned(envelope()) | change), MultiModalData, layout=layout)
        assert (error.code, error.path) == (code, f"$.mm_items.image[0]{path}")


def test_key_that_names_no_modality_is_refused() -> None:
    for key in ("", "a b"):
        error = refusal({"mm_items": {key: [pruned(envelope())]}}, MultiModalData)
        assert error.code in {"bad_format", "bad_length"}


def test_inline_image_of_a_pruned_item_is_checked_and_stored(tmp_path: Path) -> None:
    old = pruned(envelope(raw_image_data=URL), "version")
    data = sidecar(old, hashes=[SHA[:32]])
    stored = upgrade(data, MultiModalData, image_dir=tmp_path, layout=LAYOUT)
    assert to_builtins(stored.value) == sidecar(whole(raw_image_id=STORED), hashes=[SHA[:32]])
    assert (tmp_path / STORED).read_bytes() == PNG
    inline = upgrade(data, MultiModalData)
    assert inline.value.mm_items["image"][0].raw_image_uri == URL
    error = refusal(sidecar(old, hashes=["0" * 32]), MultiModalData)
    assert (error.code, error.path) == ("hash_mismatch", "$.mm_items.image[0].raw_image_data")
    assert_silent(error, URL)


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (MessageNode, lambda item: node(sidecar(item))),
        (Trace, lambda item: {"nodes": [node(sidecar(item)), node(sidecar(item))]}),
        (list[MessageNode], lambda item: [node(sidecar(item))]),
        (MMRefs, lambda item: [[[item, SHA[:32], "file:///images/a.png", 0, 4]]]),
    ],
)
def test_pruned_items_are_found_in_every_type(kind: Any, wrap: Callable[[Any], Any]) -> None:
    new = wrap(whole(**URI))
    for given in (kind, None):
        assert upgrade(wrap(pruned(whole(**URI))), given, layout=LAYOUT).value == convert(new, kind)


def test_trainer_reference_stays_without_a_version() -> None:
    item = {name: value for name, value in whole(**URI).items() if name != "version"}
    refs = [[[item, SHA[:32], "file:///images/a.png", 0, 4]]]
    old = copy.deepcopy(refs)
    old[0][0][0] = pruned(item)
    assert to_builtins(upgrade(old, MMRefs, layout=LAYOUT).value) == refs
    sample: list[Any] = [[1, 2, 3, 4], [False] * 4, old]
    assert upgrade(sample, None, layout=LAYOUT).value == [*sample[:2], refs]


def test_descriptors_beside_their_urls_may_be_pruned() -> None:
    data = sidecar(pruned(envelope()), hashes=[SHA[:32]])
    result = upgrade([data, ["file:///images/a.png"]], MMRefs, layout=LAYOUT)
    assert to_builtins(result.value.images[0].item) == whole(**URI)


class TestUnversionedFingerprint:
    @pytest.mark.parametrize("digits", [16, 32, 64])
    def test_fingerprint_is_replaced_by_the_current_one(self, digits: int) -> None:
        item = envelope(layout_fingerprint=OLD[:digits])
        result = upgrade(item, RawMMItem, layout=LAYOUT)
        assert to_builtins(result.value) == whole()
        assert [str(note) for note in result.notes] == [
            "$: layout_fingerprint of the layout replaced [unversioned_fingerprint]"
        ]

    def test_fingerprint_of_references_is_replaced(self) -> None:
        fields = {**REF, "fingerprint": OLD[:32]}
        wanted = convert({**REF, "fingerprint": CURRENT}, RawMMRef)
        for ref in (fields, raw_mm_ref(**fields), in_base64(fields), loose(fields), v3(fields)):
            assert upgrade(ref, RawMMRef, layout=LAYOUT).value == wanted

    def test_fingerprint_in_every_older_form_is_replaced(self) -> None:
        old = bare_grid(image_layout_fingerprint=OLD[:32])
        assert upgrade(old, RawMMItem, layout=LAYOUT).value.layout_fingerprint == CURRENT
        ref = v2({**REF, **ID, "fingerprint": OLD[:32]})
        assert upgrade(ref, RawMMRef, layout=LAYOUT).value.fingerprint == CURRENT

    @pytest.mark.parametrize("layout", [None, OTHER_FAMILY, layouts.get("qwen_vl")])
    def test_fingerprint_stays_without_its_own_layout(self, layout: Any) -> None:
        item = envelope(layout_fingerprint=OLD[:32])
        result = upgrade(item, RawMMItem, layout=layout)
        assert (to_builtins(result.value), result.notes) == (item, [])

    @pytest.mark.parametrize("fingerprint", [CURRENT, CURRENT[:16], "0" * 32])
    def test_any_other_fingerprint_stays(self, fingerprint: str) -> None:
        item = envelope(layout_fingerprint=fingerprint)
        result = upgrade(item, RawMMItem, layout=LAYOUT)
        assert (to_builtins(result.value), result.notes) == (item, [])

    @pytest.mark.parametrize(
        ("fingerprint", "code"),
        [(OLD[:15], "bad_format"), ("", "bad_format"), (7, "wrong_type"), (None, "wrong_type")],
    )
    def test_malformed_fingerprint_is_refused(self, fingerprint: Any, code: str) -> None:
        error = refusal(envelope(layout_fingerprint=fingerprint), RawMMItem, layout=LAYOUT)
        assert (error.code, error.path) == (code, "$.layout_fingerprint")


def as_json(fields: dict[str, Any]) -> str:
    return "mmraw:" + text(fields)


WRITERS: list[Callable[[dict[str, Any]], Any]] = [as_json, loose, in_base64, v3, dict]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("locator", [URI, ID, {"raw_image_uri": URL}])
class TestReferences:
    @staticmethod
    def ref(locator: dict[str, str]) -> dict[str, Any]:
        return {name: value for name, value in REF.items() if name not in URI} | locator

    def test_reference_gets_the_fingerprint_of_the_layout(
        self, write: Callable[[dict[str, Any]], Any], locator: dict[str, str]
    ) -> None:
        fields = self.ref(locator)
        wanted = convert({**fields, "fingerprint": CURRENT}, RawMMRef)
        for kind in (RawMMRef, None):
            result = upgrade(write(fields), kind, layout=LAYOUT)
            assert result.value == wanted
            assert result.notes[-1].form == "unversioned_fingerprint"
        again = upgrade(result.value, RawMMRef, layout=LAYOUT)
        assert (again.value, again.form, again.notes) == (wanted, "mmraw", [])

    def test_fingerprint_stays_absent_without_a_layout_of_the_family(
        self, write: Callable[[dict[str, Any]], Any], locator: dict[str, str]
    ) -> None:
        fields = self.ref(locator)
        for layout in (None, OTHER_FAMILY):
            for kind in (RawMMRef, None):
                value = upgrade(write(fields), kind, layout=layout).value
                assert to_builtins(value) == fields
                again = upgrade(value, RawMMRef, layout=layout)
                assert (again.value, again.form, again.notes) == (value, "mmraw", [])


def test_references_in_features_get_the_fingerprint() -> None:
    old = features(*(write(REF) for write in WRITERS[:-1]), None)
    before = copy.deepcopy(old)
    ref = raw_mm_ref(**REF, fingerprint=CURRENT)
    result = upgrade(old, GenerateFeatures, layout=LAYOUT)
    assert to_builtins(result.value) == features(*[ref] * 4, None)
    assert old == before
    bare = upgrade(old, GenerateFeatures).value
    assert to_builtins(bare) == features(*[as_json(REF)] * 4, None)
    wrong = {name: by and {"video": by["image"]} for name, by in old.items()}
    assert refusal(wrong, GenerateFeatures, layout=LAYOUT).code == "modality_mismatch"


@pytest.mark.parametrize("layout", [None, LAYOUT])
@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"family": "a/b"}, "bad_format", "$.family"),
        ({"mm_hash": "0"}, "bad_format", "$.mm_hash"),
        ({"raw_image_uri": "file:///../a"}, "path_escape", "$.raw_image_uri"),
        ({"payload": {"pixel_values": 1}}, "processed_payload", "$.payload.pixel_values"),
        ({"raw_image_uri": f"file:///{'0' * 64}.png"}, "hash_mismatch", "$.raw_image_uri"),
    ],
)
def test_other_faults_of_a_pruned_reference_are_reported(
    change: dict[str, Any], code: str, path: str, layout: Any
) -> None:
    for write in (as_json, in_base64):
        error = refusal(write(REF | change), RawMMRef, layout=layout)
        assert (error.code, error.path) == (code, path)


@pytest.mark.parametrize("missing", ["family", "mm_hash", "modality"])
def test_reference_that_lacks_more_is_not_pruned(missing: str) -> None:
    fields = {name: value for name, value in REF.items() if name != missing}
    for value in (fields, as_json(fields), in_base64(fields)):
        assert refusal(value, RawMMRef, layout=LAYOUT).code == "missing_field"
    no_locator = {name: value for name, value in REF.items() if name not in URI}
    assert refusal(as_json(no_locator), RawMMRef, layout=LAYOUT).code == "no_locator"


@pytest.mark.parametrize(
    ("value", "kind", "code"),
    [
        (pruned(envelope(**ID)), RawMMItem, "missing_field"),
        (pruned(envelope(**URI), "version"), RawMMItem, "historical_form"),
    ],
)
def test_reader_refuses_pruned_data(value: Any, kind: Any, code: str) -> None:
    with pytest.raises(RawMMError) as caught:
        convert(value, kind)
    assert (caught.value.code, caught.value.path) == (code, "$")


def test_upgrade_of_many_pruned_items_computes_the_fingerprint_of_each() -> None:
    data = sidecar(*[pruned(envelope(**ID))] * 200)
    value = upgrade(json.loads(json.dumps(data)), MultiModalData, layout=LAYOUT).value
    assert value.mm_items["image"] == [convert(whole(**ID), RawMMItem)] * 200
