"""The form ``uri``: an envelope without its version, with a ``raw_image_uri``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.upgrades.form import REBUILD_ITEM, HistoricalForm, Step
from rawmm.values.views import as_mapping, base_value

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context


def is_unversioned(item: Any, locator: str, *, without: str | None = None) -> bool:
    """Whether `item` is an envelope without its version that has the field `locator`.

    It must not have the field `without`.
    """
    fields = as_mapping(item) or {}
    return (
        base_value(fields.get("kind")) == "prime_raw_mm_item"
        and fields.keys().isdisjoint({"version", without})
        and locator in fields
    )


def with_version(item: dict[str, Any]) -> dict[str, Any]:
    """The item with version 1, the only one there was."""
    return {**item, "version": 1}


def _matches(item: Any) -> bool:
    return is_unversioned(item, "raw_image_uri", without="raw_image_data")


def _upgrade(item: dict[str, Any], _: Context) -> Step:
    return Step(with_version(item), "version 1 added")


FORM: Final = HistoricalForm(
    name="uri",
    since="2026-08",
    of="RawMMItem",
    description="a sidecar item without a version, with raw_image_uri",
    matches=_matches,
    upgrade=_upgrade,
    rebuild=REBUILD_ITEM,
)
