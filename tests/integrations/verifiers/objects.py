"""Hypothesis strategies for the objects of verifiers itself, and how they are compared."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from hypothesis import strategies as st
from verifiers.v1 import trace as vt
from verifiers.v1 import types as vf
from verifiers.v1.graph import MessageNode
from verifiers.v1.semantic import ACPInfo, ParentLink
from verifiers.v1.serve.delta import dump
from verifiers.v1.serve.encoding import msgpack_encoder

from tests.unit.images.pictures import url_of

try:
    from verifiers.v1.configs.sampling import Sampling
except ImportError:  # 0.4.0
    from verifiers.v1.types import Sampling

TEXT = st.text(max_size=8)
FLOATS = st.floats(-1e6, 1e6)
DEV = "top_logprobs" in MessageNode.model_fields
"""Whether this is 0.4.1.dev86 or later, whose streams are arrays."""
COUNTS = st.integers(0, 2**40)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
IMAGES = st.sampled_from([url_of("PNG", seed) for seed in range(3)])


def wire(model: Any) -> Any:
    """A model as verifiers' own encoder writes it, decoded, to compare types and bytes."""
    packed = msgpack.packb(dump(model), default=msgpack_encoder, use_bin_type=True)
    return msgpack.unpackb(packed, raw=False)


def plain(stream: Any) -> Any:
    """A stream as a list, whichever form it has."""
    return stream.tolist() if isinstance(stream, np.ndarray) else stream


def same(one: Any, other: Any) -> bool:
    """Equal in verifiers' bytes; true differs from 1, bytes from text."""
    return type(one) is type(other) and equal(wire(one), wire(other))


