"""Image processors: what their layout is, how they are called, whether they did as described."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rawmm import layouts
from rawmm.errors import MaterializeError, json_path, raise_alone, shown, type_name
from rawmm.materialize.arrays import as_lists
from rawmm.model.types import PROCESSED_KEYS
from rawmm.real_class import is_a
from rawmm.values.views import field_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from rawmm.layouts import Geometry, Layout
    from rawmm.materialize.sources import Path, Source

_IN_SIZE: Final = {
    "min_pixels": "shortest_edge",
    "max_pixels": "longest_edge",
    "longest_edge": "longest_edge",
    "image_size": "height",
    "patch_limit_on_one_side": "max_height",
}
"""Knobs that image processors of transformers have in ``size``, under these names."""
_GRID_SHOWN: Final = 32  # two images and their brackets; more is no grid
_RENAMED: Final = {
    "merge_kernel_size": "merge_size",
    "in_patch_limit": "max_patches",
    "grid_thws": "image_grid_thw",
}
"""Knobs, and a field of the payload, that transformers' port of Kimi calls otherwise."""


def layout_of(image_processor: Any, family: str) -> Layout:
    """The layout of a family with the knobs that an image processor of transformers states.

    Images described with it are laid out as this processor does. Knobs that it does not state
    have the family's defaults.

    Raises:
        ContractError: ``bad_value`` for an unknown family; and what `rawmm.layouts.get` raises
            for a knob with a value that is none.
    """
    stated = {name: _stated(image_processor, name) for name in layouts.get(family).knobs}
    knobs = {name: value for name, value in stated.items() if value is not None}
    if "max_patches" in knobs and getattr(image_processor, "crop_to_patches", None) is False:
        knobs |= {"min_patches": 1, "max_patches": 1}
    return layouts.get(family, **knobs)


def _stated(image_processor: Any, knob: str) -> Any:
    """What a processor says of a knob; None if nothing."""
    found = (
        _entry(getattr(image_processor, "size", None), _IN_SIZE.get(knob)),
        getattr(image_processor, knob, None),
        getattr(image_processor, _RENAMED.get(knob, knob), None),
    )
    value = next((one for one in found if one is not None), None)
    if value is None or is_a(value, int | list | tuple):
        return value
    return _entry(value, "height")  # both sides of a square


def _entry(size: Any, name: str | None) -> Any:
    """A value of a dict, or of a ``SizeDict``."""
    if name is None:
        return None
    return field_of(size, name)


def call(
    image_processor: Callable[..., Any], image: Image.Image, return_tensors: str | None
) -> dict[str, Any]:
    """What an image processor makes of one image.

    Raises:
        MaterializeError: ``processor_failed``.
    """
    try:
        outputs = image_processor(images=[image], return_tensors=return_tensors)
    except Exception as error:  # noqa: BLE001  (another's code raises anything)
        raise_alone(
            MaterializeError(
                "processor_failed",
                expected=f"pixel_values of an image of {image.width} x {image.height} pixels",
                got=f"{type_name(type(error))} from the image processor",
                hint="call it with the image alone to see all of its error",
            )
        )
    if not is_a(outputs, Mapping) or not PROCESSED_KEYS & outputs.keys():
        raise MaterializeError(
            "processor_failed",
            expected="pixel_values from the image processor",
            got=shown(dict(outputs) if is_a(outputs, Mapping) else outputs),
        )
    return dict(outputs)


def check_described(source: Source, geometry: Geometry, layout: Layout) -> None:
    """Check a descriptor's payload and its number of placeholder tokens against its image.

    Raises:
        MaterializeError: ``geometry_mismatch``; expected is what the image has.
    """
    payload = source.item.payload
    for key, wanted in geometry.payload.items():
        if not _same_grid(payload.get(key), wanted):
            path = (*source.item_path, "payload", key)
            raise _mismatch(path, _text(wanted), _text(payload.get(key)), _laid_out(layout))
    if source.length != geometry.placeholder_length:
        expected = f"{geometry.placeholder_length} placeholder tokens for the image"
        raise _mismatch(source.length_path, expected, str(source.length), _laid_out(layout))


def check_outputs(outputs: Mapping[str, Any], geometry: Geometry) -> None:
    """Check that an image processor laid an image out as it was described.

    Raises:
        MaterializeError: ``geometry_mismatch``, its path in the payload of the descriptor;
            expected is what the processor did. ``processor_failed`` for arrays that cannot be read.
    """
    for key, described in geometry.payload.items():
        got = _read(outputs.get(key, outputs.get(_RENAMED.get(key, key))), key)
        if not _same_grid(got, described):
            raise _mismatch(
                (key,),
                f"{_text(got)}, as the image processor returned",
                _text(described),
                "its settings are not those that the image was described with",
            )


def _read(value: Any, key: str) -> Any:
    try:
        return as_lists(value)
    except Exception as error:  # noqa: BLE001  (another's code raises anything)
        raise_alone(
            MaterializeError(
                "processor_failed",
                expected=f"{key} from the image processor as an array",
                got=f"{shown(value)} that cannot be read: {type_name(type(error))}",
            )
        )


def _mismatch(path: Path, expected: str, got: str, hint: str) -> MaterializeError:
    return MaterializeError(
        "geometry_mismatch", json_path(path), expected=expected, got=got, hint=hint
    )


def _laid_out(layout: Layout) -> str:
    knobs = ", ".join(f"{name}={value!r}" for name, value in layout.knobs.items())
    return f"the layout is {layout.family} with {knobs}; pass layout if it is another"


def _same_grid(one: Any, other: Any) -> bool:
    return bool(_unwrapped(one) == _unwrapped(other))


def _unwrapped(grid: Any) -> Any:
    """A grid, which writers give as ``[t, h, w]`` and as ``[[t, h, w]]``."""
    if is_a(grid, list) and len(grid) == 1 and is_a(grid[0], list):
        return grid[0]
    return grid


def _text(grid: Any) -> str:
    if is_a(grid, list):
        text = json.dumps(_unwrapped(grid))
        if len(text) <= _GRID_SHOWN:
            return text
    return "nothing" if grid is None else shown(grid)
