"""`truncate`: a sample is cut before an image, never inside."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rawmm import RawMMError
from rawmm.trainer import TrainingSample, truncate
from rawmm.trainer.sample import FILL, REQUIRED, images_of
from tests.unit.trainer.samples import experts, sample

SPANS = ((1, 3), (5, 2))
SAMPLE = sample(
    9,
    *SPANS,
    ref_logprobs=[0.1 * i for i in range(9)],
    rl_weights=[1.0 * i for i in range(9)],
    ce_weights=[2.0 * i for i in range(9)],
    ref_kl_weights=[3.0 * i for i in range(9)],
    advantages=[4.0 * i for i in range(9)],
    routed_experts=experts(9),
    streams={"own": list(range(9))},
    info={"reward": 0.5},
)


@pytest.mark.parametrize(
    ("limit", "tokens", "images"),
    [
        (0, 0, 0),
        (1, 1, 0),
        (2, 1, 0),
        (3, 1, 0),
        (4, 4, 1),
        (5, 5, 1),
        (6, 5, 1),
        (7, 7, 2),
        (8, 8, 2),
        (9, 9, 2),
        (10, 9, 2),
        (10**9, 9, 2),
    ],
)
def test_every_limit_cuts_all_streams_and_whole_images(
    limit: int, tokens: int, images: int
) -> None:
    before = copy.deepcopy(SAMPLE)
    cut = truncate(SAMPLE, limit)
    assert before == SAMPLE
    for name in (*REQUIRED, *FILL):
        assert getattr(cut, name) == getattr(SAMPLE, name)[:tokens], name
    assert images_of(cut) == images_of(SAMPLE)[:images]
    assert (cut.mm_refs is None) is (images == 0)
    assert cut.routed_experts == experts(tokens)
    assert cut.streams == {"own": list(range(tokens))}
    assert (cut.env_name, cut.info) == ("demo", {"reward": 0.5})


def test_image_longer_than_the_limit_leaves_an_empty_sample() -> None:
    cut = truncate(sample(5, (0, 4)), 3)
    assert (cut.token_ids, cut.mm_refs) == ([], None)


def test_absent_streams_stay_absent() -> None:
    cut = truncate(sample(5, (1, 2)), 4)
    assert cut.advantages is None
    assert cut.routed_experts is None
    assert cut.streams == {}


@pytest.mark.parametrize(
    ("limit", "lengths"), [(9, [2, 3, 4]), (8, [2, 3, 3]), (5, [2, 3]), (1, [1]), (0, [])]
)
def test_lengths_of_sequences_are_cut(limit: int, lengths: list[int]) -> None:
    cut = truncate(sample(9, seq_lens=[2, 3, 4]), limit)
    assert cut.seq_lens == lengths
    assert truncate(cut, limit) == cut


def test_structs_of_the_transport_are_accepted() -> None:
    values: Any = {name: getattr(SAMPLE, name) for name in (*REQUIRED, *FILL, "mm_refs")}
    assert images_of(truncate(values, 6)) == images_of(SAMPLE)[:1]


def test_result_is_a_copy() -> None:
    cut = truncate(SAMPLE, 9)
    assert cut == SAMPLE
    images_of(cut)[0].offset = 0
    cut.info["reward"] = 1.0
    cut.streams["own"].clear()
    assert images_of(SAMPLE)[0].offset == 1
    assert SAMPLE.info == {"reward": 0.5}
    assert SAMPLE.streams == {"own": list(range(9))}


@pytest.mark.parametrize("limit", [-1, 1.0, True, None, "3"])
def test_invalid_limits_are_refused(limit: Any) -> None:
    with pytest.raises(RawMMError) as caught:
        truncate(SAMPLE, limit)
    assert (caught.value.code, caught.value.path) == ("out_of_range", "$")


def test_invalid_sample_is_refused() -> None:
    broken: TrainingSample = copy.deepcopy(SAMPLE)
    broken.mask.pop()
    with pytest.raises(RawMMError) as caught:
        truncate(broken, 2)
    assert (caught.value.code, caught.value.path) == ("stream_length", "$.mask")
