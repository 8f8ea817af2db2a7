"""`encode_sample` and `decode_sample`: the transport's bytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from rawmm import RawMMError
from rawmm.trainer import SAMPLE_FIELDS, TrainingSample, decode_sample, encode_sample
from tests.unit.trainer.samples import experts, sample

WIRE = Path(__file__).parent.parent.parent / "data/wire/trainer"
REFS = SAMPLE_FIELDS.index("mm_refs")


def read(form: str) -> tuple[bytes, tuple[str, ...]]:
    fields = json.loads((WIRE / f"mm_refs.{form}.fields.json").read_text())["sample_fields"]
    return (WIRE / f"training_sample.{form}.msgpack").read_bytes(), tuple(fields)


def error(data: Any, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(RawMMError) as caught:
        decode_sample(data, **kwargs)
    return caught.value.code, caught.value.path


def changed(position: int | str, value: Any) -> bytes:
    values = msgspec.msgpack.decode(read("image_refs")[0])
    values[SAMPLE_FIELDS.index(position) if isinstance(position, str) else position] = value
    return msgspec.msgpack.encode(values)


class TestPrimeRl:
    def test_bytes_come_back(self) -> None:
        data, fields = read("image_refs")
        assert fields == SAMPLE_FIELDS
        decoded = decode_sample(data)
        assert decoded.env_name == "demo"
        assert decoded.mm_refs is not None
        assert [(one.offset, one.length) for one in decoded.mm_refs.images] == [(3, 6), (14, 8)]
        assert encode_sample(decoded) == data

    @pytest.mark.parametrize(
        ("form", "name"),
        [("descriptor_and_uris", "descriptor_and_uris"), ("inline", "inline_urls")],
    )
    def test_older_and_newer_references_are_named(self, form: str, name: str) -> None:
        data, fields = read(form)
        with pytest.raises(RawMMError) as caught:
            decode_sample(data, fields=fields)
        place = fields.index("mm_refs")
        assert (caught.value.code, caught.value.path) == ("historical_form", f"$[{place}]")
        assert name in str(caught.value)

    @pytest.mark.parametrize("form", ["descriptor_and_uris", "inline"])
    def test_fields_of_other_layouts_are_kept(self, form: str) -> None:
        """Fields of other versions of the transport are kept."""
        data, fields = read(form)
        values = msgspec.msgpack.decode(data)
        values[fields.index("mm_refs")] = values[fields.index("mm_token_type_ids")] = None
        data = msgspec.msgpack.encode(values)
        decoded = decode_sample(data, fields=fields)
        assert decoded.info == ({"training_mode": "rl"} if "training_mode" in fields else {})
        assert encode_sample(decoded, fields=fields) == data


class TestStrict:
    @pytest.mark.parametrize("data", [b"", b"\xc1", b"\x9e\x01", read("image_refs")[0] + b"\x00"])
    def test_malformed_bytes_are_refused(self, data: bytes) -> None:
        assert error(data) == ("malformed", "$")

    @pytest.mark.parametrize("data", [None, "text", 3])
    def test_other_type_is_refused(self, data: Any) -> None:
        assert error(data)[0] in {"wrong_type", "malformed"}

    def test_other_document_is_refused(self) -> None:
        assert error(msgspec.msgpack.encode({"token_ids": [1]})) == ("wrong_type", "$")

    @pytest.mark.parametrize("more", [-1, 1])
    def test_wrong_number_of_fields_is_refused(self, more: int) -> None:
        values = [*msgspec.msgpack.decode(read("image_refs")[0]), None]
        del values[len(SAMPLE_FIELDS) + more :]
        with pytest.raises(RawMMError) as caught:
            decode_sample(msgspec.msgpack.encode(values))
        assert (caught.value.code, caught.value.path) == ("bad_length", "$")
        assert caught.value.expected.startswith("14 fields: token_ids, mask, logprobs,")
        assert caught.value.got == str(len(SAMPLE_FIELDS) + more)

    @pytest.mark.parametrize(
        ("field", "value", "code", "path"),
        [
            ("token_ids", [1, "2"], "wrong_type", "$[0][1]"),
            ("token_ids", None, "missing_field", "$"),
            ("mask", [True], "stream_length", "$[1]"),
            ("env_name", 3, "wrong_type", "$[4]"),
            ("mm_kwargs", {"pixel_values": {}}, "processed_payload", "$[6]"),
            ("mm_refs", [], "bad_length", "$[7]"),
            ("mm_refs", [[[{}, "a", "b", 1]]], "bad_length", "$[7][0][0]"),
            ("mm_refs", {"images": []}, "wrong_type", "$[7]"),
            ("mm_refs", None, "orphan_image", "$[9]"),
            ("routed_experts", [b"1", [1], "uint8"], "stream_length", "$[8]"),
            ("mm_token_type_ids", [0] * 27, "orphan_image", "$[7][0][0]"),
        ],
    )
    def test_paths_have_positions(self, field: str, value: Any, code: str, path: str) -> None:
        assert error(changed(field, value)) == (code, path)

    @pytest.mark.parametrize(
        ("position", "value", "code", "path"),
        [
            (0, "x", "wrong_type", "$[7][0][1][0]"),
            (1, "2e7c", "bad_format", "$[7][0][1][1]"),
            (1, "f" * 32, "hash_mismatch", "$[7][0][1][0].raw_image_uri"),
            (2, "data:image/png;base64,aGVsbG8=", "bad_locator", "$[7][0][1][2]"),
            (2, "http://host/a.png", "bad_locator", "$[7][0][1][2]"),
            (3, 13, "orphan_image", "$[7][0][1]"),
            (3, 8, "placeholder_order", "$[7][0][1]"),
            (3, 20, "placeholder_order", "$[7][0][1]"),
            (3, 14.0, "wrong_type", "$[7][0][1][3]"),
            (4, 9, "orphan_image", "$[7][0][1]"),
            (4, 7, "orphan_image", "$[9]"),
            (4, 0, "out_of_range", "$[7][0][1][4]"),
            (4, True, "wrong_type", "$[7][0][1][4]"),
        ],
    )
    def test_paths_in_references_have_positions(
        self, position: int, value: Any, code: str, path: str
    ) -> None:
        refs = msgspec.msgpack.decode(read("image_refs")[0])[REFS]
        refs[0][1][position] = value
        assert error(changed("mm_refs", refs)) == (code, path)


class TestEncode:
    def test_full_sample_is_encoded(self) -> None:
        one = sample(4, (1, 2), routed_experts=experts(4), advantages=[1.0] * 4)
        assert decode_sample(encode_sample(one)) == one

    def test_payloads_in_other_containers_are_encoded(self) -> None:
        one = sample(4, (1, 2))
        assert one.mm_refs is not None
        item = one.mm_refs.images[0].item
        item.payload = MappingProxyType(item.payload)  # type: ignore[assignment]
        assert decode_sample(encode_sample(one)) == sample(4, (1, 2))

    def test_additional_fields_are_written(self) -> None:
        one = sample(2, streams={"teacher_logprobs": [-1.0, -2.0]}, info={"reward": 0.5})
        fields = (*SAMPLE_FIELDS, "teacher_logprobs", "reward", "trace_id")
        assert decode_sample(encode_sample(one, fields=fields), fields=fields) == one

    @pytest.mark.parametrize(
        ("one", "name"),
        [
            (sample(2, streams={"own": [1, 2]}), "own"),
            (sample(2, info={"reward": 0}), "reward"),
        ],
    )
    def test_value_without_a_field_is_refused(self, one: TrainingSample, name: str) -> None:
        with pytest.raises(RawMMError) as caught:
            encode_sample(one)
        assert (caught.value.code, caught.value.path) == ("unknown_field", f"$.{name}")

    def test_sample_returns_from_a_transport_of_few_fields(self) -> None:
        fields = ("token_ids", "mask", "logprobs", "temperatures")
        one = sample(3, mm_token_type_ids=None, env_name="")
        assert decode_sample(encode_sample(one, fields=fields), fields=fields) == one

    def test_images_without_their_field_are_refused(self) -> None:
        with pytest.raises(RawMMError) as caught:
            encode_sample(sample(3, (0, 2)), fields=[f for f in SAMPLE_FIELDS if f != "mm_refs"])
        assert (caught.value.code, caught.value.path) == ("unknown_field", "$.mm_refs")

    def test_invalid_sample_is_refused(self) -> None:
        one = sample(3, (0, 2))
        one.mm_refs = None
        with pytest.raises(RawMMError) as caught:
            encode_sample(one)
        assert caught.value.code == "orphan_image"
