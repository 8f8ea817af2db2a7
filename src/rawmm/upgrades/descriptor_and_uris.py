"""The form ``descriptor_and_uris``: a sidecar, and beside it the URLs of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted, shown
from rawmm.media import IMAGE
from rawmm.model.types import MMImageRef, MultiModalData
from rawmm.upgrades.form import REBUILD_REFS, HistoricalForm, Step
from rawmm.validation import errors_at
from rawmm.values.views import as_mapping, as_sequence

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context, Path

_LISTS: Final = ("mm_items", "mm_hashes", "mm_placeholders")


def _matches(refs: Any) -> bool:
    both = as_sequence(refs)
    return (
        both is not None
        and len(both) == 2
        and as_mapping(both[0]) is not None
        and as_sequence(both[1]) is not None
    )


def _upgrade(refs: Any, context: Context) -> Step:
    """One reference for each image, with its URL.

    Raises:
        ContractError: the sidecar or a URL breaks the contract, or their counts differ.
    """
    path = context.path
    sidecar, uris = refs
    sidecar = context.upgrade_part("MultiModalData", sidecar, (*path, 0))
    for error in errors_at(sidecar, MultiModalData, (*path, 0)):
        raise error
    _check_lists(sidecar, len(uris), path)
    images = [
        _image(item, sha256, span, uri, (*path, 1, index))
        for index, (item, sha256, span, uri) in enumerate(
            zip(*(sidecar.get(name, {}).get(IMAGE.name, ()) for name in _LISTS), uris, strict=True)
        )
    ]
    return Step([images], "each URL joined to its descriptor, hash and range")


def _check_lists(sidecar: dict[str, Any], count: int, path: Path) -> None:
    """Require one entry of each list per URL, and no other modality."""
    for name in _LISTS:
        by_modality = sidecar.get(name, {})
        for modality, values in by_modality.items():
            if modality != IMAGE.name and values:
                raise contract_error(
                    "unsupported_modality",
                    (*path, 0, name, modality),
                    expected="images only",
                    got=shown(modality),
                )
        got = len(by_modality.get(IMAGE.name, ()))
        if got != count:
            raise contract_error(
                "count_mismatch",
                (*path, 0, name, IMAGE.name),
                expected=f"{counted(count, 'entry', 'entries')}, one per URL",
                got=str(got),
            )


def _image(item: Any, sha256: Any, span: Any, uri: Any, path: Path) -> list[Any]:
    if not item.keys() & {"raw_image_id", "raw_image_uri"}:
        item = {**item, "raw_image_uri": uri}
    value = [item, sha256, uri, span["offset"], span["length"]]
    # Everything but the URL was checked with the sidecar.
    for error in errors_at(value, MMImageRef, ()):
        raise error.at(path, path="$")
    return value


FORM: Final = HistoricalForm(
    name="descriptor_and_uris",
    since="June 2026",
    of="MMRefs",
    description="trainer references as [descriptors, uris]",
    matches=_matches,
    upgrade=_upgrade,
    rebuild=REBUILD_REFS,
)
