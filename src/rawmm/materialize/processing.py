"""Calling an image processor, and checking its output against the descriptor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import MaterializeError, json_path, raise_alone, shown, type_name
from rawmm.model.types import PROCESSED_KEYS
from rawmm.real_class import is_a
from rawmm.values.arrays import as_lists

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from rawmm.layouts import Geometry, Layout
    from rawmm.materialize.sources import Path, Source

_GRID_SHOWN: Final = 32
"""The longest grid in an error: enough for two images."""


def call(
    image_processor: Callable[..., Any], image: Image.Image, return_tensors: str | None
) -> dict[str, Any]:
    """The output of an image processor for one image.

    Raises:
        MaterializeError: ``processor_failed``.
    """
    try:
        outputs = image_processor(images=[image], return_tensors=return_tensors)
    except Exception as error:  # noqa: BLE001  (code of other libraries raises anything)
        raise_alone(
            MaterializeError(
                "processor_failed",
                expected=f"pixel_values of an image of {image.width} x {image.height} pixels",
                got=f"{type_name(type(error))} from the image processor",
                hint="call it with the image alone to see the whole error",
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
        MaterializeError: ``geometry_mismatch``, with the image's own values in `expected`.
    """
    payload = source.item.payload
    for key, wanted in geometry.payload.items():
        if not _same_grid(payload.get(key), wanted):
            path = (*source.item_path, "payload", key)
            raise _mismatch(path, _text(wanted), _text(payload.get(key)), _laid_out(layout))
    # Engines expand a placeholder that the processor leaves at one token.
    if not layout.accepts(geometry, source.length):
        expected = f"{geometry.placeholder_length} placeholder tokens for the image"
        raise _mismatch(source.length_path, expected, str(source.length), _laid_out(layout))


def check_outputs(outputs: Mapping[str, Any], geometry: Geometry, layout: Layout) -> None:
    """Check that an image processor laid out an image as described.

    Raises:
        MaterializeError: ``geometry_mismatch``, with a path in the descriptor's payload and the
            processor's values in `expected`; ``processor_failed`` for unreadable arrays.
    """
    for key, described in geometry.payload.items():
        got = _read(outputs.get(key, outputs.get(layout.output_names.get(key, key))), key)
        if not _same_grid(got, described):
            hint = "the image was described with other settings of the processor"
            if got is None and key in layout.output_settings:
                hint = f"set {layout.output_settings[key]} = True in the image processor"
            expected = f"{_text(got)}, as the image processor returned"
            raise _mismatch((key,), expected, _text(described), hint)


def _read(value: Any, key: str) -> Any:
    try:
        return as_lists(value)
    except Exception as error:  # noqa: BLE001  (code of other libraries raises anything)
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
    parameters = ", ".join(f"{name}={value!r}" for name, value in layout.parameters.items())
    return f"the layout is {layout.family} with {parameters}; pass layout if it is another"


def _same_grid(one: Any, other: Any) -> bool:
    return bool(_unwrapped(one) == _unwrapped(other))


def _unwrapped(grid: Any) -> Any:
    """A grid as ``[t, h, w]``; some writers have ``[[t, h, w]]``."""
    if is_a(grid, list) and len(grid) == 1 and is_a(grid[0], list):
        return grid[0]
    return grid


def _text(grid: Any) -> str:
    if is_a(grid, list):
        text = json.dumps(_unwrapped(grid))
        if len(text) <= _GRID_SHOWN:
            return text
    return "nothing" if grid is None else shown(grid)
