"""The form ``descriptor_only``: a grid, an image id and a fingerprint, without an envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.upgrades.form import REBUILD_ITEM, HistoricalForm, Step
from rawmm.validation import shape_errors
from rawmm.values.errors import missing_field, unknown_field
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.views import as_mapping

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context

_GRID: Final = "image_grid_thw"
_ID: Final = "raw_image_id"
_FINGERPRINT: Final = "image_layout_fingerprint"
_FIELDS: Final = (_GRID, _ID, _FINGERPRINT)
_PATTERN: Final = {"$ref": "#/$defs/LayoutFingerprint"}

_FAMILY: Final = "qwen_vl"
"""The form does not record a family. Only Qwen used it; `image_grid_thw` is a field of its image
processors."""


def _matches(item: Any) -> bool:
    fields = as_mapping(item) or {}
    return _FINGERPRINT in fields and "kind" not in fields


def _upgrade(item: dict[str, Any], context: Context) -> Step:
    """Put the item in an envelope. Grid, id and fingerprint stay as they are.

    Raises:
        ContractError: the item has other fields, lacks the grid, or has a malformed fingerprint.
    """
    path = context.path
    for name in item:
        if name not in _FIELDS:
            raise unknown_field(name, _FIELDS, path)
    if _GRID not in item:
        raise missing_field(_GRID, path)
    for error in shape_errors(item[_FINGERPRINT], _PATTERN, (*path, _FINGERPRINT)):
        raise error
    payload = {_GRID: item[_GRID]}
    for error in payload_errors(payload, path, Mode.DESCRIPTOR):  # at its path in the old form
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


FORM: Final = HistoricalForm(
    name="descriptor_only",
    since="2026-06-18",
    of="RawMMItem",
    description="a sidecar item without an envelope: a grid and an image id",
    matches=_matches,
    upgrade=_upgrade,
    rebuild=REBUILD_ITEM,
)
