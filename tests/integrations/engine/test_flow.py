"""The released path, for the pair of verifiers and renderers that is installed."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import layouts
from rawmm.graph import branches, prepare_turn
from tests.integrations.engine.flow import TURNS, Rollout, build_engine, image_size, roll_out
from tests.integrations.engine.server import logprob_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LAYOUT = layouts.get("qwen_vl")


def run(directory: Path, *, stored: bool) -> Rollout:
    image_dir = directory / "images" if stored else None
    engine = build_engine(allowed_local_media_path=image_dir)
    return asyncio.run(roll_out(engine, directory / "model", image_dir=image_dir))


@pytest.fixture(scope="module", params=["inline", "stored"])
def rollout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    """A rollout that tests must not change."""
    directory = tmp_path_factory.mktemp(request.param)
    return run(directory, stored=request.param == "stored")


def image_urls(messages: Iterable[Any]) -> list[str]:
    return [
        part.image_url.url
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if part.type == "image_url"
    ]


def runs_of(token: int, ids: Iterable[int]) -> list[int]:
    """The lengths of the runs of one token."""
    return [len(list(run)) for one, run in groupby(ids) if one == token]


def test_every_turn_makes_a_node_of_the_prompt_and_one_of_the_answer(rollout: Rollout) -> None:
    nodes = rollout.trace.nodes
    assert [node.sampled for node in nodes] == [False, True] * TURNS
    assert [node.parent for node in nodes] == [None, *range(2 * TURNS - 1)]
    assert all(len(node.token_ids) == len(node.mask) > 0 for node in nodes)
    assert rollout.trace.num_branches == 1


def test_tokens_of_a_branch_are_those_of_the_engine(rollout: Rollout) -> None:
    trace, engine, _ = rollout
    for turn, answer in enumerate(engine.answers):
        (choice,) = answer["choices"]
        ids = [int(one) for node in trace.nodes[: 2 * turn + 2] for one in node.token_ids]
        assert ids == answer["prompt_token_ids"] + choice["token_ids"]
        sampled = [float(one) for one in trace.nodes[2 * turn + 1].logprobs]
        assert sampled == [logprob_of(index) for index in range(len(choice["token_ids"]))]


def test_image_runs_have_the_lengths_of_the_layout(rollout: Rollout) -> None:
    trace, engine, _ = rollout
    expected = [LAYOUT.describe(*image_size(turn)).num_tokens for turn in range(TURNS)]
    found = [runs_of(engine.image_token_id, node.token_ids) for node in trace.nodes[::2]]
    assert found == [[length] for length in expected]
    ranges = [one["length"] for one in engine.answers[-1]["mm_placeholders"]["image"]]
    assert ranges == expected


def test_requests_have_one_placeholder_and_one_part_for_each_image(rollout: Rollout) -> None:
    trace, engine, _ = rollout
    urls = image_urls(node.message for node in trace.nodes)
    for turn, request in enumerate(engine.requests):
        assert request["token_ids"].count(engine.image_token_id) == turn + 1
        parts = [{"type": "image_url", "url": url} for url in urls[: turn + 1]]
        assert request["content_parts"] == parts
        assert request["return_token_ids"] is True
        assert "features" not in request


def described(rollout: Rollout, turn: int) -> rawmm.MultiModalData:
    """What the layout says of the prompt of a turn."""
    hashes, items, ranges = [], [], []
    shift = 0
    tokens = rollout.engine.requests[turn]["token_ids"]
    places = [at for at, token in enumerate(tokens) if token == rollout.engine.image_token_id]
    for url, place in zip(image_urls(rollout.turns[turn][0]), places, strict=True):
        image = rawmm.describe_image(url, LAYOUT)
        hashes.append(image.mm_hash)
        items.append(image.item)
        ranges.append(rawmm.PlaceholderRange(offset=place + shift, length=image.num_tokens))
        shift += image.num_tokens - 1
    return rawmm.MultiModalData(
        mm_hashes={"image": hashes}, mm_placeholders={"image": ranges}, mm_items={"image": items}
    )


def test_requests_are_those_that_we_build(rollout: Rollout) -> None:
    """The released client sends no `uuid`."""
    for turn, (request, answer) in enumerate(
        zip(rollout.engine.requests, rollout.engine.answers, strict=True)
    ):
        prompt, response = rollout.turns[turn]
        parts = rawmm.content_parts(prompt)
        assert [one.url for one in parts] == [one["url"] for one in request["content_parts"]]
        sidecar = described(rollout, turn)
        assert [one.uuid for one in parts] == sidecar.mm_hashes["image"]
        token = rollout.engine.image_token_id
        for ids in (answer["prompt_token_ids"], response.tokens.prompt_ids):
            assert rawmm.collapse_placeholders(ids, sidecar, token) == request["token_ids"]


def test_answers_are_those_of_the_layout(rollout: Rollout) -> None:
    for turn, (_, response) in enumerate(rollout.turns):
        sidecar, engine = described(rollout, turn), rollout.engine
        sent = engine.requests[turn]["token_ids"]
        for said in (engine.answers[turn], response, response.tokens):
            rawmm.check_engine_prompt(sidecar, sent, said)
        rawmm.check_engine_prompt(
            sidecar, response.tokens.renderer_prompt_ids, json.dumps(engine.answers[turn])
        )


def drop_range(answer: Any) -> None:
    answer["mm_placeholders"]["image"].pop()


def add_token(answer: Any) -> None:
    answer["prompt_token_ids"].append(1)


def reverse_ranges(answer: Any) -> None:
    answer["mm_placeholders"]["image"].reverse()


def rename_modality(answer: Any) -> None:
    answer["mm_placeholders"] = {"video": answer["mm_placeholders"]["image"]}


def drop_ranges(answer: Any) -> None:
    answer["mm_placeholders"] = None


def lengthen_range(answer: Any) -> None:
    answer["mm_placeholders"]["image"][-1]["length"] += 1


@pytest.mark.parametrize(
    "spoil", [drop_range, add_token, reverse_ranges, rename_modality, drop_ranges, lengthen_range]
)
def test_wrong_answer_is_refused(spoil: Callable[[Any], None], rollout: Rollout) -> None:
    answer = copy.deepcopy(rollout.engine.answers[-1])
    spoil(answer)
    sent = rollout.engine.requests[-1]["token_ids"]
    with pytest.raises(rawmm.ContractError) as raised:
        rawmm.check_engine_prompt(described(rollout, TURNS - 1), sent, answer)
    assert raised.value.path.startswith("$.response.")
    assert raised.value.hint


def test_answer_to_expanded_tokens_is_refused(rollout: Rollout) -> None:
    sidecar, engine = described(rollout, TURNS - 1), rollout.engine
    request = copy.deepcopy(engine.requests[-1])
    request["token_ids"] = engine.answers[-1]["prompt_token_ids"]
    # Each request takes the next of the engine's completions.
    again = dataclasses.replace(engine, requests=[], answers=[])
    with pytest.raises(rawmm.ContractError, match="expanded already"):
        rawmm.check_engine_prompt(sidecar, request["token_ids"], again.answer(request))


def test_our_graph_makes_the_same_branch_of_inline_turns(tmp_path: Path) -> None:
    rollout = run(tmp_path, stored=False)
    trace = rawmm.Trace(nodes=[])
    for prompt, response in rollout.turns:
        prepare_turn(trace, prompt).commit(response)
    rawmm.validate(trace)
    (branch,) = branches(trace)
    answer = rollout.engine.answers[-1]
    assert branch.token_ids == answer["prompt_token_ids"] + answer["choices"][0]["token_ids"]


def test_no_node_has_a_sidecar(rollout: Rollout) -> None:
    record = rollout.trace.model_dump(mode="json")
    assert not any("multi_modal_data" in node for node in record["nodes"])
