"""Bytes that the three consumers wrote are accepted or refused as the contract says."""

from __future__ import annotations

import hashlib
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
    RawMMError,
    RawMMRef,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    layouts,
    to_builtins,
    validate,
)
from rawmm.engine.refs import split_raw_mm_ref
from rawmm.trainer import decode_sample
from rawmm.upgrades import upgrade

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

    def test_round_trip_over_both_formats_is_equal(self, form: str, wire: str) -> None:
        data = read(form, wire)
        nodes = decode(data, wire)
        other = decode_msgpack(encode_msgpack(nodes), NODES)
        assert decode_json(encode_json(other), NODES) == nodes
        if wire == "json":
            assert plain(encode_json(other), "json") == plain(data, wire)

    def test_plain_data_converts_to_the_same_nodes(self, form: str, wire: str) -> None:
        data = read(form, wire)
        document = plain(data, wire)
        assert convert(document, NODES) == decode(data, wire)
        assert list(iter_errors(document)) == []


@pytest.mark.parametrize("form", ["descriptor_and_uris", "image_refs", "inline"])
def test_trainer_form_is_read_or_named_as_historical(form: str) -> None:
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


def test_mm_refs_inside_a_sample_are_read() -> None:
    """MMRefs is array-like exactly as the transport has it, in the middle of other fields."""
    names = json.loads((WIRE / "trainer" / "mm_refs.image_refs.fields.json").read_text())
    sample = msgspec.msgpack.decode(
        (WIRE / "trainer" / "training_sample.image_refs.msgpack").read_bytes()
    )
    position = names["sample_fields"].index("mm_refs")
    refs = convert(sample[position], MMRefs)
    assert plain(encode_msgpack(refs), "msgpack") == names["value"]


def test_processed_payload_is_refused() -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        decode_msgpack(read("processed", "msgpack"), NODES)
    assert caught.value.code == "processed_payload"
    assert caught.value.path == "$[0].multi_modal_data.mm_items.image[0].pixel_values"
    assert "keep the raw image" in str(caught.value)


@pytest.mark.parametrize("wire", ["json", "msgpack"])
@pytest.mark.parametrize("form", ["descriptor_only", "uri", "inline"])
def test_historical_form_is_named_in_the_error(form: str, wire: str) -> None:
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


FILES = sorted(
    path
    for path in WIRE.glob("*/*")
    if path.suffix in {".json", ".msgpack"} and path.parent.name != "pruned"
)
UNCHANGED = ("canonical", "envelope_v1", "image_refs", "released")
REFUSED = {
    "processed/nodes.msgpack": (
        "processed_payload",
        "$[0].multi_modal_data.mm_items.image[0].pixel_values",
    ),
    # One of its references has five bytes that are no image.
    "trainer/refs.json": ("not_an_image", "$.json_data"),
    # So have its images, and nothing says how the model lays them out.
    "trainer/mm_refs.inline.msgpack": ("historical_form", "$"),
    "trainer/training_sample.inline.msgpack": ("historical_form", "$[6]"),
    "flow_odd/sampled_pad.json": ("sampled_image_token", "$.nodes[1].token_ids"),
    # Notes on the files beside them, no data of the contract.
    "trainer/mm_refs.descriptor_and_uris.fields.json": ("unknown_type", "$"),
    "trainer/mm_refs.image_refs.fields.json": ("unknown_type", "$"),
    "trainer/mm_refs.inline.fields.json": ("unknown_type", "$"),
}


def canonical_item(old: dict[str, Any], form: str, locator: dict[str, str]) -> dict[str, Any]:
    """The one item of a node, as the contract has it."""
    if form == "descriptor_only":
        return {
            "kind": "prime_raw_mm_item",
            "version": 1,
            "modality": "image",
            "family": "qwen_vl",
            "layout_fingerprint": old["image_layout_fingerprint"],
            "payload": {"image_grid_thw": old["image_grid_thw"]},
            "raw_image_id": old["raw_image_id"],
        }
    kept = {key: value for key, value in old.items() if key != "raw_image_data"}
    return {**kept, "version": 1, **locator}


def form_of(path: Path) -> str:
    """The form of a sample, by its name or that of its folder."""
    if path.parent.name.startswith("flow"):
        # Turns that the engine refused left no nodes.
        refused = path.stem in {"pad_in_text", "system_image"}
        return "canonical" if refused else "released"
    return path.parent.name if path.stem == "nodes" else path.name.split(".")[1]


