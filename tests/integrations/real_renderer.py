"""A real renderer that downloads nothing: Qwen3-VL with a tokenizer and image processor made here.

The renderer, the BPE tokenizer and the image processor are those of ``renderers``,
``tokenizers`` and ``transformers``; only the vocabulary is small, trained on a few sentences,
with the control tokens of Qwen3-VL. The numbers of the image processor are the model's, so grids
and placeholder counts are the real ones.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from renderers.qwen3_vl import Qwen3VLRenderer
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rawmm import MultiModalData, raw_mm_item
from rawmm.integrations.renderers import from_renderers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from renderers.base import MultiModalData as RendererSidecar

CONTROL: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Tokens that the model never writes as text."""
MARKS: Final = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
)  # fmt: skip
"""Tokens that are text to a parser of responses."""

_SENTENCES: Final = (
    "system\nYou are a helpful assistant that looks at images.\n",
    "user\nWhat does the image show? Look at the screenshot, then press the button.\n",
    "assistant\nThe image shows a form with a button. I press the button and look again.\n",
    '{"name": "click", "arguments": {"x": 10, "y": 20}}\n',
)
LAYOUT_FINGERPRINT: Final = "5eed" * 8
"""The fingerprint in this renderer's descriptors. It represents any layout."""


class _Processor(NamedTuple):
    """The parts of a processor that the renderer reads. Qwen3VLProcessor itself needs torchvision."""

    image_processor: Any


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that encodes every text, with Qwen's control tokens."""
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(_SENTENCES, trainer)
    core.add_special_tokens([AddedToken(text, normalized=False) for text in CONTROL])
    core.add_tokens([AddedToken(text, normalized=False) for text in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def build_image_processor() -> Qwen2VLImageProcessorPil:
    """The image processor of Qwen3-VL, on Pillow and numpy alone."""
    return Qwen2VLImageProcessorPil(
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        size={"shortest_edge": 65_536, "longest_edge": 16_777_216},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def build_qwen3_vl_renderer() -> Qwen3VLRenderer:
    """A renderer for messages with text and images: ``render``, ``bridge_to_next_turn``."""
    processor = _Processor(build_image_processor())
    return Qwen3VLRenderer(build_tokenizer(), processor=processor)


def completion_ids(renderer: Qwen3VLRenderer, text: str) -> list[int]:
    """The tokens that a model would sample to say `text` and end its turn."""
    tokenizer = renderer._tokenizer
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return [*ids, tokenizer.convert_tokens_to_ids("<|im_end|>")]


def described(sidecar: RendererSidecar, urls: Sequence[str]) -> MultiModalData:
    """A renderer's sidecar with each image described instead of processed.

    `urls` are the ``file://`` URLs of its images after the offload, in prompt order. Their names
    begin with the SHA-256 of the raw bytes.
    """
    names = [PurePosixPath(urlsplit(url).path).name for url in urls]
    items = [
        raw_mm_item(
            modality="image",
            family="qwen_vl",
            layout_fingerprint=LAYOUT_FINGERPRINT,
            payload={"image_grid_thw": item["image_grid_thw"][0].tolist()},
            raw_image_id=name,
        )
        for name, item in zip(names, sidecar.mm_items["image"], strict=True)
    ]
    ranges = [from_renderers(one) for one in sidecar.mm_placeholders["image"]]
    return MultiModalData(
        mm_hashes={"image": [name[:32] for name in names]},
        mm_placeholders={"image": ranges},
        mm_items={"image": items},
    )
