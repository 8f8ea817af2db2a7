"""`as_sample`: what it accepts, and its errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from rawmm import MMRefs, ProcessedPayloadError, RawMMError, to_builtins
from rawmm.trainer import TrainingSample, as_sample
from rawmm.trainer.sample import FIELDS
from tests.cases import each
from tests.unit.trainer.samples import PAD, FullImage, experts, image, sample


class RoutedExperts(msgspec.Struct, array_like=True):
    """Like the struct of prime-rl's transport."""

    data: bytes
    shape: list[int]
    dtype: str


class TheirRefs(msgspec.Struct, array_like=True):
    images: list[FullImage]


class TheirSample(msgspec.Struct, array_like=True):
    token_ids: list[int]
    mask: list[bool]
    logprobs: list[float]
    temperatures: list[float]
    env_name: str
    mm_kwargs: dict[str, Any] | None = None
    mm_refs: TheirRefs | None = None
    routed_experts: RoutedExperts | None = None
    mm_token_type_ids: list[int] | None = None
    teacher_logprobs: list[float] | None = None
    reward: float | None = None
    branch_index: int | None = None


def plain(one: TrainingSample) -> dict[str, Any]:
    out = {name: getattr(one, name) for name in FIELDS - {"streams", "info"}}
    return out | {"mm_refs": None if one.mm_refs is None else to_builtins(one.mm_refs)}


def error(value: Any) -> tuple[str, str]:
    with pytest.raises(RawMMError) as caught:
        as_sample(value)
    return caught.value.code, caught.value.path


SAMPLE = sample(9, (1, 3), (5, 2))


class TestAccepted:
    def test_mapping_is_accepted(self) -> None:
        assert as_sample(plain(SAMPLE)) == SAMPLE
        assert as_sample(SAMPLE) == SAMPLE
        assert as_sample(SAMPLE) is not SAMPLE

    def test_struct_of_the_transport_is_accepted(self) -> None:
        (images,) = to_builtins(SAMPLE.mm_refs)
        routed = experts(9)
        theirs = TheirSample(
            token_ids=SAMPLE.token_ids,
            mask=SAMPLE.mask,
            logprobs=SAMPLE.logprobs,
            temperatures=SAMPLE.temperatures,
            env_name="demo",
            mm_refs=TheirRefs([FullImage(*one) for one in images]),
            routed_experts=RoutedExperts(routed.data, routed.shape, routed.dtype),
            mm_token_type_ids=SAMPLE.mm_token_type_ids,
            teacher_logprobs=[-1.0] * 9,
            reward=0.5,
        )
        taken = as_sample(theirs)
        assert taken.mm_refs == SAMPLE.mm_refs
        assert taken.routed_experts == routed
        assert taken.streams == {"teacher_logprobs": [-1.0] * 9}
        assert taken.info == {"reward": 0.5}

    @pytest.mark.parametrize(
        "routed",
        [
            experts(9),
            to_builtins(experts(9)),
            [experts(9).data, [9, 2, 3], "uint8"],
            np.frombuffer(experts(9).data, dtype=np.uint8).reshape(9, 2, 3),
        ],
    )
    def test_routing_is_accepted(self, routed: Any) -> None:
        assert as_sample(plain(SAMPLE) | {"routed_experts": routed}).routed_experts == experts(9)

    def test_integers_become_floats(self) -> None:
        taken = as_sample(plain(SAMPLE) | {"logprobs": tuple(range(9))})
        assert taken.logprobs == [float(i) for i in range(9)]
        assert type(taken.logprobs) is list
        assert type(taken.logprobs[0]) is float

    def test_no_images_give_no_references(self) -> None:
        text = plain(sample(3)) | {"mm_refs": [[]]}
        assert as_sample(text).mm_refs is None
        assert as_sample(text | {"mm_token_type_ids": None, "env_name": None}).env_name == ""

    def test_lists_are_copies(self) -> None:
        taken = as_sample(SAMPLE)
        taken.token_ids.clear()
        taken.info["a"] = 1
        assert len(SAMPLE.token_ids) == 9
        assert SAMPLE.info == {}


