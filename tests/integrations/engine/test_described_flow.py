"""The released path with sidecars that `describe_prompt` makes; none is made by test code."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import ContractError, describe_prompt, layouts
from rawmm.graph import branches, prepare_turn
from tests.integrations.engine.flow import TURNS, Rollout
from tests.integrations.engine.test_flow import rollout  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUT = layouts.get("qwen_vl")


def commit_all(rollout: Rollout, describe: Any) -> rawmm.Trace:  # noqa: F811
    trace = rawmm.Trace(nodes=[])
    for prompt, response in rollout.turns:
        prepare_turn(trace, prompt).commit(response, describe=describe)
    return trace


def said(rollout: Rollout) -> list[tuple[int, int]]:  # noqa: F811
    ranges = rollout.engine.answers[-1]["mm_placeholders"]["image"]
    return [(one["offset"], one["length"]) for one in ranges]


def test_commit_describes_what_the_engine_said(rollout: Rollout) -> None:  # noqa: F811
    trace = commit_all(rollout, partial(describe_prompt, layout=LAYOUT))
    rawmm.validate(trace)
    (branch,) = branches(trace)
    sidecar = branch.multi_modal_data
    assert sidecar is not None
    found = sidecar.mm_placeholders["image"]
    assert [(one.offset, one.length) for one in found] == said(rollout)
    assert [node.multi_modal_data is not None for node in trace.nodes] == [True, False] * TURNS


def test_sidecars_of_turns_are_that_of_the_whole_prompt(rollout: Rollout) -> None:  # noqa: F811
    (branch,) = branches(commit_all(rollout, partial(describe_prompt, layout=LAYOUT)))
    prompt, _ = rollout.turns[-1]
    in_answer = rollout.engine.answers[-1]["mm_placeholders"]
    assert describe_prompt(prompt, in_answer, LAYOUT) == branch.multi_modal_data


def test_each_image_is_described_once(rollout: Rollout) -> None:  # noqa: F811
    calls: list[tuple[list[Any], list[tuple[int, int]]]] = []

    def describe(messages: list[Any], ranges: list[tuple[int, int]]) -> Any:
        calls.append((messages, ranges))
        return describe_prompt(messages, ranges, LAYOUT)

    commit_all(rollout, describe)
    assert [ranges for _, ranges in calls] == [[one] for one in said(rollout)]


def _too_long(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [*ranges[:-1], (ranges[-1][0], ranges[-1][1] + 1)]


@pytest.mark.parametrize(
    "spoil",
    [lambda ranges: ranges[:-1], _too_long, lambda ranges: ranges[::-1], lambda _: None],
    ids=["one_too_few", "one_token_too_long", "out_of_order", "none"],
)
def test_wrong_ranges_are_refused_and_the_trace_is_unchanged(
    spoil: Callable[[Any], Any],
    rollout: Rollout,  # noqa: F811
) -> None:
    trace = rawmm.Trace(nodes=[])
    describe = partial(describe_prompt, layout=LAYOUT)
    *before, (prompt, response) = rollout.turns
    for one, answer in before:
        prepare_turn(trace, one).commit(answer, describe=describe)
    stood = rawmm.encode_json(trace)
    tokens = response.tokens.model_copy(
        update={"mm_placeholders": spoil(list(response.tokens.mm_placeholders))}
    )
    turn = prepare_turn(trace, prompt)
    with pytest.raises(ContractError) as raised:
        turn.commit(response.model_copy(update={"tokens": tokens}), describe=describe)
    assert raised.value.path.startswith("$.tokens.")
    assert raised.value.hint
    assert rawmm.encode_json(trace) == stood
    turn.commit(response, describe=describe)
