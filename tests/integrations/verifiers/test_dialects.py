"""`messages_from_request` reads what the dialects of the installed verifiers read."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest
from anthropic.types import MessageParam
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter, ValidationError
from verifiers.v1.dialects import AnthropicDialect, ChatDialect, ResponsesDialect
from verifiers.v1.graph import message_hash as verifiers_hash

import rawmm
from rawmm import messages_from_request, to_request
from rawmm.graph import message_hash
from rawmm.graph.hashing import tools_hash
from rawmm.integrations.verifiers import from_verifiers
from tests.property.conversations import TOOLS, conversations, with_nulls
from tests.unit.dialects.bodies import BODIES

DIALECTS: Final[dict[str, Any]] = {
    "chat": ChatDialect(),
    "responses": ResponsesDialect(),
    "anthropic": AnthropicDialect(),
}


def read_by_verifiers(body: Any, dialect: str) -> tuple[list[Any], list[Any]]:
    request = DIALECTS[dialect].parse_request(copy.deepcopy(body))
    return request.messages, request.tools or []


def without_nulls(value: Any) -> Any:
    """A message without what verifiers fills in, or does not have: nulls, and image details."""
    document = rawmm.to_builtins(value)
    for part in document["content"] if isinstance(document.get("content"), list) else ():
        part.get("image_url", {}).pop("detail", None)
    for call in document.get("tool_calls") or ():
        if call.get("namespace") is None:
            call.pop("namespace", None)
    return {name: child for name, child in document.items() if child is not None}


def assert_read_alike(body: Any, dialect: str) -> None:
    messages, tools = messages_from_request(body, dialect=dialect)
    theirs, their_tools = read_by_verifiers(body, dialect)
    assert list(map(without_nulls, messages)) == list(map(without_nulls, from_verifiers(theirs)))
    assert list(map(message_hash, messages)) == list(map(verifiers_hash, theirs))
    assert len(tools) == len(their_tools)
    assert tools_hash(tools) == tools_hash(from_verifiers(their_tools))


@pytest.mark.parametrize("name", BODIES)
def test_body_is_read_as_verifiers_reads_it(name: str) -> None:
    dialect, body = BODIES[name]
    assert_read_alike(body, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
def test_any_body_is_read_as_verifiers_reads_it(dialect: str, data: st.DataObject) -> None:
    messages = data.draw(conversations(dialect))
    if dialect == "anthropic":  # verifiers drops an empty message
        messages = [one for one in messages if one.get("content") != []]
    body = to_request(messages, dialect, data.draw(TOOLS))
    assert_read_alike(body, dialect)
    if dialect != "responses":  # replies keep their items, with the nulls
        filled = with_nulls(body)
        try:
            read_by_verifiers(filled, dialect)
        except (ValidationError, KeyError, AttributeError, TypeError):
            return  # verifiers takes null for a value
        assert_read_alike(filled, dialect)


@pytest.mark.parametrize(
    ("dialect", "items", "kind"),
    [
        ("chat", "messages", ChatCompletionMessageParam),
        ("responses", "input", ResponseInputItemParam),
        ("anthropic", "messages", MessageParam),
    ],
)
@given(data=st.data())
def test_written_items_have_the_types_of_the_sdk(
    dialect: str, items: str, kind: Any, data: st.DataObject
) -> None:
    body = to_request(data.draw(conversations(dialect)), dialect)
    adapter = TypeAdapter(kind)
    for item in body[items]:
        if item.get("type") == "reasoning":
            item["id"] = "rs"  # given by the provider; messages do not have it
        for part in item.get("content") or item.get("output") or ():
            if dialect == "responses" and isinstance(part, dict):
                part.setdefault("detail", "auto")  # required by the types, optional in the API
        adapter.validate_python(item)
