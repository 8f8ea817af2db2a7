from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict

import rawmm
from rawmm.errors import ContractError, ProcessedPayloadError
from rawmm.offload.references import Referenced, locators

SHA = "2e7c616c370f1c87c9311bc410fcf43b0123456789abcdef0123456789abcdef"
NAME = f"{SHA}.png"
OLD = f"{SHA[:16]}.jpg"
OTHER = f"{'b' * 64}.png"
WIRE = Path(__file__).resolve().parents[2] / "data" / "wire"


def named(record: Any) -> set[str]:
    referenced = Referenced([NAME, OLD, OTHER])
    referenced.add(record)
    return referenced.names


def b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@dataclasses.dataclass
class Plain:
    where: Any


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    where: Any


class Struct(msgspec.Struct):
    where: Any


@pytest.mark.parametrize(
    "text",
    [
        NAME,
        OLD,
        SHA,
        SHA[:32],
        SHA[:16],
        SHA.upper(),
        f"file:///images/{NAME}",
        f"file:///images/{NAME}?x",
        f"s3://bucket/a/{NAME}",
        f"see file:///images/{NAME}, please",
        f"file:///run%2f{NAME}",  # a digit before the hash, once it is escaped
        f"file:///images/{SHA[:8]}%33{SHA[9:16]}.jpg",
        f"image{NAME}",
        f"abc{NAME}",
        f"{NAME}.bak",
        json.dumps({"raw_image_uri": f"file:///images/{NAME}"}),
        json.dumps(json.dumps([NAME])),
        f"mmraw:v2:run:qwen_vl:f:image:{SHA[:32]}:{NAME}:e30",
        f"it was mmraw:{b64({'raw_image_id': NAME})}, and so on",
        f"it was mmraw:v3:{b64({'raw_uri': NAME})}=",
        f"it was mmraw:v7:{b64({'raw_uri': NAME})}",
        f"mmfile:v1:demo:f:image:{SHA[:32]}",
    ],
)
def test_whatever_could_name_an_image_does(text: str) -> None:
    wanted = {NAME, OLD}
    for record in (
        text,
        [text],
        {"any": {"key": (1, [None, text])}},
        {text: 1},
        {"bytes": text.encode()},
        [1, 2, text, 3],
        ["x", text],
        {"x", text},
        Plain([text]),
        Model(where={"a": text}),
        Model(where=1, more=[text]),
        Struct({1: [text]}),
        Path(text),
    ):
        assert named(record) == wanted, record


@pytest.mark.parametrize(
    "text",
    [
        "",
        SHA[:15],
        SHA[1:],
        "b" * 15,
        f"mmraw {SHA[:15]}",
        "image.png",
    ],
)
def test_what_names_no_image_keeps_none(text: str) -> None:
    assert named([text, {text: text}]) == set()


def test_each_image_is_kept_for_itself() -> None:
    assert named([OTHER]) == {OTHER}
    assert named([OTHER, SHA]) == {OTHER, NAME, OLD}
    assert named(["ab" * 8]) == set()
    assert named(["a" + "b" * 16]) == {OTHER}


def test_an_object_that_holds_itself_and_one_that_is_met_twice() -> None:
    part = {"url": NAME}
    record: list[Any] = [part, part]
    record.append(record)
    assert named(record) == {NAME, OLD}


def test_a_hundred_thousand_levels() -> None:
    record: Any = NAME
    for _ in range(100_000):
        record = [record]
    assert named(record) == {NAME, OLD}


def test_open_fields_of_structs() -> None:
    trace = rawmm.convert({"nodes": [], "info": {"a": 1}, "own": {"x": [NAME]}}, rawmm.Trace)
    assert named(trace) == {NAME, OLD}
    assert [(one.path, one.locator) for one in locators(trace)] == []
    trace = rawmm.convert({"nodes": [], "own": {"x": ["file:///a/b.png"]}}, rawmm.Trace)
    assert [(one.path, one.locator) for one in locators(trace)] == [
        (("own", "x", 0), "file:///a/b.png")
    ]


def test_values_that_hold_no_text() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert named([1, 1.5, None, True, moment, moment.date(), msgspec.UNSET, 1j]) == set()


