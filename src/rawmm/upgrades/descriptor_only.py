"""``descriptor_only`` (18 June 2026): a grid, an image id and a fingerprint, no envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.upgrades.step import Step
from rawmm.validation import shape_errors
from rawmm.values.errors import missing_field, unknown_field
from rawmm.values.payload import Mode, payload_errors

if TYPE_CHECKING:
    from rawmm.upgrades.step import Path

_GRID: Final = "image_grid_thw"
_ID: Final = "raw_image_id"
_FINGERPRINT: Final = "image_layout_fingerprint"
_FIELDS: Final = (_GRID, _ID, _FINGERPRINT)
_PATTERN: Final = {"$ref": "#/$defs/LayoutFingerprint"}

_FAMILY: Final = "qwen_vl"
"""Nothing in the form says it; it was written for Qwen alone, whose image processors return
`image_grid_thw`."""


def upgraded(item: dict[str, Any], path: Path) -> Step:
    """The item in an envelope. Grid, id and fingerprint are kept as they are.

    Raises:
        ContractError: the form never had such fields.
    """
    for name in item:
        if name not in _FIELDS:
            raise unknown_field(name, _FIELDS, path)
    if _GRID not in item:
        raise missing_field(_GRID, path)
    for error in shape_errors(item[_FINGERPRINT], _PATTERN, (*path, _FINGERPRINT)):
        raise error
    payload = {_GRID: item[_GRID]}
    for error in payload_errors(payload, path, Mode.DESCRIPTOR):  # by the path it has here
        raise error
    value = {
        "kind": "prime_raw_mm_item",
        "version": 1,
        "modality": "image",
        "family": _FAMILY,
        "layout_fingerprint": item[_FINGERPRINT],
        "payload": payload,
    }
    if _ID in item:
        value[_ID] = item[_ID]
    change = f"put in an envelope of version 1, modality image and family {_FAMILY}"
    return Step(value, change)
