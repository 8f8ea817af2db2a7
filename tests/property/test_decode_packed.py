"""Decoding with `packed` changes the form of streams: values and errors are those of the lists."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import random
import struct
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from benchmarks import data as rollouts
from rawmm import MessageNode, RawMMError, Trace, native, schemas
from rawmm.model.types import TYPES, Contract, PackedStream
from rawmm.testing import strategies
from rawmm.versions import with_streams
from rawmm.versions.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

CODECS: Final[dict[str, tuple[Any, Any, Any]]] = {
    "json": (rawmm.decode_json, rawmm.encode_json, msgspec.json.encode),
    "msgpack": (rawmm.decode_msgpack, rawmm.encode_msgpack, msgspec.msgpack.encode),
}
HOLDERS: Final = [MessageNode, Trace, rawmm.Episode]
PRICE: Final = 3
"""How much less memory the packed form takes at least. A token takes a tenth, a frame is extra.

In lists of MessagePack, the equal ids of an image are one object.
"""


def outcome(decode: Any, wire: bytes, kind: Any, **options: Any) -> Any:
    """A decoded value, or its error."""
    try:
        return decode(wire, kind, **options)
    except RawMMError as error:
        return error.code, error.path, str(error)


def streams(value: Any) -> Iterator[tuple[str, Any]]:
    """Each stream in nodes, with its name."""
    if isinstance(value, MessageNode):
        for name in STREAMS:
            stream = getattr(value, name)
            for one in stream.values() if isinstance(stream, dict) else [stream]:
                if one is not None:
                    yield name, one
    elif isinstance(value, Contract):
        for name in value.__struct_fields__:
            yield from streams(getattr(value, name))
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from streams(one)


def exactly(stream: Any) -> tuple[Any, ...]:
    """The form of a stream."""
    if isinstance(stream, PackedStream):
        return type(stream), stream.dtype, stream.shape, stream.data
    return type(stream), repr(stream)


def check_forms(form: str, wire: bytes, kind: Any) -> None:
    """Decode in each form, and compare the values or the errors."""
    decode, encode, _ = CODECS[form]
    listed = outcome(decode, wire, kind)
    packed = outcome(decode, wire, kind, packed=True)
    unpacked = outcome(decode, wire, kind, packed=False)
    native.enable(False)
    try:
        python = outcome(decode, wire, kind)
    finally:
        native.enable(True)
    assert packed == listed
    assert unpacked == listed
    assert python == listed
    if isinstance(listed, tuple):
        return
    assert [exactly(one) for _, one in streams(python)] == [
        exactly(one) for _, one in streams(listed)
    ]
    assert all(type(stream) is STREAMS[name] for name, stream in streams(packed))
    assert all(type(stream) is list for _, stream in streams(unpacked))
    again = decode(encode(listed, packed=True), kind)
    assert [exactly(one) for _, one in streams(packed)] == [
        exactly(one) for _, one in streams(again)
    ]
    assert encode(packed, packed=False) == encode(listed, packed=False)
    rawmm.validate(packed, kind)


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize("kind", HOLDERS)
@given(data=st.data())
def test_valid_documents_have_the_same_values(form: str, kind: Any, data: st.DataObject) -> None:
    document = data.draw(strategies.documents(kind.__name__))
    check_forms(form, CODECS[form][2](document), kind)


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize("kind", HOLDERS)
@given(data=st.data())
def test_changed_documents_have_the_same_errors(form: str, kind: Any, data: st.DataObject) -> None:
    document = data.draw(strategies.mutated(kind.__name__))
    try:
        wire = CODECS[form][2](document)
    except OverflowError:
        return  # MessagePack has no such integer
    check_forms(form, wire, kind)


def test_vectors_have_the_same_errors() -> None:
    for vector in schemas.conformance_vectors():
        kind: Any = TYPES.get(vector["type"])
        if kind is not None:
            check_forms("json", vector["document"].encode(), kind)


def node(name: str, stream: bytes, size: int, form: str) -> bytes:
    """A node of `size` sampled tokens, of whose streams one is given as it is on the wire."""
    *_, wire = CODECS[form]
    fields: dict[str, Any] = {
        "message": {"role": "assistant", "content": "x"},
        "token_ids": [1] * size,
        "mask": [True] * size,
        "logprobs": [-1.0] * size,
    }
    found: bytes = wire({**fields, name: msgspec.Raw(stream)})
    return found


NUMBER: Final = r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?"
ODD: Final = st.sampled_from(
    ["", " 1", "1 ", "01", "-0", "-0.0", "1.", ".5", "1e", "true", "false", "null", '"1"', "[1]", "{}",
     "tru", "falsee", "4294967295", "4294967296", "2147483648", "9007199254740993", "1e400", "NaN",
     "0.1", "1e22", "1e-27", "123456789012345678e-19", "0.0000000000000000000000000012345678", "-1"]
)  # fmt: skip


@pytest.mark.parametrize("name", ["token_ids", "mask", "logprobs", "loss_weights"])
@given(data=st.data())
def test_elements_of_json_are_read_as_in_a_list(name: str, data: st.DataObject) -> None:
    plain = {
        "token_ids": st.integers(0, 2**33).map(str),
        "mask": st.sampled_from(["true", "false"]),
    }
    number = st.from_regex(NUMBER, fullmatch=True) | st.floats(-40, 1).map(repr)
    usual = plain.get(name, number)
    texts = data.draw(st.lists(usual, max_size=12) | st.lists(usual | ODD, max_size=4))
    between = data.draw(st.sampled_from([",", ",", ", ", ",\n", ",,"]))
    listed = f"[{between.join(texts)}]"
    stream = f'{{"ce":{listed}}}' if name == "loss_weights" else listed
    check_forms("json", node(name, stream.encode(), len(texts), "json"), MessageNode)


def near_midpoints() -> Iterator[str]:
    """Numbers with up to 19 digits, many of them almost between two doubles."""
    rng = random.Random(0)
    for _ in range(4000):
        one = -rng.expovariate(2.0) * 10.0 ** -rng.randrange(12)
        middle = (Decimal(one) + Decimal(math.nextafter(one, 0))) / 2
        for digits in (15, 17, 18, 19):
            yield f"{middle:.{digits - 1}e}"
            yield f"{middle:.{digits - 2 - middle.adjusted()}f}"
        yield repr(one)


def test_numbers_of_json_are_the_nearest_doubles() -> None:
    texts = list(near_midpoints())
    wire = node("logprobs", f"[{','.join(texts)}]".encode(), len(texts), "json")
    stream = rawmm.decode_json(wire, packed=True).logprobs
    assert stream.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize("zero", ["0", "-0", "0.0", "-0.0", "0e0", "-0e0", "-0E-5", "-0.0e+9"])
def test_zeros_keep_the_sign_that_a_list_keeps(zero: str) -> None:
    check_forms("json", node("logprobs", f"[{zero}]".encode(), 1, "json"), MessageNode)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 17, 300])
@pytest.mark.parametrize("flags", [[True], [False], [True] * 9 + [False], [True, False]])
def test_runs_of_flags_are_read_as_in_a_list(size: int, flags: list[bool]) -> None:
    mask = json.dumps((flags * size)[:size], separators=(",", ":")).encode()
    check_forms("json", node("is_content", mask, size, "json"), MessageNode)


@pytest.mark.parametrize("name", ["token_ids", "mask", "logprobs"])
@given(data=st.data())
def test_elements_of_messagepack_are_read_as_in_a_list(name: str, data: st.DataObject) -> None:
    integers = [
        struct.pack(">B" + code, head, value)
        for head, code, bits in ((0xCC, "B", 8), (0xCD, "H", 16), (0xCE, "I", 32), (0xCF, "Q", 64))
        for value in (0, 5, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1)
    ]
    signed = [
        struct.pack(">B" + code, head, value)
        for head, code in ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
        for value in (0, 5, -1)
    ]
    floats = [
        struct.pack(code, head, value)
        for code, head in ((">Bf", 0xCA), (">Bd", 0xCB))
        for value in (0.0, -0.0, -0.5, 1e30, 2.0**53, 2.0**54, float("inf"), float("nan"))
    ]
    odd = [b"\xc0", b"\xc2", b"\xc3", b"\x00", b"\x7f", b"\xff", b"\xa1x", b"\x91\x01", b"\x80"]
    drawn = st.sampled_from([*integers, *signed, *floats, *odd])
    drawn |= st.floats(-40, 0).map(lambda one: struct.pack(">Bd", 0xCB, one))
    usual = {"token_ids": st.sampled_from(integers), "mask": st.sampled_from([b"\xc2", b"\xc3"])}
    items = data.draw(st.lists(usual.get(name, drawn), max_size=12) | st.lists(drawn, max_size=3))
    head = data.draw(st.sampled_from([bytes([0x90 + len(items)]), b"\xdc\0" + bytes([len(items)])]))
    stream = data.draw(
        st.sampled_from([head + b"".join(items)] * 8 + [b"\x5b", b"\xc0", b"\xdc\0"])
    )
    check_forms("msgpack", node(name, stream, len(items), "msgpack"), MessageNode)


ELEMENTS: Final[dict[str, str]] = {
    "bool": "B", "uint8": "B", "int32": "i", "int64": "q", "float32": "f", "float64": "d",
}  # fmt: skip
CHANGED: Final[dict[str, list[Any]]] = {
    "__nd__": [False, None, 1, "true"],
    "dtype": ["float16", "int3", "", None, 4, "int32" * 8],
    "shape": [[], [0], [1, 2], [-1], [2**40], [1.0], None, 2, ["2"]],
    "data": ["", b"", b"\0" * 300, b"\xff" * 8, None, []],
}


@pytest.mark.parametrize("name", ["token_ids", "mask", "logprobs", "loss_weights"])
@given(data=st.data())
def test_packed_streams_of_messagepack_are_read_as_by_msgspec(
    name: str, data: st.DataObject
) -> None:
    usual = {"token_ids": ["int32", "int64"], "mask": ["bool", "uint8"]}
    dtype = data.draw(st.sampled_from(usual.get(name, ["float32", "float64"]) * 4 + [*ELEMENTS]))
    size = data.draw(st.integers(0, 3) | st.sampled_from([40, 200]))
    odd = [2] if ELEMENTS[dtype] == "B" else [-1]
    element = data.draw(st.sampled_from([0, 1, 1, 1, *odd]))
    frame: dict[str, Any] = {
        "__nd__": True,
        "dtype": dtype,
        "shape": [size],
        "data": struct.pack(f"<{size}{ELEMENTS[dtype]}", *[element] * size),
    }
    if data.draw(st.integers(0, 3)) == 0:
        key = data.draw(st.sampled_from([*frame]))
        frame[key] = data.draw(st.sampled_from(CHANGED[key]))
    if data.draw(st.integers(0, 9)) == 0:
        frame.pop(data.draw(st.sampled_from([*frame])))
    if data.draw(st.integers(0, 9)) == 0:
        frame["more"] = 1
    wire = bytearray(msgspec.msgpack.encode(dict(data.draw(st.permutations([*frame.items()])))))
    if data.draw(st.integers(0, 4)) == 0:
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    if name == "loss_weights":
        wire[:0] = b"\x81\xa1a"
    check_forms("msgpack", node(name, bytes(wire), size, "msgpack"), MessageNode)


@pytest.mark.parametrize("form", CODECS)
def test_rollout_is_packed_in_a_fraction_of_the_memory(form: str) -> None:
    decode, _, wire = CODECS[form]
    encoded = wire(rollouts.trace(8))
    taken = {}
    for packed in (None, True):
        decode(encoded, Trace, packed=packed)  # what is made on first use
        gc.collect()
        tracemalloc.start()
        kept = decode(encoded, Trace, packed=packed)
        taken[packed], peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if packed:
            assert all(type(stream) is STREAMS[name] for name, stream in streams(kept))
            assert peak < 2 * taken[None] / PRICE  # the lists were never there together
    assert taken[True] < taken[None] / PRICE


@pytest.mark.parametrize("form", CODECS)
def test_arrays_of_numpy_share_the_memory_of_decoded_lists(form: str) -> None:
    decode, _, wire = CODECS[form]
    for _, stream in streams(decode(wire(rollouts.trace(1)), Trace, packed=True)):
        view = np.asarray(stream)
        assert view.tolist() == stream
        assert view.size == 0 or np.shares_memory(view, np.frombuffer(stream.data, np.uint8))


@pytest.mark.parametrize("form", CODECS)
def test_structs_are_of_the_classes_of_the_contract(form: str) -> None:
    decode, _, wire = CODECS[form]
    for packed in (None, True, False):
        found = decode(wire(rollouts.trace(2)), Trace, packed=packed)
        assert type(found) is Trace
        first = found.nodes[0]
        assert type(first) is MessageNode
        assert first.multi_modal_data is not None
        (item,) = first.multi_modal_data.mm_items["image"]
        assert type(item) is rawmm.RawMMItem
        assert pickle.loads(pickle.dumps(first)) == first == copy.copy(first)
        assert rawmm.replace(first, timestamp=1.0).timestamp == 1.0
        first.timestamp = None
        assert first.timestamp is None
        assert "timestamp" not in rawmm.to_builtins(first)


class OwnNode(MessageNode, kw_only=True):
    """A node with a field that the contract does not have."""

    note: str | None = None


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (list[Trace], lambda trace: [trace]),
        (dict[str, Trace], lambda trace: {"a": trace}),
        (list[Trace | None], lambda trace: [trace, None]),
        (rawmm.Episode, lambda trace: {"traces": [trace], "id": "e"}),
        (list[MessageNode], lambda trace: trace["nodes"]),
        (list[OwnNode], lambda trace: [{**node, "note": "own"} for node in trace["nodes"]]),
        (Trace, lambda trace: {**trace, "unknown": [1, {"a": None}]}),
        (None, lambda trace: trace),
        (None, lambda trace: {**trace["nodes"][0], "unknown": 1}),
    ],
)  # fmt: skip
def test_containers_subclasses_and_unknown_fields_are_packed(
    form: str, kind: Any, wrap: Any
) -> None:
    check_forms(form, CODECS[form][2](wrap(rollouts.trace(2))), kind)


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("raw_image_id", ".hidden.png"),  # in one alternative of the pattern that C does not know
        ("family", "Qwen\n"),
        ("family", "é"),
        ("family", "x" * 256),
        ("layout_fingerprint", "0" * 15),
        ("raw_image_id", ".."),
        ("raw_image_id", None),
    ],
)
def test_texts_of_a_descriptor_are_judged_as_by_convert(form: str, field: str, value: Any) -> None:
    decode, _, wire = CODECS[form]
    document = json.loads(json.dumps(rollouts.trace(1)))
    (item,) = document["nodes"][0]["multi_modal_data"]["mm_items"]["image"]
    item[field] = value
    expected = outcome(rawmm.convert, document, Trace)
    assert outcome(decode, wire(document), Trace) == expected
    check_forms(form, wire(document), Trace)


@pytest.mark.parametrize("form", CODECS)
def test_without_answers_of_c_the_result_is_the_same(form: str) -> None:
    wire = CODECS[form][2](rollouts.trace(1))
    native.enable(False)
    try:
        check_forms(form, wire, Trace)
    finally:
        native.enable(True)


def test_copies_in_another_form_are_equal_to_decoded_ones() -> None:
    trace = rawmm.convert(rollouts.trace(1), Trace)
    wire = rawmm.encode_json(trace)
    packed = rawmm.decode_json(wire, Trace, packed=True)
    for (_, one), (_, other) in zip(
        streams(packed), streams(with_streams(trace, packed=True)), strict=True
    ):
        assert exactly(one) == exactly(other)


@pytest.mark.parametrize("given_as", [bytes, bytearray, memoryview, bytes.decode])
def test_every_kind_of_buffer_is_packed(given_as: Any) -> None:
    wire = msgspec.json.encode(rollouts.trace(1))
    packed = rawmm.decode_json(given_as(wire), Trace, packed=True)
    assert packed == rawmm.decode_json(wire, Trace)
    assert all(type(stream) is STREAMS[name] for name, stream in streams(packed))


def test_not_bytes_are_refused() -> None:
    with pytest.raises(RawMMError, match="bytes of one document"):
        rawmm.decode_msgpack(rollouts.trace(1), Trace, packed=True)  # type: ignore[call-overload]
