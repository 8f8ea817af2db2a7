"""One rollout on the released path, and the policy that trains on it."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch

from rawmm import Trace, decode_msgpack, describe_prompt, encode_msgpack
from rawmm.graph import prepare_turn
from rawmm.trainer import decode_sample, encode_sample, pack, samples_from
from tests.integrations.e2e import models
from tests.integrations.e2e.trainer import Trainer
from tests.integrations.engine.flow import Rollout, build_engine, roll_out
from tests.integrations.real_renderer import build_image_processor, build_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm.trainer import MicroBatch, TrainingSample

# The model is so small that threads cost more than they bring.
torch.set_num_threads(1)


def build_policy() -> models.Policy:
    """A tiny Qwen3-VL for the renderer's vocabulary and the engine's image processor."""
    tokenizer = build_tokenizer()
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    ids = {name: tokenizer.convert_tokens_to_ids(text) for name, text in names.items()}
    return models.build("Qwen3-VL", build_image_processor(), len(tokenizer), **ids)


@dataclass
class Flow:
    """A finished rollout, and the hops from it to an optimizer step."""

    rollout: Rollout
    image_dir: Path
    trainer: Trainer

    def commit(self, turns: Any = None, describe: Any = None) -> Trace:
        """The worker: the turns in our graph."""
        layout = self.trainer.policy.layout
        describe = describe or partial(describe_prompt, layout=layout, image_dir=self.image_dir)
        trace = Trace(nodes=[])
        for prompt, response in self.rollout.turns if turns is None else turns:
            prepare_turn(trace, prompt).commit(response, describe=describe)
        return trace

    def send(self, trace: Trace) -> Trace:
        """The wire between worker and trainer."""
        return decode_msgpack(encode_msgpack(trace), Trace)

    def samples(self, trace: Trace) -> list[TrainingSample]:
        """The samples of the trace, after their transport."""
        found = samples_from(trace, image_dir=self.image_dir)
        for sample in found:
            sample.advantages = [1.0 * trains for trains in sample.mask]
        return [decode_sample(encode_sample(sample)) for sample in found]

    def batch(self, trace: Trace) -> MicroBatch:
        return pack(self.samples(trace))

    def turns(self) -> list[tuple[Any, Any]]:
        """A copy of the prompts and responses, to be spoiled."""
        return copy.deepcopy(self.rollout.turns)


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rollout, Path]:
    root = tmp_path_factory.mktemp("run")
    (root / "tokenizer").mkdir()
    engine = build_engine(allowed_local_media_path=root / "images")
    rollout = asyncio.run(roll_out(engine, root / "tokenizer", image_dir=root / "images"))
    return rollout, root / "images"


@pytest.fixture
def flow(rolled_out: tuple[Rollout, Path]) -> Flow:
    return Flow(*rolled_out, Trainer(build_policy()))
