"""Sampling masks and expert routing in nodes."""

from __future__ import annotations

import array
import base64
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rawmm import (
    ContractError,
    EncodedArray,
    RawMMError,
    SamplingMask,
    Trace,
    WeightVersion,
    encode_msgpack,
    validate,
)
from rawmm.graph.arrays import encoded, flat_rows
from tests.unit.graph.turns import history_of, new_trace, play, response, user

if TYPE_CHECKING:
    from collections.abc import Sequence


def int32(*values: int) -> Any:
    return np.array(values, dtype=np.int32)


def held(mask: Any) -> tuple[list[int], list[int]]:
    ids, counts = (
        np.frombuffer(one.data, dtype=one.dtype).tolist() for one in (mask.ids, mask.counts)
    )
    return ids, counts


def read_mask(value: Any) -> SamplingMask | None:
    return flat_rows(value, SamplingMask, "sampling_mask")


class TestSamplingMasks:
    @pytest.mark.parametrize("build", [SimpleNamespace, dict], ids=["object", "mapping"])
    def test_numpy_arrays_become_masks(self, build: Any) -> None:
        mask = read_mask(build(ids=int32(5, 6, 7), counts=int32(2, 1)))
        assert held(mask) == ([5, 6, 7], [2, 1])
        assert mask is not None
        assert (mask.ids.dtype, mask.ids.shape) == ("int32", [3])

    def test_encoded_arrays_become_masks(self) -> None:
        one = EncodedArray(dtype="int32", shape=[1], data=b"\1\0\0\0")
        mask = SamplingMask(ids=one, counts=one)
        assert read_mask(mask) is mask
        assert read_mask({"ids": one, "counts": one}) == mask
        plain = {"__nd__": True, "dtype": "int32", "shape": [1], "data": b"\1\0\0\0"}
        assert read_mask({"ids": plain, "counts": plain}) == mask
        assert read_mask(None) is None

    def test_rows_that_are_not_contiguous_become_masks(self) -> None:
        mask = read_mask({"ids": int32(5, 0, 6, 0)[::2], "counts": int32(1, 1)[::-1]})
        assert held(mask) == ([5, 6], [1, 1])

    def test_masks_are_stored_in_the_node(self) -> None:
        trace = new_trace()
        mask = {"ids": int32(5, 6), "counts": int32(2, 0)}
        play(trace, [user("a")], response([1], sampling_mask=mask))
        assert trace.nodes[0].sampling_mask is None
        assert held(trace.nodes[1].sampling_mask) == ([5, 6], [2, 0])
        validate(trace)

    @pytest.mark.parametrize(
        ("mask", "sentence"),
        [
            (
                {"ids": int32(1)},
                ": expected the field 'counts', got an object without it [missing_field]",
            ),
            (5, ": expected the field 'ids', got an object without it [missing_field]"),
            (
                {"ids": [1], "counts": int32(1)},
                ".ids: expected an array, got an array of 1 [wrong_type]",
            ),
            (
                {"ids": int32(1), "counts": array.array("i", [1])},
                ".counts: expected an array, got a array.array [wrong_type]",
            ),
            (
                {"ids": int32(1), "counts": {"dtype": "int32"}},
                ".counts: expected the field '__nd__', got an object without it [missing_field]",
            ),
            (
                {"ids": np.array([1]), "counts": int32(1)},
                ".ids: expected int32 of one dimension, got int64 of shape 1 [array_size]",
            ),
            (
                {"ids": int32(1), "counts": int32(1).reshape(1, 1)},
                ".counts: expected int32 of one dimension, got int32 of shape 1x1 [array_size]",
            ),
            (
                {"ids": np.array([1], dtype=">i4"), "counts": int32(1)},
                ".ids.dtype: expected 'bool' or 'int8' or 'int16' or 'int32' or 'int64' or 'uint8' "
                "or 'uint16' or 'uint32' or 'uint64' or 'float16' or 'float32' or 'float64', got "
                "'>i4' [bad_value]",
            ),
            (
                {"ids": int32(1, 2), "counts": int32(1)},
                ".ids: expected 1 id, the sum of counts, got 2 [stream_length]",
            ),
        ],
    )
    def test_invalid_masks_are_refused(self, mask: Any, sentence: str) -> None:
        with pytest.raises(RawMMError) as caught:
            read_mask(mask)
        assert str(caught.value) == "$.tokens.sampling_mask" + sentence


