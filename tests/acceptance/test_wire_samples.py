"""Bytes that the three consumers wrote, judged as the contract says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rawmm import (
    ContractError,
    MessageNode,
    MMRefs,
    ProcessedPayloadError,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
)

WIRE = Path(__file__).parent.parent / "data" / "wire"
NODES = list[MessageNode]


def read(form: str, wire: str) -> bytes:
    return (WIRE / form / f"nodes.{wire}").read_bytes()


def decode(data: bytes, wire: str, kind: Any = NODES) -> Any:
    return decode_json(data, kind) if wire == "json" else decode_msgpack(data, kind)


def plain(data: bytes, wire: str) -> Any:
    return json.loads(data) if wire == "json" else msgspec.msgpack.decode(data)


@pytest.mark.parametrize("wire", ["json", "msgpack"])
@pytest.mark.parametrize("form", ["released", "envelope_v1"])
class TestCanonicalForms:
    def test_reencodes_to_an_equal_document(self, form: str, wire: str) -> None:
        data = read(form, wire)
        nodes = decode(data, wire)
        again = encode_json(nodes) if wire == "json" else encode_msgpack(nodes)
        assert plain(again, wire) == plain(data, wire)

    def test_survives_the_other_wire(self, form: str, wire: str) -> None:
        data = read(form, wire)
        nodes = decode(data, wire)
        other = decode_msgpack(encode_msgpack(nodes), NODES)
        assert decode_json(encode_json(other), NODES) == nodes
        if wire == "json":
            assert plain(encode_json(other), "json") == plain(data, wire)

    def test_converts_from_plain_data(self, form: str, wire: str) -> None:
        data = read(form, wire)
        document = plain(data, wire)
        assert convert(document, NODES) == decode(data, wire)
        assert list(iter_errors(document)) == []


@pytest.mark.parametrize("form", ["descriptor_and_uris", "image_refs", "inline"])
def test_trainer_forms(form: str) -> None:
    data = (WIRE / "trainer" / f"mm_refs.{form}.msgpack").read_bytes()
    if form == "image_refs":
        refs = decode_msgpack(data, MMRefs)
        assert [(ref.offset, ref.length) for ref in refs.images] == [(3, 6), (14, 8)]
        assert refs.images[0].item.payload == {"image_grid_thw": [[1, 4, 6]]}
        assert encode_msgpack(refs) == data
        return
    with pytest.raises(ContractError) as caught:
        decode_msgpack(data, MMRefs)
    assert (caught.value.code, caught.value.path) == ("historical_form", "$")
    assert form in str(caught.value)


def test_trainer_form_inside_a_sample() -> None:
    """MMRefs is array-like exactly as the transport has it, in the middle of other fields."""
    names = json.loads((WIRE / "trainer" / "mm_refs.image_refs.fields.json").read_text())
    sample = msgspec.msgpack.decode(
        (WIRE / "trainer" / "training_sample.image_refs.msgpack").read_bytes()
    )
    position = names["sample_fields"].index("mm_refs")
    refs = convert(sample[position], MMRefs)
    assert plain(encode_msgpack(refs), "msgpack") == names["value"]


def test_processed_is_refused() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        decode_msgpack(read("processed", "msgpack"), NODES)
    assert caught.value.code == "processed_payload"
    assert caught.value.path == "$[0].multi_modal_data.mm_items.image[0].pixel_values"
    assert "keep the raw image" in str(caught.value)


@pytest.mark.parametrize("wire", ["json", "msgpack"])
@pytest.mark.parametrize("form", ["descriptor_only", "uri", "inline"])
def test_older_forms_are_named(form: str, wire: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode(read(form, wire), wire)
    assert caught.value.code == "historical_form"
    assert caught.value.path == "$[0].multi_modal_data.mm_items.image[0]"
    assert f"wire form {form}" in str(caught.value)
    errors = list(iter_errors(plain(read(form, wire), wire), NODES))
    assert [error.path for error in errors] == [
        f"$[{index}].multi_modal_data.mm_items.image[0]" for index in (0, 2, 4)
    ]
    assert "base64" not in "".join(map(str, errors)).replace(";base64,", "")
