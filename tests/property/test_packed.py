"""A packed stream is equivalent to the list of its elements."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    MessageNode,
    RawMMError,
    Trace,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    to_builtins,
)
from rawmm.graph import branches
from rawmm.model.types import PackedFlags, PackedFloats, PackedStream, PackedTokenIds
from rawmm.testing import strategies

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUTS = {"int32": "i", "int64": "q", "bool": "B", "uint8": "B", "float32": "f", "float64": "d"}
SIZES = {dtype: struct.calcsize(layout) for dtype, layout in LAYOUTS.items()}
KINDS: dict[str, type[PackedStream[Any]]] = {
    "token_ids": PackedTokenIds,
    "mask": PackedFlags,
    "logprobs": PackedFloats,
}
FORMS = [None, True, False]
ENCODINGS: list[tuple[Any, Any]] = [
    (encode_json, decode_json),
    (encode_msgpack, decode_msgpack),
    (to_builtins, convert),
]
EDGES = {
    "int32": [0, 1, 151655, 2**31 - 1, -1, -(2**31), 0x7F000000, 0x00FF00FF],
    "int64": [0, 151655, 2**31, 2**32 - 1, 2**32, 2**40, -1, -(2**63), 2**63 - 1, 1 << 56],
    "bool": [0, 1, 2, 128, 255],
    "uint8": [0, 1, 2, 127, 255],
}
FLOAT_BITS = {
    "float32": [0, 0x80000000, 1, 0x3F800000, 0x7F000000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
                0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF],
    "float64": [0, 1 << 63, 1, 0x3FF0000000000000, 0x7F00000000000000, 0x7FEFFFFFFFFFFFFF,
                0xFFEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000,
                0x7FF0000000000001, (1 << 64) - 1],
}  # fmt: skip


@st.composite
def elements(draw: st.DrawFn, dtype: str) -> bytes:
    """The bytes of some elements, legal or illegal."""
    size = SIZES[dtype]
    if dtype in FLOAT_BITS:
        edge = st.sampled_from(FLOAT_BITS[dtype]).map(lambda bits: bits.to_bytes(size, "little"))
        some = st.floats(-30, 0, width=32).map(lambda one: struct.pack(f"<{LAYOUTS[dtype]}", one))
    else:
        layout = f"<{LAYOUTS[dtype]}"
        edge = st.sampled_from(EDGES[dtype]).map(lambda one: struct.pack(layout, one))
        some = st.integers(0, 1).map(lambda one: struct.pack(layout, one))
    drawn = draw(st.lists(edge | some | some | st.binary(min_size=size, max_size=size), max_size=6))
    return b"".join(drawn)


def listed(dtype: str, data: bytes) -> list[Any]:
    """The list of these elements."""
    values = list(struct.unpack(f"<{len(data) // SIZES[dtype]}{LAYOUTS[dtype]}", data))
    return [bool(one) if one < 2 else one for one in values] if SIZES[dtype] == 1 else values


def node_with(name: str, stream: Any, size: int) -> dict[str, Any]:
    """A node of `size` sampled tokens with one given stream."""
    streams = {"token_ids": [1] * size, "mask": [True] * size, "logprobs": [-1.0] * size}
    return {"message": {"role": "assistant", "content": "x"}, **streams, name: stream}


def verdicts(document: dict[str, Any]) -> set[tuple[str, str] | None]:
    """The first error of a document at all entry points; None if it is accepted."""
    found: set[tuple[str, str] | None] = set()
    packed = msgspec.msgpack.encode(document)
    calls: list[Callable[[], MessageNode]] = [
        lambda: convert(document),
        lambda: decode_msgpack(packed),
    ]
    for call in calls:
        try:
            call()
        except RawMMError as error:
            found.add((error.code, error.path))
        else:
            found.add(None)
    return found


@given(strategies.instances(MessageNode), st.data())
def test_forms_and_formats_keep_a_node_equal(node: MessageNode, data: st.DataObject) -> None:
    """A node stays equal through any sequence of forms and formats."""
    value = node
    for _ in range(3):
        encode, decode = data.draw(st.sampled_from(ENCODINGS))
        value = decode(encode(value, packed=data.draw(st.sampled_from(FORMS))))
        assert value == node
        assert node == value
    for encode, _ in ENCODINGS:
        assert encode(value, packed=False) == encode(node, packed=False)
        assert encode(value) == encode(value, packed=None)


@given(strategies.instances(Trace))
def test_branches_are_equal_in_both_forms(trace: Trace) -> None:
    whole = decode_msgpack(encode_msgpack(trace, packed=True), Trace)
    plain = decode_msgpack(encode_msgpack(trace, packed=False), Trace)
    assert whole == plain == trace
    for one, other in zip(branches(whole), branches(plain), strict=True):
        for name in ("token_ids", "mask", "logprobs", "mm_token_type_ids", "multi_modal_data"):
            assert repr(getattr(one, name)) == repr(getattr(other, name))


@pytest.mark.parametrize("name", list(KINDS))
@given(data=st.data())
def test_elements_are_refused_as_in_a_list(name: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(KINDS[name].__dtypes__))
    raw = data.draw(elements(dtype))
    values = listed(dtype, raw)
    stream = {"__nd__": True, "dtype": dtype, "shape": [len(values)], "data": raw}
    packed = node_with(name, stream, len(values))
    plain = node_with(name, values, len(values))
    (of_packed,) = verdicts(packed)
    (of_plain,) = verdicts(plain)
    if of_plain is None:
        assert of_packed is None
        assert convert(packed) == convert(plain)
    else:
        assert of_packed is not None
        assert of_packed == (of_plain[0], of_plain[1].replace("[", ".data[", 1))
    assert [error.code for error in iter_errors(packed, MessageNode)] == [
        error.code for error in iter_errors(plain, MessageNode)
    ]
    text = json.dumps({**packed, name: {**stream, "data": base64.b64encode(raw).decode()}})
    try:
        decode_json(text)
    except RawMMError as error:
        assert of_packed == (error.code, error.path)  # noqa: PT017
    else:
        assert of_packed is None


@pytest.mark.parametrize("kind", KINDS.values())
@given(data=st.data())
def test_bytes_that_do_not_fill_the_shape_are_refused(kind: Any, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(kind.__dtypes__))
    raw = data.draw(st.binary(max_size=40) | st.integers(0, 5).map(lambda n: bytes(n * 8)))
    shape = data.draw(st.lists(st.integers(0, 6), max_size=3))
    document = {"__nd__": True, "dtype": dtype, "shape": shape, "data": raw}
    fits = len(shape) == 1 and len(raw) == shape[0] * SIZES[dtype]
    try:
        stream = convert(document, kind)
    except RawMMError as error:
        assert (error.code == "array_size") == (not fits)  # noqa: PT017
    else:
        assert fits
        assert len(stream) == shape[0]
    for node_field, of in KINDS.items():
        if of is kind:  # rules of the node also report the broken stream
            assert len(verdicts(node_with(node_field, document, 2))) == 1


@pytest.mark.parametrize("name", list(KINDS))
@given(data=st.data())
def test_changed_fields_are_refused(name: str, data: st.DataObject) -> None:
    odd: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, 0, 3, -1, 1.0, "", "x", ">i4", "<f4", "int8", [], [3], {}, b""]
    )
    kind = KINDS[name]
    size = 3
    right: dict[str, Any] = {
        "__nd__": True,
        "dtype": kind.__dtypes__[0],
        "shape": [size],
        "data": bytes(size * SIZES[kind.__dtypes__[0]]),
    }
    changed = {**right, data.draw(st.sampled_from([*right, "order"])): data.draw(odd)}
    if changed == right:
        return
    assert None not in verdicts(node_with(name, changed, size))


@pytest.mark.parametrize("kind", KINDS.values())
@given(st.binary(max_size=64))
def test_any_bytes_give_a_value_or_an_error(kind: Any, raw: bytes) -> None:
    for head in (b"", msgspec.msgpack.encode({"__nd__": True, "dtype": kind.__dtypes__[0]})[:-1]):
        for decode in (decode_json, decode_msgpack):
            try:
                decode(head + raw, kind)
            except RawMMError as error:
                assert error.code  # noqa: PT017


@given(strategies.instances(MessageNode), st.data())
def test_truncated_document_is_refused(node: MessageNode, data: st.DataObject) -> None:
    whole = encode_msgpack(node, packed=True)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(RawMMError):
        decode_msgpack(cut)


@pytest.mark.parametrize("kind", KINDS.values())
@given(data=st.data())
def test_sequence_methods_agree_with_list(kind: Any, data: st.DataObject) -> None:
    stream = data.draw(strategies.instances(kind))
    values = stream.tolist()
    assert kind.pack(values) == stream == values
    ends = st.none() | st.integers(-5, 5)
    part = slice(data.draw(ends), data.draw(ends), data.draw(st.sampled_from([None, 1, 2, -1, -3])))
    assert stream[part].tolist() == values[part]
    assert type(stream[part]) is kind
    odd: st.SearchStrategy[Any] = st.sampled_from([True, False, 0, 1, -1, 2**31, 2**40, 0.5])
    value = data.draw(st.sampled_from(values) | odd if values else odd)
    start, stop = data.draw(st.integers(-5, 5)), data.draw(st.integers(-5, 5))
    assert stream.count(value, start, stop) == values[start:stop].count(value)
    assert (value in stream) == (value in values)
