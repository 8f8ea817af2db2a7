"""The processors of transformers, each beside the layout that must agree with it.

Their PIL variants are used, which need neither torch nor torchvision, and tokenizers made here, so
nothing is downloaded. Kimi's image processor and Pixtral's prompts exist for torchvision only;
`from_source` takes those functions out of their files as they stand.
"""

from __future__ import annotations

import ast
import itertools
import math
from functools import cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import transformers
from PIL import Image
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast
from transformers.image_processing_utils import select_best_resolution
from transformers.image_transforms import divide_to_patches
from transformers.image_utils import ChannelDimension, SizeDict
from transformers.models.deepseek_ocr2 import image_processing_pil_deepseek_ocr2
from transformers.models.deepseek_ocr2.processing_deepseek_ocr2 import DeepseekOcr2Processor
from transformers.models.ernie4_5_vl_moe import image_processing_pil_ernie4_5_vl_moe
from transformers.models.ernie4_5_vl_moe.processing_ernie4_5_vl_moe import (
    Ernie4_5_VLMoeProcessor,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.gemma4 import image_processing_pil_gemma4
from transformers.models.glm4v import image_processing_pil_glm4v
from transformers.models.glm4v.processing_glm4v import Glm4vProcessor
from transformers.models.glm5_next import image_processing_pil_glm5_next
from transformers.models.glm5_next.processing_glm5_next import Glm5NextProcessor
from transformers.models.glm46v import image_processing_pil_glm46v
from transformers.models.glm46v.processing_glm46v import Glm46VProcessor
from transformers.models.glmga import image_processing_pil_glmga
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.hunyuan_vl import image_processing_pil_hunyuan_vl
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil,
    get_resize_output_image_size,
)
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor
from transformers.models.minicpmv4_7.processing_minicpmv4_7 import MiniCPMV4_7Processor
from transformers.models.ovis2 import image_processing_pil_ovis2
from transformers.models.paddleocr_vl import image_processing_pil_paddleocr_vl
from transformers.models.paddleocr_vl.processing_paddleocr_vl import PaddleOCRVLProcessor
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.video_llama_3 import image_processing_pil_video_llama_3

