"""From a request with inline images to an optimizer step of a vision-language model."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import pytest
import torch

import rawmm
from rawmm import Trace
from rawmm.trainer import unpack
from tests.integrations.e2e.models import logprobs
from tests.integrations.e2e.worker import SIZES

if TYPE_CHECKING:
    from rawmm.trainer import MicroBatch
    from tests.integrations.e2e.conftest import Story
    from tests.integrations.e2e.trainer import Trainer


def of_first_grid(batch: MicroBatch) -> list[int]:
    """The images that have the grid of the first one."""
    assert batch.mm_refs is not None
    images = batch.mm_refs.images
    return [i for i, one in enumerate(images) if one.item.payload == images[0].item.payload]


def test_rollouts_leave_references_and_files(story: Story) -> None:
    traces = [rawmm.decode_msgpack(one, Trace) for one in story.rollouts]
    for trace in traces:
        rawmm.validate(trace)
    assert [len(trace.nodes) for trace in traces] == [8, 4]
    assert len(list(story.store.root.iterdir())) == len(SIZES)
    batch = story.batch()
    assert len(batch.sequence_lengths) == 3
    assert batch.mm_refs is not None
    # Images before the fork are in both branches.
    assert len(batch.mm_refs.images) == 4 + 4 + 2
    assert 100 < len(batch.input_ids) < 1000


def test_trainer_computes_what_the_engine_sampled_with(story: Story, trainer: Trainer) -> None:
    """No image was lost, swapped or changed on the way, so the probabilities are equal."""
    batch = story.batch()
    with torch.no_grad():
        now = trainer.logprobs(batch)
    mask = torch.tensor(batch.loss_mask)
    assert mask.sum() > 20
    then = torch.tensor(batch.inference_logprobs)
    assert torch.allclose(now[mask], then[mask], atol=1e-4)
    assert then[mask].std() > 0.1


def test_training_step_reads_every_image(story: Story, trainer: Trainer) -> None:
    batch = story.batch()
    loss = trainer.step(batch)
    assert math.isfinite(loss)
    tower = dict(trainer.policy.model.model.visual.named_parameters())
    for name, parameter in tower.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    reached = [name for name, one in tower.items() if one.grad is not None and one.grad.any()]
    assert any("patch_embed" in name for name in reached)
    assert len(reached) > len(tower) / 2
    assert trainer.step(batch) < loss


def test_swapped_image_changes_the_loss(story: Story, trainer: Trainer) -> None:
    """The two have the same grid, so that nothing but what they show can tell."""
    batch = story.batch()
    before = trainer.loss(batch).item()
    assert trainer.loss(batch).item() == pytest.approx(before, abs=1e-6)
    assert batch.mm_refs is not None
    images = batch.mm_refs.images
    assert len(of_first_grid(batch)) == 4
    first, second = of_first_grid(batch)[:2]
    one, other = images[first], images[second]
    assert one.hash != other.hash
    one.item, other.item = other.item, one.item
    one.hash, other.hash = other.hash, one.hash
    one.uri, other.uri = other.uri, one.uri
    assert abs(trainer.loss(batch).item() - before) > 1e-3


def test_packed_samples_do_not_see_each_other(story: Story, trainer: Trainer) -> None:
    batch = story.batch()
    with torch.no_grad():
        packed = trainer.logprobs(batch)
        for index, sample in enumerate(unpack(batch)):
            start = sum(batch.sequence_lengths[:index])
            alone = copy.copy(batch)
            alone.input_ids = sample.token_ids
            alone.sequence_lengths = [len(sample.token_ids)]
            alone.mm_refs, alone.mm_token_type_ids = sample.mm_refs, sample.mm_token_type_ids
            assert torch.allclose(
                trainer.logprobs(alone), packed[start : start + len(sample.token_ids)], atol=1e-4
            )


def test_model_wants_the_placeholders_that_the_sample_has(story: Story, trainer: Trainer) -> None:
    batch = story.batch()
    images = trainer.materialize(batch)
    inputs = images.model_inputs()
    model, merge = trainer.policy.model, trainer.policy.processor.merge_size
    wanted = (inputs["image_grid_thw"].prod(-1) // merge**2).tolist()
    assert wanted == [one.length for one in images.images]
    assert batch.input_ids.count(model.config.image_token_id) == sum(wanted)
    assert inputs["pixel_values"].shape[0] == int(inputs["image_grid_thw"].prod(-1).sum())
    # One placeholder more or less, and the forward refuses.
    one = images.images[0].offset
    types = batch.mm_token_type_ids
    assert types is not None
    for ids, kinds in (
        (batch.input_ids[:one] + batch.input_ids[one + 1 :], types[:one] + types[one + 1 :]),
        (
            [*batch.input_ids[: one + 1], *batch.input_ids[one:]],
            [*types[: one + 1], *types[one:]],
        ),
    ):
        with pytest.raises(ValueError, match="Image features and image tokens do not match"):
            model(
                input_ids=torch.tensor([ids]),
                mm_token_type_ids=torch.tensor([kinds]),
                position_ids=torch.arange(len(ids)).expand(3, 1, -1),
                **inputs,
            )
    assert (
        logprobs(trainer.policy, batch.input_ids, types, batch.sequence_lengths, inputs)
        .isfinite()
        .all()
    )