class TestRefused:
    @pytest.mark.parametrize("value", [None, 3, [1, 2], "x", SimpleNamespace(token_ids=[])])
    def test_other_value_is_refused(self, value: Any) -> None:
        assert error(value) == ("wrong_type", "$")

    @pytest.mark.parametrize("name", ["token_ids", "mask", "logprobs", "temperatures"])
    def test_missing_field_is_refused(self, name: str) -> None:
        values = plain(SAMPLE)
        assert error(values | {name: None}) == ("missing_field", "$")
        del values[name]
        assert error(values) == ("missing_field", "$")

    @each(
        "name",
        [
            "mask",
            "logprobs",
            "temperatures",
            "ref_logprobs",
            "mm_token_type_ids",
            "rl_weights",
            "ce_weights",
            "ref_kl_weights",
            "advantages",
        ],
    )
    @each("size", [0, 8, 10])
    def test_stream_of_wrong_length_is_refused(self, name: str, size: int) -> None:
        stream = ([False] if name == "mask" else [0]) * size
        with pytest.raises(RawMMError) as caught:
            as_sample(plain(SAMPLE) | {name: stream})
        assert str(caught.value) == (
            f"$.{name}: expected 9 values, one per token, got {size} [stream_length]"
        )

    @pytest.mark.parametrize("routed", [experts(8), experts(10)])
    def test_routing_of_wrong_length_is_refused(self, routed: Any) -> None:
        assert error(plain(SAMPLE) | {"routed_experts": routed}) == (
            "stream_length",
            "$.routed_experts",
        )

    @pytest.mark.parametrize(
        ("routed", "code", "path"),
        [
            ([b"123", [9, 2, 3], "uint8"], "array_size", "$.routed_experts.data"),
            ([b"1" * 9, [9], "float8"], "bad_value", "$.routed_experts.dtype"),
            ([b"1" * 9, [9]], "wrong_type", "$.routed_experts"),
            ("uint8", "wrong_type", "$.routed_experts"),
            ({"data": b""}, "missing_field", "$.routed_experts"),
        ],
    )
    def test_invalid_routing_is_refused(self, routed: Any, code: str, path: str) -> None:
        assert error(plain(SAMPLE) | {"routed_experts": routed}) == (code, path)

    def test_invalid_assignment_to_routing_is_refused(self) -> None:
        routed = experts(9)
        routed.data = b""
        assert error(plain(SAMPLE) | {"routed_experts": routed})[0] == "array_size"

    @pytest.mark.parametrize(
        ("name", "value", "code", "path"),
        [
            ("token_ids", [1, 2.0], "wrong_type", "$.token_ids[1]"),
            ("token_ids", [1, True], "wrong_type", "$.token_ids[1]"),
            ("token_ids", [1, -1], "out_of_range", "$.token_ids[1]"),
            ("token_ids", {1, 2}, "wrong_type", "$.token_ids"),
            ("token_ids", "12", "wrong_type", "$.token_ids"),
            ("token_ids", np.arange(9.0), "wrong_type", "$.token_ids[0]"),
            ("token_ids", np.zeros((3, 3), dtype=int), "array_payload", "$.token_ids"),
            ("mask", [True] * 8 + [1], "wrong_type", "$.mask[8]"),
            ("logprobs", [0.0] * 8 + [None], "wrong_type", "$.logprobs[8]"),
            ("mm_token_type_ids", [0.5] * 9, "wrong_type", "$.mm_token_type_ids[0]"),
            ("env_name", 3, "wrong_type", "$.env_name"),
            ("streams", [1], "wrong_type", "$.streams"),
            ("streams", {"own": None}, "wrong_type", "$.streams.own"),
            ("streams", {"own": [1]}, "stream_length", "$.streams.own"),
            ("streams", {"mask": [True] * 9}, "bad_value", "$.streams.mask"),
            ("info", 3, "wrong_type", "$.info"),
            ("info", {"env_name": "x"}, "bad_value", "$.info.env_name"),
            ("own", [1] * 8, "unknown_field", "$.own"),
            ("own", {"a": 1}, "unknown_field", "$.own"),
            ("own", b"x", "unknown_field", "$.own"),
        ],
    )
    def test_invalid_values_are_refused(self, name: str, value: Any, code: str, path: str) -> None:
        assert error(plain(SAMPLE) | {name: value}) == (code, path)

    @pytest.mark.parametrize("kwargs", [{}, {"pixel_values": np.zeros(3)}, np.zeros(2)])
    @pytest.mark.parametrize("base", [SAMPLE, sample(3)])
    def test_processed_data_are_refused(self, base: TrainingSample, kwargs: Any) -> None:
        """With and without references."""
        with pytest.raises(ProcessedPayloadError) as caught:
            as_sample(plain(base) | {"mm_kwargs": kwargs})
        said = str(caught.value)
        assert said.startswith("$.mm_kwargs: expected references to raw images, in mm_refs, got ")
        assert said.endswith("; rebuild the sample from its rollout [processed_payload]")