from rawmm import layouts
from rawmm.layouts import layout_of
from tests.integrations.transformers.sizes import SIZES, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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
    for node in found:  # annotations name classes of torch, and caches need hashable arguments
        node.decorator_list = []
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        node.returns = None
    namespace: dict[str, Any] = {"math": math, "itertools": itertools, "np": np, "torch": None}
    exec(compile(ast.Module(list(found), []), path, "exec"), namespace)
    return namespace


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows a few special tokens by name."""
    vocabulary = {token: index for index, token in enumerate(("[UNK]", *special.values()))}
    core = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, extra_special_tokens=special, unk_token="[UNK]", pad_token="[UNK]"
    )


def byte_tokenizer(
    *marks: str, merges: Iterable[tuple[str, str]] = (), digits: int = 1, **special: str
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, in the format of the published vocabularies.

    Args:
        marks: special tokens.
        merges: pairs of symbols that are one; ``Ċ`` is the line feed.
        digits: how many digits a word has at most; 0 for words of letters and digits.
        special: special tokens by the names that processors have for them.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges = list(merges)
    symbols = dict.fromkeys([*sorted(byte_level.alphabet()), *map("".join, merges)])
    core = Tokenizer(BPE({one: index for index, one in enumerate(symbols)}, merges))
    core.pre_tokenizer = byte_level
    if digits:
        numbers = pre_tokenizers.Split(Regex(rf"\p{{N}}{{1,{digits}}}"), "isolated")
        core.pre_tokenizer = pre_tokenizers.Sequence([numbers, byte_level])
    core.add_special_tokens([*special.values(), *marks, "[PAD]"])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, extra_special_tokens=special, pad_token="[PAD]"
    )


def images_only(processor_class: Any) -> Any:
    """The class without its video processor, which exists for torchvision only."""

    class ImagesOnly(processor_class):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

    return ImagesOnly


def _in_prompt(
    processor_class: Any,
    image_processor: Any,
    placeholder: str,
    call: Mapping[str, Any] = MappingProxyType({}),
    **special: str,
) -> Callable[[Image.Image], int]:
    """Counts the image-typed tokens that a processor makes of an image and a placeholder.

    `call` are arguments that override the processor's own ones for images.
    """

    processor = images_only(processor_class)(image_processor, tokenizer(**special))

    def count(image: Image.Image) -> int:
        out = processor(images=[image], text=placeholder, return_mm_token_type_ids=True, **call)
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


PIXTRAL_PROMPT: Final = from_source("pixtral/processing_pixtral.py", "replace_image_token")


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
            raise ValueError  # as the resize does; test_processor_that_is_called_agrees shows it
        return _grid(layout, columns, rows)

    def count(image: Image.Image) -> int:
        writer = SimpleNamespace(
            **{name: own[name] for name in ("patch_size", "spatial_merge_size")},
            image_token="*",
            image_break_token="|",
            image_end_token=".",
        )
        out = processor(images=[image], return_tensors="np")
        return len(PIXTRAL_PROMPT["replace_image_token"](writer, out, 0))

    return Real(layout, grid, count, processor)


def _patches(layout: Layout, module: Any, kind: str, count: Any) -> Real:
    """A layout that uses `smart_resize` as Qwen does."""
    own = layout.parameters

    def grid(width: int, height: int) -> list[int]:
        rows, columns = module.smart_resize(
            height,
            width,
            own["patch_size"] * own["merge_size"],
            min_pixels=own["min_pixels"],
            max_pixels=own["max_pixels"],
        )
        return _grid(layout, columns, rows)

    processor = getattr(module, kind)(**_patch_sizes(layout))
    return Real(layout, grid, count(processor), processor)


def ernie4_5_vl(**parameters: Any) -> Real:
    layout = layouts.get("qwen_vl", **parameters)

    def count(processor: Any) -> Any:
        pad = "<|IMAGE_PLACEHOLDER|>"
        special = {"image_token": pad, "video_token": "<|VIDEO_PLACEHOLDER|>"}
        special |= {f"image_{end}_token": f"<|IMAGE_{end}|>" for end in ("start", "end")}
        special |= {f"video_{end}_token": f"<|VIDEO_{end}|>" for end in ("start", "end")}
        return _in_prompt(Ernie4_5_VLMoeProcessor, processor, pad, {}, **special)

    module = image_processing_pil_ernie4_5_vl_moe
    return _patches(layout, module, "Ernie4_5_VLMoeImageProcessorPil", count)


_VIDEO_LLAMA_PROMPT: Final = from_source(
    "video_llama_3/processing_video_llama_3.py", "replace_image_token"
)
HUNYUAN_PROMPT: Final = from_source("hunyuan_vl/processing_hunyuan_vl.py", "replace_image_token")


def _by_source(
    prompt: dict[str, Any], processor: Any, **attributes: Any
) -> Callable[[Image.Image], int]:
    """Counts the tokens that a processor's own method writes, where it cannot be built here.

    Tokens between angle brackets count as one.
    """

    def count(image: Image.Image) -> int:
        writer = SimpleNamespace(image_processor=processor, image_token="*", **attributes)
        out = processor(images=[image], return_tensors="np")
        return len(prompt["replace_image_token"](writer, out, 0))

    return count


def video_llama_3(**parameters: Any) -> Real:
    layout = layouts.get("qwen_vl", **parameters)
    return _patches(
        layout,
        image_processing_pil_video_llama_3,
        "VideoLlama3ImageProcessorPil",
        lambda processor: _by_source(_VIDEO_LLAMA_PROMPT, processor),
    )


def hunyuan_vl(**parameters: Any) -> Real:
    layout = layouts.get("hunyuan_vl", **parameters)
    extra = layout.parameters["cat_extra_token"]
    return _patches(
        layout,
        image_processing_pil_hunyuan_vl,
        "HunYuanVLImageProcessorPil",
        lambda processor: _by_source(HUNYUAN_PROMPT, processor, cat_extra_token=extra),
    )


def paddleocr_vl(**parameters: Any) -> Real:
    pad = "<|IMAGE_PLACEHOLDER|>"
    return _patches(
        layouts.get("paddleocr_vl", **parameters),
        image_processing_pil_paddleocr_vl,
        "PaddleOCRVLImageProcessorPil",
        lambda processor: _in_prompt(PaddleOCRVLProcessor, processor, pad, image_token=pad),
    )


def glmga(**parameters: Any) -> Real:
    layout = layouts.get("glm4v", **parameters)
    module = image_processing_pil_glmga
    processor = module.GlmgaImageProcessorPil(**_patch_sizes(layout))
    return _glm(layout, module, processor, Glm4vProcessor)


def glm5_next(**parameters: Any) -> Real:
    layout = layouts.get("glm5_next", **parameters)
    own = layout.parameters
    processor = image_processing_pil_glm5_next.Glm5NextImageProcessorPil(**own)
    frames = own["temporal_patch_size"]

    def grid(width: int, height: int) -> list[int]:
        rows, columns = image_processing_pil_glm5_next.smart_resize(
            num_frames=frames,
            height=height,
            width=width,
            temporal_factor=frames,
            factor=own["patch_size"] * own["merge_size"],
            min_pixels=own["min_image_tokens"],
            max_pixels=own["max_image_tokens"],
        )
        return _grid(layout, columns, rows)

    count = _in_prompt(Glm5NextProcessor, processor, "<|image|>", image_token="<|image|>")
    return Real(layout, grid, count, processor)


_GEMMA4_PROMPT: Final = from_source("gemma4/processing_gemma4.py", "replace_image_token")


def gemma4(**parameters: Any) -> Real:
    layout = layouts.get("gemma4", **parameters)
    own = layout.parameters
    pool = own["pooling_kernel_size"]
    processor = image_processing_pil_gemma4.Gemma4ImageProcessorPil(**own)

    def grid(width: int, height: int) -> list[int]:
        rows, columns = image_processing_pil_gemma4.get_aspect_ratio_preserving_size(
            height, width, own["patch_size"], own["max_soft_tokens"] * pool**2, pool
        )
        return _grid(layout, columns, rows)

    # Its marks are no part of the placeholder.
    count = _by_source(_GEMMA4_PROMPT, processor, boi_token="", eoi_token="")
    return Real(layout, grid, count, processor)


_MUSE: Final = from_source("muse_glimmer/image_processing_muse_glimmer.py", "smart_resize")
_MUSE_PROMPT: Final = from_source("muse_glimmer/processing_muse_glimmer.py", "replace_image_token")


def muse_glimmer(**parameters: Any) -> Real:
    layout = layouts.get("muse_glimmer", **parameters)
    own = layout.parameters

    def grid(width: int, height: int) -> list[int]:
        rows, columns = _MUSE["smart_resize"](
            height=height,
            width=width,
            patch_size=own["patch_size"] * own["merge_size"],
            max_tokens=own["max_image_tokens"],
        )
        return _grid(layout, columns, rows)

    def count(image: Image.Image) -> int:
        processor = SimpleNamespace(merge_size=own["merge_size"])
        marks = {"image_start_token": "", "image_end_token": ""}
        writer = SimpleNamespace(image_processor=processor, image_token="*", **marks)
        out = {"image_grid_thw": np.array([grid(*image.size)])}
        return len(_MUSE_PROMPT["replace_image_token"](writer, out, 0))

    return Real(layout, grid, count)


class Reached(Exception):  # noqa: N818  (no error: the rest of the function needs torch)
    """Ends a function of a source, with what it has computed so far."""


_NEMOTRON: Final = from_source(
    "nemotron_h_omni/image_processing_nemotron_h_omni.py", "get_patch_grid_size", "_preprocess"
)


def nemotron_grid(own: dict[str, Any], width: int, height: int, images: int = 1) -> tuple[int, int]:
    """The grid that the image processor's own ``_preprocess`` asks for, of so many images."""
    computed = _NEMOTRON["get_patch_grid_size"]

    def compute(*arguments: Any) -> None:
        raise Reached(computed(*arguments))

    image = SimpleNamespace(shape=(3, height, width))
    source = {
        "group_images_by_shape": lambda images, **_: ({"one": images[0]}, None),
        "get_patch_grid_size": compute,
    }
    namespace = _NEMOTRON["_preprocess"].__globals__
    with patch.dict(namespace, source), pytest.raises(Reached) as caught:
        unused = dict.fromkeys(
            (
                "resample",
                "do_rescale",
                "rescale_factor",
                "do_normalize",
                "image_mean",
                "image_std",
                "disable_grouping",
                "return_tensors",
            )
        )
        _NEMOTRON["_preprocess"](None, images=[image] * images, **own, **unused)
    rows, columns = caught.value.args[0]
    return rows, columns


