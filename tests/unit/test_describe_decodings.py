"""One decoding goes through `describe_prompt`, `describe_trace` and the samples of the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import rawmm
from rawmm import ENGINE, STORED, ContractError, MMRefs, MultiModalData, Trace, layouts
from rawmm.describe import describe_image
from rawmm.graph import branches
from rawmm.trainer import SAMPLE_FORMS, decode_sample, pack, sample_from, samples_from
from tests.unit.images.odd_pictures import gradient, saved
from tests.unit.images.pictures import data_url, exif_of, part

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = layouts.get("pixtral")
PAD = 7
RAW = saved(gradient(size=(320, 200)), "JPEG", exif=exif_of(6))
URL = data_url(RAW, "image/jpeg")
DECODINGS = {"engine": ENGINE, "stored": STORED}
OTHER = {"engine": STORED, "stored": ENGINE}
LENGTHS = {
    name: LAYOUT.describe(*size).num_tokens
    for name, size in (("engine", (200, 320)), ("stored", (320, 200)))
}


URLS = msgspec.msgpack.encode(
    [[[[URL, 0, 1]]] if name == "mm_refs" else None for name in SAMPLE_FORMS["urls"]]
)


def items(sidecar: MultiModalData | None) -> Any:
    assert sidecar is not None
    return sidecar.mm_items["image"]


def record(length: int) -> Trace:
    def node(parent: int | None, message: Any, ids: list[int], *, sampled: bool) -> Any:
        mask = [sampled] * len(ids)
        logprobs = [-0.5] * len(ids) if sampled else []
        fields = {"token_ids": ids, "mask": mask, "logprobs": logprobs, "sampled": sampled}
        return {"parent": parent, "message": message, **fields}

    nodes = [
        node(None, {"role": "user", "content": [part(URL)]}, [1, *[PAD] * length], sampled=False),
        node(0, {"role": "assistant", "content": "ok"}, [3, 4], sampled=True),
    ]
    return rawmm.convert({"nodes": nodes, "mm_token_type_id_map": {str(PAD): 1}}, Trace)


def test_decodings_give_different_lengths() -> None:
    assert LENGTHS["engine"] != LENGTHS["stored"]


@pytest.mark.parametrize("name", DECODINGS)
def test_prompt_is_described_with_the_decoding(name: str) -> None:
    decoding = DECODINGS[name]
    messages = [{"role": "user", "content": [part(URL)]}]
    ranges = [(0, LENGTHS[name])]
    [item] = items(rawmm.describe_prompt(messages, ranges, LAYOUT, decoding=decoding))
    wanted = describe_image(URL, LAYOUT, decoding=decoding).item
    assert item == wanted
    assert item.ambiguous == ["orientation"]
    other = STORED if decoding == ENGINE else ENGINE
    with pytest.raises(ContractError) as caught:
        rawmm.describe_prompt(messages, ranges, LAYOUT, decoding=other)
    assert caught.value.code == "geometry_mismatch"
    assert "decoding" in (caught.value.hint or "")


@pytest.mark.parametrize("name", DECODINGS)
def test_trace_and_samples_are_described_with_the_decoding(name: str, tmp_path: Path) -> None:
    decoding, trace = DECODINGS[name], record(LENGTHS[name])
    wanted = describe_image(URL, LAYOUT, decoding=decoding).item
    described = rawmm.describe_trace(trace, LAYOUT, decoding=decoding)
    assert items(described.nodes[0].multi_modal_data) == [wanted]
    options: dict[str, Any] = {"layout": LAYOUT, "image_dir": tmp_path, "decoding": decoding}
    [branch] = branches(trace)
    for sample in (*samples_from(trace, **options), sample_from(branch, **options)):
        assert sample.mm_refs is not None
        [ref] = sample.mm_refs.images
        assert ref.item.layout_fingerprint == wanted.layout_fingerprint
        assert ref.item.ambiguous == ["orientation"]
    other = STORED if decoding == ENGINE else ENGINE
    with pytest.raises(ContractError) as caught:
        samples_from(trace, **options | {"decoding": other})
    assert caught.value.code == "geometry_mismatch"


def test_engine_is_the_default(tmp_path: Path) -> None:
    trace = record(LENGTHS["engine"])
    wanted = describe_image(URL, LAYOUT, decoding=ENGINE).item
    assert describe_image(URL, LAYOUT).item == wanted
    assert items(rawmm.describe_trace(trace, LAYOUT).nodes[0].multi_modal_data) == [wanted]
    assert samples_from(trace, layout=LAYOUT, image_dir=tmp_path)


def test_samples_of_two_decodings_are_not_packed(tmp_path: Path) -> None:
    samples = [
        samples_from(record(LENGTHS[name]), layout=LAYOUT, image_dir=tmp_path, decoding=decoding)[0]
        for name, decoding in DECODINGS.items()
    ]
    with pytest.raises(ContractError) as caught:
        pack(samples)
    assert caught.value.code == "mixed_layouts"


def test_decoding_of_another_type_is_refused(tmp_path: Path) -> None:
    wrong: Any = {"orientation": "exif"}
    trace = record(LENGTHS["engine"])
    for call in (
        lambda: rawmm.describe_prompt([], [], LAYOUT, decoding=wrong),
        lambda: rawmm.describe_trace(trace, LAYOUT, decoding=wrong),
        lambda: samples_from(trace, layout=LAYOUT, image_dir=tmp_path, decoding=wrong),
        lambda: rawmm.upgrade(trace, Trace, layout=LAYOUT, decoding=wrong),
        lambda: decode_sample(URLS, form="urls", layout=LAYOUT, decoding=wrong),
    ):
        with pytest.raises(ContractError) as caught:
            call()
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$.decoding")


@pytest.mark.parametrize("name", DECODINGS)
def test_upgraded_record_is_described_with_the_decoding(name: str, tmp_path: Path) -> None:
    decoding, trace = DECODINGS[name], record(LENGTHS[name])
    wanted = describe_image(URL, LAYOUT, decoding=decoding).item.layout_fingerprint
    options: dict[str, Any] = {"image_dir": tmp_path, "layout": LAYOUT}
    upgraded = rawmm.upgrade(trace, Trace, decoding=decoding, **options).value
    [item] = items(upgraded.nodes[0].multi_modal_data)
    assert item.layout_fingerprint == wanted
    lacking = {**rawmm.to_builtins(item), "kind": "prime_raw_mm_item"}
    del lacking["layout_fingerprint"]
    again = rawmm.upgrade(lacking, rawmm.RawMMItem, decoding=decoding, layout=LAYOUT)
    assert again.value.layout_fingerprint == wanted
    with pytest.raises(ContractError) as caught:
        rawmm.upgrade(trace, Trace, decoding=OTHER[name], **options)
    assert caught.value.code == "geometry_mismatch"


@pytest.mark.parametrize("name", DECODINGS)
def test_references_without_descriptors_are_described_with_the_decoding(
    name: str, tmp_path: Path
) -> None:
    decoding = DECODINGS[name]
    wanted = describe_image(URL, LAYOUT, decoding=decoding).item.layout_fingerprint
    refs = [[[URL, 1, LENGTHS[name]]]]
    options: dict[str, Any] = {"image_dir": tmp_path, "layout": LAYOUT, "decoding": decoding}
    [ref] = rawmm.upgrade(refs, MMRefs, **options).value.images
    assert ref.item.layout_fingerprint == wanted
    with pytest.raises(ContractError) as caught:
        rawmm.upgrade(refs, MMRefs, **options | {"decoding": OTHER[name]})
    assert caught.value.code == "geometry_mismatch"
    assert "decoding" in (caught.value.hint or "")
