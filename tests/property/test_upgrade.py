"""Every old form of a document upgrades to the document; other data is a typed error.

The old forms are written here, from canonical data, by code that the package does not have.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    encode_json,
    encode_msgpack,
    iter_errors,
    layouts,
)
from rawmm.engine.refs import raw_mm_ref
from rawmm.model.types import TYPES
from rawmm.testing import strategies
from rawmm.testing._mutations import _one_change
from rawmm.testing._profile import VALUES
from rawmm.upgrades import FORMS, upgrade
from tests.unit.images.pictures import data_url, picture
from tests.unit.upgrades import test_refs as written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGES = [picture(seed=seed) for seed in range(3)]
OLD_ITEMS = ("descriptor_only", "uri", "inline")
OLD_REFS: tuple[Callable[[dict[str, Any]], str], ...] = (
    written.v2,
    written.v3,
    written.in_base64,
    written.loose,
)


@st.composite
def _aged_item(draw: st.DrawFn, item: Any, form: str, *, stored: bool) -> tuple[Any, Any, Any]:
    """An item of an old form, the item that it upgrades to, and the hash of its image."""
    new = copy.deepcopy(item)
    for name in ("raw_image_id", "raw_image_uri"):
        new.pop(name, None)
    if form == "descriptor_only":
        new = {
            name: value for name, value in new.items() if name not in {"ambiguous", "vllm_modality"}
        }
        new |= {"modality": "image", "family": "qwen_vl"}
        new["layout_fingerprint"] = draw(strategies.documents("LayoutFingerprint"))
        new["payload"] = {"image_grid_thw": draw(VALUES)}
        old = {
            "image_grid_thw": new["payload"]["image_grid_thw"],
            "image_layout_fingerprint": new["layout_fingerprint"],
        }
        if draw(st.booleans()):
            new["raw_image_id"] = old["raw_image_id"] = "a.png"
        return old, new, None
    old = {name: value for name, value in new.items() if name != "version"}
    if form == "uri":
        new["raw_image_uri"] = old["raw_image_uri"] = "s3://bucket/a.png"
        return old, new, None
    raw = draw(st.sampled_from(IMAGES))
    sha256 = hashlib.sha256(raw).hexdigest()
    old["raw_image_data"] = data_url(raw)
    locator = {"raw_image_id": f"{sha256}.png"} if stored else {"raw_image_uri": data_url(raw)}
    return old, new | locator, sha256[: draw(st.integers(16, 64))]


@st.composite
def _aged_sidecar(draw: st.DrawFn, sidecar: Any, *, stored: bool) -> tuple[Any, Any, int]:
    """A sidecar with items of old forms, what it upgrades to, and how many items are old."""
    old, new = copy.deepcopy(sidecar), copy.deepcopy(sidecar)
    count = 0
    for modality, items in sidecar.get("mm_items", {}).items():
        for index, item in enumerate(items):
            form = draw(st.sampled_from(OLD_ITEMS)) if draw(st.integers(0, 3)) else None
            if form is None or (form == "descriptor_only" and modality != "image"):
                continue
            before, after, sha256 = draw(_aged_item(item, form, stored=stored))
            old["mm_items"][modality][index] = before
            new["mm_items"][modality][index] = after
            for one in (old, new):
                if sha256 is not None and modality in one.get("mm_hashes", {}):
                    one["mm_hashes"][modality][index] = sha256
            count += 1
    return old, new, count


@st.composite
def _aged_node(draw: st.DrawFn, node: Any, *, stored: bool) -> tuple[Any, Any, int]:
    if node.get("multi_modal_data") is None:
        return node, node, 0
    for part in node["message"]["content"]:
        if part["type"] == "image_url":  # named by no hash, as some of them change
            part["image_url"]["url"] = "file:///images/a.png"
    old, new, count = draw(_aged_sidecar(node["multi_modal_data"], stored=stored))
    return {**node, "multi_modal_data": old}, {**node, "multi_modal_data": new}, count


@st.composite
def _aged_refs(draw: st.DrawFn) -> tuple[Any, Any, int]:
    (images,) = draw(strategies.documents("MMRefs"))
    for image in images:
        image[0] |= {"version": 1, "modality": "image"}
    sidecar = {
        "mm_items": {"image": [copy.deepcopy(image[0]) for image in images]},
        "mm_hashes": {"image": [image[1] for image in images]},
        "mm_placeholders": {
            "image": [{"offset": image[3], "length": image[4]} for image in images]
        },
    }
    for item, _, uri, *_ in images:
        if not item.keys() & {"raw_image_id", "raw_image_uri"}:
            item["raw_image_uri"] = uri
    return [sidecar, [image[2] for image in images]], [images], 1


@st.composite
def _aged_ref(draw: st.DrawFn, beside: dict[str, str] | None = None) -> tuple[str, Any]:
    """A reference in an old form, and its fields; `beside` are those of its neighbours."""
    fields = draw(strategies.documents("RawMMRef")) | (beside or {})
    fields.setdefault("payload", {})
    fields.setdefault("fingerprint", "0" * 32)
    fields.pop("raw_image_uri", None)
    write = draw(st.sampled_from(OLD_REFS))
    if write is written.v2 or draw(st.booleans()):
        fields["raw_image_id"] = "a.png"
    else:
        fields.pop("raw_image_id", None)
        fields["raw_image_uri"] = "file:///images/a.png"
    return write(fields), fields


@st.composite
def _aged_features(draw: st.DrawFn) -> tuple[Any, Any, int]:
    features = draw(strategies.documents("GenerateFeatures"))
    ids = {
        modality: [draw(strategies.documents("ImageHash")) for _ in found]
        for modality, found in features["mm_hashes"].items()
    }
    slots = {
        modality: [
            draw(st.none() | _aged_ref({"mm_hash": sha256, "modality": modality}))
            for sha256 in found
        ]
        for modality, found in ids.items()
    }
    old = {name: [slot and slot[0] for slot in found] for name, found in slots.items()}
    new = {
        name: [slot and raw_mm_ref(**slot[1]) for slot in found] for name, found in slots.items()
    }
    changed = sum(slot is not None for found in slots.values() for slot in found)
    return (
        features | {"mm_hashes": ids, "kwargs_data": old},
        features | {"mm_hashes": ids, "kwargs_data": new},
        changed,
    )


@st.composite
def aged(draw: st.DrawFn, kind: type[Any], *, stored: bool = False) -> tuple[Any, Any, int]:
    """A document of an old form, the canonical one, and how many values in it are old."""
    if kind is RawMMItem:
        form = draw(st.sampled_from(OLD_ITEMS))
        item = draw(strategies.documents("RawMMItem"))
        return (*draw(_aged_item(item, form, stored=stored))[:2], 1)
    if kind is MMRefs:
        return draw(_aged_refs())
    if kind is GenerateFeatures:
        return draw(_aged_features())
    if kind is RawMMRef:
        return (*draw(_aged_ref()), 1)
    document = draw(strategies.documents(kind.__name__))
    if kind is MultiModalData:
        return draw(_aged_sidecar(document, stored=stored))
    if kind is MessageNode:
        return draw(_aged_node(document, stored=stored))
    nodes = [draw(_aged_node(node, stored=stored)) for node in document["nodes"]]
    old, new = ({**document, "nodes": [node[which] for node in nodes]} for which in (0, 1))
    return old, new, sum(count for *_, count in nodes)


KINDS = [RawMMItem, MultiModalData, MessageNode, Trace, RawMMRef, GenerateFeatures, MMRefs]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.mark.parametrize("folder", ["images", None])
@pytest.mark.parametrize("kind", KINDS)
class TestAged:
    @given(st.data())
    def test_historical_form_upgrades_to_its_document(
        self, kind: type[Any], folder: str | None, images: Path, data: st.DataObject
    ) -> None:
        image_dir = images if folder else None
        old, new, count = data.draw(aged(kind, stored=image_dir is not None))
        before = copy.deepcopy(old)
        result = upgrade(old, kind, image_dir=image_dir)
        assert old == before
        assert result.value == convert(new, kind)
        assert list(iter_errors(result.value)) == []
        assert len(result.notes) == count
        assert result.form in FORMS
        assert not (count and FORMS[result.form].startswith("nothing"))
        again = upgrade(result.value, kind, image_dir=image_dir)
        assert again.value == result.value
        assert (again.notes, FORMS[again.form][:7]) == ([], "nothing")

    @given(st.data())
    def test_mutated_historical_form_upgrades_or_is_refused(
        self, kind: type[Any], folder: str | None, images: Path, data: st.DataObject
    ) -> None:
        old = data.draw(aged(kind))[0]
        for _ in range(data.draw(st.integers(1, 2))):
            old = data.draw(_one_change(old))
        self.judge(old, kind, images if folder else None)

    @staticmethod
    def judge(value: Any, kind: Any, image_dir: Path | None) -> None:
        before = copy.deepcopy(value)
        try:
            result = upgrade(value, kind, image_dir=image_dir)
        except RawMMError as error:
            assert error.path.startswith("$")  # noqa: PT017  (either outcome is right)
        else:
            assert list(iter_errors(result.value, kind)) == []
            for encode in (encode_json, encode_msgpack):
                try:
                    encode(result.value)
                except RawMMError as error:
                    assert "beyond 64 bits" in error.message  # noqa: PT017  (JSON has them)
            assert upgrade(result.value, kind).notes == []
        assert value == before


@pytest.mark.parametrize("name", sorted(set(TYPES) - {"GenerateFeatures"}))
@given(st.data())
def test_canonical_data_is_unchanged(name: str, data: st.DataObject) -> None:
    document = data.draw(strategies.documents(name))
    result = upgrade(document, TYPES[name])
    assert result.value == convert(document, TYPES[name])
    assert result.notes == []
    assert FORMS[result.form].startswith("nothing to change")


@given(VALUES, st.sampled_from([*KINDS, None]))
def test_any_json_upgrades_or_is_refused(value: Any, kind: Any) -> None:
    TestAged.judge(value, kind, None)


LAYOUT = layouts.get("qwen_vl", patch_size=14)
CURRENT = LAYOUT.fingerprint()
UNVERSIONED = layouts.unversioned_fingerprint(family=LAYOUT.family, **LAYOUT.parameters)


@st.composite
def _pruned(draw: st.DrawFn, value: Any, kind: Any) -> tuple[Any, Any]:
    """A document with every pruned form in any place, and the document that it was."""
    if isinstance(value, str):
        if kind is None or not value.startswith("mmraw:") or draw(st.booleans()):
            return value, value
        fields = json.loads(value.removeprefix("mmraw:")) | {"family": LAYOUT.family}
        old, new = draw(_pruned(fields, RawMMRef))
        writers = (written.v3, written.in_base64, written.loose)
        return draw(st.sampled_from(writers))(old), raw_mm_ref(**new)
    if isinstance(value, list):
        both = [draw(_pruned(one, kind)) for one in value]
        return [old for old, _ in both], [new for _, new in both]
    if not isinstance(value, dict):
        return value, value
    if value.get("kind") == "prime_raw_mm_item":
        gone, name = ["modality", "version"], "layout_fingerprint"
        if kind is MMRefs:  # its items may lack a version
            gone.remove("version")
    elif {"family", "mm_hash"} <= value.keys():
        gone, name = [], "fingerprint"
    else:
        fields = {key: draw(_pruned(one, kind)) for key, one in value.items()}
        return tuple({key: both[at] for key, both in fields.items()} for at in (0, 1))  # type: ignore[return-value]
    new = {**value, "family": LAYOUT.family, name: CURRENT}
    old = copy.deepcopy(new)
    for field in gone:
        # Only items with a URL or without a modality were written without a version.
        if field == "modality" or "raw_image_uri" in old or "modality" not in old:
            old.pop(draw(st.sampled_from([field, "absent"])), None)
    if draw(st.booleans()):
        del old[name]
    elif draw(st.booleans()):
        old[name] = UNVERSIONED[: draw(st.integers(16, 64))]
    return old, new


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_pruned_document_upgrades_to_the_original_with_the_layout(
    kind: type[Any], data: st.DataObject
) -> None:
    document = data.draw(strategies.documents(kind.__name__))
    if kind is RawMMItem:
        document["modality"] = "image"
    old, new = data.draw(_pruned(document, kind))
    before = copy.deepcopy(old)
    result = upgrade(old, kind, layout=LAYOUT)
    assert old == before
    assert result.value == convert(new, kind)
    assert list(iter_errors(result.value)) == []
    again = upgrade(result.value, kind, layout=LAYOUT)
    assert (again.value, again.notes) == (result.value, [])
