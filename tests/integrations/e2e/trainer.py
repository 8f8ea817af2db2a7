"""The trainer: message graphs in, one optimizer step out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

import rawmm
from rawmm import ENGINE, ImageDecoding, Trace
from rawmm.graph import branches
from rawmm.materialize import Materialized, ProcessedImageCache, materialize
from rawmm.trainer import (
    MicroBatch,
    decode_sample,
    encode_sample,
    pack,
    sample_from,
    truncate,
)
from tests.integrations.e2e.models import logprobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integrations.e2e.models import Policy

LONGEST = 400
"""Tokens of a sample; no sample of the story is longer."""


def samples_of(rollouts: list[bytes], image_dir: Path) -> list[bytes]:
    """The samples of all branches, as the transport to the trainer has them."""
    samples: list[bytes] = []
    for encoded in rollouts:
        for branch in branches(rawmm.decode_msgpack(encoded, Trace)):
            sample = sample_from(branch, image_dir=image_dir, env_name="clicks")
            # Branches compete: the first is better than the others.
            advantage = -0.5 if samples else 1.0
            sample.advantages = [advantage * trains for trains in sample.mask]
            samples.append(encode_sample(sample))
    return samples


def batch_of(samples: list[bytes]) -> MicroBatch:
    return pack([truncate(decode_sample(one), LONGEST) for one in samples])


@dataclass
class Trainer:
    """A policy and its optimizer. `forwards` counts how often the model ran."""

    policy: Policy
    decoding: ImageDecoding = ENGINE
    cache: ProcessedImageCache = field(default_factory=ProcessedImageCache)
    forwards: int = 0

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.policy.model.parameters(), lr=1e-2)
        self.policy.model.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.forwards += 1

    def materialize(self, batch: MicroBatch) -> Materialized:
        return materialize(
            batch.mm_refs,
            image_processor=self.policy.processor,
            layout=self.policy.layout,
            mm_token_type_ids=batch.mm_token_type_ids,
            cache=self.cache,
            decoding=self.decoding,
        )

    def logprobs(self, batch: MicroBatch) -> torch.Tensor:
        """Of each token under the policy as it is now."""
        assert batch.mm_token_type_ids is not None
        return logprobs(
            self.policy,
            batch.input_ids,
            batch.mm_token_type_ids,
            batch.sequence_lengths,
            self.materialize(batch).model_inputs(),
        )

    def loss(self, batch: MicroBatch) -> torch.Tensor:
        """The policy gradient's: log-probabilities of what was sampled, by their advantages."""
        mask, weights = torch.tensor(batch.loss_mask), torch.tensor(batch.advantages)
        return -(self.logprobs(batch) * weights)[mask].mean()

    def step(self, batch: MicroBatch) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())
