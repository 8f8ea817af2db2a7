"""The pixels of the trainer are those of the engine, or there is an error before the forward."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import rawmm
from rawmm import STORED, ImageDecoding, RawMMError
from tests.integrations.e2e.worker import SIZES, TRANSPARENT, TURNED, screenshot
from tests.integrations.engine.pixels import decode_image

if TYPE_CHECKING:
    from rawmm import MMImageRef
    from rawmm.trainer import MicroBatch
    from tests.integrations.e2e.conftest import Story
    from tests.integrations.e2e.trainer import Trainer

OTHERS = [STORED, ImageDecoding(orientation="stored"), ImageDecoding(background=None)]


def ambiguous(batch: MicroBatch) -> list[MMImageRef]:
    assert batch.mm_refs is not None
    return [one for one in batch.mm_refs.images if one.item.ambiguous]


def test_story_has_a_turned_and_a_transparent_image(story: Story) -> None:
    found = ambiguous(story.batch())
    assert {tuple(one.item.ambiguous or ()) for one in found} == {
        ("orientation",),
        ("transparency",),
    }
    for number in (TURNED, TRANSPARENT):
        raw = screenshot(number)
        upright = rawmm.decode_image(raw)
        assert upright.size == SIZES[number]
        np.testing.assert_array_equal(np.asarray(upright), np.asarray(decode_image(raw)))
        assert not np.array_equal(
            np.asarray(upright).ravel(), np.asarray(rawmm.decode_image(raw, STORED)).ravel()
        )


def test_pixels_of_the_engine_give_the_probabilities_of_the_engine(
    story: Story, trainer: Trainer
) -> None:
    """Other pixels give other probabilities, so the comparison is sensitive."""
    batch = story.batch()
    mask, then = torch.tensor(batch.loss_mask), torch.tensor(batch.inference_logprobs)
    with torch.no_grad():
        assert torch.allclose(trainer.logprobs(batch)[mask], then[mask], atol=1e-4)
    # Without fingerprints, only the probabilities show the difference.
    assert batch.mm_refs is not None
    trainer.decoding = ImageDecoding(background=(0, 0, 0))
    unstated = copy.deepcopy(batch)
    assert unstated.mm_refs is not None
    for one in unstated.mm_refs.images:
        one.item.layout_fingerprint = None
    with torch.no_grad():
        assert not torch.allclose(trainer.logprobs(unstated)[mask], then[mask], atol=1e-4)


@pytest.mark.parametrize("decoding", OTHERS)
def test_other_decoding_in_the_trainer_is_refused(
    decoding: ImageDecoding, story: Story, trainer: Trainer
) -> None:
    trainer.decoding = decoding
    with pytest.raises(RawMMError) as caught:
        trainer.step(story.batch())
    assert caught.value.code == "mixed_layouts"
    assert trainer.forwards == 0


@pytest.mark.parametrize("decoding", OTHERS)
def test_other_decoding_in_the_worker_is_refused(
    decoding: ImageDecoding, story: Story, trainer: Trainer
) -> None:
    batch = story.batch()
    assert batch.mm_refs is not None
    for one in batch.mm_refs.images:
        found = rawmm.describe_image(one.uri, trainer.policy.layout, decoding=decoding)
        one.item.layout_fingerprint = found.item.layout_fingerprint
        one.item.payload = found.item.payload
    with pytest.raises(RawMMError) as caught:
        trainer.step(batch)
    assert caught.value.code == "mixed_layouts"
    assert trainer.forwards == 0
