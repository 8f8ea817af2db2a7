"""The form ``pruned_item``: an envelope without its modality, which is the key of its list.

Most lack the version and the layout fingerprint, too. The fingerprint is the subject of
`unversioned_fingerprint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.media import IMAGE
from rawmm.upgrades.form import HistoricalForm, Step
from rawmm.upgrades.uri import with_version
from rawmm.values.views import as_mapping, base_value

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context


def _matches(item: Any) -> bool:
    fields = as_mapping(item) or {}
    return base_value(fields.get("kind")) == "prime_raw_mm_item" and "modality" not in fields


def _upgrade(item: dict[str, Any], context: Context) -> Step:
    """Add the modality. An item outside of a sidecar is an image: only images were pruned."""
    modality = IMAGE.name if context.modality is None else context.modality
    if "version" in item:
        return Step({**item, "modality": modality}, f"modality {modality} added")
    return Step(
        with_version({**item, "modality": modality}), f"version 1 and modality {modality} added"
    )


def _upgrade_for_trainer(item: dict[str, Any], _: Context) -> Step:
    """Add the modality. The transport carries images only, and their version may be absent."""
    return Step({**item, "modality": IMAGE.name}, f"modality {IMAGE.name} added")


FORM: Final = HistoricalForm(
    name="pruned_item",
    since="August 2026",
    of="RawMMItem",
    description="an item without a modality",
    matches=_matches,
    upgrade=_upgrade,
)
FOR_TRAINER: Final = HistoricalForm(
    name=FORM.name,
    since=FORM.since,
    of="MMImageItem",
    description=FORM.description,
    matches=_matches,
    upgrade=_upgrade_for_trainer,
)
