"""The form ``inline_urls``: trainer references with only the URL and range of each image.

The upgrade computes hash and descriptor from the image. It needs the model's layout, which neither
the form nor the image records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import to_builtins
from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.locators import scheme_of, uri_problem
from rawmm.model.types import SCHEMA_VERSION, PlaceholderRange
from rawmm.real_class import is_a
from rawmm.upgrades.form import REBUILD_REFS, HistoricalForm, Step
from rawmm.upgrades.images import read_inline
from rawmm.validation import errors_at
from rawmm.values.views import as_sequence

if TYPE_CHECKING:
    from rawmm.describe import DescribedImage
    from rawmm.images import ImageDecoding, PreparedImage
    from rawmm.layouts import Layout
    from rawmm.upgrades.form import Context, Path


def _matches(refs: Any) -> bool:
    lists = as_sequence(refs)
    images = as_sequence(lists[0]) if lists is not None and len(lists) == 1 else None
    first = as_sequence(images[0]) if images else None
    return first is not None and len(first) == 3 and is_a(first[0], str)


def _upgrade(refs: Any, context: Context) -> Step:
    """A full reference for each image.

    Raises:
        ContractError: ``historical_form`` without a layout; ``no_image_dir`` for an inline image
            without a store; ``geometry_mismatch`` if the layout computes another number of tokens.
        OffloadError, MaterializeError: a URL is not that of an image, or its file is missing.
    """
    path, layout = context.path, context.layout
    if layout is None:
        raise contract_error(
            "historical_form",
            path,
            expected=f"MMRefs of contract {SCHEMA_VERSION}",
            got=f"the wire form {FORM}",
            hint="give the model's layout, from which hashes and descriptors can be computed",
        )
    converted: list[list[Any]] = []
    to_store: list[PreparedImage] = []
    for index, image in enumerate(refs[0]):
        ref, prepared = _image(image, (*path, 0, index), context, layout)
        converted.append(ref)
        to_store += prepared
    change = f"hash and descriptor of family {layout.family} computed from each image"
    return Step([converted], change, tuple(to_store))


def _image(
    image: Any, path: Path, context: Context, layout: Layout
) -> tuple[list[Any], tuple[PreparedImage, ...]]:
    url, offset, length = _fields(image, path)
    at = (*path, 0)
    to_store: tuple[PreparedImage, ...] = ()
    if scheme_of(url) == "data":
        if context.store is None:
            raise contract_error(
                "no_image_dir",
                at,
                expected="an image directory, as trainer references carry no images",
                got="none",
                hint="give the directory where the images can be stored",
            )
        found = read_inline(url, None, at, context.store)
        described = _described(found.image.raw, layout, context.decoding, at)
        item = to_builtins(described.item) | found.locator
        url, to_store = found.uri, found.to_store
    else:
        described = _described(url, layout, context.decoding, at)
        item = to_builtins(described.item)
    if length != described.placeholder_length:
        raise contract_error(
            "geometry_mismatch",
            (*path, 2),
            expected=f"{counted(described.placeholder_length, 'token')}, as the layout computes",
            got=str(length),
            hint="the model has another layout, other parameters or another decoding",
        )
    return [item, described.mm_hash, url, offset, length], to_store


def _fields(image: Any, path: Path) -> tuple[str, int, int]:
    if not isinstance(image, list) or len(image) != 3:
        raise contract_error(
            "bad_length", path, expected="an array of 3: [url, offset, length]", got=shown(image)
        )
    url, offset, length = image
    for error in errors_at({"offset": offset, "length": length}, PlaceholderRange, ()):
        raise error.at((*path, 1 if error.path == "$.offset" else 2), path="$")
    if not isinstance(url, str):
        raise contract_error("bad_locator", (*path, 0), expected="a URL", got=shown(url))
    if problem := uri_problem(url):
        raise contract_error(problem.code, (*path, 0), expected=problem.expected, got=problem.got)
    return url, offset, length


def _described(
    image: bytes | str, layout: Layout, decoding: ImageDecoding, path: Path
) -> DescribedImage:
    from rawmm.describe import describe_image  # an error that only names a form skips this import

    try:
        return describe_image(image, layout, decoding=decoding)
    except RawMMError as error:
        raise error.at(path, path="$") from None


FORM: Final = HistoricalForm(
    name="inline_urls",
    since="late August 2026",
    of="MMRefs",
    description="trainer references as [url, offset, length] for each image",
    matches=_matches,
    upgrade=_upgrade,
    rebuild=REBUILD_REFS,
)
