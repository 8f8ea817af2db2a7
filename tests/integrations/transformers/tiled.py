"""Processors of transformers that cut images into tiles and need torchvision.

`from_source` takes their functions out of the files as they stand. Where these compute with
tensors, `TORCH` does so with arrays of the same types, so that each float is rounded as in torch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rawmm import layouts
from tests.integrations.transformers.real import Real, from_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from rawmm.layouts import Layout

    Output = dict[str, Any]


class _Tensor(np.ndarray):
    """An array with the methods and the types of quotients of a tensor."""

    def to(self, dtype: Any) -> Any:
        return self.astype(dtype)

    def amin(self, *, dim: int, keepdim: bool) -> Any:
        return self.min(axis=dim, keepdims=keepdim)

    def __truediv__(self, other: Any) -> Any:
        with np.errstate(divide="ignore"):
            return np.divide(self.astype(np.float32), np.asarray(other).astype(np.float32))


def _tensor(values: Any, dtype: Any = None) -> Any:
    return np.array(values, dtype).view(_Tensor)


TORCH: Final = SimpleNamespace(
    tensor=_tensor,
    int32=np.int32,
    float32=np.float32,
    all=np.all,
    where=np.where,
    max=np.max,
    min=np.min,
    argmin=np.argmin,
)

_LFM2: Final = from_source(
    "lfm2_vl/image_processing_lfm2_vl.py",
    "round_by_factor",
    "find_closest_aspect_ratio",
    "_target_ratios",
    "_get_grid_layout",
    "smart_resize",
    "_is_image_too_large",
    "resize_and_split",
)
_LFM2_PROMPT: Final = from_source(
    "lfm2_vl/processing_lfm2_vl.py",
    "replace_image_token",
    "_build_image_tokens",
    "_compute_tokens_per_tile",
    "_compute_tokens_for_image",
    "_get_image_num_tokens",
)
_LLAMA4: Final = from_source(
    "llama4/image_processing_llama4.py", "get_factors", "find_supported_resolutions", "get_best_fit"
)
_LLAMA4_PROMPT: Final = from_source("llama4/processing_llama4.py", "_prompt_split_image")
_MOLMO2: Final = from_source(
    "molmo2/image_processing_molmo2.py",
    "select_tiling",
    "compute_crop_geometry",
    "get_image_grid_and_crops",
)
_MOLMO2_PROMPT: Final = from_source("molmo2/processing_molmo2.py", "replace_image_token")
_STEP: Final = from_source(
    "step3p7/image_processing_step3p7.py", "_is_extreme_aspect", "_plan_patches"
)
_STEP_PROMPT: Final = from_source("step3p7/processing_step3p7.py", "replace_image_token")

for _namespace in (_LLAMA4, _MOLMO2):
    _namespace["torch"] = TORCH
_LLAMA4["defaultdict"] = defaultdict


class _Methods:
    """An object with attributes, and functions of a source as its methods."""

    def __init__(self, functions: dict[str, Any], **attributes: Any) -> None:
        vars(self).update(attributes)
        self._functions = functions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = self._functions[name]
        return lambda *args, **kwargs: function(self, *args, **kwargs)


def _real(
    layout: Layout,
    output: Callable[[int, int], Output],
    text: Callable[[int, int], str],
    grid: Callable[[Output], list[int]],
) -> Real:
    def count(image: Image.Image) -> int:
        return len(re.findall(r"<[^<>]+>", text(*image.size)))

    def found(width: int, height: int) -> list[int]:
        out = output(width, height)
        assert layout.describe(width, height).payload == out
        return grid(out)

    OUTPUTS[layout] = (output, text)
    return Real(layout, found, count)


OUTPUTS: Final[dict[Layout, tuple[Callable[[int, int], Output], Callable[[int, int], str]]]] = {}
"""For each layout what its image processor returns, and what its processor writes."""


def written(case: Real, image: Image.Image) -> str:
    """What the processor writes for an image."""
    return OUTPUTS[case.layout][1](*image.size)


def lfm2_vl(**parameters: Any) -> Real:
    layout = layouts.get("lfm2_vl", **parameters)
    own = dict(layout.parameters)
    special = own.pop("use_image_special_tokens")
    patch = own["encoder_patch_size"] = own.pop("patch_size")
    tile = own["tile_size"] // patch

    def cut(images: Any, **kwargs: Any) -> tuple[Any, int, int]:
        _, _, height, width = images.shape
        names = ("min_tiles", "max_tiles", "tile_size")
        columns, rows, *_ = processor._get_grid_layout(
            height, width, **{name: kwargs[name] for name in names}
        )
        return images, columns, rows

    processor = _Methods(_LFM2, crop_image_to_patches=cut)
    # The method of the base class, which resizes pixels.
    resizing = SimpleNamespace(resize=lambda images, *_, **__: [images])
    _LFM2["super"] = lambda: resizing
    _LFM2["SizeDict"] = dict

    def split(width: int, height: int) -> tuple[int, int, list[int]]:
        shape = SimpleNamespace(shape=(1, 3, height, width))
        _, (rows,), (columns,), (size,) = processor.resize_and_split(shape, resample=None, **own)
        return rows, columns, size

    def output(width: int, height: int) -> Output:
        rows, columns, (tall, wide) = split(width, height)
        whole = [tall // patch, wide // patch]
        if rows * columns == 1:
            return {"spatial_shapes": [whole]}
        tiles = [[tile, tile]] * rows * columns
        return {"spatial_shapes": tiles + [whole] * own["use_thumbnail"]}

    def text(width: int, height: int) -> str:
        rows, columns, size = split(width, height)
        writer = _Methods(
            _LFM2_PROMPT,
            image_processor=SimpleNamespace(**own),
            image_token="<image>",
            image_start_token="<|image_start|>",
            image_end_token="<|image_end|>",
            image_thumbnail_token="<|img_thumbnail|>",
        )
        out = {"image_rows": [rows], "image_cols": [columns], "image_sizes": [size]}
        return str(writer.replace_image_token(out, 0, use_image_special_tokens=special))

    def grid(out: Output) -> list[int]:
        shapes = out["spatial_shapes"]
        if shapes == [shapes[0]] * len(shapes) and not (own["use_thumbnail"] and len(shapes) > 1):
            return [len(shapes), *shapes[0]]
        return [1, 1, sum(rows * columns for rows, columns in shapes)]

    return _real(layout, output, text, grid)


def llama4(**parameters: Any) -> Real:
    layout = layouts.get("llama4", **parameters)
    own = layout.parameters
    size = own["image_size"]
    side = size // own["patch_size"]
    square = SimpleNamespace(height=size, width=size)
    canvases = _tensor(_LLAMA4["find_supported_resolutions"](own["max_patches"], square))

    def output(width: int, height: int) -> Output:
        best = _LLAMA4["get_best_fit"](
            (height, width), canvases, resize_to_max_canvas=own["resize_to_max_canvas"]
        )
        return {"aspect_ratios": [[int(one) // size for one in best]]}

    def text(width: int, height: int) -> str:
        [ratio] = output(width, height)["aspect_ratios"]
        tokens = int(side * side // own["downsample_ratio"])
        return str(_LLAMA4_PROMPT["_prompt_split_image"](None, ratio, tokens))

    def grid(out: Output) -> list[int]:
        tiles = out["aspect_ratios"][0][0] * out["aspect_ratios"][0][1]
        return [tiles + (tiles > 1), side, side]

    return _real(layout, output, text, grid)


def molmo2(**parameters: Any) -> Real:
    layout = layouts.get("molmo2", **parameters)
    own = layout.parameters
    side = own["image_size"] // own["patch_size"]
    size = {"height": own["image_size"], "width": own["image_size"]}
    processor = SimpleNamespace(**own, size=size)

    def output(width: int, height: int) -> Output:
        grid, crops = _MOLMO2["get_image_grid_and_crops"](processor, height, width)
        return {"image_grids": [grid], "image_num_crops": [crops]}

    def text(width: int, height: int) -> str:
        writer = SimpleNamespace(**own)
        return str(_MOLMO2_PROMPT["replace_image_token"](writer, output(width, height), 0))

    return _real(layout, output, text, lambda out: [out["image_num_crops"][0], side, side])


def step3p7(**parameters: Any) -> Real:
    layout = layouts.get("step3p7", **parameters)
    own = layout.parameters
    patch, tile, size = own["patch_size"], own["tile_size"], own["image_size"]
    stride = patch * own["downsampler_stride"]
    processor = SimpleNamespace(
        max_image_size=own["max_image_size"], _is_extreme_aspect=_STEP["_is_extreme_aspect"]
    )

    def plan(width: int, height: int) -> tuple[int, int]:
        try:
            *_, window, columns, rows, _ = _STEP["_plan_patches"](
                processor, width, height, size, tile
            )
        except ZeroDivisionError:
            raise ValueError from None
        return (rows, columns) if window else (0, 0)

    def output(width: int, height: int) -> Output:
        rows, columns = plan(width, height)
        return {"num_local_patches": [rows * columns]}

    def text(width: int, height: int) -> str:
        rows, columns = plan(width, height)
        # As `_preprocess` makes it.
        ends = [
            column == columns - 1 and row < rows - 1
            for row in range(rows)
            for column in range(columns)
        ]
        writer = SimpleNamespace(
            image_feature_placeholder="<im_patch>" * (size // stride) ** 2,
            patch_feature_placeholder="<im_patch>" * (tile // stride) ** 2,
        )
        out = output(width, height) | {"patch_newline_masks": [ends]}
        return str(_STEP_PROMPT["replace_image_token"](writer, out, 0))

    def grid(out: Output) -> list[int]:
        [tiles] = out["num_local_patches"]
        return [1, 1, (size // patch) ** 2 + tiles * (tile // patch) ** 2]

    return _real(layout, output, text, grid)
