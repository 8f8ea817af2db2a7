"""The form ``inline``: an envelope without its version, with the image itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error
from rawmm.upgrades.form import REBUILD_ITEM, HistoricalForm, Step
from rawmm.upgrades.images import read_inline
from rawmm.upgrades.uri import is_unversioned, with_version

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context

_DATA: Final = "raw_image_data"


def _matches(item: Any) -> bool:
    return is_unversioned(item, _DATA)


def _upgrade(item: dict[str, Any], context: Context) -> Step:
    """Replace the image with a locator and add the version.

    Raises:
        ContractError: ``hash_mismatch`` or ``locator_conflict``.
        OffloadError: ``raw_image_data`` is not the data URL of an image.
    """
    for other in ("raw_image_id", "raw_image_uri"):
        if other in item:
            raise contract_error(
                "locator_conflict",
                context.path,
                expected="one image",
                got=f"{_DATA} and {other}",
                hint="remove the one that is not this item's image",
            )
    found = read_inline(item[_DATA], context.sha256, (*context.path, _DATA), context.store)
    rest = {key: value for key, value in item.items() if key != _DATA}
    change = f"version 1 added; the image of {_DATA} is {found.whereabouts}"
    return Step(with_version({**rest, **found.locator}), change, found.to_store)


FORM: Final = HistoricalForm(
    name="inline",
    since="2026-08",
    of="RawMMItem",
    description="a sidecar item without a version, with the image in raw_image_data",
    matches=_matches,
    upgrade=_upgrade,
    rebuild=REBUILD_ITEM,
)
