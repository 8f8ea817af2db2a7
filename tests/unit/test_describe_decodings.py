"""One decoding goes through `describe_prompt`, `describe_trace` and the samples of the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import ENGINE, STORED, ContractError, MultiModalData, Trace, layouts
from rawmm.describe import describe_image
from rawmm.graph import branches
from rawmm.trainer import pack, sample_from, samples_from
from tests.unit.images.odd_pictures import gradient, saved
from tests.unit.images.pictures import data_url, exif_of, part

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = layouts.get("pixtral")
PAD = 7
RAW = saved(gradient(size=(320, 200)), "JPEG", exif=exif_of(6))
URL = data_url(RAW, "image/jpeg")
DECODINGS = {"engine": ENGINE, "stored": STORED}
LENGTHS = {
    name: LAYOUT.describe(*size).num_tokens
    for name, size in (("engine", (200, 320)), ("stored", (320, 200)))
}


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


def test_lengths_differ() -> None:
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
    ):
        with pytest.raises(ContractError) as caught:
            call()
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$.decoding")