@pytest.mark.parametrize("stored", ["stored", "inline"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
class TestUpgrade:
    """Every sample is canonical after `upgrade`, or refused with code and path."""

    def test_sample_upgrades_or_is_refused(self, path: Path, stored: str, tmp_path: Path) -> None:
        name = f"{path.parent.name}/{path.name}"
        image_dir = tmp_path / "images" if stored == "stored" else None
        value = plain(path.read_bytes(), path.suffix[1:])
        if name in REFUSED:
            with pytest.raises(RawMMError) as caught:
                upgrade(value, None, image_dir=image_dir)
            assert (caught.value.code, caught.value.path) == REFUSED[name]
            assert not (tmp_path / "images").exists()
        else:
            form = form_of(path)
            result = upgrade(value, None, image_dir=image_dir)
            assert (result.form, result.changed) == (form, form not in UNCHANGED)
            again = upgrade(result.value, None)
            assert (again.value, again.notes) == (result.value, [])
            assert again.form in UNCHANGED
            assert (tmp_path / "images").exists() is (form == "inline" and stored == "stored")
            if path.stem == "nodes":
                self.judge(value, result.value, form, image_dir)
        assert value == plain(path.read_bytes(), path.suffix[1:])

    @staticmethod
    def judge(old: Any, nodes: Any, form: str, image_dir: Path | None) -> None:
        """The nodes are canonical, and only their items have changed."""
        validate(nodes, NODES)
        assert decode_json(encode_json(nodes), NODES) == nodes
        assert decode_msgpack(encode_msgpack(nodes), NODES) == nodes
        for before, after in zip(old, to_builtins(nodes), strict=True):
            wanted = before
            if sidecar := before.get("multi_modal_data"):
                (sha256,), (item,) = sidecar["mm_hashes"]["image"], sidecar["mm_items"]["image"]
                raw = (WIRE / form / f"{sha256[:16]}.png").read_bytes()
                locator = {}
                if form == "inline" and image_dir is not None:
                    locator["raw_image_id"] = f"{hashlib.sha256(raw).hexdigest()}.png"
                    assert (image_dir / locator["raw_image_id"]).read_bytes() == raw
                elif form == "inline":
                    locator["raw_image_uri"] = item["raw_image_data"]
                items = {"image": [canonical_item(item, form, locator)]}
                wanted = {**before, "multi_modal_data": {**sidecar, "mm_items": items}}
            assert {key: after[key] for key in wanted} == wanted
            assert not {"token_ids", "multi_modal_data"} & (after.keys() - wanted.keys())


def test_reference_upgrades_or_is_refused() -> None:
    said = json.loads((WIRE / "trainer" / "refs.json").read_bytes())
    forms = {}
    for name, ref in said.items():
        if name in {"json_data", "processed"}:
            with pytest.raises(RawMMError) as caught:
                upgrade(ref, RawMMRef)
            code = "processed_payload" if name == "processed" else "not_an_image"
            assert (caught.value.code, caught.value.path) == (code, "$")
        else:
            result = upgrade(ref, RawMMRef)
            assert result.value == split_raw_mm_ref(ref)
            forms[name] = result.form
    assert forms == {
        "v2": "mmraw_v2",
        "v3_id": "mmraw_v3",
        "v3_uri": "mmraw_v3",
        "b64": "mmraw_base64",
        "json_uri": "mmraw",
    }


def test_pruned_samples_upgrade_with_the_layout() -> None:
    layout = layouts.get("qwen_vl")
    item = json.loads((WIRE / "pruned" / "item_uri.json").read_bytes())
    whole = {**item, "version": 1, "modality": "image"}
    sha256 = {"mm_hashes": {"image": ["172006e47eb634dd"]}}
    span = {"mm_placeholders": {"image": [{"offset": 0, "length": 70}]}}
    sidecar = {**sha256, **span, "mm_items": {"image": [item]}}
    for given, fingerprint in (
        (None, {}),
        (layout, {"layout_fingerprint": layout.fingerprint()}),
    ):
        assert to_builtins(upgrade(item, None, layout=given).value) == whole | fingerprint
        upgraded = to_builtins(upgrade(sidecar, None, layout=given).value)
        assert upgraded["mm_items"] == {"image": [whole | fingerprint]}
    ref = (WIRE / "pruned" / "ref_b64_without_fingerprint.txt").read_text().strip()
    for given, fingerprint in ((None, {}), (layout, {"fingerprint": layout.fingerprint()})):
        assert upgrade(ref, None, layout=given).value == RawMMRef(
            family="qwen_vl",
            modality="image",
            mm_hash="172006e47eb634dd5f174be511095566",
            payload={},
            raw_image_uri=item["raw_image_uri"],
            **fingerprint,
        )


@pytest.mark.parametrize("form", ["descriptor_and_uris", "image_refs"])
def test_upgraded_training_sample_is_a_valid_sample(form: str) -> None:
    fields = json.loads((WIRE / "trainer" / f"mm_refs.{form}.fields.json").read_bytes())
    sample = plain((WIRE / "trainer" / f"training_sample.{form}.msgpack").read_bytes(), "msgpack")
    upgraded = upgrade(sample, None).value
    at = fields["sample_fields"].index("mm_refs")
    assert [*upgraded[:at], *upgraded[at + 1 :]] == [*sample[:at], *sample[at + 1 :]]
    decoded = decode_sample(msgspec.msgpack.encode(upgraded), fields=fields["sample_fields"])
    assert decoded.mm_refs == upgrade(fields["value"], MMRefs).value
    assert [(ref.offset, ref.length) for ref in decoded.mm_refs.images] == [(3, 6), (14, 8)]
    for ref in decoded.mm_refs.images:
        assert ref.item.raw_image_uri == ref.uri
