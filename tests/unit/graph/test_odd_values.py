"""Odd objects, assigned anywhere or passed as arguments, lead to a value or a `RawMMError`."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from rawmm import (
    RawMMError,
    Tool,
    Trace,
    TurnTokens,
    build_mm_refs,
    decode_msgpack,
    encode_msgpack,
)
from rawmm.graph import branches, leaves, message_hash, prepare_turn, reindex
from rawmm.graph.sidecar import first_mismatch, media_count, merge, split_by_message
from rawmm.trainer import sample_from
from tests.cases import each, every
from tests.unit.graph.test_commit_errors import good, routing
from tests.unit.graph.turns import PAD, TYPES, history_of, sidecar, url, user, with_images
from tests.unit.graph.zoo import MAKERS, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY = 37
"""Each place gets every 37th object, other places other ones, so all are tried in several."""


class Tried:
    """Calls functions on odd values and counts the outcomes."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def call(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            value = function(*args, **kwargs)
        except RawMMError as error:
            self.outcomes["refused" if error.path.startswith("$") else "lost"] += 1
            return None
        except Exception as error:  # noqa: BLE001
            pytest.fail(f"{what}: {type(error).__name__}: {error}")
        self.outcomes["taken"] += 1
        return value


def rollout() -> bytes:
    trace = with_images()
    trace.nodes[1].loss_weights = {"rl": [1.0] * len(trace.nodes[1].token_ids)}
    trace.nodes[0].tools = [Tool(name="click")]
    return encode_msgpack(trace)


def odd_places(build: Callable[[], Any]) -> Iterator[tuple[str, Any, Callable[[], Any]]]:
    """Values of `build` with one odd object assigned: its name, its place, the value before."""
    numbers = count()
    for index, (place, _) in enumerate(places(build())):
        for name, make in MAKERS.items():
            if next(numbers) % EVERY:
                continue
            value = build()

            def assign(index: int = index, value: Any = value, make: Any = make) -> Any:
                list(places(value))[index][1](make())
                return value

            yield f"{place} = {name}", value, assign


def ask(tried: Tried, what: str, trace: Trace, prompt: list[Any]) -> None:
    tried.call(what, leaves, trace)
    for branch in tried.call(what, branches, trace) or ():
        for name in ("token_ids", "mask", "logprobs", "multi_modal_data", "messages", "tools"):
            tried.call(f"{name} of {what}", getattr, branch, name)
        tried.call(what, sample_from, branch, image_dir="/x")
    tried.call(what, prepare_turn, trace, prompt)


def test_odd_objects_in_a_trace_give_a_value_or_an_error() -> None:
    data = rollout()
    prompt = [*history_of(with_images()), user(url(2))]
    tried = Tried()
    for what, trace, assign in odd_places(lambda: decode_msgpack(data, Trace)):
        turn = prepare_turn(trace, prompt)
        try:
            assign()
        except RawMMError:
            continue
        if what.endswith("UNSET"):
            continue  # not a value of a required field
        ask(tried, what, trace, prompt)
        for name in ("previous_token_ids", "previous_renderer_token_ids"):
            tried.call(f"{name} of {what}", getattr(turn, name))
        tried.call(what, turn.previous_multi_modal_data)
        tried.call(what, turn.commit, good())
        tried.call(what, turn.commit_prompt)
    assert tried.outcomes["refused"] > 800
    assert tried.outcomes["taken"] > 800


def test_odd_objects_in_a_sidecar_give_a_value_or_an_error() -> None:
    media = (0, 1, 2), (1, 7, 3), (2, 14, 1)
    prompt = [*history_of(with_images()), user(url(2))]
    tried = Tried()
    for what, _, assign in odd_places(lambda: sidecar(*media)):
        if what.endswith("UNSET"):
            continue
        odd = assign()
        tried.call(what, merge, [odd])
        tried.call(what, split_by_message, odd, prompt)
        tried.call(what, first_mismatch, [odd], sidecar(*media), prompt)
        tried.call(what, first_mismatch, [sidecar(*media[:1])], odd, prompt[:1])
        tried.call(what, build_mm_refs, odd, image_dir="/x")
        trace = with_images()
        tried.call(what, prepare_turn(trace, prompt).commit, good(multi_modal_data=odd))
    assert tried.outcomes["refused"] > 200