def equal(one: Any, other: Any) -> bool:
    """Equal plain data. 1 equals 1.0: verifiers has integers as defaults of float fields."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


_PARTS = st.builds(vf.TextContentPart, text=TEXT) | st.builds(
    vf.ImageUrlContentPart, image_url=st.builds(vf.ImageUrlSource, url=IMAGES)
)
_CONTENT = TEXT | st.lists(_PARTS, max_size=3)
_MAYBE_TEXT = st.none() | TEXT
_CALLS = st.builds(
    vf.ToolCall,
    id=TEXT,
    type=st.sampled_from(["function", "custom"]),
    name=TEXT,
    namespace=_MAYBE_TEXT,
    arguments=TEXT,
)
MESSAGES: Any = st.one_of(
    st.builds(vf.SystemMessage, content=_CONTENT),
    st.builds(vf.UserMessage, content=_CONTENT),
    st.builds(vf.ToolMessage, tool_call_id=TEXT, content=_CONTENT, name=_MAYBE_TEXT),
    st.builds(
        vf.AssistantMessage,
        content=_MAYBE_TEXT,
        reasoning_content=_MAYBE_TEXT,
        tool_calls=st.none() | st.lists(_CALLS, max_size=2),
        provider_state=st.none() | st.lists(OBJECTS, max_size=2),
    ),
)
TOOLS = st.builds(
    lambda extra, **fields: vf.Tool(
        **{**{f"x_{key}": one for key, one in extra.items()}, **fields}
    ),
    extra=OBJECTS,
    type=TEXT,
    name=TEXT,
    namespace=_MAYBE_TEXT,
    description=TEXT,
    parameters=OBJECTS,
    strict=st.none() | st.booleans(),
)
_LINKS = st.builds(ParentLink, node=st.integers(0, 9), type=st.sampled_from(["compaction", "a:b"]))


@st.composite
def nodes(draw: st.DrawFn, parent: int | None = None) -> MessageNode:
    count = draw(st.integers(0, 4))
    mask = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    sampled = sum(mask)

    def stream(size: int) -> Any:
        return st.lists(FLOATS, min_size=size, max_size=size)

    def array(rows: int) -> Any:
        dtype = draw(st.sampled_from(["uint8", "uint16", "int32"]))
        shape = (rows, draw(st.integers(0, 2)), draw(st.integers(1, 2)))
        return np.arange(np.prod(shape)).astype(dtype).reshape(shape)

    kept = st.lists(
        st.lists(st.integers(0, 2**31 - 1), max_size=3), min_size=sampled, max_size=sampled
    )
    return MessageNode(
        parent=parent,
        tools=draw(st.lists(TOOLS, max_size=2)) if parent is None else [],
        semantic_parents=draw(st.lists(_LINKS, max_size=2)),
        message=draw(MESSAGES),
        sampled=draw(st.booleans()),
        timestamp=draw(FLOATS),
        token_ids=draw(st.lists(st.integers(0, 200_000), min_size=count, max_size=count)),
        mask=mask,
        is_content=draw(st.just([]) | st.lists(st.booleans(), min_size=count, max_size=count)),
        logprobs=draw(stream(sampled)),
        advantages=draw(st.none() | stream(sampled)),
        reference_logprobs=draw(st.none() | stream(sampled)),
        trainer_logprobs=draw(st.none() | stream(sampled)),
        entropies=draw(st.none() | stream(sampled)),
        loss_weights=draw(st.none() | st.dictionaries(TEXT, stream(count), max_size=2)),
        routed_experts=array(count) if draw(st.booleans()) else None,
        sampling_mask=(
            vf.SamplingMask.from_sampling_mask(draw(kept)) if draw(st.booleans()) else None
        ),
        **(_outputs(draw, sampled) if DEV else {}),
    )


def _outputs(draw: st.DrawFn, sampled: int) -> dict[str, Any]:
    """What nodes of 0.4.1.dev86 have beyond those of 0.4.0."""
    cut = draw(st.integers(0, sampled))
    spans = [("7", 0, cut), ("8", cut, sampled)]
    rows = draw(
        st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=sampled, max_size=sampled)
    )
    numbers = [[-0.1 * (i + 1) for i in range(len(row))] for row in rows]
    return {
        "weight_versions": draw(
            st.none()
            | st.just([vf.WeightVersionSpan(version=v, start=s, end=e) for v, s, e in spans])
        ),
        "top_logprobs": draw(st.none() | st.just(vf.TopLogprobs.from_top_logprobs(rows, numbers))),
    }


_SPANS = st.builds(vt.TimeSpan, start=FLOATS, end=FLOATS)
_ERRORS = st.builds(
    vt.Error,
    type=TEXT,
    message=TEXT,
    status_code=st.none() | st.integers(400, 599),
    traceback=_MAYBE_TEXT,
)
USAGE = st.builds(
    vf.Usage,
    prompt_tokens=COUNTS,
    completion_tokens=COUNTS,
    cached_input_tokens=st.none() | COUNTS,
    reasoning_tokens=st.none() | COUNTS,
    cost=st.none() | FLOATS,
)
_RECORDS = st.lists(st.builds(vt.InterceptRecord, handler=TEXT), max_size=2)


@st.composite
def _model_calls(draw: st.DrawFn, size: int) -> list[vt.ModelCall]:
    return [
        vt.ModelCall(
            node=draw(st.none() | st.integers(0, size)),
            model=draw(_MAYBE_TEXT),
            sampling=draw(
                st.none()
                | st.builds(
                    lambda extra, **known: Sampling(
                        **{f"x_{key}": v for key, v in extra.items()}, **known
                    ),
                    extra=OBJECTS,
                    temperature=st.none() | FLOATS,
                )
            ),
            endpoint=draw(_MAYBE_TEXT),
            finish_reason=draw(st.sampled_from([None, "stop", "length", "tool_calls"])),
            usage=draw(st.none() | USAGE),
            time=draw(_SPANS),
            error=draw(st.none() | _ERRORS),
            policy=draw(st.none() | st.builds(vt.PolicyEvent, code=TEXT, paths=st.lists(TEXT))),
            acp=draw(st.none() | st.just(ACPInfo(request_id="r-1"))),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]


@st.composite
def envelopes(draw: st.DrawFn, size: int = 4) -> dict[str, Any]:
    """Fields of a WireTrace around its nodes; `size` is the number of nodes."""
    extra = {f"x_{key}": value for key, value in draw(OBJECTS).items()}
    return {
        "version": draw(st.integers(0, 9)),
        "id": draw(TEXT),
        "verifiers": draw(st.builds(vt.VersionInfo, version=TEXT, commit=_MAYBE_TEXT)),
        "task": {
            "type": draw(TEXT),
            "data": {
                "idx": draw(st.none() | COUNTS),
                "prompt": draw(_MAYBE_TEXT | st.lists(MESSAGES, max_size=2)),
                **extra,
            },
            "key": draw(_MAYBE_TEXT),
            "hash": draw(_MAYBE_TEXT),
        },
        "agent": {
            "config": {
                "harness": draw(st.none() | st.just({"id": "bash", "knob": extra})),
                "model": draw(_MAYBE_TEXT),
                "sampling": draw(st.none() | st.just({"temperature": 0.5, "top_k": 3})),
                "max_turns": draw(st.none() | st.integers(1, 9)),
            },
            "name": draw(TEXT),
            "trainable": draw(st.booleans()),
        },
        "tools": draw(st.lists(TOOLS, max_size=2)),
        "calls": draw(_model_calls(size)),
        # Of no token that a node here has: such a node would need an image.
        "mm_token_type_id_map": draw(
            st.dictionaries(st.integers(10**6, 10**9), st.sampled_from([1, 2]), max_size=2)
        ),
        "request_rewrites": draw(_RECORDS),
        "response_rewrites": draw(_RECORDS),
        "rewards": draw(
            st.dictionaries(
                TEXT, st.none() | st.builds(vt.Reward, score=FLOATS, weight=FLOATS), max_size=2
            )
        ),
        "metrics": draw(st.dictionaries(TEXT, st.none() | FLOATS, max_size=2)),
        "info": draw(OBJECTS.filter(lambda info: "rawmm" not in info)),
        "root_reply": draw(_MAYBE_TEXT),
        "extra_usage": draw(st.lists(USAGE, max_size=2)),
        "is_completed": draw(st.booleans()),
        "ok": draw(st.booleans()),
        "stop_condition": draw(_MAYBE_TEXT),
        "is_timeout": draw(st.booleans()),
        "errors": draw(st.lists(_ERRORS, max_size=2)),
        "timing": draw(
            st.builds(
                vt.Timing,
                start=FLOATS,
                boot=_SPANS,
                agent=st.builds(vt.AgentSpan, start=FLOATS, end=FLOATS),
            )
        ),
    }


@st.composite
def traces(draw: st.DrawFn) -> vt.WireTrace:
    graph = []
    for index in range(draw(st.integers(0, 4))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        graph.append(draw(nodes(parent)))
    fields = draw(envelopes(len(graph)))
    if any("image_url" in str(node.message.content) for node in graph):
        fields["mm_token_type_id_map"] = {}  # an image would need tokens of its type
    return vt.WireTrace(**fields, nodes=graph)
