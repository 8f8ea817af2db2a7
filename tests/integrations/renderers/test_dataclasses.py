"""The sidecar's dataclasses of ``renderers.base`` and our structs: both ways, nothing lost."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import renderers.base
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    MultiModalData,
    PlaceholderRange,
    RawMMError,
    RawMMItem,
    convert,
    encode_msgpack,
)
from rawmm.integrations.renderers import from_renderers, to_renderers
from rawmm.testing import strategies
from tests.builders import item_document

KINDS = [MultiModalData, PlaceholderRange]


def sidecars() -> st.SearchStrategy[renderers.base.MultiModalData]:
    """Dataclasses as a renderer would build them, from data and not from our structs."""
    return strategies.documents("MultiModalData").map(
        lambda document: renderers.base.MultiModalData(
            mm_hashes=document.get("mm_hashes", {}),
            mm_placeholders={
                modality: [renderers.base.PlaceholderRange(**one) for one in ranges]
                for modality, ranges in document.get("mm_placeholders", {}).items()
            },
            mm_items=document.get("mm_items", {}),
        )
    )


def containers(value: Any) -> set[int]:
    """Identities of every mutable object in `value`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {id(value)}.union(*(containers(inner) for inner in vars(value).values()))
    if isinstance(value, (MultiModalData, PlaceholderRange)) or hasattr(value, "__wire_names__"):
        fields = value.__struct_fields__
        return {id(value)}.union(*(containers(getattr(value, name)) for name in fields))
    if isinstance(value, dict):
        return {id(value)}.union(*(containers(inner) for inner in value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*(containers(inner) for inner in value))
    return set()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_struct_returns_from_its_dataclass(kind: type[Any], data: st.DataObject) -> None:
    struct = data.draw(strategies.instances(kind))
    before = encode_msgpack(struct)
    there = to_renderers(struct)
    assert type(there) is getattr(renderers.base, kind.__name__)
    back = from_renderers(there)
    assert type(back) is kind
    assert back == struct
    assert encode_msgpack(back) == encode_msgpack(struct) == before


@given(sidecars())
def test_dataclass_returns_from_its_struct(sidecar: renderers.base.MultiModalData) -> None:
    before = copy.deepcopy(sidecar)
    struct = from_renderers(sidecar)
    assert to_renderers(struct) == sidecar == before
    for ranges in sidecar.mm_placeholders.values():
        for one in ranges:
            assert to_renderers(from_renderers(one)) == one


@given(sidecars())
def test_nothing_is_shared(sidecar: renderers.base.MultiModalData) -> None:
    struct = from_renderers(sidecar)
    assert not containers(sidecar) & containers(struct)
    assert not containers(struct) & containers(to_renderers(struct))


ITEM = item_document(payload={"grid": [1, 2], "deep": {"list": [{}]}})


@pytest.mark.parametrize("item", [ITEM, convert(ITEM, RawMMItem)], ids=["dict", "struct"])
def test_payloads_are_copied_to_the_bottom(item: Any) -> None:
    sidecar = renderers.base.MultiModalData(mm_items={"image": [item]})
    before = copy.deepcopy(sidecar)
    struct = from_renderers(sidecar)
    assert not containers(sidecar) & containers(struct)
    out = to_renderers(struct)
    struct.mm_items["image"][0].payload["deep"]["list"][0]["new"] = 1
    assert sidecar == before
    assert out.mm_items["image"] == [ITEM]


def test_item_of_the_dataclass_is_a_plain_dict() -> None:
    """Consumers read ``item["payload"]`` and ask ``isinstance(item, dict)``."""
    struct = MultiModalData(mm_items={"image": [convert(ITEM, RawMMItem)]})
    [item] = to_renderers(struct).mm_items["image"]
    assert type(item) is dict
    assert item == ITEM


PIXELS = {"pixel_values": np.zeros((4, 8)), "image_grid_thw": np.ones((1, 3))}
REFUSED = {
    "processor output": (
        renderers.base.MultiModalData(mm_items={"image": [PIXELS]}),
        ("processed_payload", "$.mm_items.image[0].pixel_values"),
    ),
    "a grid that is an array": (
        renderers.base.MultiModalData(mm_items={"image": [{"image_grid_thw": np.ones((1, 3))}]}),
        ("array_payload", "$.mm_items.image[0].image_grid_thw"),
    ),
    "a short hash": (
        renderers.base.MultiModalData(mm_hashes={"image": ["abc"]}),
        ("bad_format", "$.mm_hashes.image[0]"),
    ),
    "an empty range": (
        renderers.base.PlaceholderRange(offset=0, length=0),
        ("out_of_range", "$.length"),
    ),
    "unequal lists": (
        renderers.base.MultiModalData(
            mm_hashes={"image": []},
            mm_placeholders={"image": [renderers.base.PlaceholderRange(offset=0, length=1)]},
        ),
        ("count_mismatch", "$"),
    ),
    "something else": ({"mm_hashes": {}}, ("wrong_type", "$")),
    "a struct": (MultiModalData(), ("wrong_type", "$")),
}


@pytest.mark.parametrize(("value", "expected"), REFUSED.values(), ids=REFUSED)
def test_invalid_values_are_refused(value: Any, expected: tuple[str, str]) -> None:
    with pytest.raises(RawMMError) as caught:
        from_renderers(value)
    assert caught.value.code == expected[0]
    assert caught.value.path.startswith(expected[1])


def test_invalid_structs_are_refused() -> None:
    where = PlaceholderRange(offset=0, length=1)
    where.length = 0
    refused: list[tuple[Any, str]] = [(where, "out_of_range"), ({}, "wrong_type")]
    for value, code in refused:
        with pytest.raises(RawMMError) as caught:
            to_renderers(value)
        assert caught.value.code == code
