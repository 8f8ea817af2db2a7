"""``inline`` (August 2026): the envelope without its version, and with the image in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error
from rawmm.upgrades import uri
from rawmm.upgrades.images import read_inline
from rawmm.upgrades.step import Step

if TYPE_CHECKING:
    from rawmm.store import ImageStore
    from rawmm.upgrades.step import Path

_DATA: Final = "raw_image_data"


def upgraded(item: dict[str, Any], sha256: Any, path: Path, store: ImageStore | None) -> Step:
    """The item with a locator in place of the image; then as ``uri``.

    Args:
        item: the old item.
        sha256: the hash that stands beside it, if one does.
        path: where it stands.
        store: where its image will be; None to keep the data URL, as its ``raw_image_uri``.

    Raises:
        ContractError: ``hash_mismatch``, ``locator_conflict``.
        OffloadError: the data URL is not one of an image.
    """
    for other in ("raw_image_id", "raw_image_uri"):
        if other in item:
            raise contract_error(
                "locator_conflict",
                path,
                expected="one image",
                got=f"{_DATA} and {other}",
                hint="remove the one that is not this item's image",
            )
    found = read_inline(item[_DATA], sha256, (*path, _DATA), store)
    rest = {key: value for key, value in item.items() if key != _DATA}
    located = uri.upgraded({**rest, **found.locator})
    change = f"{located.change}; the image of {_DATA} is {found.whereabouts}"
    return Step(located.value, change, found.to_store)
