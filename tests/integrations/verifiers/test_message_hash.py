"""`message_hash` is that of the installed verifiers, for every message."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from verifiers.v1 import graph, types

import rawmm
from rawmm.graph import message_hash
from rawmm.graph.hashing import tools_hash
from rawmm.testing.strategies import instances

_MESSAGE: TypeAdapter[Any] = TypeAdapter(types.Message)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
call_ids = st.sampled_from(["call_0", "call_1", ""])
native_items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", ""]
        ),
        "role": st.sampled_from(["assistant", "user"]),
        "call_id": call_ids,
        "content": st.none()
        | texts
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["input_text", "output_text", "refusal"])},
                optional={"text": texts},
            ),
            max_size=3,
        ),
        "encrypted_content": st.none() | texts,
        "signature": st.none() | texts,
        "data": st.none() | json_values,
        "phase": st.none() | texts,
        "summary": json_values,
    },
)
arguments = texts | json_values.map(json.dumps) | st.just('{"b": 1, "a": [1.0, 2]}')
calls = st.fixed_dictionaries(
    {"id": call_ids, "name": texts, "arguments": arguments},
    optional={
        "type": st.sampled_from(["function", "custom"]),
        "namespace": st.none() | texts,
    },
)
assistants = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": st.none() | texts,
        "reasoning_content": st.none() | texts,
        "tool_calls": st.none() | st.lists(calls, max_size=3),
        "provider_state": st.none() | st.lists(native_items, max_size=3),
    },
)


def same_hash(document: dict[str, Any]) -> None:
    typed = _MESSAGE.validate_python(document)
    expected = graph.message_hash(typed)
    assert message_hash(rawmm.convert(document, rawmm.Message)) == expected
    assert message_hash(document) == expected
    assert message_hash(typed) == expected


@given(assistants)
def test_assistant_messages_have_the_hash_of_verifiers(document: dict[str, Any]) -> None:
    same_hash(document)


@given(instances(rawmm.UserMessage) | instances(rawmm.SystemMessage) | instances(rawmm.ToolMessage))
def test_other_messages_have_the_hash_of_verifiers(message: Any) -> None:
    same_hash(rawmm.to_builtins(message))


@given(st.lists(instances(rawmm.Tool), max_size=3))
def test_tools_have_the_hash_of_verifiers(tools: list[rawmm.Tool]) -> None:
    typed = [types.Tool.model_validate(rawmm.to_builtins(tool)) for tool in tools]
    assert tools_hash(tools) == graph._tools_hash(typed)
    assert tools_hash(rawmm.convert(typed, list[rawmm.Tool])) == tools_hash(tools)


def test_another_process_computes_the_same() -> None:
    code = (
        "from rawmm.graph import message_hash;"
        "print(message_hash({'role': 'tool', 'tool_call_id': 'a', 'content': 'b', 'name': 'c'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message = types.ToolMessage(tool_call_id="a", content="b")
    assert out.stdout.strip() == graph.message_hash(message)
