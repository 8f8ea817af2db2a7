"""The processors of transformers, each beside the layout that must agree with it.

Their PIL variants are used, which need neither torch nor torchvision, and tokenizers made here, so
nothing is downloaded. Kimi's image processor and Pixtral's prompts exist for torchvision only;
`from_source` takes those functions out of their files as they stand.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import transformers
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from transformers.image_utils import ChannelDimension
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.glm4v import image_processing_pil_glm4v
from transformers.models.glm4v.processing_glm4v import Glm4vProcessor
from transformers.models.glm46v import image_processing_pil_glm46v
from transformers.models.glm46v.processing_glm46v import Glm46VProcessor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from rawmm import layouts
from tests.integrations.transformers.sizes import SIZES, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.layouts import Layout
    from tests.integrations.transformers.sizes import Size


class Real(NamedTuple):
    """A layout, and the code of transformers that it represents."""

    layout: Layout
    grid: Callable[[int, int], list[int]]
    """The grid for a width and a height. Raises ValueError where the image processor does."""
    num_tokens: Callable[[Image.Image], int]
    """The number of image-typed tokens that the processor writes for an image."""
    image_processor: Any = None
    """To be called with images; None where it cannot run here."""
    sizes: Sequence[Size] = SIZES
    """The arguments of `grid`."""


def from_source(path: str, *names: str) -> dict[str, Any]:
    """Functions and methods of a file of transformers, by name, without importing the file."""
    source = (Path(transformers.__file__).parent / "models" / path).read_text("utf-8")
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    assert sorted(node.name for node in found) == sorted(names), path
    namespace: dict[str, Any] = {"math": math}
    exec(compile(ast.Module(list(found), []), path, "exec"), namespace)
    return namespace


def _tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows a few special tokens by name."""
    vocabulary = {token: index for index, token in enumerate(("[UNK]", *special.values()))}
    core = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, extra_special_tokens=special, unk_token="[UNK]", pad_token="[UNK]"
    )


def _in_prompt(
    processor_class: Any, image_processor: Any, placeholder: str, **special: str
) -> Callable[[Image.Image], int]:
    """Counts the image-typed tokens that a processor makes of an image and a placeholder."""

    class ImagesOnly(processor_class):
        """Without a video processor, which exists for torchvision only."""

        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

    processor = ImagesOnly(image_processor, _tokenizer(**special))

    def count(image: Image.Image) -> int:
        out = processor(images=[image], text=placeholder, return_mm_token_type_ids=True)
        # Gemma3 has its own name for them.
        types = out.get("mm_token_type_ids", out.get("token_type_ids"))
        return sum(types[0])

    return count


