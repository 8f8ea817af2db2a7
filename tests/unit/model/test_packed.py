"""Packed streams: sequences in Python, arrays on the wire, equal to lists of their elements."""

from __future__ import annotations

import copy
import json
import pickle
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from rawmm import (
    AssistantMessage,
    EncodedArray,
    MessageNode,
    PackedFlags,
    PackedFloats,
    PackedTokenIds,
    RawMMItem,
    Tool,
    Trace,
    UserMessage,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    to_builtins,
    validate,
)
from rawmm.graph import branches, prepare_turn
from rawmm.model import packed as _packed
from rawmm.trainer import as_sample, sample_from
from tests.builders import refused
from tests.unit.graph.turns import PAD, TYPES, new_trace, reply, response, sidecar, url, user

if TYPE_CHECKING:
    from rawmm.model.types import PackedStream

IDS = [9707, 151655, 151655, 0]
FLAGS = [True, False, False, False]
FLOATS = [-0.5, 0.0, 1.5, -2.0]
STREAMS: list[tuple[type[PackedStream[Any]], list[Any]]] = [
    (PackedTokenIds, IDS),
    (PackedFlags, FLAGS),
    (PackedFloats, FLOATS),
]
LISTED = {
    "message": {"role": "assistant", "content": "A cat."},
    "sampled": True,
    "token_ids": [8, 70_000, 13],
    "mask": [False, True, True],
    "is_content": [False, True, False],
    "logprobs": [-0.5, -0.25],
    "advantages": [0.1, 0.2],
    "loss_weights": {"ce": [0.0, 1.0, 1.0]},
}


def node() -> MessageNode:
    return convert(LISTED, MessageNode)


def packed() -> MessageNode:
    return decode_msgpack(encode_msgpack(node(), packed=True), MessageNode)


