"""List the images to materialize, from references or from a sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rawmm.codec import convert
from rawmm.errors import contract_error, shown
from rawmm.locators import locator_of
from rawmm.media import IMAGE, iter_media
from rawmm.model.types import MMImageItem, MMImageRef, MMRefs, MultiModalData, RawMMItem
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterator

Path: TypeAlias = tuple[str | int, ...]


class Source(NamedTuple):
    """One image, with paths in the input for errors.

    Attributes:
        item: its descriptor.
        mm_hash: the beginning of its file's SHA-256.
        locator: an id or a URL.
        offset, length: its placeholder tokens in the sample.
        path: the path of the reference; in a sidecar, that of the range.
        item_path, locator_path, length_path: the paths of these fields.
    """

    item: RawMMItem | MMImageItem
    mm_hash: str
    locator: str
    offset: int
    length: int
    path: Path
    item_path: Path
    locator_path: Path
    length_path: Path


def sources_of(refs: Any) -> list[Source]:
    """The images of `MMRefs`, of one `MMImageRef` or a list of them, or of a sidecar, in order.

    Raises:
        ContractError: ``unsupported_modality``, ``no_locator``, ``mixed_layouts``, and any
            violation of the contract in `refs`.
        ProcessedPayloadError: an item is not raw.
    """
    if refs is None:
        return []
    if is_a(refs, MMImageRef):
        found = [_of_ref(convert(refs, MMImageRef), ())]
    elif is_a(refs, MMRefs | list | tuple):
        if not is_a(refs, MMRefs) and all(is_a(one, MMImageRef) for one in refs):
            refs = [refs]
        found = _of_refs(convert(refs, MMRefs))
    else:
        found = list(_of_sidecar(convert(refs, MultiModalData)))
    _check_modality(found)
    _check_family(found)
    return found


def _of_refs(refs: MMRefs) -> list[Source]:
    return [_of_ref(ref, (0, index)) for index, ref in enumerate(refs.images)]


def _of_ref(ref: MMImageRef, path: Path) -> Source:
    # The struct is an array on the wire, so paths have indices instead of names.
    at: dict[str, Path] = {
        name: (*path, index) for index, name in enumerate(MMImageRef.__struct_fields__)
    }
    return Source(
        ref.item,
        ref.hash,
        ref.uri,
        ref.offset,
        ref.length,
        path,
        at["item"],
        at["uri"],
        at["length"],
    )


def _of_sidecar(sidecar: MultiModalData) -> Iterator[Source]:
    for one in iter_media(sidecar):
        locator = locator_of(one.item)
        if locator is None:
            raise contract_error(
                "no_locator",
                one.path,
                expected="raw_image_id or raw_image_uri",
                got="a descriptor-only item",
                hint="the sidecars of the message graph keep the locators",
            )
        path = one.placeholder_path
        name = "raw_image_uri" if one.item.raw_image_id is None else "raw_image_id"
        yield Source(
            one.item,
            one.sha256,
            locator,
            one.placeholder.offset,
            one.placeholder.length,
            path,
            one.path,
            (*one.path, name),
            (*path, "length"),
        )


def _check_modality(found: list[Source]) -> None:
    for one in found:
        if one.item.modality != IMAGE.name:
            raise contract_error(
                "unsupported_modality",
                (*one.item_path, "modality"),
                expected=shown(IMAGE.name),
                got=shown(one.item.modality),
            )


def _check_family(found: list[Source]) -> None:
    for one in found:
        if one.item.family != found[0].item.family:
            raise contract_error(
                "mixed_layouts",
                (*one.item_path, "family"),
                expected=f"{shown(found[0].item.family)}, as in the images before",
                got=shown(one.item.family),
                hint="an image processor has one family; materialize the others separately",
            )
