"""Requests of chat APIs as messages: what is read, what is refused, and where."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import rawmm
from rawmm import ContractError, RawMMError, messages_from_request, to_request
from rawmm.graph import prepare_turn
from rawmm.media import media_urls
from tests.cases import each
from tests.unit.dialects.bodies import (
    BODIES,
    CALL,
    FILE,
    IMAGE,
    PNG,
    REFUSED,
    anthropic,
    chat,
    reply,
    responses,
    user,
)


@pytest.mark.parametrize("name", BODIES)
def test_real_body_is_read_and_recognized(name: str) -> None:
    dialect, body = BODIES[name]
    before = copy.deepcopy(body)
    messages, tools = messages_from_request(body)
    assert (messages, tools) == messages_from_request(body, dialect=dialect)
    assert (messages, tools) == messages_from_request(json.dumps(body).encode())
    assert body == before
    assert rawmm.decode_json(rawmm.encode_json(messages), list[rawmm.Message]) == messages


@pytest.mark.parametrize("name", BODIES)
def test_real_body_returns(name: str) -> None:
    dialect, body = BODIES[name]
    messages, tools = messages_from_request(body)
    again = messages_from_request(to_request(messages, dialect, tools), dialect=dialect)
    assert again == (messages, tools)


@each("name", REFUSED)
def test_what_the_contract_cannot_say_is_refused_where_it_stands(name: str) -> None:
    dialect, body, code, path = REFUSED[name]
    before = copy.deepcopy(body)
    for given in (body, json.dumps(body).encode()):
        with pytest.raises(RawMMError) as caught:
            messages_from_request(given, dialect=dialect)
        assert (caught.value.code, caught.value.path) == (code, path)
    assert body == before


def only(body: Any, **options: Any) -> Any:
    (message,), _ = messages_from_request(body, **options)
    return message


@pytest.mark.parametrize("body", [chat(), responses()], ids=["chat", "responses"])
def test_developer_is_system(body: dict[str, Any]) -> None:
    body[next(reversed(body))].append({"role": "developer", "content": "a"})
    assert only(body) == rawmm.SystemMessage(content="a")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": PNG, "detail": "low"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"image_url": {"url": PNG, "detail": "low"}},
        {"type": "image", "image": PNG, "detail": "low"},
    ],
    ids=["string", "object", "untyped", "image"],
)
def test_image_of_chat_is_kept_with_its_detail(part: Any) -> None:
    (found,) = only(chat(user([part]))).content
    assert rawmm.to_builtins(found) == {
        "type": "image_url",
        "image_url": {"url": PNG, "detail": "low"},
    }


def test_image_of_responses_is_kept_with_its_detail() -> None:
    part = {"type": "input_image", "image_url": PNG, "detail": "low"}
    (found,) = only(responses(user([part]))).content
    assert (found.image_url.url, found.image_url.detail) == (PNG, "low")
    assert to_request([only(responses(user([part])))], "responses")["input"][0]["content"] == [part]


def test_screenshot_is_a_tool_message_and_returns() -> None:
    items = [
        {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": PNG},
        },
    ]
    messages, _ = messages_from_request(responses(*items))
    assert media_urls(messages[1]) == [PNG]
    assert to_request(messages, "responses") == {"input": items}


def test_thinking_of_chat_is_reasoning() -> None:
    assert only(chat(reply(content="a", thinking="b"))).reasoning_content == "b"


def test_image_sources_of_anthropic_return_as_they_were() -> None:
    sources = [
        {"type": "base64", "media_type": "image/png", "data": "iVBO"},
        {"type": "url", "url": FILE},
    ]
    blocks = [{"type": "image", "source": source} for source in sources]
    assert to_request([only(anthropic(user(blocks)))], "anthropic") == {"messages": [user(blocks)]}


def test_namespace_keeps_its_description() -> None:
    group = {
        "type": "namespace",
        "name": "n",
        "description": "d",
        "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
    }
    messages, tools = messages_from_request(responses(user("a"), tools=[group]))
    assert {tool.namespace for tool in tools} == {"n"}
    assert to_request(messages, "responses", tools)["tools"] == [group]


def test_credentials_of_servers_are_left_out() -> None:
    server = {"type": "mcp", "server_label": "s", "Authorization": "secret", "headers": {"a": "b"}}
    for body in (chat(tools=[server]), responses(tools=[server])):
        _, (tool,) = messages_from_request(body)
        assert rawmm.to_builtins(tool) == {"type": "mcp", "name": "s", "server_label": "s"}


def test_objects_of_the_contract_are_taken() -> None:
    message = rawmm.UserMessage(content="a")
    assert messages_from_request({"messages": [message]}) == ([message], [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed"),
        (b'{"messages": [], "messages": []}', "duplicate_key"),
        (b"[]", "wrong_type"),
        ("text", "wrong_type"),
        (None, "wrong_type"),
        ({}, "missing_field"),
        ({"messages": "a"}, "wrong_type"),
        ({"input": 1}, "wrong_type"),
        ({"messages": [{"role": "user", "content": b"a"}]}, "wrong_type"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "not_json"),
        ({"messages": {1, 2}}, "not_json"),
    ],
)
def test_other_bodies_are_refused(body: Any, code: str) -> None:
    with pytest.raises(RawMMError) as caught:
        messages_from_request(body)
    assert caught.value.code == code


class Hostile:
    """Every access raises."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