@pytest.mark.parametrize(("kind", "values"), STREAMS)
class TestSequence:
    def test_packed_stream_reads_like_its_list(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        stream = kind.pack(values)
        assert len(stream) == 4
        assert list(stream) == stream.tolist() == values
        assert list(reversed(stream)) == values[::-1]
        assert [stream[at] for at in range(-4, 4)] == [values[at] for at in range(-4, 4)]
        assert [type(one) for one in stream] == [type(one) for one in values]
        assert type(stream[0]) is type(values[0])
        assert stream
        assert not kind.pack([])

    @pytest.mark.parametrize("at", [4, -5])
    def test_index_outside_of_the_stream_is_an_error(
        self, kind: type[PackedStream[Any]], values: list[Any], at: int
    ) -> None:
        with pytest.raises(IndexError):
            kind.pack(values)[at]

    def test_slice_is_packed(self, kind: type[PackedStream[Any]], values: list[Any]) -> None:
        stream = kind.pack(values)
        ends = [None, -5, -2, 0, 1, 3, 9]
        for start in ends:
            for stop in ends:
                for step in (None, 1, 2, -1):
                    part = stream[start:stop:step]
                    assert type(part) is kind
                    assert part.tolist() == values[start:stop:step]
                    assert len(part) == len(values[start:stop:step])

    def test_count_and_index_agree_with_the_list(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        stream = kind.pack(values)
        for value in [*values, 3, -1, 2**40, 0.25, "x", None]:
            assert stream.count(value) == values.count(value)
            assert (value in stream) == (value in values)
            for start, stop in [(0, 2), (1, 3), (2, 9), (3, 1), (-3, -1)]:
                assert stream.count(value, start, stop) == values[start:stop].count(value)
        assert stream.index(values[1]) == 1
        with pytest.raises(ValueError, match="not in list"):
            stream.index("x")

    def test_equals_lists_and_streams_of_the_same_elements(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        stream = kind.pack(values)
        assert stream == values
        assert values == stream
        assert not stream != values  # noqa: SIM202  (the other operator)
        assert not values != stream  # noqa: SIM202
        for other in (
            values[:-1],
            [*values, values[0]],
            values[::-1],
            [],
            "x",
            None,
            tuple(values),
        ):
            assert stream != other
            assert other != stream
            assert not stream == other  # noqa: SIM201
        assert wider(stream, kind.__dtypes__[1]) == stream
        assert wider(stream, kind.__dtypes__[1]) != kind.pack(values[:-1])

    def test_packed_stream_is_not_hashable(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(kind.pack(values))

    def test_packed_stream_is_immutable(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        stream: Any = kind.pack(values)
        with pytest.raises(AttributeError):
            stream.data = b""
        with pytest.raises(TypeError):
            stream[0] = 1
        with pytest.raises(TypeError):
            stream.memoryview()[0] = values[1]

    def test_memoryview_is_typed_and_read_only(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        view = kind.pack(values).memoryview()
        assert view.readonly
        assert view.tolist() == values

    def test_numpy_reads_it_without_a_copy(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        for dtype in kind.__dtypes__:
            stream = wider(kind.pack(values), dtype)
            array = np.asarray(stream)
            assert array.tolist() == values
            assert array.dtype == (np.dtype("bool") if kind is PackedFlags else np.dtype(dtype))
            assert np.shares_memory(array, np.frombuffer(stream.data, "u1"))
            assert not array.flags.writeable

    def test_copy_and_pickle_are_equal(
        self, kind: type[PackedStream[Any]], values: list[Any]
    ) -> None:
        stream = kind.pack(values)
        for again in (copy.copy(stream), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
            assert type(again) is kind
            assert again == stream

    def test_bytes_are_swapped_on_a_big_endian_machine(
        self, kind: type[PackedStream[Any]], values: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = kind.pack(values)
        monkeypatch.setattr(_packed, "_SWAP", True)
        assert kind.pack(values).data == stream.data
        layout = {"int32": "i", "bool": "?", "float32": "f"}[stream.dtype]
        # Bytes in the native order of a big-endian machine are reversed on this one.
        assert stream.tolist() == list(struct.unpack(f">4{layout}", stream.data))


def wider(stream: PackedStream[Any], dtype: str) -> PackedStream[Any]:
    """The same elements with another element type."""
    layouts = {
        "int32": "i",
        "int64": "q",
        "bool": "?",
        "uint8": "?",
        "float32": "f",
        "float64": "d",
    }
    data = struct.pack(f"<{len(stream)}{layouts[dtype]}", *stream)
    document = {"__nd__": True, "dtype": dtype, "shape": [len(stream)], "data": data}
    again: PackedStream[Any] = convert(document, type(stream))
    return again


class TestPack:
    @pytest.mark.parametrize(
        ("kind", "values", "dtype"),
        [
            (PackedTokenIds, [], "int32"),
            (PackedTokenIds, [0, 2**31 - 1], "int32"),
            (PackedTokenIds, [0, 2**31], "int64"),
            (PackedTokenIds, [2**32 - 1], "int64"),
            (PackedFlags, [True], "bool"),
            (PackedFloats, [], "float32"),
            (PackedFloats, [0.5, -0.0, 2.0**-149, 3.4028234663852886e38], "float32"),
            (PackedFloats, [0.1], "float64"),
            (PackedFloats, [0.5, 1e300], "float64"),
            (PackedFloats, [2.0**-150], "float64"),
            (PackedFloats, [3], "float32"),
        ],
    )
    def test_narrowest_exact_type_is_chosen(
        self, kind: type[PackedStream[Any]], values: list[Any], dtype: str
    ) -> None:
        stream = kind.pack(values)
        assert stream.dtype == dtype
        assert repr(stream.tolist()) == repr(
            [type(one)(two) for one, two in zip(stream, values, strict=True)]
        )

    @pytest.mark.parametrize(
        ("kind", "values", "code"),
        [
            (PackedTokenIds, [5, -1], "out_of_range"),
            (PackedTokenIds, [2**32], "out_of_range"),
            (PackedTokenIds, [2**63], "bad_value"),
            (PackedTokenIds, [1.5], "bad_value"),
            (PackedTokenIds, ["1"], "bad_value"),
            (PackedFlags, [2], "wrong_type"),
            (PackedFlags, [256], "bad_value"),
            (PackedFlags, [None], "bad_value"),
            (PackedFloats, [float("nan")], "not_json"),
            (PackedFloats, [float("inf")], "not_json"),
            (PackedFloats, ["x"], "bad_value"),
            (PackedFloats, [10**400], "bad_value"),
        ],
    )
    def test_illegal_element_is_refused(
        self, kind: type[PackedStream[Any]], values: list[Any], code: str
    ) -> None:
        assert refused(lambda: kind.pack(values)).code == code

    def test_packed_stream_is_returned_unchanged(self) -> None:
        stream = PackedFlags.pack(FLAGS)
        assert PackedFlags.pack(stream) is stream

    def test_only_aligned_elements_are_counted(self) -> None:
        """Bytes across two tokens do not count as a token."""
        token = 0x00010000
        ids = [0x01000000, 0x00000000, 0x00000001]
        data = PackedTokenIds.pack(ids).data
        assert token.to_bytes(4, "little") in data
        assert PackedTokenIds.pack(ids).count(token) == 0
        assert PackedTokenIds.pack([*ids, token]).count(token) == 1


class TestForms:
    def test_all_streams_of_a_node_are_packed(self) -> None:
        document = to_builtins(packed())
        for name in ("token_ids", "mask", "is_content", "logprobs", "advantages"):
            assert document[name]["__nd__"] is True
            assert type(document[name]["data"]) is bytes
        assert document["loss_weights"]["ce"]["dtype"] == "float32"
        assert document["advantages"]["dtype"] == "float64"

    def test_both_forms_have_the_same_values(self) -> None:
        assert packed() == node()
        assert node() == packed()
        assert type(packed().token_ids) is PackedTokenIds

    @pytest.mark.parametrize("encode", [encode_json, encode_msgpack, to_builtins])
    def test_writer_chooses_the_form(self, encode: Any) -> None:
        listed, whole = encode(node()), encode(node(), packed=True)
        assert listed != whole
        assert encode(node(), packed=False) == encode(packed(), packed=False) == listed
        assert encode(packed()) == encode(packed(), packed=True) == whole

    def test_reader_of_1_0_accepts_lists(self) -> None:
        assert b"__nd__" not in encode_json(packed(), packed=False)
        assert json.loads(encode_json(node())) == json.loads(encode_json(packed(), packed=False))

    def test_encoding_does_not_change_the_struct(self) -> None:
        value = node()
        encode_msgpack(value, packed=True)
        assert type(value.token_ids) is list
        assert type((value.loss_weights or {})["ce"]) is list
        other = packed()
        encode_msgpack(other, packed=False)
        assert type(other.mask) is PackedFlags

    def test_absent_and_null_streams_are_kept(self) -> None:
        document = to_builtins(convert({**LISTED, "advantages": None}), packed=True)
        assert document["advantages"] is None
        assert "entropies" not in document

    def test_nodes_in_lists_dicts_and_traces_are_packed(self) -> None:
        trace = convert({"nodes": [LISTED], "own": {"x": [1]}}, Trace)
        trace.nodes[0].tools = [convert({"name": "t", "future": 1}, Tool)]
        for value, kind in (
            (trace, Trace),
            (trace.nodes, list[MessageNode]),
            ({"a": trace.nodes[0]}, dict[str, MessageNode]),
        ):
            encoded = encode_msgpack(value, packed=True)
            assert encoded.count(b"__nd__") == 6
            again = decode_msgpack(encoded, kind)
            assert again == value
            assert encode_msgpack(again, packed=False) == encode_msgpack(value)

    def test_json_holds_base64(self) -> None:
        document = json.loads(encode_json(node(), packed=True))
        assert document["mask"] == {
            "__nd__": True, "dtype": "bool", "shape": [3], "data": "AAEB",
        }  # fmt: skip
        assert decode_json(json.dumps(document)) == node()

    def test_packed_stream_has_the_fields_of_an_encoded_array(self) -> None:
        array = convert(to_builtins(packed())["token_ids"], EncodedArray)
        assert array.data == struct.pack("<3i", 8, 70_000, 13)
        assert convert(packed().token_ids, EncodedArray) == array

    def test_decoding_makes_one_object_per_stream(self) -> None:
        """Decoding makes no object per token."""
        size = 50_000
        value = MessageNode(
            message=UserMessage(content="x"), token_ids=[70_000] * size, mask=[False] * size
        )
        again = decode_msgpack(encode_msgpack(value, packed=True))
        assert isinstance(again.token_ids, PackedTokenIds)
        assert len(again.token_ids.data) == 4 * size
        assert again.mask.count(False) == size


class TestEntryPoints:
    def test_constructor_accepts_packed_streams(self) -> None:
        one = MessageNode(
            message=AssistantMessage(content="x"),
            token_ids=PackedTokenIds.pack([1, 2]),
            mask=PackedFlags.pack([False, True]),
            logprobs=[-1.0],
        )
        assert one.token_ids == [1, 2]
        validate(one)

    def test_stream_of_another_type_is_refused(self) -> None:
        error = refused(
            lambda: MessageNode(
                message=UserMessage(content="x"),
                token_ids=PackedFlags.pack([True]),
                mask=[False],
            )
        )
        assert (error.code, error.path) == ("bad_value", "$.token_ids.dtype")

    def test_assigned_stream_is_validated_again(self) -> None:
        value = packed()
        value.mask = PackedFlags.pack([True])
        assert refused(lambda: encode_msgpack(value)).path == "$.mask"
        value = packed()
        assert isinstance(value.mask, PackedFlags)
        value.mask.shape.append(3)
        assert refused(lambda: encode_msgpack(value)).path == "$.mask.shape"

    def test_one_dimensional_numpy_array_is_taken_by_value(self) -> None:
        node = convert({**LISTED, "mask": np.array(LISTED["mask"], bool)})
        assert node == convert(LISTED)
        assert type(node.mask) is list

    def test_numpy_array_of_two_dimensions_is_refused(self) -> None:
        error = refused(lambda: convert({**LISTED, "mask": np.zeros((1, 4), bool)}))
        assert (error.code, error.path) == ("array_payload", "$.mask")

    def test_packed_stream_in_a_descriptor_is_refused(self) -> None:
        error = refused(
            lambda: RawMMItem(modality="image", family="x", payload={"a": packed().token_ids})
        )
        assert (error.code, error.path) == ("array_payload", "$.payload.a")

    def test_errors_do_not_show_bytes(self) -> None:
        document = to_builtins(packed())
        document["token_ids"]["data"] = b"\xff" * 11
        for error in iter_errors(document, MessageNode):
            assert "\\xff" not in str(error)

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"data": b""}, "array_size", "$.token_ids.data"),
            ({"data": bytes(11)}, "array_size", "$.token_ids.data"),
            ({"data": bytes(16)}, "array_size", "$.token_ids.data"),
            ({"shape": [2]}, "array_size", "$.token_ids.data"),
            ({"shape": [3, 1]}, "array_size", "$.token_ids.shape"),
            ({"shape": []}, "array_size", "$.token_ids.shape"),
            ({"shape": [-3]}, "out_of_range", "$.token_ids.shape[0]"),
            ({"shape": [2**62]}, "out_of_range", "$.token_ids.shape[0]"),
            ({"dtype": ">i4"}, "bad_value", "$.token_ids.dtype"),
            ({"dtype": "<i4"}, "bad_value", "$.token_ids.dtype"),
            ({"dtype": "uint32"}, "bad_value", "$.token_ids.dtype"),
            ({"dtype": "float32"}, "bad_value", "$.token_ids.dtype"),
            ({"order": "big"}, "unknown_field", "$.token_ids.order"),
            ({"data": struct.pack("<3i", 1, -1, 1)}, "out_of_range", "$.token_ids.data[1]"),
        ],
    )
    def test_broken_array_is_refused(self, change: dict[str, Any], code: str, path: str) -> None:
        document = to_builtins(packed())
        document["token_ids"] |= change
        for call in (
            lambda: decode_msgpack(msgspec.msgpack.encode(document)),
            lambda: decode_json(msgspec.json.encode(document)),
            lambda: convert(document),
            lambda: validate(document, MessageNode),
        ):
            error = refused(call)
            assert (error.code, error.path) == (code, path)

    def test_object_without_the_mark_is_refused(self) -> None:
        document = to_builtins(packed())
        del document["mask"]["__nd__"]
        error = refused(lambda: convert(document))
        assert (error.code, error.path) == ("wrong_type", "$.mask")
        assert error.expected == "an array or a packed stream, marked __nd__"
        document["mask"] = 5
        assert refused(lambda: convert(document)).expected == error.expected


def rollout() -> Trace:
    """Two turns with an image each, as lists."""
    trace = new_trace()
    history: list[Any] = []
    ids: list[int] = []
    offsets = []
    for number in range(2):
        history.append(user(url(number)))
        offsets.append(len(ids) + 1)
        ids += [5, PAD, PAD, 6]
        media = sidecar(*((one, offset, 2) for one, offset in enumerate(offsets)))
        turn = prepare_turn(trace, history)
        spans = [None] * (len(history) - 1) + [(len(ids) - 4, len(ids))]
        turn.commit(
            response(
                ids,
                [30, 31],
                message_spans=spans,
                multi_modal_data=media,
                mm_token_type_id_map=TYPES,
            )
        )
        history.append(reply())
        ids += [30, 31]
    return trace


class TestGraph:
    def hop(self) -> tuple[Trace, Trace]:
        listed = rollout()
        return listed, decode_msgpack(encode_msgpack(listed, packed=True), Trace)

    def test_branches_read_packed_streams(self) -> None:
        listed, hopped = self.hop()
        (one,), (other,) = branches(listed), branches(hopped)
        for name in ("token_ids", "mask", "logprobs", "mm_token_type_ids", "multi_modal_data"):
            assert getattr(one, name) == getattr(other, name)
            assert type(getattr(one, name)) is type(getattr(other, name))

    def test_next_turn_is_prepared_from_packed_streams(self) -> None:
        listed, hopped = self.hop()
        prompt = [*(node.message for node in listed.nodes), user("go on")]
        turns = [prepare_turn(trace, prompt) for trace in (listed, hopped)]
        first, second = (turn.previous_token_ids() for turn in turns)
        assert repr(first) == repr(second)
        for turn, trace in zip(turns, (listed, hopped), strict=True):
            before = branches(trace)[0].token_ids
            turn.commit(
                response(
                    [*before, 9],
                    [32],
                    bridged=True,
                    multi_modal_data=turn.previous_multi_modal_data(),
                    mm_token_type_id_map=TYPES,
                )
            )
        for trace in (listed, hopped):
            for one in trace.nodes:
                one.timestamp = 0.0
        assert listed == hopped

    def test_sampled_image_token_is_reported(self) -> None:
        _, hopped = self.hop()
        hopped.nodes[1].token_ids = PackedTokenIds.pack([30, PAD])
        error = refused(lambda: encode_msgpack(hopped))
        assert (error.code, error.path) == ("sampled_image_token", "$.nodes[1].token_ids")

    def test_samples_are_equal_in_both_forms(self) -> None:
        samples = [
            sample_from(branches(trace)[0], to_uri=lambda name: f"file:///x/{name}")
            for trace in self.hop()
        ]
        assert samples[0] == samples[1]

    def test_sample_accepts_packed_streams(self) -> None:
        value = packed()
        sample = as_sample(
            {
                "token_ids": value.token_ids,
                "mask": value.mask,
                "logprobs": PackedFloats.pack([0.0, -0.5, -0.25]),
                "temperatures": [1.0] * 3,
                "streams": {"own": PackedFloats.pack([0.5] * 3)},
            }
        )
        assert type(sample.token_ids) is list
        assert sample.token_ids == LISTED["token_ids"]
        assert sample.streams == {"own": [0.5] * 3}
        assert type(sample.streams["own"]) is list
