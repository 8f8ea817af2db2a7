"""`to_request` and `messages_from_request` are each other's inverse, in every dialect."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm import Message, Tool, messages_from_request, to_request
from tests.property.conversations import TOOLS, conversations, plain, with_nulls


@pytest.mark.parametrize("dialect", ["chat", "responses", "anthropic"])
@given(data=st.data())
def test_messages_return_from_a_request(dialect: str, data: st.DataObject) -> None:
    messages, tools = data.draw(conversations(dialect)), data.draw(TOOLS)
    before = copy.deepcopy((messages, tools))
    body = to_request(messages, dialect, tools)
    again, tools_again = messages_from_request(body, dialect=dialect)
    expected = plain(rawmm.convert(messages, list[Message]), dialect)
    returned = plain(again, dialect)
    if dialect == "responses":  # the items that were written became the provider's state
        for one in returned:
            one.pop("provider_state", None)
    assert returned == expected
    assert tools_again == rawmm.convert(tools, list[Tool])
    assert (messages, tools) == before


@pytest.mark.parametrize("dialect", ["chat", "responses", "anthropic"])
@given(data=st.data())
def test_a_request_returns_from_its_messages(dialect: str, data: st.DataObject) -> None:
    body = to_request(data.draw(conversations(dialect)), dialect, data.draw(TOOLS))
    before = copy.deepcopy(body)
    messages, tools = messages_from_request(body, dialect=dialect)
    assert to_request(messages, dialect, tools) == before
    assert body == before
    text = json.dumps(body).encode()
    assert messages_from_request(text, dialect=dialect) == (messages, tools)
    if body.get("messages") or body.get("input"):
        # Recognized, or the same in the dialect that it was taken for.
        found, _ = messages_from_request(body)
        assert plain(found, "anthropic") == plain(messages, "anthropic")


@pytest.mark.parametrize("dialect", ["chat", "responses", "anthropic"])
@given(data=st.data())
def test_null_fields_are_absent(dialect: str, data: st.DataObject) -> None:
    body = to_request(data.draw(conversations(dialect)), dialect, data.draw(TOOLS))
    filled = with_nulls(body)
    if dialect == "responses":
        # The items of a reply are kept as they are, with their nulls.
        kept = [item.get("role") in ("user", "system") for item in body["input"]]
        filled["input"] = [
            one if keep else item
            for one, item, keep in zip(filled["input"], body["input"], kept, strict=True)
        ]
    assert messages_from_request(filled, dialect=dialect) == messages_from_request(
        body, dialect=dialect
    )
