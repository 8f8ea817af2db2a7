"""Micro-batches: moved offsets, filled streams, and errors for incompatible samples."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rawmm import RawMMError
from rawmm.trainer import MicroBatch, TrainingSample, pack, unpack
from rawmm.trainer.sample import FILL
from tests.unit.trainer.samples import experts, image, sample

STREAMS = sorted(FILL.keys() - {"mm_token_type_ids"})


def error(call: Any, *args: Any) -> tuple[str, str]:
    with pytest.raises(RawMMError) as caught:
        call(*args)
    return caught.value.code, caught.value.path


class TestPack:
    def test_two_samples_are_joined(self) -> None:
        first = sample(4, (1, 2), routed_experts=experts(4), streams={"own": [1, 2, 3, 4]})
        second = sample(
            3,
            (0, 2),
            env_name="other",
            routed_experts=experts(3),
            streams={"own": [5, 6, 7]},
            info={"reward": 1},
        )
        before = copy.deepcopy((first, second))
        batch = pack([first, second])
        assert batch.input_ids == first.token_ids + second.token_ids
        assert batch.loss_mask == first.mask + second.mask
        assert batch.inference_logprobs == first.logprobs + second.logprobs
        assert batch.temperatures == [1.0] * 7
        assert batch.position_ids == [0, 1, 2, 3, 0, 1, 2]
        assert batch.sequence_lengths == [4, 3]
        assert batch.env_names == ["demo"] * 4 + ["other"] * 3
        assert batch.mm_token_type_ids == [0, 1, 1, 0, 1, 1, 0]
        assert batch.mm_refs is not None
        assert [(one.offset, one.length) for one in batch.mm_refs.images] == [(1, 2), (4, 2)]
        assert batch.streams == {"own": [1, 2, 3, 4, 5, 6, 7]}
        assert batch.info == [{}, {"reward": 1}]
        assert batch.routed_experts is not None
        assert batch.routed_experts.shape == [7, 2, 3]
        assert batch.routed_experts.data == experts(4).data + experts(3).data
        for name in STREAMS:
            assert getattr(batch, name) is None
        assert unpack(batch) == [first, second]
        assert (first, second) == before

    @pytest.mark.parametrize("name", STREAMS)
    def test_stream_that_one_sample_lacks_is_filled(self, name: str) -> None:
        first, second = sample(2, **{name: [7.0, 8.0]}), sample(3)
        fill = 1.0 if name == "rl_weights" else 0.0
        batch = pack([first, second, first])
        assert getattr(batch, name) == [7.0, 8.0, fill, fill, fill, 7.0, 8.0]
        assert unpack(batch) == [first, second, first]

    def test_text_and_images_are_packed_together(self) -> None:
        text = sample(2, mm_token_type_ids=None)
        batch = pack([text, sample(3, (1, 1))])
        assert batch.mm_token_type_ids == [0, 0, 0, 1, 0]
        assert batch.mm_refs is not None
        assert batch.mm_refs.images[0].offset == 3
        assert unpack(batch)[0] == text

    def test_text_samples_are_packed(self) -> None:
        texts = [sample(2, mm_token_type_ids=None), sample(1, mm_token_type_ids=None)]
        batch = pack(texts)
        assert (batch.mm_refs, batch.mm_token_type_ids) == (None, None)
        assert unpack(batch) == texts

    def test_structs_of_the_transport_are_accepted(self) -> None:
        one = sample(4, (1, 2))
        values = {
            name: getattr(one, name)
            for name in ("token_ids", "mask", "logprobs", "temperatures", "mm_refs", "env_name")
        }
        assert unpack(pack(iter([values])))[0].mm_refs == one.mm_refs

    def test_offsets_of_the_samples_stay(self) -> None:
        one = sample(4, (1, 2))
        batch = pack([one, one])
        assert batch.mm_refs is not None
        assert [image.offset for image in batch.mm_refs.images] == [1, 5]
        assert one == sample(4, (1, 2))


class TestSequenceLengths:
    def test_lengths_are_joined(self) -> None:
        samples = [sample(5, seq_lens=[2, 3]), sample(4), sample(1, seq_lens=[1])]
        batch = pack(samples)
        assert batch.seq_lens == [2, 3, 4, 1]
        assert batch.sequence_lengths == [5, 4, 1]
        assert [names == {"seq_lens"} for names in batch.absent] == [False, True, False]
        assert unpack(batch) == samples

    def test_samples_without_lengths_have_none(self) -> None:
        assert pack([sample(5), sample(4)]).seq_lens is None

    @pytest.mark.parametrize("lengths", [[2, 3, 3], [2, 3, 5], [5, 4, 0], [9]])
    def test_lengths_that_do_not_match_are_refused(self, lengths: list[int]) -> None:
        batch = pack([sample(5, seq_lens=[2, 3]), sample(4)])
        batch.seq_lens = lengths
        code, path = error(unpack, batch)
        assert code == ("out_of_range" if 0 in lengths else "stream_length")
        assert path == ("$.seq_lens[2]" if 0 in lengths else "$.seq_lens")


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"family": "kimi_k25"}, "family"),
            ({"layout_fingerprint": "f" * 32}, "layout_fingerprint"),
            ({"layout_fingerprint": None}, "layout_fingerprint"),
        ],
    )
    def test_images_of_two_layouts_are_refused(self, fields: Any, name: str) -> None:
        first, second = sample(4, (1, 2)), sample(6, (0, 2), (3, 1))
        assert second.mm_refs is not None
        second.mm_refs.images[1] = image(1, 3, 1, **fields)
        assert error(pack, [first, sample(3), second]) == (
            "mixed_layouts",
            f"$[2].mm_refs[0][1][0].{name}",
        )
        with pytest.raises(RawMMError) as caught:
            pack([second])
        assert caught.value.path == f"$[0].mm_refs[0][1][0].{name}"
        assert caught.value.hint == "pack the samples of each layout separately"

    def test_empty_batch_is_refused(self) -> None:
        assert error(pack, []) == ("bad_length", "$")

    def test_sample_without_tokens_is_refused(self) -> None:
        assert error(pack, [sample(2), sample(0)]) == ("bad_length", "$[1].token_ids")

    def test_processed_data_beside_references_are_refused(self) -> None:
        one = sample(4, (1, 2))
        values = {
            "token_ids": [1],
            "mask": [True],
            "logprobs": [0.0],
            "temperatures": [1.0],
            "mm_kwargs": {"pixel_values": [1]},
        }
        assert error(pack, [one, values]) == ("processed_payload", "$[1].mm_kwargs")

    def test_invalid_sample_is_refused(self) -> None:
        broken = sample(4, (1, 2))
        broken.token_ids.append(1)
        assert error(pack, [sample(1), broken]) == ("stream_length", "$[1].mask")

    @pytest.mark.parametrize("first", [True, False])
    def test_routing_or_streams_of_some_samples_only_are_refused(self, *, first: bool) -> None:
        bare = sample(2)
        for full, path in (
            (sample(2, routed_experts=experts(2)), "routed_experts"),
            (sample(2, streams={"own": [1, 2]}), "streams.own"),
        ):
            samples = [bare, full] if first else [full, bare]
            assert error(pack, samples) == ("stream_length", f"$[{1 - first}].{path}")

    @pytest.mark.parametrize("other", [experts(2, layers=1), experts(2, dtype="int16")])
    def test_routing_of_another_shape_is_refused(self, other: Any) -> None:
        samples = [sample(3, routed_experts=experts(3)), sample(2, routed_experts=other)]
        assert error(pack, samples) == ("bad_value", "$[1].routed_experts")

    def test_images_without_types_beside_types_are_refused(self) -> None:
        bare = sample(4, (1, 2), mm_token_type_ids=None)
        assert unpack(pack([bare])) == [bare]
        assert error(pack, [sample(1), bare]) == ("stream_length", "$[1].mm_token_type_ids")


class TestUnpack:
    def batch(self) -> MicroBatch:
        return pack([sample(4, (1, 2)), sample(3, (0, 2), advantages=[1.0, 2.0, 3.0])])

    @pytest.mark.parametrize("lengths", [[4, 2], [7, 1], []])
    def test_lengths_that_do_not_match_are_refused(self, lengths: list[int]) -> None:
        batch = self.batch()
        batch.sequence_lengths = lengths
        assert error(unpack, batch) == ("stream_length", "$.sequence_lengths")

    @pytest.mark.parametrize("name", ["absent", "info"])
    def test_wrong_number_of_entries_is_refused(self, name: str) -> None:
        batch = self.batch()
        getattr(batch, name).pop()
        assert error(unpack, batch) == ("count_mismatch", f"$.{name}")

    def test_image_across_two_samples_is_refused(self) -> None:
        batch = self.batch()
        batch.sequence_lengths = [2, 5]
        assert error(unpack, batch) == ("placeholder_order", "$.mm_refs[0][0]")
        batch.sequence_lengths = [5, 2]
        assert error(unpack, batch) == ("placeholder_order", "$.mm_refs[0][1]")

    @pytest.mark.parametrize(
        "name", ["loss_mask", "inference_logprobs", "temperatures", "env_names", "advantages"]
    )
    def test_streams_are_named_as_in_the_batch(self, name: str) -> None:
        batch = self.batch()
        getattr(batch, name).pop()
        assert error(unpack, batch) == ("stream_length", f"$.{name}")

    def test_offset_that_was_not_moved_is_refused(self) -> None:
        batch = self.batch()
        assert batch.mm_refs is not None
        batch.mm_refs.images[1].offset = 3
        assert error(unpack, batch) == ("orphan_image", "$.mm_refs[0][1]")

    def test_padded_batch_is_unpacked(self) -> None:
        """Trainers pad the last sample."""
        batch = pack([sample(4, (1, 2)), sample(2)])
        for stream, value in (
            (batch.input_ids, 1),
            (batch.loss_mask, False),
            (batch.inference_logprobs, 0.0),
            (batch.position_ids, 0),
            (batch.temperatures, 1.0),
            (batch.env_names, ""),
            (batch.mm_token_type_ids, 0),
        ):
            assert isinstance(stream, list)
            stream.append(value)
        batch.sequence_lengths[-1] += 1
        first, second = unpack(batch)
        assert first == sample(4, (1, 2))
        assert second.token_ids == [*sample(2).token_ids, 1]


def test_unpacked_lists_are_copies() -> None:
    one: TrainingSample = sample(3, (0, 1), info={"a": 1})
    batch = pack([one])
    batch.input_ids.clear()
    batch.info[0]["a"] = 2
    assert one == sample(3, (0, 1), info={"a": 1})
    batch = pack([one])
    unpack(batch)[0].info["a"] = 2
    assert batch.info == [{"a": 1}]