def float32(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def tops(**changes: Any) -> SimpleNamespace:
    """Two rows of likely tokens, of two and of one."""
    arrays = {
        "ids": int32(1, 7, 2),
        "logprobs": float32(-0.25, -1.5, -0.5),
        "counts": int32(2, 1),
    }
    return SimpleNamespace(**{**arrays, **changes})


class TestTopLogprobs:
    def test_numpy_arrays_are_stored_in_the_node(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1, 2], top_logprobs=tops()))
        assert trace.nodes[0].top_logprobs is None
        stored = trace.nodes[1].top_logprobs
        assert stored is not None
        assert np.frombuffer(stored.logprobs.data, "<f4").tolist() == [-0.25, -1.5, -0.5]
        assert held(stored) == ([1, 7, 2], [2, 1])
        validate(trace)

    @pytest.mark.parametrize(
        ("given", "code", "path"),
        [
            (tops(counts=None), "missing_field", "$.tokens.top_logprobs"),
            (tops(logprobs=[-1.0] * 3), "wrong_type", "$.tokens.top_logprobs.logprobs"),
            (tops(logprobs=float32(-0.25)), "stream_length", "$.tokens.top_logprobs.logprobs"),
            (tops(logprobs=np.zeros(3)), "array_size", "$.tokens.top_logprobs.logprobs"),
            (
                tops(logprobs=float32(-1, np.nan, -1)),
                "not_json",
                "$.tokens.top_logprobs.logprobs.data[1]",
            ),
            (
                tops(ids=int32(1), logprobs=float32(-1), counts=int32(1)),
                "stream_length",
                "$.nodes[1].top_logprobs.counts",
            ),
        ],
    )
    def test_invalid_rows_are_refused_and_the_trace_is_unchanged(
        self, given: Any, code: str, path: str
    ) -> None:
        trace = new_trace()
        before = encode_msgpack(trace)
        with pytest.raises(RawMMError) as caught:
            play(trace, [user("a")], response([1, 2], top_logprobs=given))
        assert (caught.value.code, caught.value.path) == (code, path)
        assert encode_msgpack(trace) == before


@dataclass
class Span:
    version: str
    start: int
    end: int


class TestWeightVersions:
    @pytest.mark.parametrize("build", [Span, dict, WeightVersion])
    def test_spans_are_stored_in_the_node(self, build: Any) -> None:
        trace = new_trace()
        spans = [build(version="7", start=0, end=1), build(version="8", start=1, end=2)]
        play(trace, [user("a")], response([1, 2], weight_versions=spans))
        assert trace.nodes[0].weight_versions is None
        assert trace.nodes[1].weight_versions == [
            WeightVersion(version="7", start=0, end=1),
            WeightVersion(version="8", start=1, end=2),
        ]

    @pytest.mark.parametrize(
        ("spans", "code", "path"),
        [
            (5, "wrong_type", "$.tokens.weight_versions"),
            ([{"start": 0, "end": 1}], "missing_field", "$.tokens.weight_versions[0]"),
            (
                [{"version": "7", "start": 0, "end": 3}],
                "placeholder_order",
                "$.nodes[1].weight_versions[0].end",
            ),
        ],
    )
    def test_invalid_spans_are_refused_and_the_trace_is_unchanged(
        self, spans: Any, code: str, path: str
    ) -> None:
        trace = new_trace()
        before = encode_msgpack(trace)
        with pytest.raises(RawMMError) as caught:
            play(trace, [user("a")], response([1, 2], weight_versions=spans))
        assert (caught.value.code, caught.value.path) == (code, path)
        assert encode_msgpack(trace) == before


def test_encoded_array_is_kept() -> None:
    one = EncodedArray(dtype="int32", shape=[0], data=b"")
    assert encoded(one) is one


def payload(rows: Any, dtype: str = "uint8", **fields: Any) -> dict[str, Any]:
    """An engine's expert routing of one layer and one expert per token."""
    data = np.array(rows, dtype=dtype)
    return {
        "data": base64.b64encode(data.tobytes()).decode(),
        "shape": [len(data), 1, 1],
        "dtype": dtype,
    } | fields


