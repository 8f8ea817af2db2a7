"""Rollouts without sidecars: honest ones pass, and each loss has its code and the node's path."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rawmm import RawMMError, Trace, decode_json, encode_json, iter_errors, layouts, to_builtins

if TYPE_CHECKING:
    from collections.abc import Callable

PAD, START, END, BREAK, TEXT = 7, 8, 9, 10, 20
TYPES: Final = {str(PAD): 1, "11": 2}
URLS: Final = ("data:image/png;base64,AAAA", "file:///images/a.png", "s3://bucket/run/a.png")


def run(size: int) -> list[int]:
    """An image in a prompt, as templates write it."""
    return [START, *[PAD] * size, END]


class Drawn(NamedTuple):
    trace: dict[str, Any]
    known: bool
    """Whether the trace has a map of token types."""

    def errors(self, **options: Any) -> list[tuple[str, str]]:
        if not self.known:
            options["image_token_ids"] = {PAD}
        return [(error.code, error.path) for error in iter_errors(self.trace, Trace, **options)]


def message(role: str, urls: list[str]) -> dict[str, Any]:
    if role == "assistant":
        return {"role": role, "content": "x"}
    parts: list[dict[str, Any]] = [{"type": "text", "text": "?"}]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    extra = {"tool_call_id": "a"} if role == "tool" else {}
    return {"role": role, "content": parts} | extra


@st.composite
def rollouts(draw: st.DrawFn) -> Drawn:
    """An honest rollout: turns and forks; tokens by message, or all in the reply, or none."""
    nodes: list[dict[str, Any]] = []
    owed: list[list[int]] = []
    for index in range(draw(st.integers(1, 8))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        role = draw(st.sampled_from(["system", "user", "tool", "assistant"]))
        urls = draw(st.lists(st.sampled_from(URLS), max_size=3))
        own = [TEXT]
        for _ in urls if role != "assistant" else ():
            own += [*run(draw(st.integers(1, 5))), *draw(st.just([]) | st.just([TEXT]))]
        prompt = ([] if parent is None else owed[parent]) + own
        attributed = draw(st.booleans())
        sampled = [TEXT, END] if role == "assistant" and attributed else []
        nodes.append(
            {
                "parent": parent,
                "message": message(role, urls),
                "token_ids": prompt + sampled if attributed else [],
                "mask": [False] * len(prompt) + [True] * len(sampled) if attributed else [],
            }
        )
        owed.append([] if attributed else prompt)
    known = draw(st.booleans())
    return Drawn({"nodes": nodes} | ({"mm_token_type_id_map": TYPES} if known else {}), known)


@given(rollouts(), st.booleans())
def test_honest_rollout_passes(drawn: Drawn, packed: bool) -> None:  # noqa: FBT001
    assert drawn.errors() == []
    assert list(iter_errors(drawn.trace)) == []
    trace = decode_json(encode_json(Trace(**drawn.trace)), Trace)
    again = to_builtins(trace, packed=packed)
    assert Drawn(again, drawn.known).errors() == []


def runs_in(node: dict[str, Any]) -> list[int]:
    """Where the runs of a node begin."""
    return [at + 1 for at, token in enumerate(node["token_ids"]) if token == START]


def end_of(node: dict[str, Any], at: int) -> int:
    end: int = node["token_ids"].index(END, at)
    return end


def drop(node: dict[str, Any], at: int) -> None:
    end = end_of(node, at)
    for stream in ("token_ids", "mask"):
        del node[stream][at:end]


def merge(node: dict[str, Any], at: int) -> None:
    """Fill what is between a run and the next one."""
    following = next(one for one in runs_in(node) if one > at)
    node["token_ids"][at:following] = [PAD] * (following - at)


def add(node: dict[str, Any], at: int) -> None:
    node["token_ids"][at:at] = [PAD, END]
    node["mask"][at:at] = [False, False]


def sample(node: dict[str, Any], at: int) -> None:
    node["mask"][at] = True


LOSSES: Final[dict[str, tuple[Callable[[dict[str, Any], int], None], int, str]]] = {
    "an image without tokens": (drop, 1, "orphan_image"),
    "two images with one run": (merge, 2, "orphan_image"),
    "tokens without an image": (add, 1, "orphan_image"),
    "a sampled image token": (sample, 1, "sampled_image_token"),
}


def may_hold_more(nodes: list[dict[str, Any]], index: int) -> bool:
    """Whether runs of a tool's node may be those of later messages, which have no tokens.

    verifiers gives the tokens of several tools' results to the first one.
    """
    if nodes[index]["message"]["role"] != "tool":
        return False
    below = {index}
    for number, node in enumerate(nodes):
        if node["parent"] in below and (not node["token_ids"] or node["message"]["role"] == "tool"):
            below.add(number)
    bare = (nodes[number] for number in below if not nodes[number]["token_ids"])
    return any(len(node["message"]["content"]) > 1 for node in bare)


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
def test_loss_is_refused_at_its_node(name: str, data: st.DataObject) -> None:
    change, runs, code = LOSSES[name]
    drawn = data.draw(rollouts())
    places = [
        (index, at)
        for index, node in enumerate(drawn.trace["nodes"])
        for at in (runs_in(node)[: 1 - runs] if runs > 1 else runs_in(node))
    ]
    assume(places)
    index, at = data.draw(st.sampled_from(places))
    node = drawn.trace["nodes"][index]
    assume(change is not add or not may_hold_more(drawn.trace["nodes"], index))
    change(node, at)
    errors = drawn.errors()
    assert (code, f"$.nodes[{index}].token_ids") in errors
    assert {path for _, path in errors} == {f"$.nodes[{index}].token_ids"}
    if drawn.known:
        with pytest.raises(RawMMError) as caught:
            Trace(**drawn.trace)
        assert caught.value.path == f"$.nodes[{index}].token_ids"


@given(rollouts())
def test_items_in_some_messages_only_are_a_loss(drawn: Drawn) -> None:
    nodes = drawn.trace["nodes"]
    with_runs = [index for index, node in enumerate(nodes) if runs_in(node)]
    bare = [
        index
        for index, node in enumerate(nodes)
        if node["token_ids"]
        and len(node["message"]["content"]) > 1
        and index not in with_runs[:1]
        and node["message"]["role"] != "assistant"
    ]
    assume(with_runs and bare)
    described = {"role": "user", "content": message("user", [URLS[1]])["content"]}
    item = {"kind": "prime_raw_mm_item", "version": 1, "modality": "image", "family": "f"}
    nodes.append(
        {
            "message": described,
            "token_ids": run(2),
            "mask": [False] * 4,
            "multi_modal_data": {
                "mm_placeholders": {"image": [{"offset": 1, "length": 2}]},
                "mm_items": {"image": [item | {"payload": {}}]},
            },
        }
    )
    errors = drawn.errors()
    expected = {("count_mismatch", f"$.nodes[{index}].multi_modal_data") for index in bare}
    assert expected <= set(errors)
    assert not any(path.startswith(f"$.nodes[{len(nodes) - 1}]") for _, path in errors)


@given(rollouts())
def test_map_of_another_model_is_a_loss(drawn: Drawn) -> None:
    nodes = drawn.trace["nodes"]
    first = next((index for index, node in enumerate(nodes) if runs_in(node)), None)
    assume(first is not None)
    trace = drawn.trace | {"mm_token_type_id_map": {"11": 2}}
    found = [(error.code, error.path) for error in iter_errors(trace)]
    assert found == [("orphan_image", f"$.nodes[{first}].token_ids")]
    assert list(iter_errors(trace, image_token_ids=[PAD])) == []
    assert list(iter_errors(drawn.trace | {"mm_token_type_id_map": {}})) == []


@given(rollouts())
def test_strict_reading_refuses_each_message_without_items(drawn: Drawn) -> None:
    """The errors stand at messages with media and tokens, and where earlier messages' tokens lie."""
    nodes = drawn.trace["nodes"]
    own = {
        f"$.nodes[{index}].multi_modal_data"
        for index, node in enumerate(nodes)
        if node["token_ids"]
        and any(part["type"] != "text" for part in node["message"]["content"] if part != "x")
    }
    errors = drawn.errors(require_sidecars=True)
    assert {path for code, path in errors if code == "count_mismatch"} == own