_NEMOTRON_PROMPT: Final = from_source(
    "nemotron_h_omni/processing_nemotron_h_omni.py", "replace_image_token"
)


def nemotron_h_omni(**parameters: Any) -> Real:
    layout = layouts.get("nemotron_h_omni", **parameters)
    own = layout.parameters

    def grid(width: int, height: int) -> list[int]:
        try:
            rows, columns = nemotron_grid(own, width, height)
        except ZeroDivisionError:
            raise ValueError from None
        if not (rows and columns):
            raise ValueError
        return [1, rows, columns]

    def count(image: Image.Image) -> int:
        processor = SimpleNamespace(downsample_ratio=own["downsample_ratio"])
        marks = {"image_start_token": "", "image_end_token": ""}
        writer = SimpleNamespace(image_processor=processor, image_token="*", **marks)
        out = {"image_grid_hw": np.array([grid(*image.size)[1:]])}
        return len(_NEMOTRON_PROMPT["replace_image_token"](writer, out, 0))

    return Real(layout, grid, count)


_INKLING: Final = from_source(
    "inkling/image_processing_inkling.py", "divide_to_patches", "_preprocess"
)
_INKLING_PROMPT: Final = from_source("inkling/processing_inkling.py", "replace_image_token")


def _inkling_size(own: dict[str, Any], width: int, height: int) -> tuple[int, int]:
    """Height and width that the image processor's own ``_preprocess`` scales an image to."""

    def divide(image: Any, _: int) -> None:
        raise Reached(image.shape)

    def resize(_: Any, size: Any, **__: Any) -> Any:
        return SimpleNamespace(shape=(3, size.height, size.width))

    image = SimpleNamespace(shape=(3, height, width))
    source = {"divide_to_patches": divide, "SizeDict": SimpleNamespace}
    namespace = _INKLING["_preprocess"].__globals__
    with patch.dict(namespace, source), pytest.raises(Reached) as caught:
        unused = dict.fromkeys(
            (
                "resample",
                "do_rescale",
                "rescale_factor",
                "do_normalize",
                "image_mean",
                "image_std",
                "return_tensors",
            )
        )
        _INKLING["_preprocess"](
            SimpleNamespace(resize=resize),
            images=[image],
            size=SimpleNamespace(height=own["patch_size"]),
            rescale_image_frac=own["rescale_image_frac"],
            rescale_image_max_upscaled_long_edge=own["rescale_image_max_upscaled_long_edge"],
            **unused,
        )
    _, scaled_height, scaled_width = caught.value.args[0]
    return scaled_height, scaled_width