def _grid(layout: Layout, width: int, height: int) -> list[int]:
    patch = layout.parameters["patch_size"]
    assert width % patch == height % patch == 0
    return [1, height // patch, width // patch]


def _patch_sizes(layout: Layout) -> dict[str, Any]:
    """Parameters of Qwen's and GLM's image processors."""
    own = layout.parameters
    return {
        **{name: own[name] for name in ("patch_size", "merge_size", "temporal_patch_size")},
        "size": {"shortest_edge": own["min_pixels"], "longest_edge": own["max_pixels"]},
    }


def qwen_vl(**parameters: Any) -> Real:
    layout = layouts.get("qwen_vl", **parameters)
    own = layout.parameters
    processor = image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil(**_patch_sizes(layout))

    def grid(width: int, height: int) -> list[int]:
        rows, columns = image_processing_pil_qwen2_vl.smart_resize(
            height,
            width,
            own["patch_size"] * own["merge_size"],
            min_pixels=own["min_pixels"],
            max_pixels=own["max_pixels"],
        )
        return _grid(layout, columns, rows)

    pad = "<|image_pad|>"
    count = _in_prompt(Qwen3VLProcessor, processor, pad, image_token=pad)
    return Real(layout, grid, count, processor)


def _glm(layout: Layout, module: Any, processor: Any, processor_class: Any) -> Real:
    own = layout.parameters
    frames = own["temporal_patch_size"]

    def grid(width: int, height: int) -> list[int]:
        rows, columns = module.smart_resize(
            num_frames=frames,
            height=height,
            width=width,
            temporal_factor=frames,
            factor=own["patch_size"] * own["merge_size"],
            min_pixels=own["min_pixels"],
            max_pixels=own["max_pixels"],
        )
        return _grid(layout, columns, rows)

    count = _in_prompt(processor_class, processor, "<|image|>", image_token="<|image|>")
    return Real(layout, grid, count, processor)


def glm4v(**parameters: Any) -> Real:
    layout = layouts.get("glm4v", **parameters)
    module = image_processing_pil_glm4v
    processor = module.Glm4vImageProcessorPil(**_patch_sizes(layout))
    return _glm(layout, module, processor, Glm4vProcessor)


def glm46v(**parameters: Any) -> Real:
    layout = layouts.get("glm4v", **parameters)
    module = image_processing_pil_glm46v
    processor = module.Glm46VImageProcessorPil(**_patch_sizes(layout))
    return _glm(layout, module, processor, Glm46VProcessor)


_KIMI: Final = from_source(
    "kimi_k25/image_processing_kimi_k25.py", "navit_resize", "get_number_of_image_patches"
)
_KIMI_PROMPT: Final = from_source("kimi_k25/processing_kimi_k25.py", "replace_image_token")


def kimi_k25(**parameters: Any) -> Real:
    layout = layouts.get("kimi_k25", **parameters)
    own = layout.parameters
    patch, merge, side = own["patch_size"], own["merge_kernel_size"], own["patch_limit_on_one_side"]
    processor = SimpleNamespace(
        size={"max_height": side},
        patch_size=patch,
        merge_size=merge,
        max_patches=own["in_patch_limit"],
    )

    def grid(width: int, height: int) -> list[int]:
        _, (rows, columns) = _KIMI["navit_resize"](
            height, width, patch, merge, own["in_patch_limit"], side
        )
        found = _grid(layout, columns, rows)
        assert math.prod(found) == _KIMI["get_number_of_image_patches"](processor, height, width)
        return found

    def count(image: Image.Image) -> int:
        writer = SimpleNamespace(image_processor=processor, image_token="*")
        out = {"image_grid_thw": np.array([grid(*image.size)])}
        return len(_KIMI_PROMPT["replace_image_token"](writer, out, 0))

    return Real(layout, grid, count)


def gemma3(**parameters: Any) -> Real:
    layout = layouts.get("gemma3", **parameters)
    own = layout.parameters
    side = own["image_size"]
    processor = Gemma3ImageProcessorPil(size={"height": side, "width": side})

    def grid(width: int, height: int) -> list[int]:
        out = processor(images=[Image.new("RGB", (width, height))], return_tensors="np")
        ((channels, rows, columns),) = (pixels.shape for pixels in out["pixel_values"])
        assert channels == 3
        return _grid(layout, columns, rows)

    start, pad, end = "<start_of_image>", "<image_soft_token>", "<end_of_image>"
    count = _in_prompt(
        Gemma3Processor, processor, start, boi_token=start, image_token=pad, eoi_token=end
    )
    return Real(layout, grid, count, processor, sorted(SMALL, key=math.prod)[:2_000])


def internvl(**parameters: Any) -> Real:
    layout = layouts.get("internvl", **parameters)
    own = layout.parameters
    side = own["image_size"]
    processor = GotOcr2ImageProcessorPil(
        size={"height": side, "width": side},
        # InternVLProcessor says so in each call.
        crop_to_patches=True,
        min_patches=own["min_patches"],
        max_patches=own["max_patches"],
    )

    def grid(width: int, height: int) -> list[int]:
        tiles = processor.get_number_of_image_patches(height, width)
        return [tiles, *_grid(layout, side, side)[1:]]

    start, pad, end = "<img>", "<IMG_CONTEXT>", "</img>"
    count = _in_prompt(
        InternVLProcessor,
        processor,
        pad,
        start_image_token=start,
        end_image_token=end,
        context_image_token=pad,
        video_token="<video>",
    )
    return Real(layout, grid, count, processor)


_PIXTRAL_PROMPT: Final = from_source("pixtral/processing_pixtral.py", "replace_image_token")


def pixtral(**parameters: Any) -> Real:
    layout = layouts.get("pixtral", **parameters)
    own = layout.parameters
    token = own["patch_size"] * own["spatial_merge_size"]
    size = {"longest_edge": own["longest_edge"]}
    processor = image_processing_pil_pixtral.PixtralImageProcessorPil(patch_size=token, size=size)

    def grid(width: int, height: int) -> list[int]:
        rows, columns = image_processing_pil_pixtral.get_resize_output_image_size(
            SimpleNamespace(shape=(3, height, width)),  # all that is read of an image
            own["longest_edge"],
            token,
            ChannelDimension.FIRST,
        )
        if not (rows and columns):
            raise ValueError  # as the resize does; test_called_with_images shows it
        return _grid(layout, columns, rows)

    def count(image: Image.Image) -> int:
        writer = SimpleNamespace(
            **{name: own[name] for name in ("patch_size", "spatial_merge_size")},
            image_token="*",
            image_break_token="|",
            image_end_token=".",
        )
        out = processor(images=[image], return_tensors="np")
        return len(_PIXTRAL_PROMPT["replace_image_token"](writer, out, 0))

    return Real(layout, grid, count, processor)