def rows_of(trace: Trace) -> list[list[int] | None]:
    out: list[list[int] | None] = []
    for node in trace.nodes:
        one = node.routed_experts
        out.append(None if one is None else np.frombuffer(one.data, dtype=one.dtype).tolist())
        assert one is None or one.shape == [len(node.token_ids), 1, 1]
    return out


SPANS = ((0, 2), (2, 3))
PROMPT = (user("a"), user("b"))


def turn(trace: Trace, routing: Any, ids: Sequence[int] = (1, 2, 3, 4), **tokens: Any) -> None:
    """Two messages of two tokens and one, a scaffold of one, and a completion of two."""
    play(trace, [*PROMPT], response([*ids], message_spans=SPANS, routed_experts=routing, **tokens))


class TestRouting:
    def test_each_node_gets_its_rows_and_the_last_token_a_copy(self) -> None:
        trace = new_trace()
        turn(trace, payload([10, 11, 12, 13, 14]))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 14]]
        validate(trace)

    def test_row_for_the_last_token_is_kept(self) -> None:
        trace = new_trace()
        turn(trace, payload([10, 11, 12, 13, 14, 15]))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 15]]

    def test_additional_rows_are_ignored(self) -> None:
        trace = new_trace()
        turn(trace, payload(range(10, 20)))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 15]]

    @pytest.mark.parametrize("rows", [4, 3, 0])
    def test_array_more_than_one_row_short_is_ignored(self, rows: int) -> None:
        """Only the last token can lack a row. Nodes that are not covered have no routing."""
        trace = new_trace()
        turn(trace, payload(range(rows)))
        assert rows_of(trace) == [[0, 1] if rows else None, [2] if rows else None, None]

    def test_rows_of_a_partly_covered_node_are_dropped(self) -> None:
        trace = new_trace()
        turn(trace, payload([12, 13, 14, 15], start=2))
        assert rows_of(trace) == [None, [12], [13, 14, 15]]
        trace = new_trace()
        turn(trace, payload([11, 12, 13, 14, 15], start=1))
        assert rows_of(trace) == [None, [12], [13, 14, 15]]

    @pytest.mark.parametrize("start", [None, 0])
    def test_default_start_is_zero(self, start: Any) -> None:
        trace = new_trace()
        turn(trace, payload([10, 11, 12, 13, 14], start=start))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 14]]

    def test_default_type_is_uint8(self) -> None:
        for dtype in (None, ""):
            trace = new_trace()
            turn(trace, payload([10, 11, 12, 13, 14]) | {"dtype": dtype})
            assert rows_of(trace) == [[10, 11], [12], [13, 14, 14]]

    def test_two_dimensional_rows_are_sliced(self) -> None:
        trace = new_trace()
        data = np.arange(5 * 6, dtype=np.uint16).reshape(5, 3, 2)
        raw = base64.b64encode(data.tobytes())
        turn(trace, {"data": raw, "shape": (5, 3, 2), "dtype": "uint16"})
        last = trace.nodes[2].routed_experts
        assert last is not None
        assert (last.dtype, last.shape) == ("uint16", [3, 3, 2])
        expected = np.concatenate([data[3:], data[-1:]])
        assert last.data == expected.tobytes()

    def test_message_without_tokens_has_no_rows(self) -> None:
        trace = new_trace()
        play(
            trace,
            [user("a"), user("")],
            response([1, 2], message_spans=[(0, 2), None], routed_experts=payload([1, 2, 3])),
        )
        assert rows_of(trace) == [[1, 2], None, [3, 3]]

    def test_whole_array_is_not_kept(self) -> None:
        trace = new_trace()
        turn(trace, payload([10, 11, 12, 13, 14]))
        for node in trace.nodes:
            assert node.routed_experts is not None
            assert type(node.routed_experts.data) is bytes


