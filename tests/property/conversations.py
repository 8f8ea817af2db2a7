"""Strategies for conversations that a dialect can say, and how they are compared."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

import rawmm

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAMES = st.sampled_from(["click", "type", "f"])
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=2)
URLS = st.sampled_from(
    ["data:image/png;base64,iVBO", "file:///i/a.png", "https://x.test/a.jpg", "data:text/plain,a"]
)
PLAIN = (TEXT, st.none())
DETAILED = (TEXT, st.none() | st.sampled_from(["low", "high"]))


def parts(details: Any) -> Any:
    image = st.builds(
        lambda url, detail: {
            "type": "image_url",
            "image_url": {"url": url, **({"detail": detail} if detail else {})},
        },
        URLS,
        details,
    )
    return st.lists(
        st.builds(lambda text: {"type": "text", "text": text}, TEXT) | image, max_size=3
    )


def calls(arguments: Any, kinds: Any) -> Any:
    return st.builds(
        lambda kind, name, space, arguments: {
            "type": kind,
            "name": name,
            **({"namespace": space} if space else {}),
            "arguments": arguments,
        },
        kinds,
        NAMES,
        st.none() | st.just("mcp"),
        arguments,
    )


STATES = {
    "chat": st.builds(lambda text: {"type": "reasoning.text", "text": text}, TEXT) | OBJECTS,
    "responses": None,
    "anthropic": st.builds(
        lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXT
    ),
}


@st.composite
def conversations(draw: st.DrawFn, dialect: str) -> list[dict[str, Any]]:
    """Messages that a dialect can say, as it reads them."""
    anthropic = dialect == "anthropic"
    content = TEXT | parts(st.none() if anthropic else DETAILED[1])
    arguments = OBJECTS.map(json.dumps) if anthropic else TEXT
    kinds = st.just("function") if anthropic else st.sampled_from(["function", "custom"])
    found: list[dict[str, Any]] = []
    if draw(st.booleans()):
        found.append({"role": "system", "content": draw(content.filter(lambda one: one != []))})
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        found.append({"role": "user", "content": draw(content)})
        if draw(st.booleans()):
            continue
        reply: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXT)}
        reply["tool_calls"] = draw(st.lists(calls(arguments, kinds), max_size=2))
        state = STATES[dialect]
        reply["provider_state"] = [] if state is None else draw(st.lists(state, max_size=2))
        thought = "".join(one.get("thinking", "") for one in reply["provider_state"])
        reply["reasoning_content"] = thought if anthropic else draw(TEXT)
        found.append(reply)
        for call in reply["tool_calls"]:
            number += 1
            call["id"] = f"call_{number}"
            answer = {"role": "tool", "tool_call_id": call["id"], "content": draw(content)}
            found.append({**answer, "name": call["name"]} if dialect == "chat" else answer)
    return [normal(one, dialect) for one in found]


def normal(one: dict[str, Any], dialect: str) -> dict[str, Any]:
    """A message in the one of several equal spellings that a dialect reads."""
    content = one.get("content")
    if dialect == "anthropic" and isinstance(content, list) and len(content) == 1:
        content = content[0].get("text", content)
    one = {**one, "content": content}
    if one["role"] != "assistant":
        return one
    state = one.get("provider_state")
    if dialect == "chat" and state and not one.get("reasoning_content"):
        texts = [detail.get("text") or detail.get("summary") for detail in state]
        one["reasoning_content"] = "\n".join(text for text in texts if text and type(text) is str)
    return {name: value for name, value in one.items() if value not in (None, "", [])}


def plain(messages: Any, dialect: str) -> list[dict[str, Any]]:
    return [normal(one, dialect) for one in rawmm.to_builtins(messages)]


TOOLS = st.lists(
    st.builds(
        lambda name, text, parameters: {
            "type": "function",
            "name": name,
            **({"description": text} if text else {}),
            "parameters": parameters,
        },
        NAMES,
        TEXT,
        OBJECTS,
    ),
    max_size=3,
    unique_by=lambda one: one["name"],
)


FREE = {"parameters", "input_schema", "reasoning_details"}
"""Fields whose values are the caller's own."""


def with_nulls(value: Any) -> Any:
    """Objects with null fields, as a table library fills them; free values unchanged."""
    if isinstance(value, list):
        return [with_nulls(one) for one in value]
    if not isinstance(value, dict) or value.get("type") == "thinking":
        return value
    filled = {
        name: child
        if name in FREE or (name == "input" and isinstance(child, dict))
        else with_nulls(child)
        for name, child in value.items()
    }
    return {**dict.fromkeys(["text", "image_url", "detail", "name", "content", "source"]), **filled}
