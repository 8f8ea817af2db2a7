"""Fast checks: a common rollout passes, and each single change to it is refused."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import (
    MessageNode,
    PackedFlags,
    PackedFloats,
    PackedTokenIds,
    RawMMError,
    Trace,
    decode_json,
    decode_msgpack,
    encode_json,
    to_builtins,
)
from rawmm.locators import names_image
from rawmm.rules.registry import rules_hold
from rawmm.validation.errors import errors_at
from rawmm.values.fields import iter_children
from tests.builders import item_document
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.model.types import Contract

STREAMS: dict[str, Any] = {
    "token_ids": PackedTokenIds,
    "mask": PackedFlags,
    "is_content": PackedFlags,
    "logprobs": PackedFloats,
    "advantages": PackedFloats,
}
HASH = "a1" * 32
OTHER = "b2" * 32


def rollout() -> dict[str, Any]:
    """Two turns, each with an image."""
    nodes: list[dict[str, Any]] = []
    for turn, sha in enumerate((HASH, OTHER)):
        url = f"file:///images/{sha}.png"
        content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
        item = item_document(payload={"image_grid_thw": [1, 2, 4]}, raw_image_id=f"{sha}.png")
        sidecar = {
            "mm_hashes": {"image": [sha[:32]]},
            "mm_placeholders": {"image": [{"offset": 1 + 8 * turn, "length": 2}]},
            "mm_items": {"image": [item]},
        }
        nodes += [
            {
                "message": {"role": "user", "content": content},
                "timestamp": 1.5, "token_ids": [9, 5, 5, 8], "mask": [False] * 4,
                "is_content": [True] * 4, "multi_modal_data": sidecar,
            },
            {
                "message": {"role": "assistant", "content": "x"}, "sampled": True,
                "token_ids": [6, 7, 8, 9], "mask": [True, True, True, False],
                "is_content": [True] * 4, "logprobs": [-0.5, -1.0, -2.0],
                "usage": {"prompt_tokens": 4, "completion_tokens": 4, "cost": 0.5},
            },
        ]  # fmt: skip
    for index, node in enumerate(nodes):
        node["parent"] = index - 1 if index else None
    return {"nodes": nodes, "mm_token_type_id_map": {"5": 1}, "info": {"a": [1]}}


def structs(value: Any) -> Iterator[Contract]:
    if hasattr(value, "__rules__") and value.__rules__:
        yield value
    for _, child in iter_children(value):
        yield from structs(child)


def test_common_rollout_passes_every_fast_check() -> None:
    trace = decode_json(json.dumps(rollout()), Trace)
    found = list(structs(trace))
    assert {type(one).__name__ for one in found} == {
        "Trace", "MessageNode", "MultiModalData", "RawMMItem", "AssistantMessage", "Usage",
    }  # fmt: skip
    assert all(rules_hold(one) for one in found)


def sidecar(nodes: list[Any], turn: int = 0) -> Any:
    return nodes[2 * turn]["multi_modal_data"]


def image(nodes: list[Any], turn: int = 0) -> Any:
    return nodes[2 * turn]["message"]["content"][1]["image_url"]


def swap(nodes: list[Any], key: str) -> None:
    """Swap a list between the sidecars of two turns."""
    one, two = sidecar(nodes), sidecar(nodes, 1)
    one[key], two[key] = two[key], one[key]


def add(nodes: list[Any]) -> None:
    """Add an image without an item to the first message."""
    nodes[0]["message"]["content"].append(nodes[0]["message"]["content"][1])


def add_item(nodes: list[Any], *keys: str) -> None:
    for key in keys:
        sidecar(nodes)[key]["image"] *= 2


def add_twice(nodes: list[Any]) -> None:
    """Add the image of the first message again, with the same range."""
    add(nodes)
    add_item(nodes, "mm_hashes", "mm_items", "mm_placeholders")


def add_overlapping(nodes: list[Any]) -> None:
    """Add it again, with a range that overlaps the first by one token."""
    add_twice(nodes)
    sidecar(nodes)["mm_placeholders"]["image"][1:] = [{"offset": 2, "length": 1}]


def swap_sidecars(nodes: list[Any]) -> None:
    swap(nodes, "mm_items")
    swap(nodes, "mm_hashes")


def without_sidecars(
    nodes: list[Any], reply: list[int] | None = None, prompt: list[int] | None = None
) -> list[Any]:
    """The rollout as released verifiers writes it, with the given tokens in the first turn."""
    del nodes[0]["multi_modal_data"], nodes[2]["multi_modal_data"]
    nodes[0]["token_ids"] = prompt or nodes[0]["token_ids"]
    nodes[1]["token_ids"] = reply or nodes[1]["token_ids"]
    return nodes


CHANGES: list[tuple[Callable[[Any], Any], str | None]] = [
    # Streams
    (lambda n: n[0]["mask"].pop(), "stream_length $.nodes[0].mask"),
    (lambda n: n[0]["is_content"].pop(), "stream_length $.nodes[0].is_content"),
    (lambda n: n[0]["is_content"].clear(), None),
    (lambda n: n[1]["logprobs"].pop(), "stream_length $.nodes[1].logprobs"),
    (lambda n: n[1]["logprobs"].append(-1.0), "stream_length $.nodes[1].logprobs"),
    (lambda n: n[1]["logprobs"].clear(), None),
    (lambda n: n[1].update(advantages=[1.0] * 4), "stream_length $.nodes[1].advantages"),
    (lambda n: n[1].update(entropies=[1.0] * 3), None),
    (lambda n: n[1].update(loss_weights={"a": [1.0]}), "stream_length $.nodes[1].loss_weights.a"),
    (lambda n: n[1].update(loss_weights={"a": [1.0] * 4}), None),
    (lambda n: n[0].update(timestamp=float("nan")), "not_json $.nodes[0].timestamp"),
    (lambda n: n[1]["logprobs"].__setitem__(1, float("inf")), "not_json $.nodes[1].logprobs[1]"),
    (lambda n: n[1]["usage"].update(cost=float("nan")), "not_json $.nodes[1].usage.cost"),
    # Images of a message
    (add, "count_mismatch $.nodes[0].multi_modal_data.mm_items.image"),
    (lambda n: n[0]["message"]["content"].pop(),
     "count_mismatch $.nodes[0].multi_modal_data.mm_items.image"),
    (lambda n: n[0]["message"].update(content="x"),
     "count_mismatch $.nodes[0].multi_modal_data.mm_items.image"),
    (lambda n: n[0].pop("multi_modal_data"), "count_mismatch $.nodes[0].multi_modal_data"),
    (lambda n: n[1].update(multi_modal_data=sidecar(n)),
     "count_mismatch $.nodes[1].multi_modal_data.mm_items.image"),
    (lambda n: n[1].update(multi_modal_data={}), None),
    (lambda n: image(n).update(url=image(n, 1)["url"]),
     "hash_mismatch $.nodes[0].message.content[1].image_url.url"),
    (lambda n: image(n).update(url="file:///images/x.png"), None),
    # Sidecars
    (lambda n: add_item(n, "mm_hashes"),
     "count_mismatch $.nodes[0].multi_modal_data.mm_hashes.image"),
    (lambda n: add_item(n, "mm_placeholders"),
     "count_mismatch $.nodes[0].multi_modal_data.mm_placeholders.image"),
    (lambda n: add_item(n, "mm_items"),
     "count_mismatch $.nodes[0].multi_modal_data.mm_items.image"),
    (lambda n: sidecar(n).pop("mm_hashes"), None),
    (add_overlapping,
     "placeholder_order $.nodes[0].multi_modal_data.mm_placeholders.image[1]"),
    (add_twice,
     "placeholder_order $.nodes[0].multi_modal_data.mm_placeholders.image[1]"),
    (lambda n: swap(n, "mm_items"),
     "hash_mismatch $.nodes[0].multi_modal_data.mm_items.image[0].raw_image_id"),
    (swap_sidecars,
     "hash_mismatch $.nodes[0].message.content[1].image_url.url"),
    (lambda n: sidecar(n)["mm_items"]["image"][0].update(modality="video"),
     "modality_mismatch $.nodes[0].multi_modal_data.mm_items.image[0].modality"),
    # Descriptors
    (lambda n: sidecar(n)["mm_items"]["image"][0].update(raw_image_uri=image(n)["url"]),
     "locator_conflict $.nodes[0].multi_modal_data.mm_items.image[0]"),
    (lambda n: sidecar(n)["mm_items"]["image"][0]["payload"].update(a=[{"pixel_values": 1}]),
     "processed_payload $.nodes[0].multi_modal_data.mm_items.image[0].payload.a[0].pixel_values"),
    (lambda n: sidecar(n)["mm_items"]["image"][0]["payload"].update(a=2**53),
     "not_json $.nodes[0].multi_modal_data.mm_items.image[0].payload.a"),
    (lambda n: sidecar(n)["mm_items"]["image"][0]["payload"].update(a=2**53 - 1), None),
    # The graph
    (lambda n: n[1].update(parent=1), "parent_order $.nodes[1].parent"),
    (lambda n: n[1].update(parent=2), "parent_order $.nodes[1].parent"),
    (lambda n: sidecar(n, 1)["mm_placeholders"]["image"][0].update(offset=7),
     "placeholder_order $.nodes[2].multi_modal_data.mm_placeholders.image[0]"),
    (lambda n: sidecar(n, 1)["mm_placeholders"]["image"][0].update(offset=11),
     "placeholder_order $.nodes[2].multi_modal_data.mm_placeholders.image[0]"),
    (lambda n: sidecar(n, 1)["mm_placeholders"]["image"][0].update(offset=10),
     "orphan_image $.nodes[2].multi_modal_data.mm_placeholders.image[0]"),
    (lambda n: sidecar(n)["mm_placeholders"]["image"][0].update(offset=0),
     "orphan_image $.nodes[0].multi_modal_data.mm_placeholders.image[0]"),
    (lambda n: sidecar(n)["mm_placeholders"]["image"][0].update(length=1),
     "orphan_image $.nodes[0].token_ids"),
    (lambda n: n[0].update(token_ids=[5, 5, 5, 8]), "orphan_image $.nodes[0].token_ids"),
    (lambda n: n[0].update(token_ids=[9, 5, 5, 5]), "orphan_image $.nodes[0].token_ids"),
    (lambda n: n[0].update(token_ids=[9, 5, 6, 8]),
     "orphan_image $.nodes[0].multi_modal_data.mm_placeholders.image[0]"),
    (lambda n: n[0].update(token_ids=[5 << 8, 5, 5, 5 << 16]), None),
    (lambda n: n[0].update(token_ids=[2**31, 5, 5, 8]), None),
    (lambda n: n[0].update(token_ids=[2**31, 5, 5, 5]), "orphan_image $.nodes[0].token_ids"),
    (lambda n: n[1]["token_ids"].__setitem__(2, 5), "sampled_image_token $.nodes[1].token_ids"),
    # Records without sidecars
    (without_sidecars, None),
    (lambda n: without_sidecars(n, [6, 5, 8, 9]), "sampled_image_token $.nodes[1].token_ids"),
    (lambda n: without_sidecars(n, [6, 7, 8, 5]), "orphan_image $.nodes[1].token_ids"),
    (lambda n: without_sidecars(n, None, [9, 6, 5 << 8, 0]), "orphan_image $.nodes[0].token_ids"),
    (lambda n: without_sidecars(n, None, [5, 9, 9, 5]), "orphan_image $.nodes[0].token_ids"),
    (lambda n: without_sidecars(n, None, [5, 5, 5, 8]), None),
    (lambda n: without_sidecars(n, None, [2**31, 5, 5, 5]), None),
    (lambda n: without_sidecars(n, None, [5 << 8, 5 << 16, 5, 5]), None),
    (lambda n: add(without_sidecars(n)), "orphan_image $.nodes[0].token_ids"),
    (lambda n: add(without_sidecars(n, None, [5, 9, 9, 5])), None),
    (lambda n: without_sidecars(n)[0].update(mask=[False, False, True, False]),
     "sampled_image_token $.nodes[0].token_ids"),
    (lambda n: without_sidecars(n)[2].pop("parent"), None),
    (lambda n: without_sidecars(n)[0].update(token_ids=[], mask=[], is_content=[]),
     "orphan_image $.nodes[1].token_ids"),
    (lambda n: n[2].pop("multi_modal_data"), "count_mismatch $.nodes[2].multi_modal_data"),
]  # fmt: skip


def packed(document: dict[str, Any]) -> dict[str, Any]:
    """The same with packed token streams, except for one that cannot be packed."""
    for node in document["nodes"]:
        for name, kind in STREAMS.items():
            if node.get(name) and all(map(isfinite, node[name])):
                node[name] = to_builtins(kind.pack(node[name]))
    return document


@each("form", [lambda document: document, packed], ids=["lists", "packed"])
@each("number", range(len(CHANGES)))
def test_one_change_to_the_rollout_is_refused(number: int, form: Any) -> None:
    change, expected = CHANGES[number]
    document = rollout()
    change(document["nodes"])
    wrong = [f"{error.code} {error.path}" for error in errors_at(form(document), Trace, ())]
    assert (expected in wrong) if expected else not wrong
    assert refused(document, Trace) == bool(wrong)
    for node in document["nodes"]:
        assert refused(node, MessageNode) == any(True for _ in errors_at(node, MessageNode, ()))


def refused(document: Any, kind: Any) -> bool:
    try:
        decode_msgpack(msgspec.msgpack.encode(document), kind)
    except RawMMError:
        return True
    return False


def test_all_token_ids_of_a_modality_count() -> None:
    document = rollout()
    document["mm_token_type_id_map"]["11"] = 1
    assert not refused(document, Trace)
    document["nodes"][3]["token_ids"][1] = 11
    assert refused(document, Trace)


def text_only(token: int) -> dict[str, Any]:
    """A rollout without images, where `token` is a placeholder id."""
    document = rollout()
    document["mm_token_type_id_map"] = {str(token): 1}
    for node in document["nodes"]:
        node["multi_modal_data"] = None
        node["message"] = {"role": "user", "content": "x"}
    return document


@pytest.mark.parametrize("token", [2**31 - 1, 2**31, 2**32 - 1, 2**32, 9_999_999_999])
@pytest.mark.parametrize("form", [lambda document: document, packed], ids=["lists", "packed"])
def test_every_valid_token_id_may_be_a_placeholder(token: int, form: Any) -> None:
    assert not refused(form(text_only(token)), Trace)
    if token < 2**32:
        document = text_only(token)
        document["nodes"][3]["token_ids"][1] = token
        assert refused(form(document), Trace)


@pytest.mark.parametrize("ids", [[2**40], ["x"], [None], [1.5], 5])
def test_invalid_tokens_raise_only_rawmm_errors(ids: Any) -> None:
    trace = decode_msgpack(msgspec.msgpack.encode(rollout()), Trace)
    trace.nodes[3].token_ids = ids
    with pytest.raises(RawMMError):
        encode_json(trace)
    with pytest.raises(RawMMError):
        encode_json(Trace(nodes=trace.nodes, mm_token_type_id_map=trace.mm_token_type_id_map))


def test_only_the_file_name_identifies_an_image() -> None:
    assert names_image(f"file:///images/{HASH}.png", HASH[:32])
    assert not names_image(f"file:///{HASH}/{OTHER}.png", HASH)
    assert not names_image(f"file:///{HASH}.d/{OTHER}.png", HASH[:32])