class TestCorrections:
    """The next turn feeds the last token back, and so has its row."""

    def first(self, rows: Any = (10, 11, 12, 13, 14), dtype: str = "uint8") -> Trace:
        trace = new_trace()
        turn(trace, payload(rows, dtype))
        return trace

    def second(self, trace: Trace, routing: Any, **tokens: Any) -> None:
        ids = [1, 2, 3, 4, 90, 91, 5]
        play(
            trace,
            [*history_of(trace)[:3], user("c")],
            response(ids, message_spans=[None] * 3 + [(6, 7)], routed_experts=routing, **tokens),
        )

    def test_copied_row_is_replaced(self) -> None:
        trace = self.first()
        self.second(trace, payload([10, 11, 12, 13, 14, 25, 26, 27]))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 25], [26], [27, 27]]
        assert trace.nodes[2].routed_experts == EncodedArray(
            dtype="uint8", shape=[3, 1, 1], data=bytes([13, 14, 25])
        )

    @pytest.mark.parametrize(
        ("start", "rows", "kept", "new"),
        [
            (5, [25, 26, 27], 25, [26]),
            (4, [14, 25, 26, 27], 25, [26]),
            # It covers the new tokens only, so it has no row for the token before.
            (6, [26, 27], 14, [26]),
            (7, [27], 14, None),
        ],
    )
    def test_array_may_start_at_the_copied_row(
        self, start: int, rows: list[int], kept: int, new: list[int] | None
    ) -> None:
        trace = self.first()
        self.second(trace, payload(rows, start=start))
        assert rows_of(trace)[2:4] == [[13, 14, kept], new]

    def test_array_that_ends_before_it_corrects_nothing(self) -> None:
        trace = self.first()
        self.second(trace, payload([10, 11, 12, 13, 14]))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 14], None, None]
        trace = self.first()
        self.second(trace, payload([10, 11, 12, 13, 14, 25]))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 25], None, None]

    def test_narrower_numbers_are_widened(self) -> None:
        trace = self.first()
        self.second(trace, payload([0, 0, 0, 0, 0, 300, 301, 302], "uint16"))
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 300], [301], [302, 302]]
        one = trace.nodes[2].routed_experts
        assert one is not None
        assert one.dtype == "uint16"
        trace = self.first([10, 11, 12, 13, 70_000], "uint32")
        self.second(trace, payload([0, 0, 0, 0, 0, 25, 26, 27]))
        assert rows_of(trace) == [[10, 11], [12], [13, 70_000, 25], [26], [27, 27]]
        one = trace.nodes[2].routed_experts
        assert one is not None
        assert one.dtype == "uint32"

    def test_signed_numbers_of_one_type_are_corrected(self) -> None:
        trace = self.first([10, 11, 12, 13, -14], "int16")
        self.second(trace, payload([0, 0, 0, 0, 0, -25, 26, 27], "int16"))
        assert rows_of(trace)[2] == [13, -14, -25]

    @pytest.mark.parametrize(
        ("before", "now", "wider", "got"),
        [
            ("int16", "uint8", "uint8", "int16"),
            ("uint16", "int32", "uint16", "int32"),
            ("int8", "int16", "int8", "int16"),
        ],
    )
    def test_incompatible_types_are_refused(
        self, before: str, now: str, wider: str, got: str
    ) -> None:
        trace = self.first(dtype=before)
        kept = encode_msgpack(trace)
        with pytest.raises(ContractError) as caught:
            self.second(trace, payload(range(8), now))
        assert str(caught.value) == (
            f"$.tokens.routed_experts.dtype: expected {wider}, as for the tokens before, or another "
            f"unsigned type, got {got} [bad_value]"
        )
        assert encode_msgpack(trace) == kept

    def test_rows_of_another_shape_correct_nothing(self) -> None:
        trace = self.first()
        data = base64.b64encode(bytes(16)).decode()
        self.second(trace, {"data": data, "shape": [8, 2, 1]})
        one, other = trace.nodes[2].routed_experts, trace.nodes[3].routed_experts
        assert one is not None
        assert other is not None
        assert (one.data, one.shape, other.shape) == (bytes([13, 14, 14]), [3, 1, 1], [1, 2, 1])

    def test_node_without_routing_stays_without(self) -> None:
        trace = new_trace()
        turn(trace, None)
        self.second(trace, payload(range(8)))
        assert rows_of(trace) == [None, None, None, [6], [7, 7]]

    def test_turn_without_routing_changes_nothing(self) -> None:
        trace = self.first()
        self.second(trace, None)
        assert rows_of(trace) == [[10, 11], [12], [13, 14, 14], None, None]

    def test_prompt_message_has_no_copied_row(self) -> None:
        """Only the last token of a completion was not fed back."""
        trace = new_trace()
        play(
            trace,
            [user("a"), user("b")],
            response(
                [1, 2, 3], message_spans=[(0, 2), (2, 3)], routed_experts=payload([1, 2, 3, 4])
            ),
        )
        play(
            trace,
            [user("a"), user("c")],
            response(
                [1, 2, 9], message_spans=[(0, 2), (2, 3)], routed_experts=payload([5, 6, 7, 8])
            ),
        )
        assert rows_of(trace) == [[1, 2], [3], [4, 4], [7], [8, 8]]

    def test_last_node_with_tokens_counts(self) -> None:
        trace = self.first()
        history = history_of(trace)
        ids = [1, 2, 3, 4, 90, 91]
        play(
            trace,
            [*history, user("")],
            response(ids, text="one", message_spans=[None] * 3 + [(6, 6)]),
        )
        play(
            trace,
            [*history, user(""), user("d")],
            response(
                [*ids, 7],
                text="two",
                message_spans=[None] * 3 + [(6, 6), (6, 7)],
                routed_experts=payload([10, 11, 12, 13, 14, 25, 26, 27]),
            ),
        )
        assert rows_of(trace)[2] == [13, 14, 25]

    def test_first_turn_has_nothing_to_correct(self) -> None:
        trace = new_trace()
        play(trace, [], response([1], routed_experts=payload([1, 2, 3])))
        assert rows_of(trace) == [[1, 2, 3]]


