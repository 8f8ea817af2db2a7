"""Encoded arrays: sizes, and elements of sampling masks and packed streams."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    MessageNode,
    PackedFlags,
    PackedFloats,
    PackedTokenIds,
    RawMMError,
    SamplingMask,
    convert,
    decode_json,
    decode_msgpack,
    encode_msgpack,
    iter_errors,
    schemas,
)
from rawmm.model.packed import illegal_elements
from rawmm.rules.packed import MAX_ELEMENTS
from rawmm.rules.scalars import is_base64
from rawmm.values.arrays import shown_shape, size_error
from tests.builders import encoded_array

NAN, INF = float("nan"), float("inf")
LARGEST = 2**53 - 1


def refused(value: Any, kind: Any) -> list[tuple[str, str]]:
    with pytest.raises(RawMMError):
        convert(value, kind)
    return [(error.code, error.path) for error in iter_errors(value, kind)]


class TestSizes:
    @pytest.mark.parametrize("dimensions", [16, 400, 5000])
    def test_many_large_dimensions_are_refused_in_a_short_sentence(self, dimensions: int) -> None:
        error = size_error("float64", [LARGEST] * dimensions, b"", ())
        assert error is not None
        assert (error.code, error.path) == ("array_size", "$.data")
        assert len(str(error)) < 150

    @pytest.mark.parametrize("shape", [[0], [LARGEST] * 500 + [0], [0] + [LARGEST] * 500])
    def test_shape_with_a_zero_has_no_bytes(self, shape: list[int]) -> None:
        assert size_error("int64", shape, b"", ()) is None
        assert size_error("int64", shape, b"\0", ()) is not None

    def test_many_ones_are_one_element(self) -> None:
        assert size_error("int16", [1] * 1000, b"ab", ()) is None

    def test_expected_size_is_shown_if_an_array_can_have_it(self) -> None:
        error = size_error("int32", [2, 3], b"", ())
        assert error is not None
        assert error.expected == "24 bytes for int32 of shape 2x3"

    @given(st.lists(st.integers(0, 5) | st.integers(0, LARGEST), max_size=6), st.binary(max_size=9))
    def test_size_agrees_with_the_product(self, shape: list[int], data: bytes) -> None:
        product = 2
        for length in shape:
            product *= length
        assert (size_error("int16", shape, data, ()) is None) == (len(data) == product)

    def test_shown_shapes_are_short(self) -> None:
        assert shown_shape([]) == "scalar"
        assert shown_shape([2, 3]) == "2x3"
        assert shown_shape([LARGEST] * 9) == "9 dimensions"
        assert shown_shape([1] * 17) == "17 dimensions"


def mask(ids: Any, counts: Any) -> dict[str, Any]:
    parts = {"ids": ids, "counts": counts}
    return {
        name: value
        if isinstance(value, dict)
        else encoded_array("int32", [len(value)], struct.pack(f"<{len(value)}i", *value))
        for name, value in parts.items()
    }


class TestSamplingMasks:
    def test_negative_count_is_refused(self) -> None:
        value = mask([5, 6, 7], [4, -1])
        assert refused(value, SamplingMask) == [("out_of_range", "$.counts.data[1]")]

    def test_negative_id_is_refused(self) -> None:
        assert refused(mask([5, -6], [2]), SamplingMask) == [("out_of_range", "$.ids.data[1]")]

    def test_counts_that_cancel_out_are_refused(self) -> None:
        assert refused(mask([], [3, -3]), SamplingMask) == [("out_of_range", "$.counts.data[1]")]

    def test_both_arrays_are_checked(self) -> None:
        wide = encoded_array("int64", [1], bytes(8))
        assert refused(mask(wide, wide), SamplingMask) == [
            ("array_size", "$.ids"),
            ("array_size", "$.counts"),
        ]

    @pytest.mark.parametrize("field", ["sampling_mask", "kept_tokens"])
    def test_error_in_a_node_has_its_path(self, field: str) -> None:
        node = {
            "message": {"role": "assistant", "content": "x"}, "sampled": True,
            "token_ids": [1, 2], "mask": [True, True], field: mask([5, 6, 7], [4, -1]),
        }  # fmt: skip
        assert refused(node, MessageNode) == [("out_of_range", f"$.{field}.counts.data[1]")]

    def test_sum_of_counts_must_match_the_ids(self) -> None:
        assert refused(mask([5], [2]), SamplingMask) == [("stream_length", "$.ids")]
        convert(mask([5, 2**31 - 1], [2, 0]), SamplingMask)


STREAMS: list[tuple[Any, str, str, list[Any], list[Any]]] = [
    (PackedTokenIds, "int32", "i", [0, 1, 2**31 - 1], [-1, -(2**31)]),
    (PackedTokenIds, "int64", "q", [0, 2**32 - 1], [2**32, 2**40, 2**48, 2**56, 2**62, -1]),
    (PackedFlags, "bool", "B", [0, 1], [2, 128, 255]),
    (PackedFlags, "uint8", "B", [0, 1], [2, 128, 255]),
    (PackedFloats, "float32", "f", [0.5, -0.0, 3.4e38, 1e-45], [NAN, INF, -INF]),
    (PackedFloats, "float64", "d", [0.5, -0.0, 1.7e308, 5e-324], [NAN, INF, -INF]),
]


@pytest.mark.parametrize(("kind", "dtype", "code", "right", "wrong"), STREAMS)
class TestIllegalElements:
    def test_each_illegal_element_is_refused(
        self, kind: Any, dtype: str, code: str, right: list[Any], wrong: list[Any]
    ) -> None:
        for value in wrong:
            for at in range(3):
                values = [right[0], right[1], right[-1]]
                values[at] = value
                packed = encoded_array(dtype, [3], struct.pack(f"<3{code}", *values))
                ((_, path),) = refused(packed, kind)
                assert path == f"$.data[{at}]"
        for value in right:
            convert(encoded_array(dtype, [1], struct.pack(f"<{code}", value)), kind)

    def test_first_hundred_are_listed_and_the_rest_counted(
        self, kind: Any, dtype: str, code: str, right: list[Any], wrong: list[Any]
    ) -> None:
        values = [right[0], *wrong] * 70_000
        packed = encoded_array(dtype, [len(values)], struct.pack(f"<{len(values)}{code}", *values))
        *listed, last = iter_errors(packed, kind)
        assert len(listed) == MAX_ELEMENTS
        illegal = [at for at in range(200) if at % (len(wrong) + 1)][:MAX_ELEMENTS]
        assert [error.path for error in listed[: len(illegal)]] == [f"$.data[{n}]" for n in illegal]
        assert last.path == "$.data"
        assert last.code == listed[-1].code
        assert last.got == f"{len(wrong) * 70_000 - MAX_ELEMENTS} more illegal elements"

    def test_elements_in_different_blocks_are_refused(
        self, kind: Any, dtype: str, code: str, right: list[Any], wrong: list[Any]
    ) -> None:
        size = struct.calcsize(code)
        places = [0, 65_535, 65_536, 199_999]
        data = bytearray(struct.pack(f"<{code}", right[0]) * 200_000)
        for at in places:
            data[at * size : (at + 1) * size] = struct.pack(f"<{code}", wrong[0])
        found = refused(encoded_array(dtype, [200_000], bytes(data)), kind)
        assert [path for _, path in found] == [f"$.data[{at}]" for at in places]


@given(st.lists(st.floats(width=32) | st.sampled_from([NAN, INF, -INF])))
def test_float_is_illegal_if_not_finite(values: list[float]) -> None:
    for dtype, code in (("float32", "f"), ("float64", "d")):
        data = struct.pack(f"<{len(values)}{code}", *values)
        flags = b"".join(found for _, found in illegal_elements(dtype, data))
        assert list(flags or bytes(len(values))) == [value - value != 0 for value in values]


@given(st.integers(-(2**63), 2**63 - 1))
def test_token_id_is_illegal_outside_the_bounds_of_the_schema(value: int) -> None:
    bounds = schemas.bundle()["$defs"]["TokenId"]
    legal = bounds["minimum"] <= value <= bounds["maximum"]
    assert any(illegal_elements("int64", struct.pack("<q", value))) != legal


@given(st.text("AZaz09+/=-_é \n", max_size=9) | st.binary().map(base64.b64encode).map(bytes.decode))
def test_base64_check_agrees_with_the_pattern(text: str) -> None:
    pattern = schemas.bundle()["$defs"]["ArrayData"]["pattern"]
    assert is_base64(text) == bool(re.search(pattern.replace("$", r"\Z"), text))


def test_both_formats_refuse_the_same_elements() -> None:
    data = struct.pack("<3i", 1, -1, 2)
    node = {"message": {"role": "user", "content": "x"}, "mask": [False] * 3}
    document = {**node, "token_ids": encoded_array("int32", [3], base64.b64encode(data).decode())}
    with pytest.raises(RawMMError) as caught:
        decode_json(json.dumps(document), MessageNode)
    assert (caught.value.code, caught.value.path) == ("out_of_range", "$.token_ids.data[1]")
    good = convert({**node, "token_ids": [1, 70_000, 2]})
    wire = encode_msgpack(good, packed=True)
    assert wire.count(b"\x70\x11\x01\0") == 1
    with pytest.raises(RawMMError) as caught:
        decode_msgpack(wire.replace(b"\x70\x11\x01\0", b"\x70\x11\x01\xff"), MessageNode)
    assert (caught.value.code, caught.value.path) == ("out_of_range", "$.token_ids.data[1]")
