"""The released path, for the pair of verifiers and renderers that is installed."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import layouts
from rawmm.graph import branches, prepare_turn
from tests.integrations.engine.flow import TURNS, Rollout, build_engine, image_size, roll_out
from tests.integrations.engine.server import logprob_of

if TYPE_CHECKING:
    from collections.abc import Iterable
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
