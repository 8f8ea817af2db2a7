"""The quick walk of ordinary chat requests finds what the general walk finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawmm.offload.chat_parts import QuickParts, chat_parts
from rawmm.offload.image_parts import ImageParts
from rawmm.offload.request import _Strings
from rawmm.offload.url_extractor import UrlExtractor
from tests.unit.images.pictures import url_of

URLS = [url_of("PNG", 1), url_of("JPEG", 2), "DATA:image/png;base64,aaaa", "file:///a/b.png"]
texts = st.text(max_size=20) | st.sampled_from(
    [*URLS, "see data:image/png;base64,a", "data:", "Data:x", "image/png", "audio/wav", "a" * 120]
)
urls = st.sampled_from(URLS)
odd: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | texts | st.just([]) | st.just({})
)
images = st.one_of(
    st.fixed_dictionaries({"url": urls}, optional={"detail": st.sampled_from(["low", "auto"])}),
    st.fixed_dictionaries({"url": urls | odd}, optional={"detail": odd, "format": odd}),
    odd,
    urls,
)
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": images}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image", "image_url", "video_url", "x"])},
        optional={"text": odd, "image_url": images, "image": odd, "data": odd, "type2": odd},
    ),
    odd,
)
roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages = st.one_of(
    st.fixed_dictionaries({"role": roles, "content": texts | st.lists(parts, max_size=3)}),
    st.fixed_dictionaries(
        {"role": roles | odd, "content": st.lists(parts, max_size=3) | odd},
        optional={"name": odd, "type": odd, "images": odd, "tool_calls": odd, "mm_hashes": odd},
    ),
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=3)},
    optional=dict.fromkeys(("model", "n", "images", "image", "type", "role", "data", "tools"), odd),
)


def described(found: ImageParts) -> Any:
    return (
        [(one.source, one.fault, one.keys, one.form, one.declared) for one in found.parts],
        [found.path(one) for one in found.parts],
        [found.has_shape(one) for one in found.parts],
        len(found.other),
        found.text_data_urls,
    )


@given(requests | st.lists(messages, max_size=2) | messages)
@example({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URLS[0]}}]}]})  # fmt: skip
def test_quick_walk_finds_what_the_general_walk_finds(request: Any) -> None:
    text = UrlExtractor(json.dumps(request).encode(), ("data", "file"))
    value, strings = text.parsed(), _Strings(text)
    assert described(chat_parts(value, strings)) == described(ImageParts(value, strings))


@pytest.mark.parametrize("detail", [{}, {"detail": "high"}], ids=["plain", "detail"])
def test_ordinary_request_takes_the_quick_walk(detail: dict[str, str]) -> None:
    part = {"type": "image_url", "image_url": {"url": URLS[0], **detail}}
    content = [{"type": "text", "text": "look"}, part]
    request = {"model": "m", "n": 1, "messages": [{"role": "user", "content": content}]}
    text = UrlExtractor(json.dumps(request).encode())
    found = chat_parts(text.parsed(), _Strings(text))
    assert type(found) is QuickParts
    assert found.path(found.parts[0]) == "$.messages[0].content[1].image_url.url"
