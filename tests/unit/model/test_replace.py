"""`rawmm.replace`: a checked copy with changed fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import rawmm
from rawmm import ContractError, ProcessedPayloadError, replace

SHA256 = "5b" * 32


@pytest.fixture
def item() -> rawmm.RawMMItem:
    return rawmm.RawMMItem(
        modality="image",
        family="qwen_vl",
        payload={"image_grid_thw": [[1, 4, 4]]},
        raw_image_id=f"{SHA256}.png",
    )


@pytest.fixture
def trace() -> rawmm.Trace:
    return rawmm.Trace(id="a", extra={"reward": 1.0, "seed": 3})


def test_changed_fields_are_in_the_copy_only(item: rawmm.RawMMItem) -> None:
    changed = replace(item, family="kimi_k25")
    assert changed.family == "kimi_k25"
    assert item.family == "qwen_vl"
    assert changed.payload == item.payload


def test_lists_and_dicts_are_copied_and_structs_are_shared(item: rawmm.RawMMItem) -> None:
    sidecar = rawmm.MultiModalData(mm_items={"image": [item]})
    changed = replace(sidecar, mm_hashes={"image": [SHA256]})
    assert changed.mm_items["image"] is not sidecar.mm_items["image"]
    assert changed.mm_items["image"][0] is sidecar.mm_items["image"][0]


def test_no_changes_give_an_equal_copy(item: rawmm.RawMMItem) -> None:
    assert replace(item) == item
    assert replace(item) is not item


@pytest.mark.parametrize("nothing", [None, msgspec.UNSET])
def test_none_and_unset_remove_an_optional_field(item: rawmm.RawMMItem, nothing: Any) -> None:
    changed = replace(item, raw_image_id=nothing, raw_image_uri="file:///a.png")
    assert "raw_image_id" not in rawmm.to_builtins(changed)


def test_null_is_kept_where_the_schema_allows_it() -> None:
    call = rawmm.ToolCall(id="1", name="click", arguments="{}", namespace="web")
    assert rawmm.to_builtins(replace(call, namespace=None))["namespace"] is None
    assert "namespace" not in rawmm.to_builtins(replace(call, namespace=msgspec.UNSET))


@pytest.mark.parametrize("name", ["nd", "__nd__"])
def test_names_are_those_of_python_or_of_json(name: str) -> None:
    array = rawmm.EncodedArray(dtype="uint8", shape=[2], data=b"ab")
    with pytest.raises(ContractError) as caught:
        replace(array, **{name: False})
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.__nd__")


def test_rules_are_checked(item: rawmm.RawMMItem) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        replace(item, payload={"pixel_values": []})
    assert caught.value.path == "$.payload.pixel_values"


def test_fields_that_were_assigned_before_are_checked(item: rawmm.RawMMItem) -> None:
    item.family = "no/name"
    with pytest.raises(ContractError) as caught:
        replace(item, modality="image")
    assert caught.value.path == "$.family"


def test_required_field_cannot_be_removed(item: rawmm.RawMMItem) -> None:
    with pytest.raises(ContractError) as caught:
        replace(item, payload=msgspec.UNSET)
    assert caught.value.code == "missing_field"


def test_unknown_field_of_a_closed_object_is_refused(item: rawmm.RawMMItem) -> None:
    with pytest.raises(ContractError) as caught:
        replace(item, famly="x")
    assert (caught.value.code, caught.value.path) == ("unknown_field", "$.famly")


def test_unknown_property_of_an_open_object_changes_alone(trace: rawmm.Trace) -> None:
    assert replace(trace, reward=2.0).extra == {"reward": 2.0, "seed": 3}
    assert trace.extra == {"reward": 1.0, "seed": 3}


def test_extra_replaces_all_unknown_properties(trace: rawmm.Trace) -> None:
    assert replace(trace, extra={"reward": 2.0}).extra == {"reward": 2.0}
    assert replace(trace, extra=None).extra is None


def test_tag_of_another_class_is_refused() -> None:
    message = rawmm.UserMessage(content="x")
    with pytest.raises(ContractError) as caught:
        replace(message, role="system")
    assert caught.value.path == "$.role"
    with pytest.raises(ContractError):
        rawmm.UserMessage(content="x", role="system")


def test_array_like_and_packed_structs_are_supported() -> None:
    flags = rawmm.PackedFlags.pack([True, False])
    assert list(replace(flags, data=b"\0\1")) == [False, True]
    refs = rawmm.MMRefs(images=[])
    assert replace(refs, images=[]) == refs


def test_subclass_keeps_its_class(item: rawmm.RawMMItem) -> None:
    class Item(rawmm.RawMMItem, kw_only=True):
        pass

    ours = rawmm.convert(rawmm.to_builtins(item), Item)
    changed = replace(ours, raw_image_id=None)
    assert type(changed) is Item
    assert changed.raw_image_id is None


@pytest.mark.parametrize("value", [{"family": "x"}, None, object(), rawmm.RawMMItem])
def test_value_that_is_not_a_struct_is_refused(value: Any) -> None:
    with pytest.raises(ContractError) as caught:
        replace(value, family="x")
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$")


def test_method_of_copy_replace_checks_too(item: rawmm.RawMMItem) -> None:
    assert item.__replace__(family="x").family == "x"
    with pytest.raises(ContractError):
        item.__replace__(family="no/name")


def test_unknown_property_that_is_named_like_the_field_stays() -> None:
    for value in ({"a": 1}, [1]):
        trace = rawmm.convert({"nodes": [], "__extra__": value, "other": 1}, rawmm.Trace)
        changed = rawmm.replace(trace, other=2)
        assert changed.extra == {"__extra__": value, "other": 2}
        assert rawmm.replace(changed, other=msgspec.UNSET).extra == {"__extra__": value}


def test_free_json_is_not_shared_with_the_original() -> None:
    document = {"nodes": [], "info": {"a": [1]}, "other": {"b": [{}]}}
    trace = rawmm.convert(document, rawmm.Trace)
    changed = rawmm.replace(trace, id="x")
    assert changed.info
    assert changed.extra
    changed.info["a"].append(2)
    changed.extra["other"]["b"][0]["c"] = 3
    assert trace.info == {"a": [1]}
    assert trace.extra == {"other": {"b": [{}]}}


def test_packed_stream_in_a_field_of_dicts_is_a_contract_error() -> None:
    features = rawmm.GenerateFeatures(mm_hashes={}, mm_placeholders={})
    stream: Any = rawmm.PackedTokenIds.pack([1, 2])
    for name in ("mm_hashes", "mm_placeholders", "kwargs_data"):
        with pytest.raises(rawmm.ContractError):
            rawmm.replace(features, **{name: stream})