def _cycle() -> list[Any]:
    items: list[Any] = []
    items.append({"type": items, "content": items})
    return items


JUNK = {
    "number": 5,
    "NaN": float("nan"),
    "large integer": 10**30,
    "text": "\ud800",
    "bytes": b"abc",
    "list": [[1], {}],
    "object": {"type": ["text"], "role": {}, "pixel_values": [0.5]},
    "set": {1},
    "hostile": Hostile(),
    "cycle": _cycle(),
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, child in children:
        found.append((*path, key))
        if isinstance(child, dict | list):
            found += _places(child, (*path, key))
    return found


@each("junk", JUNK)
@each("name", BODIES)
def test_any_value_in_any_place_is_read_or_refused(name: str, junk: str) -> None:
    dialect, body = BODIES[name]
    for *parents, last in _places(body):
        changed = copy.deepcopy(body)
        owner: Any = changed
        for key in parents:
            owner = owner[key]
        owner[last] = JUNK[junk]
        for chosen in (dialect, None):
            try:
                messages, tools = messages_from_request(changed, dialect=chosen)
            except RawMMError:
                continue
            rawmm.encode_json(messages)
            rawmm.encode_json(tools)


def test_unknown_dialect_is_refused() -> None:
    for call in (
        lambda: to_request([], "gemini"),
        lambda: messages_from_request({}, dialect="gemini"),
    ):
        with pytest.raises(ContractError, match="one of the dialects 'anthropic', 'chat'"):
            call()


CONTRACT_CALL = {"id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("dialect", "messages", "path"),
    [
        ("anthropic", [user("a"), {"role": "system", "content": "b"}], "[1]"),
        ("anthropic", [reply(reasoning_content="a")], "[0].reasoning_content"),
        ("anthropic", [reply(provider_state=[{"id": "x"}])], "[0].provider_state[0]"),
        (
            "anthropic",
            [reply(tool_calls=[{**CONTRACT_CALL, "arguments": "ls"}])],
            "[0].tool_calls[0].arguments",
        ),
        (
            "anthropic",
            [reply(tool_calls=[{**CONTRACT_CALL, "type": "custom"}])],
            "[0].tool_calls[0].type",
        ),
        (
            "anthropic",
            [user([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}])],
            "[0].content[0].image_url.detail",
        ),
        (
            "anthropic",
            [{"role": "tool", "tool_call_id": "c", "content": "a", "name": "f"}],
            "[0].name",
        ),
        (
            "responses",
            [{"role": "tool", "tool_call_id": "c", "content": "a", "name": "f"}],
            "[0].name",
        ),
        ("responses", [reply(content="a"), reply(content="b")], "[1]"),
        (
            "responses",
            [reply(content="a", provider_state=[{"role": "assistant", "content": "b"}])],
            "[0].provider_state",
        ),
    ],
)
def test_what_a_dialect_cannot_say_is_refused(dialect: str, messages: Any, path: str) -> None:
    with pytest.raises(ContractError) as caught:
        to_request(messages, dialect)
    assert (caught.value.code, caught.value.path) == ("bad_value", f"$.messages{path}")


def test_custom_tool_is_refused_by_anthropic() -> None:
    with pytest.raises(ContractError) as caught:
        to_request([user("a")], "anthropic", [{"type": "custom", "name": "f"}])
    assert (caught.value.code, caught.value.path) == ("bad_value", "$.tools[0].type")


def test_invalid_message_is_refused_with_its_path() -> None:
    with pytest.raises(ContractError) as caught:
        to_request([user("a"), {"role": "user"}])
    assert (caught.value.code, caught.value.path) == ("missing_field", "$.messages[1]")


def test_turn_takes_the_messages_and_tools_of_a_chat_body() -> None:
    body = chat(
        {"role": "developer", "content": "be brief"},
        user([{"type": "text", "text": "a", "image_url": None}, IMAGE]),
        reply(content=None, refusal=None, tool_calls=[CALL]),
        {"role": "tool", "tool_call_id": "c", "content": "ok", "name": None},
        tools=[{"type": "function", "function": {"name": "f"}}],
    )
    messages, tools = messages_from_request(body)
    trace = rawmm.Trace(nodes=[])
    turn = prepare_turn(trace, body["messages"], body["tools"])
    assert (turn.prompt, turn.tools) == (messages, tools)
    turn.commit_prompt()
    # The next request repeats the messages.
    assert prepare_turn(trace, body["messages"], body["tools"]).tail == []
    assert prepare_turn(trace, messages, tools).tail == []


def test_turn_names_the_field_of_a_chat_message_that_it_cannot_say() -> None:
    prompt = [user("a"), reply(content=None, tool_calls=[CALL], audio={"id": "x"})]
    with pytest.raises(ContractError) as caught:
        prepare_turn(rawmm.Trace(nodes=[]), prompt)
    assert (caught.value.code, caught.value.path) == ("unknown_field", "$.prompt[1].audio")


def _recorded() -> list[dict[str, Any]]:
    root = Path(__file__).parents[3]
    lines = (root / "tests/data/requests/sdks.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


@each("record", _recorded(), ids=lambda record: str(record["what"]))
def test_no_image_of_a_recorded_request_is_lost(record: dict[str, Any]) -> None:
    try:
        messages, _ = messages_from_request(record["body"])
    except RawMMError:
        return
    assert sum(len(media_urls(message)) for message in messages) == record["images"]
