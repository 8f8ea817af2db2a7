"""From a request with inline images to an optimizer step, through released parts only.

The train client, its renderer and graph are those of verifiers and renderers, the engine speaks
vLLM's protocol over HTTP, image processor and model are those of transformers. Test code makes no
sidecar, item or reference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import rawmm
from rawmm.graph import branches
from tests.integrations.engine.flow import TURNS, image_size

if TYPE_CHECKING:
    from tests.integrations.flow.conftest import Flow


def test_images_are_offloaded_before_the_turn(flow: Flow) -> None:
    names = sorted(one.name for one in flow.image_dir.iterdir())
    assert len(names) == TURNS
    sent = flow.rollout.engine.requests[-1]["content_parts"]
    assert sorted(part["url"] for part in sent) == [
        (flow.image_dir / name).as_uri() for name in names
    ]


def test_tokens_and_ranges_are_those_of_the_engine(flow: Flow) -> None:
    trace = flow.send(flow.commit())
    rawmm.validate(trace)
    rawmm.validate(trace, require_sidecars=True)
    (branch,) = branches(trace)
    answer = flow.rollout.engine.answers[-1]
    assert branch.token_ids == answer["prompt_token_ids"] + answer["choices"][0]["token_ids"]
    sidecar = branch.multi_modal_data
    assert sidecar is not None
    assert rawmm.to_builtins(sidecar.mm_placeholders) == answer["mm_placeholders"]
    layout = flow.trainer.policy.layout
    assert [one.length for one in sidecar.mm_placeholders["image"]] == [
        layout.describe(*image_size(turn)).num_tokens for turn in range(TURNS)
    ]


def test_every_turn_trains_and_every_image_is_referenced(flow: Flow) -> None:
    (sample,) = flow.samples(flow.commit())
    completions = [one["choices"][0]["token_ids"] for one in flow.rollout.engine.answers]
    assert sum(sample.mask) == sum(map(len, completions))
    assert sample.mm_refs is not None
    assert len({one.hash for one in sample.mm_refs.images}) == TURNS


def test_optimizer_step_reads_every_image(flow: Flow) -> None:
    batch = flow.batch(flow.send(flow.commit()))
    inputs = flow.trainer.materialize(batch)
    assert len(inputs.images) == TURNS
    before = flow.trainer.loss(batch).item()
    loss = flow.trainer.step(batch)
    assert math.isfinite(loss)
    assert loss == before
    assert flow.trainer.loss(batch).item() < before
    tower = flow.trainer.policy.model.model.visual.patch_embed.named_parameters()
    for name, parameter in tower:
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_record_of_verifiers_gives_the_same_samples(flow: Flow) -> None:
    """The consumer without our graph: verifiers' own trace and the layout."""
    layout = flow.trainer.policy.layout
    found = rawmm.trainer.samples_from(flow.rollout.trace, layout=layout, image_dir=flow.image_dir)
    ours = rawmm.trainer.samples_from(flow.commit(), image_dir=flow.image_dir)
    assert found == ours