REFUSED: list[tuple[Any, str]] = [
    ([1], ": expected an object, got an array of 1 [wrong_type]"),
    ({"shape": [1, 1, 1]}, ": expected the field 'data', got an object without it [missing_field]"),
    ({"data": ""}, ": expected the field 'shape', got an object without it [missing_field]"),
    (payload([1], shape=[2, 1, 1]), ".data: expected 2 bytes for uint8 of shape 2x1x1, got 1 byte [array_size]"),
    (payload([1], dtype="uint8") | {"dtype": "uint16"}, ".data: expected 2 bytes for uint16 of shape 1x1x1, got 1 byte [array_size]"),
    (payload([1], data="AA*="), ".data: expected base64, got 'AA*=' [bad_base64]"),
    (payload([1], data="AA"), ".data: expected base64, got 'AA' [bad_base64]"),
    (payload([1], data="ä"), ".data: expected base64, got 'ä' [bad_base64]"),
    (payload([1], data=5), ".data: expected base64, got 5 [bad_base64]"),
    (payload([1], shape="1"), ".shape: expected an array, got the string '1' [wrong_type]"),
    (payload([1], shape=[-1, 1, 1]), ".shape[0]: expected an integer from 0 to 9007199254740991, got -1 [out_of_range]"),
    (payload([1], start=-1), ".start: expected the index of a token, at least 0, got -1 [bad_value]"),
    (payload([1], start="2"), ".start: expected the index of a token, at least 0, got '2' [bad_value]"),
]  # fmt: skip


@pytest.mark.parametrize(("routing", "sentence"), REFUSED)
def test_invalid_routing_is_refused(routing: Any, sentence: str) -> None:
    trace = new_trace()
    before = encode_msgpack(trace)
    with pytest.raises(RawMMError) as caught:
        turn(trace, routing)
    assert str(caught.value) == "$.tokens.routed_experts" + sentence
    assert encode_msgpack(trace) == before


def test_shape_without_rows_leaves_a_valid_trace() -> None:
    for shape, data in (([], b"\1"), ([0, 4, 2], b""), ([3, 0, 2], b"")):
        trace = new_trace()
        turn(trace, {"data": base64.b64encode(data), "shape": shape})
        validate(trace)
        rows = [node.routed_experts for node in trace.nodes]
        assert rows[2] is None or rows[2].shape == [3, 0, 2]
