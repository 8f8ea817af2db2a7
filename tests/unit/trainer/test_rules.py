"""Samples and micro-batches obey the rules of nodes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rawmm import ProcessedPayloadError, RawMMError
from rawmm.model.types import PROCESSED_KEYS
from rawmm.trainer import (
    SAMPLE_FIELDS,
    as_sample,
    build_mm_refs,
    decode_sample,
    encode_sample,
    pack,
    truncate,
    unpack,
)
from tests.cases import each
from tests.unit.trainer.samples import sample, sidecar
from tests.unit.trainer.test_sample import plain

if TYPE_CHECKING:
    from collections.abc import Callable

INF = float("inf")
BAD = [float("nan"), INF, -INF]
SAMPLE = sample(4, (1, 2))
LIST = [0.5, 1.5, 2.5, 3.5]


def error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(RawMMError) as caught:
        function(*args, **kwargs)
    return caught.value.code, caught.value.path


class TestProcessed:
    @each("name", [*sorted(PROCESSED_KEYS), "mm_kwargs"])
    def test_names_are_refused_everywhere(self, name: str) -> None:
        for value in (LIST, 1.0, "x"):
            assert error(as_sample, plain(SAMPLE) | {name: value}) == (
                "processed_payload",
                f"$.{name}",
            )
        with pytest.raises(ProcessedPayloadError):
            as_sample(plain(SAMPLE) | {"streams": {name: LIST}})
        with pytest.raises(ProcessedPayloadError):
            as_sample(plain(SAMPLE) | {"info": {name: 1}})

    @each("name", sorted(PROCESSED_KEYS))
    def test_processed_payload_in_info_is_refused_at_any_depth(self, name: str) -> None:
        info = {"a": [{"b": {name: 1}}]}
        path = f"$.info.a[0].b.{name}"
        assert error(as_sample, plain(SAMPLE) | {"info": info}) == ("processed_payload", path)

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (np.zeros(3), "array_payload"),
            (b"\x89PNG", "array_payload"),
            ({"__nd__": True, "data": "AAAA"}, "array_payload"),
            ({1, 2}, "not_json"),
            (object(), "not_json"),
            (INF, "not_json"),
            ({1: 2}, "not_json"),
        ],
    )
    def test_value_in_info_that_is_not_json_is_refused(self, value: Any, code: str) -> None:
        assert error(as_sample, plain(SAMPLE) | {"info": {"a": {"b": value}}})[0] == code

    def test_info_is_a_plain_copy(self) -> None:
        info = {"a": MappingProxyType({"b": (1, 2)}), "seed": 2**62}
        taken = as_sample(plain(SAMPLE) | {"info": info})
        assert taken.info == {"a": {"b": [1, 2]}, "seed": 2**62}
        assert type(taken.info["a"]) is dict


class TestStreams:
    @pytest.mark.parametrize("value", BAD)
    @pytest.mark.parametrize(
        "name", ["logprobs", "temperatures", "ref_logprobs", "rl_weights", "advantages", "own"]
    )
    def test_numbers_are_finite(self, name: str, value: float) -> None:
        stream = [0.0, 0.0, value, 0.0]
        assert error(as_sample, plain(SAMPLE) | {name: stream}) == ("not_json", f"$.{name}[2]")

    @pytest.mark.parametrize("value", BAD)
    def test_numbers_of_named_streams_are_finite(self, value: float) -> None:
        streams = {"own": [0.0, value, 0.0, 0.0]}
        path = "$.streams.own[1]"
        assert error(as_sample, plain(SAMPLE) | {"streams": streams}) == ("not_json", path)

    def test_arrays_are_taken_by_value(self) -> None:
        given = plain(SAMPLE) | {
            "token_ids": np.array(SAMPLE.token_ids, dtype=np.int32),
            "mask": np.array(SAMPLE.mask),
            "logprobs": np.array(SAMPLE.logprobs, dtype=np.float32),
            "mm_token_type_ids": np.array(SAMPLE.mm_token_type_ids, dtype=np.int64),
            "own": np.arange(4, dtype=np.int16),
            "streams": {"more": np.array([True, False, True, False])},
        }
        taken = as_sample(given)
        assert taken.token_ids == SAMPLE.token_ids
        assert taken.mask == SAMPLE.mask
        assert taken.logprobs == SAMPLE.logprobs
        assert taken.streams == {"own": [0, 1, 2, 3], "more": [True, False, True, False]}
        assert {type(one) for of in taken.streams.values() for one in of} == {int, bool}
        fields = (*SAMPLE_FIELDS, "own", "more")
        assert decode_sample(encode_sample(taken, fields=fields), fields=fields) == taken

    @pytest.mark.parametrize(
        "value", [np.zeros((4, 2)), np.array(["a"] * 4), np.array([None] * 4, dtype=object)]
    )
    @pytest.mark.parametrize("name", ["logprobs", "own"])
    def test_other_arrays_are_refused(self, name: str, value: Any) -> None:
        assert error(as_sample, plain(SAMPLE) | {name: value}) == ("array_payload", f"$.{name}")
        assert error(as_sample, plain(SAMPLE) | {"streams": {"x": value}}) == (
            "array_payload",
            "$.streams.x",
        )

    def test_arrays_among_the_elements_are_refused(self) -> None:
        streams = {"own": [np.zeros(1)] * 4}
        path = "$.streams.own[0]"
        assert error(as_sample, plain(SAMPLE) | {"streams": streams}) == ("array_payload", path)


class TestNames:
    @pytest.mark.parametrize("key", [1, None, (1, 2), b"own"])
    def test_keys_are_strings(self, key: Any) -> None:
        assert error(as_sample, {**plain(SAMPLE), key: 1}) == ("not_json", "$")
        assert error(as_sample, plain(SAMPLE) | {"streams": {key: LIST}})[0] == "not_json"
        assert error(as_sample, plain(SAMPLE) | {"info": {key: 1}})[0] == "not_json"

    def test_name_given_twice_is_refused(self) -> None:
        both = {"streams": {"own": LIST}, "info": {"own": 1}}
        assert error(as_sample, plain(SAMPLE) | both) == ("duplicate_key", "$.info.own")
        for place in ({"streams": {"own": LIST}}, {"info": {"own": 1}}):
            for value in (1, LIST):
                again = plain(SAMPLE) | place | {"own": value}
                assert error(as_sample, again) == ("duplicate_key", "$.own")

    def test_transport_field_named_twice_is_refused(self) -> None:
        fields = (*SAMPLE_FIELDS, "mask")
        assert error(encode_sample, SAMPLE, fields=fields) == ("duplicate_key", "$.fields")
        assert error(decode_sample, encode_sample(SAMPLE), fields=fields)[0] == "duplicate_key"

    def test_empty_text_is_kept(self) -> None:
        one = plain(SAMPLE) | {"info": {"note": ""}}
        assert error(encode_sample, one) == ("unknown_field", "$.note")

    def test_integer_beyond_64_bits_is_refused(self) -> None:
        fields = (*SAMPLE_FIELDS, "seed")
        one = plain(SAMPLE) | {"info": {"seed": 2**70}}
        assert error(encode_sample, one, fields=fields) == ("not_json", "$")


class TestBatches:
    @pytest.mark.parametrize(
        ("lengths", "code"),
        [
            ([8, -1], "out_of_range"),
            ([7, 0], "out_of_range"),
            ([4.0, 3], "wrong_type"),
            ([True, 6], "wrong_type"),
            ("43", "wrong_type"),
            ([4, 4], "stream_length"),
        ],
    )
    def test_invalid_lengths_are_refused(self, lengths: Any, code: str) -> None:
        batch = pack([SAMPLE, sample(3)])
        batch.sequence_lengths = lengths
        assert error(unpack, batch)[0] == code

    def test_lengths_may_be_an_array(self) -> None:
        batch = pack([SAMPLE, sample(3)])
        batch.sequence_lengths = np.array([4, 3])  # type: ignore[assignment]
        assert unpack(batch) == [SAMPLE, sample(3)]

    def test_required_streams_cannot_be_absent(self) -> None:
        batch = pack([SAMPLE])
        batch.absent = [frozenset({"mask"})]
        assert error(unpack, batch) == ("bad_value", "$.absent[0]")

    def test_processed_data_in_the_info_of_a_batch_are_refused(self) -> None:
        batch = pack([SAMPLE])
        batch.info = [{"a": {"pixel_values": 1}}]
        assert error(unpack, batch) == ("processed_payload", "$.info[0].a.pixel_values")


@pytest.mark.parametrize("limit", [-1, 1.0, True, None, "3"])
def test_invalid_limit_is_refused(limit: Any) -> None:
    assert error(truncate, SAMPLE, limit) == ("out_of_range", "$")


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"num_tokens": -1}, "out_of_range", "$.num_tokens"),
        ({"num_tokens": 3.0}, "out_of_range", "$.num_tokens"),
        ({"mm_token_type_ids": "011"}, "wrong_type", "$.mm_token_type_ids"),
        ({"mm_token_type_ids": [0, -1, 1]}, "out_of_range", "$.mm_token_type_ids[1]"),
    ],
)
def test_other_values_as_sample_are_refused(more: dict[str, Any], code: str, path: str) -> None:
    assert error(build_mm_refs, sidecar((1, 2)), image_dir="/x", **more) == (code, path)


def test_types_of_tokens_may_be_an_array() -> None:
    types = np.array([0, 1, 1, 0])
    given: Any = types
    assert build_mm_refs(sidecar((1, 2)), image_dir="/x", mm_token_type_ids=given) is not None
