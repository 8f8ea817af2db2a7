"""`PendingTurn.commit` with a function that describes the media of a turn."""

from __future__ import annotations

from typing import Any

import pytest

import rawmm
from rawmm.errors import RawMMError, contract_error
from rawmm.graph import prepare_turn
from tests.unit.graph.turns import PAD, TYPES, new_trace, reply, response, sidecar, url, user

FIRST = [1, PAD, PAD, 2]
SECOND = [*FIRST, 90, 91, 1, PAD, PAD, PAD, 2]


def answer(prompt: list[int], ranges: Any, **tokens: Any) -> Any:
    return response(prompt, mm_placeholders=ranges, mm_token_type_id_map=TYPES, **tokens)


def describe(messages: list[Any], ranges: list[tuple[int, int]]) -> Any:
    numbers = [0, 1] if len(messages) > 2 else [0] if messages[0] == user("look", url(0)) else [1]
    return sidecar(*((number, *one) for number, one in zip(numbers, ranges, strict=True)))


def one_turn(trace: Any = None, describe: Any = describe) -> Any:
    trace = new_trace() if trace is None else trace
    turn = prepare_turn(trace, [user("look", url(0))])
    turn.commit(answer(FIRST, [(1, 2)], message_spans=[(0, 4)]), describe=describe)
    return trace


def commit_second(trace: Any, ranges: Any, describe: Any = describe) -> None:
    prompt = [user("look", url(0)), reply(), user(url(1), "again")]
    spans = [(0, 4), None, (6, 11)]
    prepare_turn(trace, prompt).commit(
        answer(SECOND, ranges, message_spans=spans), describe=describe
    )


def test_new_messages_and_their_ranges_are_described() -> None:
    calls: list[Any] = []

    def spy(messages: list[Any], ranges: Any) -> Any:
        calls.append((messages, ranges))
        return describe(messages, ranges)

    trace = one_turn(describe=spy)
    commit_second(trace, [(1, 2), (7, 3)], spy)
    assert calls == [
        ([user("look", url(0))], [(1, 2)]),
        ([user(url(1), "again")], [(7, 3)]),
    ]
    found = [node.multi_modal_data for node in trace.nodes]
    assert found == [sidecar((0, 1, 2)), None, sidecar((1, 7, 3)), None]


def test_function_that_empties_its_arguments_is_harmless() -> None:
    def emptying(messages: list[Any], ranges: Any) -> Any:
        made = describe(messages, ranges)
        messages.clear()
        ranges.clear()
        return made

    trace = one_turn(describe=emptying)
    assert trace.nodes[0].multi_modal_data == sidecar((0, 1, 2))


@pytest.mark.parametrize("ranges", [{"image": [{"offset": 1, "length": 2}]}, "<html>", [(1,)], 3])
def test_ranges_of_another_shape_have_a_hint(ranges: Any) -> None:
    turn = prepare_turn(new_trace(), [user("look", url(0))])
    with pytest.raises(RawMMError) as caught:
        turn.commit(answer(FIRST, ranges), describe=describe)
    assert caught.value.code == "wrong_type"
    assert caught.value.path.startswith("$.tokens.mm_placeholders")
    assert "offset" in (caught.value.hint or "")


def test_sidecar_of_the_response_is_not_described() -> None:
    trace = new_trace()
    given = answer(FIRST, [(1, 2)], multi_modal_data=sidecar((0, 1, 2)), message_spans=[(0, 4)])
    prepare_turn(trace, [user("look", url(0))]).commit(given, describe=lambda *_: 1 / 0)
    assert trace.nodes[0].multi_modal_data == sidecar((0, 1, 2))


def _raises_its_own(*_: Any) -> Any:
    raise contract_error(
        "bad_value", ("messages", 0, "content", 0), expected="x", got="y", hint="z"
    )


def _raises_of_a_range(*_: Any) -> Any:
    raise contract_error("bad_value", ("mm_placeholders", 0), expected="x", got="y", hint="z")


def _raises(*_: Any) -> Any:
    raise KeyError("iVBORw0KGgo")


DESCRIBERS = {
    "own_error": (_raises_its_own, "bad_value", "$.prompt[2].content[0]"),
    "own_error_of_a_range": (_raises_of_a_range, "bad_value", "$.tokens.mm_placeholders[1]"),
    "exception": (_raises, "describe_failed", "$.tokens.multi_modal_data"),
    "nothing": (lambda *_: None, "count_mismatch", "$.tokens.multi_modal_data"),
    "rubbish": (lambda *_: 7, "wrong_type", "$.tokens.multi_modal_data"),
    "too_many_items": (
        lambda *_: sidecar((0, 1, 2), (1, 7, 3)),
        "count_mismatch",
        "$.tokens.multi_modal_data",
    ),
    "other_ranges": (
        lambda *_: sidecar((1, 6, 3)),
        "placeholder_order",
        "$.tokens.multi_modal_data.mm_placeholders",
    ),
    "not_callable": (7, "wrong_type", "$.describe"),
}


@pytest.mark.parametrize("name", DESCRIBERS)
def test_wrong_describer_is_refused_and_the_trace_is_unchanged(name: str) -> None:
    describer, code, path = DESCRIBERS[name]
    trace = one_turn()
    stood = rawmm.encode_json(trace)
    with pytest.raises(RawMMError) as caught:
        commit_second(trace, [(1, 2), (7, 3)], describer)
    assert caught.value.code == code
    assert caught.value.path.startswith(path)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert rawmm.encode_json(trace) == stood


@pytest.mark.parametrize(
    ("ranges", "code", "path"),
    [
        ([(1, 2)], "count_mismatch", "$.tokens.mm_placeholders"),
        (None, "count_mismatch", "$.tokens.mm_placeholders"),
        ([(7, 3), (1, 2)], "placeholder_order", "$.tokens.mm_placeholders[1]"),
        ([(1, 3), (7, 3)], "media_mismatch", "$.tokens.mm_placeholders[0]"),
    ],
    ids=["one_too_few", "none", "out_of_order", "moved"],
)
def test_wrong_ranges_are_refused_and_the_trace_is_unchanged(
    ranges: Any, code: str, path: str
) -> None:
    trace = one_turn()
    stood = rawmm.encode_json(trace)
    with pytest.raises(RawMMError) as caught:
        commit_second(trace, ranges)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.hint
    assert rawmm.encode_json(trace) == stood