def inkling(**parameters: Any) -> Real:
    layout = layouts.get("inkling", **parameters)
    own = layout.parameters
    side = own["patch_size"]

    def grid(width: int, height: int) -> list[int]:
        height, width = _inkling_size(own, width, height)
        if not (width and height):
            raise ValueError  # no image has such a size
        pixels = np.broadcast_to(np.uint8(0), (3, height, width))  # takes no memory
        patches = len(_INKLING["divide_to_patches"](pixels, side))
        rows = -(-height // side)
        assert patches % rows == 0
        return [1, rows, patches // rows]

    def count(image: Image.Image) -> int:
        out = {"num_patches": [math.prod(grid(*image.size))]}
        return len(_INKLING_PROMPT["replace_image_token"](SimpleNamespace(image_token="*"), out, 0))

    sizes = [size for size in SIZES if math.prod(size) <= 3_000_000]
    return Real(layout, grid, count, sizes=sizes)


OVIS_PROMPT: Final = from_source("ovis2/processing_ovis2.py", "replace_image_token")


def ovis2(**parameters: Any) -> Real:
    layout = layouts.get("ovis2", **parameters)
    own = layout.parameters
    side, most = own["image_size"], own["max_patches"]
    processor = image_processing_pil_ovis2.Ovis2ImageProcessorPil(
        size={"height": side, "width": side}, crop_to_patches=True, max_patches=most
    )

    def grid(width: int, height: int) -> list[int]:
        tiles = 1
        if most > 1:
            tiles = math.prod(
                image_processing_pil_ovis2.get_min_tile_covering_grid((height, width), side, most)
            )
        return [tiles + (tiles > 1), *_grid(layout, side, side)[1:]]

    def count(image: Image.Image) -> int:
        out = processor(images=[image], return_tensors="np")
        writer = SimpleNamespace(image_seq_length=own["image_seq_length"])
        return str(OVIS_PROMPT["replace_image_token"](writer, out, 0)).count("<")

    return Real(layout, grid, count, processor)


def deepseek_ocr2(**parameters: Any) -> Real:
    layout = layouts.get("deepseek_ocr2", **parameters)
    own = layout.parameters
    tile, patch = own["tile_size"], own["patch_size"]
    module = image_processing_pil_deepseek_ocr2
    processor = module.DeepseekOcr2ImageProcessorPil(
        size={"height": own["image_size"], "width": own["image_size"]},
        tile_size=tile,
        min_patches=own["min_patches"],
        max_patches=own["max_patches"],
    )

    def grid(width: int, height: int) -> list[int]:
        scale = own["image_size"] / max(width, height)
        if not (round(width * scale) and round(height * scale)):
            raise ValueError  # as the resize does; test_processor_that_is_called_agrees shows it
        tiles = 0
        if max(width, height) > tile:
            tiles = math.prod(
                module.get_optimal_tiled_canvas(
                    (height, width), (tile, tile), own["min_patches"], own["max_patches"]
                )
            )
        return [1, 1, (own["image_size"] // patch) ** 2 + tiles * (tile // patch) ** 2]

    call = {name: own[name] for name in ("min_patches", "max_patches")}
    count = _in_prompt(DeepseekOcr2Processor, processor, "<image>", call, image_token="<image>")
    return Real(layout, grid, count, processor)


class _Shapes:
    """Arrays that take no memory in place of resized images."""

    def resize(self, image: Any, size: Any, **_: Any) -> Any:
        height, width = size.height, size.width
        if size.longest_edge:
            height, width = get_resize_output_image_size(image, size.longest_edge)
        if not (height and width):
            raise ValueError  # no image has such a size
        return np.broadcast_to(np.uint8(0), (3, height, width))


IDEFICS_MARKS: Final = ("<fake_token_around_image>", "<image>", "<global-img>")


def idefics_tokenizer(layout: Layout) -> PreTrainedTokenizerFast:
    """A tokenizer that has the marks of a layout, and joins line feeds as it says."""
    own = layout.parameters
    numbers = range(1, own["marked_tiles"] + 1)
    tiles = [f"<row_{row}_col_{column}>" for row in numbers for column in numbers]
    merges = (("Ċ", "Ċ"),) if own["joins_line_feeds"] else ()
    return byte_tokenizer(*IDEFICS_MARKS, *tiles, "<end_of_utterance>", merges=merges)


def idefics3(kind: Any = Idefics3ImageProcessorPil, **parameters: Any) -> Real:
    layout = layouts.get("idefics3", **parameters)
    own = layout.parameters
    side = own["max_image_size"]
    settings = {
        "size": {"longest_edge": own["longest_edge"]},
        "max_image_size": {"longest_edge": side},
        "do_image_splitting": own["do_image_splitting"],
        "return_row_col_info": True,
    }
    shapes = type("Shapes", (_Shapes, kind), {})()

    def grid(width: int, height: int) -> list[int]:
        only_sizes = dict.fromkeys(("do_rescale", "do_normalize", "do_pad"), False)
        unused = dict.fromkeys(
            ("resample", "rescale_factor", "image_mean", "image_std", "return_tensors")
        )
        out = shapes._preprocess(
            images=[[SimpleNamespace(shape=(3, height, width))]],  # all that is read of an image
            do_resize=True,
            **settings | {"size": SizeDict(longest_edge=own["longest_edge"])},
            **only_sizes,
            **unused,
        )
        [tiles] = out["pixel_values"]
        assert {tile.shape for tile in tiles} == {(3, side, side)}
        payload = {"rows": out["rows"], "cols": out["cols"]}
        assert layout.describe(width, height).payload == payload
        return [len(tiles), *_grid(layout, side, side)[1:]]

    image_processor = kind(**settings)

    @cache
    def written_by() -> Idefics3Processor:
        tokens = idefics_tokenizer(layout)
        return Idefics3Processor(image_processor, tokens, image_seq_len=own["image_seq_len"])

    def count(image: Image.Image) -> int:
        processor = written_by()
        assert layout_of(processor).parameters == own | {"patch_size": 14}
        out = processor(images=[image], text="<image>", return_mm_token_type_ids=True)
        [ids], [types] = out["input_ids"], out["mm_token_type_ids"]
        assert sum(types) == len(ids)
        return len(ids)

    return Real(layout, grid, count, image_processor)


def smolvlm(**parameters: Any) -> Real:
    return idefics3(SmolVLMImageProcessorPil, **parameters)


IDEFICS_PROMPT: Final = from_source("idefics3/processing_idefics3.py", "replace_image_token")
SMOLVLM_PROMPT: Final = from_source(
    "smolvlm/processing_smolvlm.py",
    "_prompt_split_image",
    "_prompt_single_image",
    "get_image_prompt_string",
    "replace_image_token",
)


MINICPM_TOKENS: Final = MappingProxyType(
    {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "image_start_token": "<image>",
        "image_end_token": "</image>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
)


def numbers_tokenizer(digits: int) -> PreTrainedTokenizerFast:
    """A tokenizer of MiniCPM with numbers of up to so many digits, at most 3, as tokens."""
    tens = [f"{number:02}" for number in range(100)] if digits > 1 else []
    merges = [(one[0], one[1]) for one in tens]
    if digits > 2:
        merges += [(one, str(last)) for one in tens for last in range(10)]
        merges += [(str(first), one) for one in tens for first in range(10)]
    return byte_tokenizer(merges=merges, digits=digits, **MINICPM_TOKENS)


def minicpm_processor(image_processor: Any, tokens: PreTrainedTokenizerFast, kind: Any) -> Any:
    """The processor, without a video processor, which exists for torchvision only."""
    processor = object.__new__(kind)
    vars(processor).update(
        image_processor=image_processor,
        tokenizer=tokens,
        chat_template=None,
        slice_mode=image_processor.slice_mode,
        default_use_image_id=image_processor.use_image_id,
        **{name: getattr(tokens, name) for name in MINICPM_TOKENS},
        **{f"{name}_token_id": getattr(tokens, f"{name}_token_id") for name in ("image", "video")},
    )
    return processor


def minicpm_ids(processor: Any, images: Sequence[Image.Image], **call: Any) -> list[int]:
    """The tokens of a prompt that has only images."""
    out = processor(
        images=images,
        text="<|image_pad|>" * len(images),
        text_kwargs={"return_tensors": None},
        images_kwargs={"return_tensors": "np", **call},
    )
    [ids] = out["input_ids"]
    return list(ids)


def minicpmv4_6(kind: Any = MiniCPMV4_6Processor, **parameters: Any) -> Real:
    layout = layouts.get("minicpmv4_6", **parameters)
    own = dict(layout.parameters)
    digits = own.pop("digits_per_token")
    image_processor = MiniCPMV4_6ImageProcessorPil(**own)
    scale, patch_size = own["scale_resolution"], own["patch_size"]
    scaling = {"scale_resolution": scale, "patch_size": patch_size} | {
        "downsample_mode": own["downsample_mode"]
    }

    def grid(width: int, height: int) -> list[int]:
        cut = None
        if own["slice_mode"]:
            most = own["max_slice_nums"]
            cut = image_processor.get_sliced_grid((height, width), most, scale)
        tall, wide = image_processor.find_best_resize(
            (height, width), allow_upscale=cut is None, **scaling
        )
        sizes = [[tall // patch_size, wide // patch_size]]
        if cut is not None:
            tall, wide = image_processor.get_refine_size(
                (height, width), cut, allow_upscale=True, **scaling
            )
            tall, wide = tall // cut[0], wide // cut[1]
            sizes += [[tall // patch_size, wide // patch_size]] * math.prod(cut)
        payload = {"target_sizes": sizes, "grids": [cut or [0, 0]]}
        payload |= {"num_patches_per_image": [len(sizes)]}
        assert layout.describe(width, height).payload == payload
        return [1, *sizes[0]] if cut is None else [1, 1, sum(map(math.prod, sizes))]

    @cache
    def processor() -> Any:
        return minicpm_processor(image_processor, numbers_tokenizer(digits), kind)

    def count(image: Image.Image) -> int:
        assert layout_of(processor()) == layout
        return len(minicpm_ids(processor(), [image]))

    return Real(layout, grid, count, image_processor)


def minicpmv4_7(**parameters: Any) -> Real:
    return minicpmv4_6(MiniCPMV4_7Processor, **parameters)


_MINICPM_PROMPT: Final = from_source(
    "minicpmv4_6/processing_minicpmv4_6.py", "replace_image_token", "_prepend_local_ids"
)


def minicpm_written(case: Real, image: Image.Image) -> str:
    """What the processor writes for an image that is alone in its prompt."""
    own = case.layout.parameters
    writer = SimpleNamespace(**MINICPM_TOKENS, slice_mode=own["slice_mode"])
    out = case.image_processor(images=[image], return_tensors="np")
    divisor = 4 if own["downsample_mode"] == "4x" else 16
    written = _MINICPM_PROMPT["replace_image_token"](writer, out, 0, image_token_divisor=divisor)
    if own["use_image_id"]:
        [written] = _MINICPM_PROMPT["_prepend_local_ids"](writer, ["*"], [written], "*")
    return str(written)


def llava_processor(layout: Layout) -> Any:
    """The processor, without a video processor, which exists for torchvision only."""
    own = layout.parameters
    tokens = tokenizer(image_token="<image>", video_token="<video>")
    processor = object.__new__(LlavaOnevisionProcessor)
    vars(processor).update(
        image_processor=LlavaOnevisionImageProcessorPil(
            size={"height": own["image_size"], "width": own["image_size"]},
            image_grid_pinpoints=[list(one) for one in own["image_grid_pinpoints"]],
        ),
        tokenizer=tokens,
        chat_template=None,
        **{name: own[name] for name in own if name.startswith(("num_image", "vision_"))},
        **{f"{name}_token": f"<{name}>" for name in ("image", "video")},
        **{f"{name}_token_id": getattr(tokens, f"{name}_token_id") for name in ("image", "video")},
    )
    return processor


def llava_onevision(**parameters: Any) -> Real:
    layout = layouts.get("llava_onevision", **parameters)
    own = layout.parameters
    side, pinpoints = own["image_size"], own["image_grid_pinpoints"]
    processor = llava_processor(layout)
    fewer = own["vision_feature_select_strategy"] == "default"

    def grid(width: int, height: int) -> list[int]:
        best = select_best_resolution((height, width), pinpoints)
        pixels = np.broadcast_to(np.uint8(0), (3, *best))  # takes no memory
        tokens = processor._get_number_of_features(height, width, side, side) - fewer
        assert layout.describe(width, height).num_tokens == tokens
        patches = side // own["patch_size"]
        return [1 + len(divide_to_patches(pixels, side)), patches, patches]

    def count(image: Image.Image) -> int:
        assert layout_of(processor).parameters == own | {"patch_size": 14}
        out = processor(images=[image], text="<image>", return_tensors="np")
        [ids] = out["input_ids"]
        return len(ids)

    return Real(layout, grid, count, processor.image_processor)
