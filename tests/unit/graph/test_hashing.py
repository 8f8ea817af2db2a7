"""`message_hash`: pinned digests, and what the hash includes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import pydantic
import pytest

import rawmm
from rawmm import (
    AssistantMessage,
    ContractError,
    Message,
    ProcessedPayloadError,
    SystemMessage,
    Tool,
    ToolMessage,
    UserMessage,
    convert,
)
from rawmm.graph import message_hash
from rawmm.graph.hashing import as_message, tools_hash
from tests.cases import each

URL = "file:///run/assets/images/" + "a" * 64 + ".png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
CALL = {"id": "call_0", "name": "click", "arguments": "{}"}


def assistant(content: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


PINNED: list[tuple[dict[str, Any], str]] = [
    ({"role": "system", "content": "You click."}, "42c309f3fd06143174405c624f9b4653"),
    ({"role": "user", "content": ""}, "340925e74444d0fa023eb707b853092f"),
    ({"role": "user", "content": "übersetze 日本語"}, "4908d2ba94cf82051ca3f70f013a57a2"),
    ({"role": "user", "content": []}, "b4a9a92ee79fa88037697809db0277ac"),
    (
        {"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]},
        "09e4d81ed8f880a4b131ffdaf4a3fa42",
    ),
    (assistant(), "9f7d408ee618b5c30cf569adad948dec"),
    (assistant("done", reasoning_content=""), "05bd7d90e82e42c482e1b537616ab079"),
    (assistant("done", reasoning_content="first I look"), "5e39e110d25c3b33595eac7c63721c5d"),
    (
        assistant(tool_calls=[CALL | {"arguments": '{"y": 2, "x": [1.0, true, null]}'}]),
        "ba5c8af42bb2a6294e321d8a8f769be2",
    ),
    (
        assistant(
            tool_calls=[
                {
                    "id": "call_0",
                    "type": "custom",
                    "name": "sh",
                    "namespace": "os",
                    "arguments": '{ "b": 1 }',
                },
                {"id": "call_1", "name": "click", "arguments": "not json"},
            ]
        ),
        "4c27e98731f231a640e78c8440efe22b",
    ),
    (
        assistant(
            "ok",
            provider_state=[
                {"type": "reasoning", "encrypted_content": "gAAA", "summary": [{"text": "x"}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "ok"},
                        {"type": "refusal", "refusal": "no"},
                    ],
                },
            ],
        ),
        "e946ea22b53bca401a05f09f403044c7",
    ),
    (
        assistant(
            tool_calls=[CALL],
            provider_state=[
                {"type": "function_call", "call_id": "call_0", "name": "click"},
                {"type": "function_call", "call_id": "call_9", "name": "click"},
                {"type": "web_search_call", "action": {"q": "é"}},
                {"role": "assistant", "phase": "final"},
                {"data": [1, 2.5]},
            ],
        ),
        "bfbf48eb8492d5881eaf9466768787bc",
    ),
    (
        {"role": "tool", "tool_call_id": "call_0", "content": "clicked", "name": "click"},
        "d5a04541361faebde462f869fd474c40",
    ),
    (
        {"role": "tool", "tool_call_id": "call_0", "content": [IMAGE]},
        "3994fc4b14cf1a8875c43840ba386354",
    ),
]
"""Messages, and what verifiers 0.4.0 makes of them."""


@pytest.mark.parametrize(("document", "digest"), PINNED)
def test_digests_equal_those_of_verifiers(document: dict[str, Any], digest: str) -> None:
    assert message_hash(document) == digest
    assert message_hash(convert(document, Message)) == digest


def test_digests_of_tools_are_pinned() -> None:
    click = Tool(name="click")
    other = Tool(
        name="type",
        description="Types.",
        parameters={"type": "object", "properties": {"b": {}, "a": {}}},
        strict=True,
    )
    assert tools_hash([]) == "7ebb3c7c2a87b1a2f8a7ed729ecb040d"
    assert tools_hash([click, other]) == "8fc116dea148ea2f6ab77a3036501d4b"
    assert tools_hash([other, click]) == "cbe63828617f65d0a02f4fb3009f5a6b"
    # Defaults, stated.
    spelled = Tool(type="function", name="click", namespace=None, description="", strict=None)
    assert tools_hash([spelled, other]) == tools_hash([click, other])


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no content", {"role": "assistant"}, assistant("")),
    ("null content", assistant(None), assistant("")),
    ("null reasoning", assistant("x"), assistant("x", reasoning_content=None)),
    ("no calls", assistant("x"), assistant("x", tool_calls=[])),
    ("null calls", assistant("x"), assistant("x", tool_calls=None)),
    ("no state", assistant("x"), assistant("x", provider_state=[])),
    (
        "state that typed fields say",
        assistant("x"),
        assistant(
            "x",
            provider_state=[
                {"type": "message", "content": [{"type": "output_text", "text": "x"}]},
                {"role": "assistant", "content": "x"},
                {"type": "reasoning", "summary": ["s"], "encrypted_content": None},
            ],
        ),
    ),
    (
        "a native call that a typed one repeats",
        assistant(tool_calls=[CALL]),
        assistant(
            tool_calls=[CALL],
            provider_state=[{"type": "function_call", "call_id": "call_0", "id": "fc"}],
        ),
    ),
    (
        "spacing and key order of arguments",
        assistant(tool_calls=[CALL | {"arguments": '{"a":1,"b":2}'}]),
        assistant(tool_calls=[CALL | {"arguments": '{ "b": 2,\n "a": 1 }'}]),
    ),
    (
        "the kind and the namespace that go without saying",
        assistant(tool_calls=[CALL]),
        assistant(tool_calls=[CALL | {"type": "function", "namespace": None}]),
    ),
    (
        "key order in state",
        assistant(provider_state=[{"type": "x", "a": 1, "b": 2}]),
        assistant(provider_state=[{"b": 2, "a": 1, "type": "x"}]),
    ),
    (
        "the name of a tool's answer",
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "tool", "tool_call_id": "c", "content": "x", "name": "click"},
    ),
    (
        "the detail of an image",
        {"role": "user", "content": [IMAGE]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}],
        },
    ),
]


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in SAME], ids=[p[0] for p in SAME])
def test_equivalent_messages_have_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert message_hash(one) == message_hash(other)


def say(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


DIFFERENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("role", say("x"), {"role": "system", "content": "x"}),
    ("text", say("x"), say("x ")),
    (
        "text and a part of text",
        say("x"),
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ),
    ("no text and no parts", say(""), {"role": "user", "content": []}),
    (
        "where parts are cut",
        {
            "role": "user",
            "content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "bc"}],
        },
    ),
    (
        "a URL as text",
        {"role": "user", "content": [IMAGE]},
        {"role": "user", "content": [{"type": "text", "text": URL}]},
    ),
    (
        "order of images",
        {
            "role": "user",
            "content": [IMAGE, {"type": "image_url", "image_url": {"url": "file:///b"}}],
        },
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "file:///b"}}, IMAGE],
        },
    ),
    ("empty reasoning", assistant("x"), assistant("x", reasoning_content="")),
    ("reasoning", assistant("x"), assistant("x", reasoning_content="why")),
    ("a call", assistant(), assistant(tool_calls=[CALL])),
    ("its id", assistant(tool_calls=[CALL]), assistant(tool_calls=[CALL | {"id": "call_1"}])),
    ("its name", assistant(tool_calls=[CALL]), assistant(tool_calls=[CALL | {"name": "type"}])),
    (
        "its namespace",
        assistant(tool_calls=[CALL]),
        assistant(tool_calls=[CALL | {"namespace": "os"}]),
    ),
    ("its kind", assistant(tool_calls=[CALL]), assistant(tool_calls=[CALL | {"type": "custom"}])),
    (
        "its arguments",
        assistant(tool_calls=[CALL]),
        assistant(tool_calls=[CALL | {"arguments": '{"x": 1}'}]),
    ),
    (
        "numbers that JSON tells apart",
        assistant(tool_calls=[CALL | {"arguments": '{"x": 1}'}]),
        assistant(tool_calls=[CALL | {"arguments": '{"x": 1.0}'}]),
    ),
    (
        "spacing of arguments that are no JSON",
        assistant(tool_calls=[CALL | {"arguments": "a b"}]),
        assistant(tool_calls=[CALL | {"arguments": "a  b"}]),
    ),
    (
        "spacing of a custom tool's input",
        assistant(tool_calls=[CALL | {"type": "custom", "arguments": '{"a":1}'}]),
        assistant(tool_calls=[CALL | {"type": "custom", "arguments": '{"a": 1}'}]),
    ),
    (
        "an item that no typed field says",
        assistant("x"),
        assistant("x", provider_state=[{"type": "web_search_call"}]),
    ),
    (
        "a native call that no typed one repeats",
        assistant(tool_calls=[CALL]),
        assistant(
            tool_calls=[CALL], provider_state=[{"type": "function_call", "call_id": "call_7"}]
        ),
    ),
    (
        "a refusal",
        assistant("x"),
        assistant("x", provider_state=[{"type": "message", "content": [{"type": "refusal"}]}]),
    ),
    (
        "a part of native content that is no object",
        assistant("x"),
        assistant("x", provider_state=[{"type": "message", "content": ["text"]}]),
    ),
    *(
        (
            f"{name} of state",
            assistant("x", provider_state=[{"type": "reasoning", name: "one"}]),
            assistant("x", provider_state=[{"type": "reasoning", name: "two"}]),
        )
        for name in ("encrypted_content", "signature", "data", "phase")
    ),
    (
        "the kind of state",
        assistant("x", provider_state=[{"type": "reasoning", "data": 1}]),
        assistant("x", provider_state=[{"type": "message", "data": 1}]),
    ),
    (
        "true and one in state",
        assistant("x", provider_state=[{"type": "reasoning", "data": True}]),
        assistant("x", provider_state=[{"type": "reasoning", "data": 1}]),
    ),
    (
        "the call that a tool answers",
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "tool", "tool_call_id": "b", "content": "x"},
    ),
]


@each(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[p[0] for p in DIFFERENT])
def test_different_messages_have_different_hashes(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert message_hash(one) != message_hash(other)


def test_item_whose_type_is_not_a_string_is_hashed() -> None:
    odd = [{"type": {"b": 1, "a": 2}}], [{"type": {"a": 2, "b": 1}}], [{"type": ["x"]}]
    one, same, other = (message_hash(assistant("x", provider_state=state)) for state in odd)
    assert one == same != other


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_arguments_nested_without_end_do_not_crash(opening: str) -> None:
    deep = opening * 200_000
    one = message_hash(assistant(tool_calls=[CALL | {"arguments": deep}]))
    assert one == message_hash(assistant(tool_calls=[CALL | {"arguments": deep}]))
    assert one != message_hash(assistant(tool_calls=[CALL | {"arguments": deep + " "}]))


def test_number_too_long_to_read_is_text() -> None:
    long = "1" * (sys.get_int_max_str_digits() + 1)
    spaced = message_hash(assistant(tool_calls=[CALL | {"arguments": f" {long}"}]))
    assert spaced != message_hash(assistant(tool_calls=[CALL | {"arguments": long}]))


def test_escaped_surrogates_in_arguments_are_hashed() -> None:
    arguments = json.dumps({"emoji": "\ud83d"})
    assert len(message_hash(assistant(tool_calls=[CALL | {"arguments": arguments}]))) == 32


def test_every_form_of_a_message_has_one_hash() -> None:
    class Model(pydantic.BaseModel):
        role: str
        content: str

    @dataclass
    class Plain:
        role: str = "user"
        content: list[dict[str, Any]] = field(default_factory=lambda: [IMAGE])

    struct = UserMessage(content="x")
    assert as_message(struct) is struct
    assert message_hash(Model(role="user", content="x")) == message_hash(struct)
    assert message_hash(Plain()) == message_hash({"role": "user", "content": [IMAGE]})


def test_message_of_every_role_is_returned_unchanged() -> None:
    for struct in (
        SystemMessage(content="x"),
        UserMessage(content="x"),
        AssistantMessage(content="x"),
        ToolMessage(tool_call_id="c", content="x"),
    ):
        assert as_message(struct) is struct


def test_other_value_as_message_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        message_hash({"role": "bot", "content": "x"})
    assert (caught.value.code, caught.value.path) == ("unknown_tag", "$.role")
    odd: list[Any] = [None, "x", 5, [], rawmm.Trace(nodes=[]), {"role": "user"}]
    for value in odd:
        with pytest.raises(ContractError):
            message_hash(value)
    with pytest.raises(ProcessedPayloadError) as refused:
        message_hash(assistant(provider_state=[{"x": float("nan")}]))
    assert (refused.value.code, refused.value.path) == ("not_json", "$.provider_state[0].x")