def pixtral(rows: list[int]) -> list[int]:
    """An image of Pixtral: each row ends in a separator."""
    tokens = [token for row in rows for token in (*[PAD] * row, BREAK)][:-1]
    return [*tokens, END]


@given(st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=4), min_size=1, max_size=3))
def test_layout_with_row_separators_allows_several_runs(images: list[list[int]]) -> None:
    tokens = [token for rows in images for token in pixtral(rows)]
    node = {
        "message": message("user", [URLS[1]] * len(images)),
        "token_ids": tokens,
        "mask": [False] * len(tokens),
    }
    trace = {"nodes": [node], "mm_token_type_id_map": {str(PAD): 1}}
    layout = layouts.get("pixtral")
    assert [error.code for error in iter_errors(trace)] == ["orphan_image"]
    assert list(iter_errors(trace, layout=layout)) == []
    # With the separators in the map, adjacent images share a run.
    typed = trace | {"mm_token_type_id_map": dict.fromkeys(map(str, (PAD, BREAK, END)), 1)}
    assert list(iter_errors(typed, layout=layout)) == []
    for lost in (copy.deepcopy(trace), copy.deepcopy(typed)):
        first: Any = lost["nodes"][0]  # type: ignore[index]
        first["token_ids"] = [TEXT] * len(tokens)
        assert [error.code for error in iter_errors(lost, layout=layout)] == ["orphan_image"]
        first["message"] = message("user", [])
        first["token_ids"] = tokens
        assert [error.code for error in iter_errors(lost, layout=layout)] == ["orphan_image"]
