"""Episodes: the path of an error begins at its trace, and one error does not hide others."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

import rawmm
from rawmm import Episode, MessageNode, RawMMError, Trace
from rawmm.validation import detect

NODE: dict[str, Any] = {
    "message": {"role": "assistant", "content": "x"},
    "token_ids": [5, 6],
    "mask": [False, True],
    "logprobs": [-0.5],
}


def episode(count: int = 4) -> dict[str, Any]:
    trace = {"id": "t", "nodes": [NODE, NODE | {"parent": 0}]}
    return {
        "id": "e",
        "env": {"id": "demo"},
        "traces": [copy.deepcopy(trace) for _ in range(count)],
    }


def errors_of(document: Any, kind: Any = Episode) -> list[tuple[str, str]]:
    return [(error.code, error.path) for error in rawmm.iter_errors(document, kind)]


def test_broken_trace_in_the_middle_is_named_beside_the_errors_of_others() -> None:
    document = episode()
    document["traces"][1]["nodes"][0]["mask"] = [True]
    document["traces"][2]["nodes"][1]["message"] = {"role": "x"}
    document["traces"][2]["nodes"][0]["mask"] = []
    document["traces"][3]["nodes"][1]["parent"] = 7
    wanted = [
        ("unknown_tag", "$.traces[2].nodes[1].message.role"),
        ("stream_length", "$.traces[1].nodes[0].mask"),
        ("stream_length", "$.traces[2].nodes[0].mask"),
        ("parent_order", "$.traces[3].nodes[1].parent"),
    ]
    found = errors_of(document)
    assert found[0] == wanted[0]
    assert set(wanted) <= set(found)
    assert not [path for _, path in found if path.startswith("$.traces[0]")]
    listed = errors_of([episode(1), document], list[Episode])
    assert [(code, path.replace("$[1].", "$.")) for code, path in listed] == found


def test_trace_that_is_no_object_does_not_hide_the_others() -> None:
    document = episode()
    document["traces"][1] = 5
    document["traces"][2]["nodes"][0]["mask"] = []
    found = errors_of(document)
    assert found[0] == ("wrong_type", "$.traces[1]")
    assert ("stream_length", "$.traces[2].nodes[0].mask") in found


@pytest.mark.parametrize("traces", [None, 5, "x", {}])
def test_traces_that_are_no_list_are_refused(traces: Any) -> None:
    assert errors_of({"traces": traces}) == [("wrong_type", "$.traces")]


def test_episode_is_identified_by_its_traces() -> None:
    document = episode()
    assert detect(document) is Episode
    assert type(rawmm.decode_json(json.dumps(document))) is Episode
    assert type(rawmm.convert(document)) is Episode
    assert type(rawmm.convert({"nodes": [], "traces": 1})) is Trace


def test_keys_of_another_type_in_a_node_do_not_make_it_a_node() -> None:
    document = NODE | {"nodes": [], "note": 1}
    for value in (
        rawmm.convert(document),
        rawmm.decode_json(json.dumps(document)),
        rawmm.decode_msgpack(msgspec.msgpack.encode(document)),
    ):
        assert type(value) is Trace
    assert type(rawmm.convert(NODE | {"note": 1})) is MessageNode
    with pytest.raises(RawMMError) as caught:
        rawmm.convert(NODE | {"nodes": 5})
    assert caught.value.path == "$.nodes"


@pytest.mark.parametrize("encode", [rawmm.encode_json, rawmm.encode_msgpack])
def test_streams_of_an_episode_are_packed_on_request(encode: Any) -> None:
    value = rawmm.convert(episode(), Episode)
    decode: Any = rawmm.decode_json if encode is rawmm.encode_json else rawmm.decode_msgpack
    packed = decode(encode(value, packed=True), Episode)
    assert isinstance(packed.traces[3].nodes[1].token_ids, rawmm.PackedTokenIds)
    assert packed == value
    assert encode(packed, packed=False) == encode(value)


def test_changed_trace_is_refused_when_its_episode_is_written() -> None:
    value = rawmm.convert(episode(), Episode)
    value.traces[2].nodes[1].parent = 9
    with pytest.raises(RawMMError) as caught:
        rawmm.encode_json(value)
    assert caught.value.path == "$.traces[2].nodes[1].parent"
