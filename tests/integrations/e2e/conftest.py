"""For each model its rollouts, and the samples built from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from rawmm import ImageStore
from tests.integrations.e2e import models
from tests.integrations.e2e.trainer import Trainer, batch_of, samples_of
from tests.integrations.e2e.worker import roll_out

if TYPE_CHECKING:
    from rawmm.trainer import MicroBatch


# The models are so small that threads cost more than they bring.
torch.set_num_threads(1)


@dataclass
class Story:
    model: str
    store: ImageStore
    rollouts: list[bytes]
    samples: list[bytes]

    def trainer(self) -> Trainer:
        """A trainer with the weights that the rollouts were sampled with."""
        return Trainer(models.build(self.model))

    def batch(self) -> MicroBatch:
        return batch_of(self.samples)


@pytest.fixture(scope="session", params=models.NAMES)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    store = ImageStore(tmp_path_factory.mktemp("run") / "assets" / "images", durable=False)
    rollouts = roll_out(models.build(request.param), store)
    return Story(request.param, store, rollouts, samples_of(rollouts, store.root))


@pytest.fixture
def trainer(story: Story) -> Trainer:
    return story.trainer()
