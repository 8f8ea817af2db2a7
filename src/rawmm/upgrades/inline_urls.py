"""``inline_urls`` (late August 2026): for each image its URL and range, and nothing else.

Hash and descriptor are made from the image again. The one thing that neither the form nor the
image says is the model's layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.codec import to_builtins
from rawmm.describe import describe_image
from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.locators import scheme_of
from rawmm.model.types import SCHEMA_VERSION, PlaceholderRange
from rawmm.upgrades.images import read_inline
from rawmm.upgrades.step import Step
from rawmm.validation import INLINE_URLS, errors_at

if TYPE_CHECKING:
    from rawmm.describe import DescribedImage
    from rawmm.images import PreparedImage
    from rawmm.layouts import Layout
    from rawmm.store import ImageStore
    from rawmm.upgrades.step import Path


def upgraded(
    images: list[Any], path: Path, store: ImageStore | None, layout: Layout | None
) -> Step:
    """A full reference for each image.

    Args:
        images: ``[url, offset, length]`` for each, with a ``data:`` or ``file://`` URL.
        path: where the references stand.
        store: where inline images will be.
        layout: what the model's image processor makes of an image.

    Raises:
        ContractError: ``historical_form`` without a layout; ``no_image_dir`` for an inline image
            without a store; ``geometry_mismatch`` where the layout gives an image another number of
            tokens than the form has for it.
        OffloadError, MaterializeError: a URL is not one of an image, or its file is not there.
    """
    if layout is None:
        raise contract_error(
            "historical_form",
            path,
            expected=f"MMRefs of contract {SCHEMA_VERSION}",
            got=f"the wire form {INLINE_URLS}, without hashes and descriptors",
            hint="say the model's layout, from which they can be made again",
        )
    refs: list[list[Any]] = []
    stored: list[PreparedImage] = []
    for index, image in enumerate(images):
        ref, to_store = _image(image, (*path, 0, index), store, layout)
        refs.append(ref)
        stored += to_store
    change = f"hash and descriptor of family {layout.family} made from each image"
    return Step([refs], change, tuple(stored))


def _image(
    image: Any, path: Path, store: ImageStore | None, layout: Layout
) -> tuple[list[Any], tuple[PreparedImage, ...]]:
    url, offset, length = _parts(image, path)
    at = (*path, 0)
    to_store: tuple[PreparedImage, ...] = ()
    if scheme_of(url) == "data":
        if store is None:
            raise contract_error(
                "no_image_dir",
                at,
                expected="an image directory, as references to the trainer carry no images",
                got="none",
                hint="say where the images can be stored",
            )
        found = read_inline(url, None, at, store)
        described = _described(found.image.raw, layout, at)
        item = to_builtins(described.item) | found.locator
        url, to_store = found.uri, found.to_store
    else:
        described = _described(url, layout, at)
        item = to_builtins(described.item)
    if length != described.placeholder_length:
        raise contract_error(
            "geometry_mismatch",
            (*path, 2),
            expected=f"{counted(described.placeholder_length, 'token')}, as the layout has for "
            "the image",
            got=str(length),
            hint="the model has another layout, or other parameters",
        )
    return [item, described.mm_hash, url, offset, length], to_store


def _parts(image: Any, path: Path) -> tuple[str, int, int]:
    if not isinstance(image, list) or len(image) != 3:
        raise contract_error(
            "bad_length", path, expected="an array of 3: [url, offset, length]", got=shown(image)
        )
    url, offset, length = image
    for error in errors_at({"offset": offset, "length": length}, PlaceholderRange, ()):
        raise error.at((*path, 1 if error.path == "$.offset" else 2), path="$")
    if not isinstance(url, str) or scheme_of(url) not in {"data", "file"}:
        raise contract_error(
            "bad_locator", (*path, 0), expected="a data: or file:// URL", got=shown(url)
        )
    return url, offset, length


def _described(image: bytes | str, layout: Layout, path: Path) -> DescribedImage:
    try:
        return describe_image(image, layout)
    except RawMMError as error:
        raise error.at(path, path="$") from None
