"""Per-token streams of a response: arrays, and minus infinity with and without a floor."""

from __future__ import annotations

import array
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rawmm import NonFiniteLogprobWarning, ProcessedPayloadError, RawMMError, encode_msgpack
from rawmm.graph import prepare_turn
from rawmm.graph.alignment import Alignment
from tests.unit.graph.turns import new_trace, play, response, user

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = [user("a")]
INF = float("inf")


class Tensor:
    """Like torch's: `tolist`, `shape`, an array protocol, and its own names of types."""

    def __init__(self, values: list[Any], dtype: str = "torch.float32") -> None:
        self.values, self.dtype, self.shape = values, dtype, (len(values),)

    def __len__(self) -> int:
        return len(self.values)

    def tolist(self) -> list[Any]:
        return list(self.values)

    def __dlpack__(self) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("ids", "logprobs"),
    [
        (np.array([90, 91], dtype=np.int32), np.array([-0.1, -0.2], dtype=np.float32)),
        (np.array([90, 91], dtype=np.uint64), np.array([-0.5, -0.25])),
        (array.array("i", [90, 91]), array.array("d", [-0.5, -0.25])),
        (Tensor([90, 91], "torch.int64"), Tensor([-0.5, -0.25])),
        ((90, 91), np.array([-1, -2])),
        (memoryview(array.array("q", [90, 91])), memoryview(array.array("f", [-0.5, -0.25]))),
    ],
)
def test_arrays_are_taken_by_value(ids: Any, logprobs: Any) -> None:
    trace = new_trace()
    play(
        trace,
        PROMPT,
        response(
            np.array([1, 2]),
            ids,
            completion_logprobs=logprobs,
            is_content=np.array([True, False]),
            message_spans=[(0, 2)],
        ),
    )
    node = trace.nodes[1]
    assert trace.nodes[0].token_ids == [1, 2]
    assert trace.nodes[0].is_content == [True, False]
    assert node.token_ids == [90, 91]
    assert {type(one) for one in node.logprobs} == {float}
    assert node.logprobs == list(map(float, logprobs.tolist()))
    encode_msgpack(trace)


@pytest.mark.parametrize(
    ("field", "value", "code", "path"),
    [
        ("prompt_ids", np.zeros((2, 2), dtype=int), "array_payload", "$.tokens.prompt_ids"),
        ("prompt_ids", np.array([1.0, 2.0]), "wrong_type", "$.tokens.prompt_ids[0]"),
        ("prompt_ids", np.array([1, -2]), "out_of_range", "$.tokens.prompt_ids[1]"),
        ("prompt_ids", np.array(["a"]), "array_payload", "$.tokens.prompt_ids"),
        ("prompt_ids", np.array([{}], dtype=object), "array_payload", "$.tokens.prompt_ids"),
        ("prompt_ids", b"ab", "array_payload", "$.tokens.prompt_ids"),
        ("prompt_ids", [1, True], "wrong_type", "$.tokens.prompt_ids[1]"),
        ("prompt_ids", {1: 2}, "wrong_type", "$.tokens.prompt_ids"),
        ("is_content", np.array([1, 0]), "wrong_type", "$.tokens.is_content[0]"),
        ("completion_logprobs", np.array([0.5, np.nan]), "not_json", "$.tokens.completion_logprobs[1]"),
    ],
)  # fmt: skip
def test_other_value_as_stream_is_refused(field: str, value: Any, code: str, path: str) -> None:
    answer = response([1, 2])
    setattr(answer.tokens, field, value)
    with pytest.raises(RawMMError) as caught:
        play(new_trace(), PROMPT, answer)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_prefix_does_not_match_floats() -> None:
    """1.0, True and 1 are equal in Python."""
    trace = new_trace()
    play(trace, PROMPT, response([1, 2], message_spans=[(0, 2)]))
    for ids in ([1.0, 2, 90, 91], [True, 2, 90, 91]):
        with pytest.raises(RawMMError) as caught:
            play(trace, PROMPT, response(ids, message_spans=[(0, 2)]))
        assert caught.value.path == "$.tokens.prompt_ids[0]"


class TestFloor:
    def answer(self, *logprobs: Any) -> Any:
        return response([1], list(range(90, 90 + len(logprobs))), completion_logprobs=logprobs)

    def test_minus_infinity_is_refused_with_a_hint(self) -> None:
        with pytest.raises(ProcessedPayloadError) as caught:
            play(new_trace(), PROMPT, self.answer(-0.5, -INF))
        assert caught.value.code == "not_json"
        assert caught.value.path == "$.tokens.completion_logprobs[1]"
        assert "logprob_floor" in str(caught.value)

    @pytest.mark.parametrize("make", [list, np.array])
    def test_floor_replaces_minus_infinity_with_a_warning(self, make: Callable[[Any], Any]) -> None:
        trace = new_trace()
        answer = self.answer(-0.5, -INF, -INF)
        answer.tokens.completion_logprobs = make([-0.5, -INF, -INF])
        with pytest.warns(NonFiniteLogprobWarning, match=r"\$\.tokens\.completion_logprobs: 2 "):
            prepare_turn(trace, PROMPT).commit(answer, logprob_floor=-9999)
        assert trace.nodes[1].logprobs == [-0.5, -9999.0, -9999.0]
        encode_msgpack(trace)

    def test_finite_logprobs_cause_no_warning(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prepare_turn(new_trace(), PROMPT).commit(self.answer(-0.5), logprob_floor=-9999.0)

    @pytest.mark.parametrize("value", [INF, float("nan")])
    def test_nothing_else_is_replaced(self, value: float) -> None:
        turn = prepare_turn(new_trace(), PROMPT)
        with pytest.raises(RawMMError) as caught:
            turn.commit(self.answer(value), logprob_floor=-9999.0)
        assert caught.value.code == "not_json"

    @pytest.mark.parametrize("floor", [INF, -INF, float("nan"), 1.0, True, "-1", 10**400])
    def test_invalid_floor_is_refused(self, floor: Any) -> None:
        with pytest.raises(RawMMError) as caught:
            prepare_turn(new_trace(), PROMPT).commit(self.answer(-0.5), logprob_floor=floor)
        assert caught.value.code == "bad_value"

    def test_warning_that_is_an_error_changes_nothing(self) -> None:
        trace = new_trace()
        before = encode_msgpack(trace)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            turn = prepare_turn(trace, PROMPT, [{"name": "click"}])
            with pytest.raises(NonFiniteLogprobWarning):
                turn.commit(self.answer(-INF), logprob_floor=-1.0)
        assert encode_msgpack(trace) == before


class Counting(list[int]):
    """Counts searches of the whole list."""

    searched = 0

    def index(self, *args: Any) -> int:
        Counting.searched += 1
        return super().index(*args)

    def count(self, value: Any) -> int:
        Counting.searched += 1
        return super().count(value)


def test_alignment_does_not_search_the_prompt_for_each_medium() -> None:
    renderer = Counting([*range(100), 500])
    aligned = Alignment(renderer, [*range(100), 500, 500], range(500, 10_500), [(100, 2)])
    assert aligned.span(0, 101) == (0, 102)
    assert Counting.searched == 0


def test_spans_do_not_search_the_prompt_for_each_message() -> None:
    turn = prepare_turn(new_trace(), [user(str(i)) for i in range(50)])
    indices = Counting([i // 2 for i in range(100)])
    spans = turn.prompt_message_spans(SimpleNamespace(message_indices=indices))
    assert spans == [(2 * i, 2 * i + 2) for i in range(50)]
    assert Counting.searched == 0
