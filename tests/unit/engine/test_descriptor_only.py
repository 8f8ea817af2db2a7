"""Counting the images of a request that only the engine's cache has."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given

from rawmm import GenerateFeatures, MultiModalData, PlaceholderRange, raw_mm_ref, to_builtins
from rawmm.model.schemas import schema
from rawmm.testing.strategies import instances
from tests.builders import item, sidecar
from tests.unit.engine.engine import (
    DONE,
    CacheMissError,
    Engine,
    generate,
    is_retried,
)

WIRE = Path(__file__).parent.parent.parent / "data" / "wire"
HASH = "0" * 32
REF = raw_mm_ref(
    family="qwen_vl", fingerprint=HASH, modality="image", mm_hash=HASH, raw_image_id="a.png"
)


@dataclasses.dataclass
class Sidecar:
    """Like that of renderers."""

    mm_hashes: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    mm_placeholders: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    mm_items: dict[str, list[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Rendered:
    token_ids: list[int]
    multi_modal_data: Any = None


class Item(pydantic.BaseModel):
    raw_image_id: str | None = None
    raw_image_uri: pydantic.AnyUrl | None = None
    payload: dict[str, Any] = {}


class Model(pydantic.BaseModel):
    mm_hashes: dict[str, list[str]] = {}
    mm_items: dict[str, list[Item]] = {}


class ForeignItem(msgspec.Struct):
    raw_image_id: str | msgspec.UnsetType = msgspec.UNSET


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


def images_of(**kwargs: Any) -> int:
    """The number of images in the log line; 0 without a retry."""
    logger, lines = logging.getLogger("rawmm.engine.retry"), Lines()
    logger.addHandler(lines)
    try:
        retried = is_retried(CacheMissError(), **kwargs)
    finally:
        logger.removeHandler(lines)
    counts = [int(number) for line in lines.seen for number in re.findall(r"[0-9]+", line)]
    assert len(counts) == retried
    return sum(counts)


ID, URI, DATA = "0.png", "file:///images/0.png", "data:image/png;base64,AA=="
BARE = {"image_grid_thw": [1, 8, 8], "image_layout_fingerprint": HASH}

ITEMS: dict[str, tuple[Any, int]] = {
    "struct": (item(), 1),
    "struct with id": (item(raw_image_id=ID), 0),
    "struct with uri": (item(raw_image_uri=URI), 0),
    "dict": (BARE, 1),
    "dict with id": (BARE | {"raw_image_id": ID}, 0),
    "dict with uri": (BARE | {"raw_image_uri": URI}, 0),
    "dict with data": (BARE | {"raw_image_data": DATA}, 0),
    "dict with nulls": (BARE | {"raw_image_id": None, "raw_image_uri": None}, 1),
    "dict with nothing in it": (BARE | {"raw_image_id": "", "raw_image_data": ""}, 1),
    "dict with a locator in its payload": ({"payload": {"raw_image_id": ID}}, 1),
    "model": (Item(), 1),
    "model with id": (Item(raw_image_id=ID), 0),
    "model with uri": (Item(raw_image_uri=pydantic.AnyUrl(URI)), 0),
    "another struct": (ForeignItem(), 1),
    "another struct with id": (ForeignItem(raw_image_id=ID), 0),
    "reference": (REF, 0),
    "none": (None, 1),
    "pixels": ({"pixel_values": np.zeros((2, 3)), "image_grid_thw": np.ones((1, 3))}, 0),
    "pixels left out": (BARE | {"pixel_values": None}, 1),
}


@pytest.mark.parametrize("name", ITEMS)
def test_item_without_a_locator_is_descriptor_only(name: str) -> None:
    entry, wanted = ITEMS[name]
    holder = {"mm_hashes": {"image": [HASH]}, "mm_items": {"image": [entry]}}
    assert images_of(multi_modal_data=holder) == wanted
    assert images_of(multi_modal_data=Sidecar(**holder)) == wanted
    assert images_of(prompt_attribution=Rendered([1], Sidecar(**holder))) == wanted


def test_every_locator_of_the_schema_counts() -> None:
    properties = schema("RawMMItem")["$defs"]["RawMMItem"]["properties"]
    locators = [name for name in properties if properties[name]["description"][:8] == "Locator:"]
    assert len(locators) >= 2
    for name in locators:
        assert images_of(multi_modal_data={"mm_items": {"image": [BARE | {name: "x"}]}}) == 0


SIDECARS: dict[str, tuple[Any, int]] = {
    "none": (None, 0),
    "struct": (sidecar(item(), item(raw_image_id=ID), item()), 2),
    "struct, all raw": (sidecar(item(raw_image_id=ID), item(raw_image_uri=URI)), 0),
    "struct, empty": (MultiModalData(), 0),
    "plain": (to_builtins(sidecar(item(), item())), 2),
    "dataclass": (Sidecar(mm_items={"image": [BARE, item()]}), 2),
    "dataclass, empty": (Sidecar(), 0),
    "model": (Model(mm_items={"image": [Item(), Item(raw_image_id=ID)]}), 1),
    "namespace": (SimpleNamespace(mm_items={"image": [BARE]}), 1),
    "tuple of items": ({"mm_items": {"image": (BARE, BARE)}}, 2),
    "one of many": (sidecar(*[item(raw_image_id=ID)] * 9, item()), 1),
    "one beside pixels": ({"mm_items": {"image": [{"pixel_values": np.zeros(4)}, BARE]}}, 1),
    "an engine's modality": ({"mm_items": {"vision_chunk": [BARE]}}, 1),
    "two modalities": ({"mm_items": {"image": [BARE], "vision_chunk": [BARE]}}, 2),
    "video and audio": ({"mm_items": {"video": [BARE], "audio": [BARE]}}, 0),
    "hashes alone": ({"mm_hashes": {"image": [HASH, HASH]}}, 2),
    "hashes and no items": ({"mm_hashes": {"image": [HASH]}, "mm_items": {"image": []}}, 1),
    "hashes of a video": ({"mm_hashes": {"video": [HASH]}}, 0),
    "no lists": ({"mm_items": {"image": "abc"}, "mm_hashes": 3}, 0),
    "another object": (object(), 0),
}


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecars_are_read_in_any_form(name: str) -> None:
    held, wanted = SIDECARS[name]
    assert images_of(multi_modal_data=held, messages=[]) == wanted
    assert images_of(multi_modal_data=None, prompt_attribution=Rendered([], held)) == wanted
    assert images_of(prompt_attribution={"multi_modal_data": held}) == wanted


HASHES = {"image": [HASH, HASH]}

FEATURES: dict[str, tuple[Any, int]] = {
    "null for all": ({"mm_hashes": HASHES, "kwargs_data": None}, 2),
    "nothing for all": ({"mm_hashes": HASHES}, 2),
    "one null": ({"mm_hashes": HASHES, "kwargs_data": {"image": [REF, None]}}, 1),
    "references": ({"mm_hashes": HASHES, "kwargs_data": {"image": [REF, REF]}}, 0),
    "nulls without hashes": ({"kwargs_data": {"image": [None, REF, None]}}, 2),
    "no slots": ({"mm_hashes": HASHES, "kwargs_data": {}}, 2),
    "slots of a video": ({"mm_hashes": {"video": [HASH]}, "kwargs_data": {"video": [None]}}, 0),
    "an engine's modality": ({"kwargs_data": {"vision_chunk": [None]}}, 1),
    "no images": ({"mm_hashes": {}, "kwargs_data": None}, 0),
    "none": (None, 0),
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_read_in_any_form(name: str) -> None:
    features, wanted = FEATURES[name]
    assert images_of(features=features) == wanted
    if features is not None:
        assert images_of(features=SimpleNamespace(**features)) == wanted


def test_features_may_be_a_struct() -> None:
    ranges = {"image": [PlaceholderRange(offset=0, length=1), PlaceholderRange(offset=1, length=1)]}
    for slots, wanted in (([None, REF], 1), ([REF, REF], 0), (None, 2)):
        data = None if slots is None else {"image": slots}
        features = GenerateFeatures(mm_hashes=HASHES, mm_placeholders=ranges, kwargs_data=data)
        assert images_of(features=features) == wanted
    assert images_of(features=GenerateFeatures(mm_hashes=HASHES, mm_placeholders=ranges)) == 2


def test_images_in_several_arguments_are_counted_once() -> None:
    held = sidecar(item(), item())
    parts = {"multi_modal_data": held, "prompt_attribution": Rendered([], held)}
    assert images_of(**parts) == 2
    assert images_of(**parts, features={"mm_hashes": {"image": [HASH] * 3}}) == 3


def test_one_argument_with_images_is_enough() -> None:
    raw, bare = sidecar(item(raw_image_id=ID)), sidecar(item())
    assert images_of(multi_modal_data=raw, prompt_attribution=Rendered([], bare)) == 1
    assert images_of(multi_modal_data=bare, prompt_attribution=Rendered([], raw)) == 1
    assert images_of(multi_modal_data=raw, features={"kwargs_data": {"image": [None]}}) == 1


def test_arguments_without_images_count_none() -> None:
    assert images_of(messages=[{"role": "user"}], model="m", prompt_ids=[1]) == 0


def test_unreadable_argument_masks_nothing() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise OSError(name)

    assert images_of(multi_modal_data=Hostile(), prompt_attribution=Hostile()) == 0
    assert images_of(multi_modal_data=Hostile(), features={"mm_hashes": HASHES}) == 2


@pytest.mark.parametrize(
    ("form", "wanted"),
    [("descriptor_only", 0), ("envelope_v1", 0), ("uri", 0), ("inline", 0), ("released", 0)],
)
def test_sidecars_of_consumers_are_read(form: str, wanted: int) -> None:
    """Each image of these records has a locator; without its field it is descriptor-only."""
    nodes = json.loads((WIRE / form / "nodes.json").read_text("utf-8"))
    held = [node["multi_modal_data"] for node in nodes if node.get("multi_modal_data")]
    assert bool(held) is (form != "released")
    for one in held:
        assert images_of(multi_modal_data=one) == wanted
        for entry in one["mm_items"]["image"]:
            for key in [key for key in entry if key.startswith("raw_image")]:
                del entry[key]
        assert images_of(multi_modal_data=one) == len(one["mm_items"]["image"])


@given(instances(MultiModalData))
def test_images_of_any_sidecar_are_counted(held: MultiModalData) -> None:
    """Structs and plain data: items without a locator, or hashes without items."""
    wanted = 0
    for modality in {*held.mm_hashes, *held.mm_items} - {"audio", "video"}:
        if items := held.mm_items.get(modality):
            wanted += sum(one.raw_image_id is one.raw_image_uri for one in items)
        else:
            wanted += len(held.mm_hashes.get(modality, []))
    assert images_of(multi_modal_data=held) == wanted
    assert images_of(multi_modal_data=to_builtins(held)) == wanted


@given(instances(GenerateFeatures))
def test_images_of_any_features_are_counted(features: GenerateFeatures) -> None:
    data = features.kwargs_data or {}
    wanted = sum(
        data[modality].count(None) if data.get(modality) else len(hashes)
        for modality, hashes in features.mm_hashes.items()
        if modality not in {"audio", "video"}
    )
    assert images_of(features=features) == images_of(features=to_builtins(features)) == wanted


def test_request_is_read_and_not_changed() -> None:
    held = to_builtins(sidecar(item(), item(raw_image_id=ID)))
    before = json.dumps(held)
    engine = Engine(CacheMissError(), DONE)
    generate(engine, multi_modal_data=held)
    assert json.dumps(held) == before
