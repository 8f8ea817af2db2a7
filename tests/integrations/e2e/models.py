"""Qwen's vision-language models as transformers has them, tiny and randomly initialised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rawmm.materialize import layout_of
from tests import fake_renderer

if TYPE_CHECKING:
    from rawmm.layouts import Layout

VOCABULARY: Final = 128

_IDS: Final = {
    "image_token_id": fake_renderer.PAD,
    "vision_start_token_id": fake_renderer.VISION_START,
    "vision_end_token_id": fake_renderer.VISION_END,
    "video_token_id": 10,
}
_TEXT: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]},
    "bos_token_id": fake_renderer.START,
    "eos_token_id": fake_renderer.END,
    "pad_token_id": 0,
    # Large enough that the content of an image affects the loss.
    "initializer_range": 0.2,
}
_VISION: Final = {
    "depth": 2,
    "num_heads": 2,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "initializer_range": 0.2,
}
_SMALL: Final = {"hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32}

_MODELS: Final[dict[str, tuple[Any, Any, dict[str, Any]]]] = {
    "Qwen2-VL": (
        Qwen2VLForConditionalGeneration,
        Qwen2VLConfig,
        {"patch_size": 14, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2},
    ),
    "Qwen2.5-VL": (
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLConfig,
        {"patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56, **_SMALL},
    ),
    "Qwen3-VL": (
        Qwen3VLForConditionalGeneration,
        Qwen3VLConfig,
        {
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            **_SMALL,
        },
    ),
}
NAMES: Final = tuple(_MODELS)


@dataclass
class Policy:
    """A model, and the image processor that belongs to it."""

    model: Any
    processor: Qwen2VLImageProcessorPil

    @property
    def layout(self) -> Layout:
        return layout_of(self.processor, "qwen_vl")


def build(
    name: str,
    processor: Qwen2VLImageProcessorPil | None = None,
    vocabulary: int = VOCABULARY,
    **ids: int,
) -> Policy:
    """The same weights each time.

    Args:
        name: one of `NAMES`.
        processor: the image processor, instead of one for small images.
        vocabulary: the number of tokens.
        ids: ids of special tokens, instead of those of `tests.fake_renderer`.
    """
    model_class, config_class, vision = _MODELS[name]
    torch.manual_seed(7)
    config = config_class(
        text_config=_TEXT | {"vocab_size": vocabulary},
        vision_config=_VISION | vision,
        **_IDS | ids,
    )
    model = model_class(config)
    if processor is None:
        # The bounds of Qwen2-VL, so that small images have few tokens with every model.
        processor = Qwen2VLImageProcessorPil(
            patch_size=vision["patch_size"],
            size={"shortest_edge": 3_136, "longest_edge": 1_003_520},
        )
    return Policy(model, processor)


def logprobs(
    policy: Policy,
    input_ids: list[int],
    mm_token_type_ids: list[int],
    sequence_lengths: list[int],
    model_inputs: dict[str, Any],
) -> torch.Tensor:
    """The log-probability of each token, in nats; 0 for the first one of a sequence.

    Sequences that are packed do not see each other: positions begin anew in each, which is how
    transformers tells them apart.
    """
    tokens, types = torch.tensor([input_ids]), torch.tensor([mm_token_type_ids])
    grids = model_inputs.get("image_grid_thw")
    positions, image, start = [], 0, 0
    for length in sequence_lengths:
        own, own_types = tokens[:, start : start + length], types[:, start : start + length]
        # As many as there are runs of image tokens, each between its two marks.
        images = int((own == policy.model.config.vision_start_token_id).sum())
        rope, _ = policy.model.model.get_rope_index(
            own, own_types, None if grids is None else grids[image : image + images]
        )
        positions.append(torch.cat([torch.arange(length).view(1, 1, -1), rope]))
        image, start = image + images, start + length
    logits = policy.model(
        input_ids=tokens,
        mm_token_type_ids=types,
        position_ids=torch.cat(positions, dim=2),
        use_cache=False,
        **model_inputs,
    ).logits[0]
    taken = logits[:-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
    out = torch.cat([torch.zeros(1), taken])
    starts = torch.tensor(sequence_lengths).cumsum(0)[:-1]
    return out.index_fill(0, starts, 0.0)