@pytest.mark.parametrize("value", [object(), Plain, iter([NAME])])
def test_what_cannot_be_looked_into_is_an_error(value: Any) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        named({"a": [value]})
    assert (caught.value.code, caught.value.path) == ("not_json", "$.a[0]")
    assert SHA not in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("mmraw:v9:abc", "unsupported_version"),
        ("mmraw:v3:%%%", "bad_base64"),
        ('mmraw:{"a":', "malformed"),
        ('mmraw:{"a":1,"a":2}', "duplicate_key"),
        ("mmraw:v2:a:b", "bad_format"),
        ('mmraw:{"a":' + "[" * 100_000, "too_deep"),
    ],
)
def test_a_reference_that_cannot_be_read_is_an_error(ref: str, code: str) -> None:
    for look in (named, lambda record: list(locators(record))):
        with pytest.raises(ContractError) as caught:
            look({"a": [1, ref]})
        assert caught.value.code == code
        assert caught.value.path.startswith("$.a[1]")


def test_a_reference_that_is_refused_for_what_it_says_was_read() -> None:
    ref = f'mmraw:{{"raw_image_id":"{NAME}","pixel_values":[1]}}'
    assert named([ref]) == {NAME, OLD}
    assert list(locators([ref])) == []


def test_locators_are_ids_and_file_urls_with_their_places() -> None:
    ref = f"mmraw:v2:run:qwen_vl:{SHA[:32]}:image:{SHA[:32]}:{NAME}:e30"
    record = {
        "items": [{"raw_image_id": "cat.png", "raw_image_uri": "file:///a/c.png"}],
        "raw_image_id": {"not": "one", "raw_image_id": None},
        "file:///a/key.png": 1,
        "text": f"see {NAME}",
        "url": "https://host/x.png",
        "pairs": [["FILE:///a/b.png", 3]],
        "refs": [ref, None],
    }
    assert [(one.path, one.locator) for one in locators(record)] == [
        (("items", 0, "raw_image_id"), "cat.png"),
        (("items", 0, "raw_image_uri"), "file:///a/c.png"),
        (("file:///a/key.png",), "file:///a/key.png"),
        (("pairs", 0, 0), "FILE:///a/b.png"),
        (("refs", 0), NAME),
    ]


IMAGES = {"09015e08bbbc3037.png", "2afc26d7855ad16e.png", "a07e50973f7c1376.png"}
TRAINER = {"2e7c616c370f1c87.png", "d951b2faed1022f9.png"}
NAMED_BY_SAMPLES = {
    "descriptor_only/nodes": IMAGES,
    "envelope_v1/nodes": IMAGES,
    "uri/nodes": IMAGES,
    "processed/nodes": IMAGES,
    "inline/nodes": IMAGES,  # by their hashes
    "released/nodes": set(),
    "trainer/mm_refs.descriptor_and_uris": TRAINER,
    "trainer/mm_refs.image_refs": TRAINER,
    "trainer/mm_refs.inline": set(),
    "trainer/mm_refs.descriptor_and_uris.fields": TRAINER,
    "trainer/mm_refs.image_refs.fields": TRAINER,
    "trainer/mm_refs.inline.fields": set(),
    "trainer/training_sample.descriptor_and_uris": TRAINER,
    "trainer/training_sample.image_refs": TRAINER,
    "trainer/training_sample.inline": set(),
    "trainer/refs": {"2e7c616c370f1c87.png"},
}
SAMPLES = sorted(path for path in WIRE.glob("*/*") if path.suffix in {".json", ".msgpack"})


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_sample_of_every_form_names_its_images(path: Path) -> None:
    data = path.read_bytes()
    value = msgspec.json.decode(data) if path.suffix == ".json" else msgspec.msgpack.decode(data)
    referenced = Referenced(IMAGES | TRAINER)
    referenced.add(value)
    key = f"{path.parent.name}/{path.stem}"
    assert referenced.names == NAMED_BY_SAMPLES[key]
    exact = {one.locator.rpartition("/")[2] for one in locators(value)}
    assert exact == (set() if key == "inline/nodes" else NAMED_BY_SAMPLES[key])
