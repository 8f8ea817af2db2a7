"""`upgrade`: detection, notes, errors and images."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
import pytest

from rawmm import (
    ContractError,
    EncodedArray,
    MessageNode,
    MultiModalData,
    PlaceholderRange,
    RawMMError,
    RawMMItem,
    Trace,
    UserMessage,
    convert,
    to_builtins,
    validate,
)
from rawmm.upgrades import FORMS, Note, upgrade
from rawmm.upgrades.record import Record
from tests.cases import each
from tests.unit.images.pictures import assert_silent
from tests.unit.upgrades.forms import URL, bare_grid, envelope, node, sidecar, without_version

if TYPE_CHECKING:
    from pathlib import Path

OLD = without_version(raw_image_uri="file:///images/a.png")
NEW = envelope(raw_image_uri="file:///images/a.png")


def test_message_node_is_the_default() -> None:
    result = upgrade(node(sidecar(OLD)))
    assert result.value == convert(node(sidecar(NEW)))
    assert result.form == "uri"
    assert result.notes == [Note("$.multi_modal_data.mm_items.image[0]", "uri", "version 1 added")]
    assert str(result.notes[0]) == ("$.multi_modal_data.mm_items.image[0]: version 1 added [uri]")


@pytest.mark.parametrize(
    ("kind", "wrap", "at"),
    [
        (RawMMItem, lambda item: item, "$"),
        (list[RawMMItem], lambda item: [item], "$[0]"),
        (dict[str, RawMMItem], lambda item: {"a b": item}, '$["a b"]'),
        (RawMMItem | None, lambda item: item, "$"),
        (MultiModalData, sidecar, "$.mm_items.image[0]"),
        (MultiModalData | None, sidecar, "$.mm_items.image[0]"),
        (list[list[MultiModalData]], lambda i: [[], [sidecar(i)]], "$[1][0].mm_items.image[0]"),
        (MessageNode, lambda i: node(sidecar(i)), "$.multi_modal_data.mm_items.image[0]"),
        (
            list[MessageNode],
            lambda i: [node(None, 0), node(sidecar(i))],
            "$[1].multi_modal_data.mm_items.image[0]",
        ),
        (
            Trace,
            lambda i: {"id": 1, "nodes": [node(sidecar(i))], "own": {"x": [1]}},
            "$.nodes[0].multi_modal_data.mm_items.image[0]",
        ),
    ],
)
def test_items_are_found_in_every_type(kind: Any, wrap: Any, at: str) -> None:
    old = wrap(OLD)
    before = copy.deepcopy(old)
    result = upgrade(old, kind)
    assert old == before
    assert result.value == convert(wrap(NEW), kind)
    assert [note.path for note in result.notes] == [at]
    again = upgrade(result.value, kind)
    assert (again.value, again.form, again.notes) == (result.value, "envelope_v1", [])
    with pytest.raises(RawMMError) as caught:
        upgrade(wrap({**OLD, "family": "a/b"}), kind)
    assert caught.value.path == f"{at}.family"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([node(sidecar(OLD))], "uri"),
        ({"nodes": [node(sidecar(OLD))]}, "uri"),
        (sidecar(bare_grid()), "descriptor_only"),
        (bare_grid(), "descriptor_only"),
        (OLD, "uri"),
        ({"role": "user", "content": "x"}, "canonical"),
        (convert(NEW, RawMMItem), "envelope_v1"),
    ],
)
def test_type_is_detected_if_not_given(value: Any, form: str) -> None:
    result = upgrade(value, None)
    assert result.form == form
    validate(result.value)


def test_oldest_of_several_forms_is_named() -> None:
    items = [envelope(), without_version(raw_image_data=URL), OLD, bare_grid()]
    assert upgrade(sidecar(*items), MultiModalData).form == "descriptor_only"
    assert upgrade(sidecar(*items[:3]), MultiModalData).form == "uri"
    result = upgrade(sidecar(*items[:2]), MultiModalData)
    assert result.form == "inline"
    assert [note.form for note in result.notes] == ["inline"]
    assert set(FORMS) > {"descriptor_only", "uri", "inline", "envelope_v1", "released"}


def test_released_records_have_nothing_to_change() -> None:
    inline = {"type": "image_url", "image_url": {"url": URL}}
    released = {"message": {"role": "user", "content": [inline]}, "token_ids": [1], "mask": [False]}
    for data in ({}, {"multi_modal_data": None}):
        result = upgrade(released | data)
        assert to_builtins(result.value) == to_builtins(convert(released | data))
        assert (result.form, result.notes, result.changed) == ("released", [], False)
    assert upgrade([released, node(sidecar(OLD))], list[MessageNode]).form == "uri"
    assert FORMS["released"].startswith("nothing to change")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"offset": 1, "length": 2}, PlaceholderRange),
        ({"role": "user", "content": "x"}, UserMessage),
        (node(None, 0), MessageNode),
        ({"nodes": []}, Trace),
        ({}, MultiModalData),
        (None, MultiModalData | None),
    ],
)
def test_types_without_history_are_canonical(value: Any, kind: Any) -> None:
    result = upgrade(value, kind)
    assert result.value == convert(value, kind)
    assert (result.form, result.notes) == ("canonical", [])


def test_other_data_is_kept() -> None:
    array = {"__nd__": True, "dtype": "uint8", "shape": [40, 1], "data": bytes(40)}
    trace = {
        "id": "x",
        "nodes": [{**node(sidecar(OLD)), "routed_experts": array, "timestamp": 1.5}],
        "task": {"prompt": [1, {"image_layout_fingerprint": "x"}]},
        "own": {"raw_image_data": "kept", "bytes": b"kept", "nan": float("inf")},
    }
    value = upgrade(trace, Trace).value
    wanted = copy.deepcopy(trace)
    wanted["nodes"][0]["multi_modal_data"]["mm_items"]["image"] = [NEW]  # type: ignore[index]
    assert value == convert(wanted, Trace)
    assert value.nodes[0].routed_experts == convert(array, EncodedArray)
    assert value.extra == trace["own"] or value.extra == {"own": trace["own"]}


@dataclass
class _Sidecar:
    mm_hashes: Any
    mm_placeholders: Any
    mm_items: Any


class _Item(pydantic.BaseModel):
    kind: str
    modality: str
    family: str
    layout_fingerprint: str
    payload: dict[str, Any]
    raw_image_uri: str


@pytest.mark.parametrize(
    "value",
    [
        _Sidecar({}, {}, {"image": [OLD]}),
        _Sidecar({}, {}, {"image": (_Item(**OLD),)}),
        OrderedDict(mm_items=MappingProxyType({"image": deque([OLD])})),
        {"mm_items": {"image": [_Item(**OLD)]}},
        {"mm_items": {"image": [convert(NEW, RawMMItem)]}},
        MultiModalData(mm_items={"image": [convert(NEW, RawMMItem)]}),
    ],
)
def test_models_dataclasses_and_structs_are_read_like_dicts(value: Any) -> None:
    result = upgrade(value, MultiModalData)
    assert result.value.mm_items == {"image": [convert(NEW, RawMMItem)]}


def test_nothing_of_the_input_is_shared() -> None:
    value = node(sidecar({**OLD, "payload": {"grid": [[1]]}}))
    trace = {"nodes": [value], "own": {"x": [1]}}
    before = json.dumps(trace)
    result = upgrade(trace, Trace).value
    result.nodes[0].token_ids = [1]
    data = result.nodes[0].multi_modal_data
    assert data is not None
    data.mm_items["image"][0].payload["grid"][0].append(1)
    data.mm_hashes["image"] = []
    assert result.extra is not None
    result.extra["own"]["x"].append(2)
    assert json.dumps(trace) == before


def test_struct_that_was_broken_since_is_refused() -> None:
    item = convert(NEW, RawMMItem)
    item.family = "a/b"
    with pytest.raises(ContractError) as caught:
        upgrade([item], list[RawMMItem])
    assert (caught.value.code, caught.value.path) == ("bad_format", "$[0].family")


def _endless() -> Any:
    endless: dict[str, Any] = {}
    endless["mm_items"] = {"image": [endless]}
    return endless


def _deep(levels: int) -> Any:
    deep: Any = []
    for _ in range(levels):
        deep = [deep]
    return deep


@each(
    "value",
    [
        None, 7, "x", b"x", set(), object(), float("nan"), {"message": np.zeros(2)}, _endless(),
        _deep(2_000), {"mm_items": _deep(2_000)}, {"mm_items": {"image": [{"payload": _deep(300)}]}},
        {"mm_items": {7: [OLD]}}, {"mm_items": {"image": {"0": OLD}}}, {7: 7}, {"mm_items": [OLD]},
        {"mm_items": {"image": [np.zeros(2)]}}, {"mm_items": {"image": {OLD["kind"]}}},
        {"mm_items": {"image": [OLD]}, "mm_hashes": [1]}, {"multi_modal_data": 7, "message": 7},
        {"message": {"content": [7, {"type": np.zeros(2)}]}, "multi_modal_data": None},
        {"nodes": 7}, {"nodes": [7, None]}, {"nodes": {"a": {}}},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@each("kind", [MultiModalData, MessageNode, Trace, list[RawMMItem], None])
def test_unrelated_data_is_a_typed_error(value: Any, kind: Any) -> None:
    with pytest.raises(RawMMError):
        upgrade(value, kind)


def test_types_outside_the_contract_are_refused_as_such() -> None:
    with pytest.raises(TypeError, match="not a type of"):
        upgrade({}, int)


def test_notes_and_errors_show_no_part_of_an_image() -> None:
    good = sidecar(without_version(raw_image_data=URL))
    for note in upgrade(good, MultiModalData).notes:
        assert URL.partition(",")[2][:12] not in str(note)
    with pytest.raises(RawMMError) as caught:
        upgrade(sidecar(without_version(raw_image_data=URL), hashes=["0" * 32]), MultiModalData)
    assert_silent(caught.value, URL)


def test_importing_it_loads_no_image_library() -> None:
    code = "import sys, rawmm.upgrades; print({'PIL', 'pybase64', 'numpy'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"


BY_AGE = (
    "descriptor_only", "descriptor_and_uris", "mmraw_v2", "mmraw_v3", "uri", "inline",
    "mmraw_base64", "mmraw_json", "pruned_item", "unversioned_fingerprint",
    "inline_urls",
)  # fmt: skip
"""The old forms, the oldest first."""


def test_forms_are_listed_by_age_and_those_without_a_change_come_last() -> None:
    assert tuple(FORMS)[: len(BY_AGE)] == BY_AGE
    for form in BY_AGE:
        assert not FORMS[form].startswith("nothing to change")
    for form in [*FORMS][len(BY_AGE) :]:
        assert FORMS[form].startswith("nothing to change: ")


@each("older", FORMS)
@each("newer", FORMS)
def test_older_of_two_forms_is_named_in_any_order(older: str, newer: str) -> None:
    expected = min(older, newer, key=[*FORMS].index)
    for forms in ((older, newer), (newer, older)):
        record = Record()
        for form in forms:
            record.saw(form)
        assert record.form == expected


def test_upgraded_value_is_not_reassigned() -> None:
    result = upgrade(OLD, RawMMItem)
    for name in ("value", "form", "notes"):
        with pytest.raises(AttributeError):
            setattr(result, name, None)


def test_message_without_an_image_is_not_released() -> None:
    text = {"role": "user", "content": [{"type": "text", "text": "image_url"}]}
    assert upgrade({"message": text, "token_ids": [1], "mask": [False]}).form == "canonical"


@pytest.mark.parametrize("value", [[[1], [True]], [[1], [1], []], [[True], [True], []], [1, 2, 3]])
def test_unrelated_array_has_no_type(value: Any) -> None:
    with pytest.raises(ContractError) as caught:
        upgrade(value, None)
    assert caught.value.code == "unknown_type"


def test_unstorable_image_is_reported_at_its_first_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    items = [without_version(raw_image_data=URL), without_version(raw_image_data=URL)]
    with pytest.raises(RawMMError) as caught:
        upgrade(sidecar(*items), MultiModalData, image_dir=tmp_path / "file")
    assert (caught.value.code, caught.value.path) == ("store_failed", "$.mm_items.image[0]")
