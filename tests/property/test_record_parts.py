"""The quick walk of valid traces finds the images that the general walk finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm import schemas
from rawmm.errors import RawMMError
from rawmm.offload import ImageParts, record_parts
from rawmm.offload.chat_parts import QuickParts
from rawmm.testing.strategies import instances
from tests.unit.images.pictures import url_of

ROOT = Path(__file__).parent.parent.parent
URL = url_of("PNG", 1)
VECTORS = [v for v in schemas.conformance_vectors() if v["type"] == "Trace" and "code" not in v]


def described(found: ImageParts) -> Any:
    return [(one.source, one.fault, found.path(one)) for one in found.parts]


def assert_same(trace: rawmm.Trace) -> None:
    assert described(record_parts(trace)) == described(ImageParts(trace))


@given(instances(rawmm.Trace))
def test_quick_walk_of_a_trace_finds_what_the_general_walk_finds(trace: rawmm.Trace) -> None:
    assert_same(trace)


texts = st.sampled_from(
    [URL, "x", "look: data:image/png;base64,aaaa", "iVBORw0KGgo" * 4, "image/png", "/9j/" * 9, ""]
)
values = st.recursive(
    texts | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(
            ["image", "images", "image_url", "url", "type", "data", "role", "content", "message",
             "nodes", "mm_items", "source", "a"]
        ),
        inner | st.sampled_from(["image", "image_url", "user", "file"]),
        max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip
parts = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    texts.map(lambda text: {"type": "image_url", "image_url": {"url": text}}),
    texts.map(lambda text: {"type": "image_url", "image_url": {"url": URL, "detail": text}}),
)
contents = texts | st.lists(parts, max_size=2)
calls = st.fixed_dictionaries({"id": texts, "name": texts, "arguments": texts})
messages = st.one_of(
    contents.map(lambda content: {"role": "user", "content": content}),
    st.fixed_dictionaries(
        {"role": st.just("tool"), "content": contents, "tool_call_id": texts},
        optional={"name": texts},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={
            "content": texts,
            "reasoning_content": texts,
            "tool_calls": st.lists(calls, max_size=2),
            "provider_state": st.lists(st.dictionaries(st.just("a"), values), max_size=1),
        },
    ),
)
nodes = st.fixed_dictionaries(
    {"message": messages}, optional={"finish_reason": texts, "foreign": values}
)
traces = st.fixed_dictionaries(
    {"nodes": st.lists(nodes, max_size=2)},
    optional={"id": texts, "task": values, "info": values, "image": values, "foreign": values},
)


@given(traces)
def test_quick_walk_finds_images_in_odd_places_as_the_general_walk(document: Any) -> None:
    try:
        trace = rawmm.convert(document, rawmm.Trace)
    except RawMMError:
        return
    assert_same(trace)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["case"] for vector in VECTORS])
def test_quick_walk_of_a_vector_finds_what_the_general_walk_finds(vector: Any) -> None:
    assert_same(rawmm.decode_json(vector["document"], rawmm.Trace))


def test_recorded_trace_takes_the_quick_walk() -> None:
    trace = rawmm.decode_json((ROOT / "examples" / "trace.json").read_bytes(), rawmm.Trace)
    assert_same(trace)
    message = rawmm.UserMessage(
        content=[rawmm.ImageUrlContentPart(image_url=rawmm.ImageUrlSource(url=URL))]
    )
    plain = rawmm.Trace(nodes=[rawmm.MessageNode(message=message)])
    found = record_parts(plain)
    assert type(found) is QuickParts
    assert found.path(found.parts[0]) == "$.nodes[0].message.content[0].image_url.url"