class TestImages:
    def with_images(self, *images: Any, **fields: Any) -> tuple[str, str]:
        refs = None if images == (None,) else MMRefs(images=list(images))
        return error(plain(SAMPLE) | {"mm_refs": refs} | fields)

    def test_lost_image_is_refused(self) -> None:
        assert self.with_images(None) == ("orphan_image", "$.mm_token_type_ids")
        assert self.with_images(image(0, 1, 3)) == ("orphan_image", "$.mm_token_type_ids")

    @pytest.mark.parametrize("span", [(5, 1), (5, 3), (4, 2), (6, 2), (7, 2)])
    def test_image_off_its_tokens_is_refused(self, span: tuple[int, int]) -> None:
        code, path = self.with_images(image(0, 1, 3), image(1, *span))
        assert code == "orphan_image"
        assert path == ("$.mm_token_type_ids" if span == (5, 1) else "$.mm_refs[0][1]")

    def test_image_outside_of_the_sample_is_refused(self) -> None:
        types = {"mm_token_type_ids": None}
        assert self.with_images(image(0, 8, 2), **types) == ("placeholder_order", "$.mm_refs[0][0]")
        last = MMRefs(images=[image(0, 8, 1)])
        assert as_sample(plain(SAMPLE) | types | {"mm_refs": last}).mm_refs == last

    def test_images_out_of_order_are_refused(self) -> None:
        refs = MMRefs(images=[image(0, 1, 3), image(1, 5, 2)])
        refs.images.reverse()
        assert error(plain(SAMPLE) | {"mm_refs": refs}) == ("placeholder_order", "$.mm_refs[0][1]")

    def test_other_modality_is_refused(self) -> None:
        refs = MMRefs(images=[image(0, 1, 3), image(1, 5, 2)])
        refs.images[1].item.modality = "video"
        assert error(plain(SAMPLE) | {"mm_refs": refs}) == (
            "unsupported_modality",
            "$.mm_refs[0][1][0].modality",
        )
        types = [0, 1, 1, 1, 0, 1, 1, 0, 2]
        assert error(plain(SAMPLE) | {"mm_token_type_ids": types}) == (
            "unsupported_modality",
            "$.mm_token_type_ids[8]",
        )

    def test_inline_image_is_refused(self) -> None:
        one = image(0, 1, 3)
        one.uri = "data:image/png;base64,aGVsbG8="
        assert self.with_images(one, image(1, 5, 2)) == ("bad_locator", "$.mm_refs[0][0][2]")

    @pytest.mark.parametrize(
        "refs",
        [
            [[["file:///a.png", 1, 3]]],
            [{"mm_items": {}}, ["file:///a.png"]],
        ],
    )
    def test_old_forms_are_named(self, refs: Any) -> None:
        assert error(plain(SAMPLE) | {"mm_refs": refs}) == ("historical_form", "$.mm_refs")

    def test_processed_payload_is_refused(self) -> None:
        refs = MMRefs(images=[image(0, 1, 3), image(1, 5, 2)])
        refs.images[1].item.payload["pixel_values"] = 1
        assert error(plain(SAMPLE) | {"mm_refs": refs}) == (
            "processed_payload",
            "$.mm_refs[0][1][0].payload.pixel_values",
        )

    def test_unchanged_sample_is_accepted(self) -> None:
        assert SAMPLE.token_ids.count(PAD) == 5
        assert as_sample(SAMPLE).mm_refs == SAMPLE.mm_refs
