"""What the cyclic collector tracks, and what weak references can refer to."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import msgspec
import pytest

import rawmm
from benchmarks import data
from rawmm.model.types import TYPES, Contract
from rawmm.rules import USES_C

LEAVES = {
    "ContentPart", "EncodedArray", "ImageUrlContentPart", "ImageUrlSource", "PackedFlags",
    "PackedFloats", "PackedTokenIds", "ParentLink", "PlaceholderRange", "SamplingMask",
    "TextContentPart", "ToolCall", "TopLogprobs", "Usage", "WeightVersion",
}  # fmt: skip
"""Types that hold scalars, arrays of scalars and such types."""


def _tracked_streams(trace: Any) -> list[str]:
    found = []
    for node in trace.nodes:
        for name in ("token_ids", "mask", "is_content", "logprobs"):
            stream = getattr(node, name)
            inner = getattr(stream, "shape", stream)
            found += [name] if gc.is_tracked(inner) else []
    return found


def test_leaf_structs_are_not_tracked() -> None:
    assert {name for name, kind in TYPES.items() if not kind.__struct_config__.gc} == LEAVES
    assert not gc.is_tracked(rawmm.PlaceholderRange(offset=0, length=1))


def test_subclass_of_a_leaf_is_tracked() -> None:
    class Marked(rawmm.PlaceholderRange):
        notes: list[Any] = msgspec.field(default_factory=list)

    assert Marked.__struct_config__.gc
    one: Any = Marked(offset=0, length=1, notes=[])
    one.notes.append(one)
    assert gc.is_tracked(one)


@pytest.mark.parametrize("packed", [None, True])
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_decoded_streams_are_not_tracked(form: str, *, packed: bool | None) -> None:
    plain = getattr(msgspec, form).encode(data.trace(2))
    decode: Any = getattr(rawmm, f"decode_{form}")
    trace = decode(plain, rawmm.Trace, packed=packed)
    if USES_C:
        assert _tracked_streams(trace) == []
    again = decode(getattr(rawmm, f"encode_{form}")(trace), rawmm.Trace)
    if USES_C:
        assert _tracked_streams(again) == []


def test_decoded_lists_are_ordinary_lists() -> None:
    trace = rawmm.decode_msgpack(msgspec.msgpack.encode(data.trace(1)), rawmm.Trace)
    ids: Any = trace.nodes[0].token_ids
    ids.append(5)
    ids.extend([6] * 10_000)
    ids.sort()
    assert ids[0] == 5
    assert ids[:] == list(ids)
    ids.append([1])
    with pytest.raises(rawmm.ContractError):
        rawmm.encode_msgpack(trace)
    gc.collect()
    del ids[:]
    assert trace.nodes[0].token_ids == []


def test_cycle_through_unknown_properties_is_collected() -> None:
    trace = rawmm.Trace()
    trace.extra = {"cycle": trace}
    gone = weakref.ref(trace)
    del trace
    gc.collect()
    assert gone() is None


def test_only_traces_have_weak_references() -> None:
    assert weakref.ref(trace := rawmm.Trace())() is trace
    with pytest.raises(TypeError, match="weak reference"):
        weakref.ref(rawmm.UserMessage(content="a"))

    class Referable(rawmm.UserMessage, weakref=True):
        pass

    assert issubclass(Referable, Contract)
    assert weakref.ref(one := Referable(content="a"))() is one
