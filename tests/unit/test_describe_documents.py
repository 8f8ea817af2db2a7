"""Sidecars of records as plain data: traces, episodes, nodes and lone nodes, with their paths."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

import pytest

from rawmm import RawMMError
from rawmm.describe import describe_document

FLOW: Final = Path(__file__).resolve().parents[1] / "data/wire/flow-0.4.0"
TRACE: Final[dict[str, Any]] = json.loads((FLOW / "inline.trace.json").read_bytes())
IDS: Final = [int(one) for one in TRACE["mm_token_type_id_map"]]


def described(value: Any, **options: Any) -> tuple[Any, list[Any]]:
    before = copy.deepcopy(value)
    found, nodes = describe_document(value, "qwen_vl", **options)
    assert value == before
    return found, [node.path for node in nodes]


ALONE: Final = described(TRACE)


def test_trace_gets_a_sidecar_for_each_message_with_images() -> None:
    found, paths = ALONE
    with_sidecars = [
        index for index, node in enumerate(found["nodes"]) if node.get("multi_modal_data")
    ]
    assert with_sidecars
    assert paths == [("nodes", index) for index in with_sidecars]


def test_traces_of_an_episode_and_of_a_list_are_described() -> None:
    found, paths = described({"id": "e", "traces": [TRACE, {"nodes": []}]})
    assert found == {"id": "e", "traces": [ALONE[0], {"nodes": []}]}
    assert paths == [("traces", 0, *path) for path in ALONE[1]]
    found, paths = described([TRACE])
    assert found == [ALONE[0]]
    assert paths == [(0, *path) for path in ALONE[1]]


def test_list_of_nodes_is_described_as_a_trace() -> None:
    found, _ = described(TRACE["nodes"], image_token_ids=IDS)
    assert [node.get("multi_modal_data") for node in found] == [
        node.get("multi_modal_data") for node in ALONE[0]["nodes"]
    ]


def test_root_alone_is_described_and_its_child_is_refused() -> None:
    nodes = TRACE["nodes"]
    holders = [path[1] for path in ALONE[1]]
    root = {**nodes[holders[0]], "parent": None}
    found, _ = described(root, image_token_ids=IDS)
    assert found["multi_modal_data"]["mm_items"]["image"]
    with pytest.raises(RawMMError) as caught:
        describe_document({**root, "parent": 0}, "qwen_vl", image_token_ids=IDS)
    assert (caught.value.code, caught.value.path) == ("parent_order", "$.parent")
    plain = {"parent": 3, "message": {"role": "user", "content": "x"}}
    assert described(plain)[0] == plain


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"messages": []}, [{"role": "user"}]])
def test_other_values_are_returned_as_they_are(value: Any) -> None:
    assert described(value) == (value, [])


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda trace: trace, "$.nodes[0].parent"),
        (lambda trace: {"traces": [trace]}, "$.traces[0].nodes[0].parent"),
        (lambda trace: trace["nodes"], "$[0].parent"),
        (lambda trace: [trace["nodes"]], "$[0][0].parent"),
        (lambda trace: {**trace["nodes"][0], "mask": 1}, "$.mask"),
    ],
)
def test_error_has_the_path_in_the_document(wrap: Any, path: str) -> None:
    broken = copy.deepcopy(TRACE)
    if path != "$.mask":
        broken["nodes"][0]["parent"] = -1
    value = wrap(broken)
    with pytest.raises(RawMMError) as caught:
        describe_document(value, "qwen_vl", image_token_ids=IDS)
    assert caught.value.path == path