@each("name", MAKERS)
def test_odd_arguments_give_a_value_or_an_error(name: str) -> None:
    make, tried = MAKERS[name], Tried()
    trace = with_images()
    prompt = [*history_of(trace), user(url(2))]
    one = sidecar((0, 1, 2))
    for function in (leaves, branches, message_hash, reindex, merge, media_count, build_mm_refs):
        tried.call(function.__name__, function, make())
    tried.call("sample_from", sample_from, make())
    tried.call("prepare_turn", prepare_turn, make(), [])
    tried.call("prompt", prepare_turn, trace, make())
    tried.call("prompt", prepare_turn, trace, [make()])
    tried.call("tools", prepare_turn, trace, prompt, make())
    tried.call("tools", prepare_turn, trace, prompt, [make()])
    tried.call("merge", merge, [one, make()])
    tried.call("split_by_message", split_by_message, make(), prompt)
    tried.call("split_by_message", split_by_message, one, make())
    tried.call("split_by_message", split_by_message, one, [make()])
    tried.call("first_mismatch", first_mismatch, make(), one, prompt)
    tried.call("first_mismatch", first_mismatch, [make()], one, prompt)
    tried.call("first_mismatch", first_mismatch, [], make(), prompt)
    tried.call("first_mismatch", first_mismatch, [], one, make())
    tried.call("spread", branches(trace)[0].spread, make())
    turn = prepare_turn(trace, prompt)
    tried.call("spans", turn.prompt_message_spans, make())
    tried.call("spans", turn.prompt_message_spans, SimpleNamespace(message_indices=make()))
    tried.call("commit", turn.commit, make())
    assert sum(tried.outcomes.values()) == 25


@every(3)
@each("name", MAKERS)
def test_odd_objects_in_a_response_give_a_value_or_an_error(name: str, step: int) -> None:
    """Each place gets every object, or one of `step`; the next place gets the next ones."""
    make, tried = MAKERS[name], Tried()
    numbers = count(list(MAKERS).index(name))
    trace = with_images()
    prompt = [*history_of(trace), user(url(2))]
    before = encode_msgpack(trace)

    def commit(what: str, response: Any, **kwargs: Any) -> None:
        nonlocal trace, before
        if next(numbers) % step:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried.call(what, prepare_turn(trace, prompt).commit, response, **kwargs)
        if len(trace.nodes) > 4:
            encode_msgpack(trace)  # accepted values obey the contract
            trace = with_images()
            before = encode_msgpack(trace)
        assert encode_msgpack(trace) == before

    for field in ("message", "finish_reason", "usage", "tokens"):
        answer = good()
        setattr(answer, field, make())
        commit(field, answer)
    for token_field in dataclasses.fields(TurnTokens):
        answer = good()
        setattr(answer.tokens, token_field.name, make())
        commit(token_field.name, answer)
    for key in ("data", "shape", "start", "dtype"):
        commit(f"routing {key}", good(routed_experts=routing(18) | {key: make()}))
    commit("logprob_floor", good(), logprob_floor=make())
    commit("a map of", good(mm_token_type_id_map={PAD: make()}))
    assert TYPES == {PAD: 1}


@pytest.mark.parametrize("kind", [list, tuple, dict, set, str])
def test_mock_as_prompt_is_refused(kind: type) -> None:
    with pytest.raises(RawMMError) as caught:
        prepare_turn(with_images(), mock.MagicMock(spec=kind))
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$.prompt")
