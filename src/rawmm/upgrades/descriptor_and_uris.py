"""``descriptor_and_uris`` (June 2026): a sidecar, and beside it the URLs of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted, shown
from rawmm.media import IMAGE
from rawmm.model.types import MMImageRef, MultiModalData
from rawmm.upgrades.step import Step
from rawmm.validation import errors_at

if TYPE_CHECKING:
    from rawmm.upgrades.step import Path

_LISTS: Final = ("mm_items", "mm_hashes", "mm_placeholders")


def upgraded(sidecar: Any, uris: Any, path: Path) -> Step:
    """One reference for each image, which has its URL.

    Args:
        sidecar: the sidecar, with items that are canonical already.
        uris: a URL for each of its images.
        path: where the pair of them stands.

    Raises:
        ContractError: one of the two breaks the contract, or they do not fit together.
    """
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
    """Everything is there once for each image, and there is nothing else."""
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
    # All but the URL is known to be right.
    for error in errors_at(value, MMImageRef, ()):
        raise error.at(path, path="$")
    return value
