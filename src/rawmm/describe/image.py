"""Describe an image: its descriptor, hash and token count, without decoding pixels.

Width and height are those of the pixels that consumers decode: by default upright, as in vLLM. See
`rawmm.ImageDecoding`. The orientation is read from the header.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rawmm import layouts
from rawmm.errors import OffloadError, contract_error, shown, shown_path, shown_text
from rawmm.images import (
    ENGINE,
    ImageDecoding,
    Limits,
    checked_decoding,
    checked_limits,
    prepare_image,
)
from rawmm.locators import MM_HASH_DIGITS, file_path, scheme_of
from rawmm.media import IMAGE
from rawmm.model.types import RawMMItem
from rawmm.real_class import is_a
from rawmm.store import StoredImage, open_store, read_bytes, store_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rawmm.images import ImageHeader
    from rawmm.layouts import Layout

    _Path: TypeAlias = str | os.PathLike[str]
    DescribableImage: TypeAlias = StoredImage | bytes | bytearray | memoryview | _Path


class DescribedImage(NamedTuple):
    """The sidecar entries of one image.

    Attributes:
        item: the descriptor; its modality is ``image``.
        mm_hash: the first 32 hex digits of the SHA-256 of the file.
        num_tokens: number of image-typed tokens.
        placeholder_length: number of placeholder tokens in the message: `num_tokens`, or 1 if the
            engine expands the placeholder (Kimi).
    """

    item: RawMMItem
    mm_hash: str
    num_tokens: int
    placeholder_length: int


def describe_image(
    image: DescribableImage,
    family: str | Layout,
    *,
    image_dir: _Path | None = None,
    limits: Limits | None = None,
    decoding: ImageDecoding = ENGINE,
) -> DescribedImage:
    """Return the descriptor, hash and token count of an image. Only its header is decoded.

    The size of the image is that after `decoding`, which the fingerprint of the item identifies.
    If two decodings may show the image differently, ``item.ambiguous`` says why.

    Args:
        image: one of

            - the result of `ImageStore.put`; the item gets its ``raw_image_id``, and no file is
              read;
            - a path, the URL of a stored image, or a ``data:image/...;base64,`` URL; the item gets
              it as ``raw_image_uri``;
            - the bytes of a file; the item gets no locator.
        family: a family, with its default parameters, or a layout from `rawmm.layouts.get`.
        image_dir: the run's image directory, absolute or relative to the working directory, or the
            URL of another store. `image` must then be a path or URL of a file directly in it, and
            the item gets the file name as ``raw_image_id``.
        limits: the limits of accepted images; `Limits()` by default. A `StoredImage` is not checked
            again.
        decoding: how the consumers of the item decode the image; vLLM's by default.

    Raises:
        ContractError: an unknown family; ``image_limit`` for a shape that the family refuses.
        OffloadError: ``not_an_image``, ``image_type_mismatch``, ``image_limit``,
            ``bad_base64``, ``bad_locator``, ``path_escape`` or ``wrong_type``.
        MaterializeError: ``missing_image``, ``store_failed``; ``path_escape`` for a symbolic
            link, ``bad_locator`` for a name that is not a ``raw_image_id``, ``hash_mismatch`` for
            a file whose bytes do not match its name.
    """
    layout, decoding = layout_from(family), checked_decoding(decoding)
    if image_dir is not None and not _is_file(image):
        raise OffloadError(
            "bad_locator",
            expected="a path or URL of a file in image_dir",
            got=shown(image),
            hint="leave image_dir out",
        )
    if is_a(image, StoredImage):
        locator = {"raw_image_id": image.raw_image_id}
        return described(layout, image.sha256, image.header, locator, decoding)
    source, locator = _source_and_locator(image, image_dir)
    prepared = prepare_image(source, checked_limits(limits) or Limits())
    return described(layout, prepared.sha256, prepared.header, locator, decoding)


def layout_from(family: str | Layout) -> Layout:
    """Return a layout, given itself or the name of its family.

    Raises:
        ContractError: ``bad_value`` for an unknown family.
    """
    return family if is_a(family, layouts.Layout) else layouts.get(family)


def described(
    layout: Layout,
    sha256: str,
    header: ImageHeader,
    locator: Mapping[str, str],
    decoding: ImageDecoding,
) -> DescribedImage:
    """Return the descriptor, hash and token count of an image that was checked.

    Args:
        layout: the model's image layout.
        sha256: of the file, 64 hex digits.
        header: of the file.
        locator: the item's locator, by field.
        decoding: how the image is decoded.

    Raises:
        ContractError: ``image_limit`` for a shape that the family refuses.
    """
    geometry = layout.describe(*decoding.size_of(header))
    item = raw_mm_item(
        modality=IMAGE.name,
        family=layout.family,
        layout_fingerprint=layout.fingerprint(decoding),
        payload=geometry.payload,
        vllm_modality=layout.vllm_modality,
        ambiguous=header.ambiguous or None,
        **locator,
    )
    return DescribedImage(
        item, sha256[:MM_HASH_DIGITS], geometry.num_tokens, geometry.placeholder_length
    )


def _is_file(image: object) -> bool:
    """Whether `image` is a path, or a URL that is not a data URL."""
    if is_a(image, str):
        return scheme_of(image) != "data"
    return is_a(image, os.PathLike)


def _source_and_locator(image: Any, image_dir: _Path | None) -> tuple[Any, dict[str, str]]:
    """Return the source for `prepare_image`, and the locator of the item as keyword arguments."""
    if not _is_file(image):
        return image, {"raw_image_uri": image} if is_a(image, str) else {}
    uri = _uri_of(image)
    store = store_for(uri)
    if image_dir is None:
        return read_bytes(store, uri), {"raw_image_uri": uri}
    root = open_store(image_dir).root
    if store.root != root:
        raise OffloadError(
            "path_escape",
            expected=f"a file directly in {shown_path(root)}",
            got=shown_text(uri),
            hint="leave image_dir out, or store the image there first",
        )
    path = file_path(uri)
    name = os.path.basename(path if isinstance(path, str) else uri)  # noqa: PTH119  (of a URL, too)
    return read_bytes(store, name), {"raw_image_id": name}


def _uri_of(image: Any) -> str:
    """Return the URL of a path. A URL is returned unchanged."""
    if is_a(image, str) and scheme_of(image):
        return image
    uri = None
    with suppress(AttributeError, TypeError, ValueError):  # a path of bytes or surrogates
        # Not resolve(), because reading a link must be refused.
        path = os.path.abspath(image)  # noqa: PTH100
        path.encode()
        uri = Path(path).as_uri()
    if uri is None:
        raise OffloadError(
            "bad_locator",
            expected="a path that a file:// URL can name",
            got=shown(image),
            hint="pass the bytes of the file",
        )
    return uri


def raw_mm_item(
    *,
    modality: str,
    family: str,
    layout_fingerprint: str,
    payload: Mapping[str, Any],
    raw_image_id: str | None = None,
    raw_image_uri: str | None = None,
    vllm_modality: str | None = None,
    ambiguous: Sequence[str] | None = None,
) -> RawMMItem:
    """Return a checked descriptor of one raw media item.

    Pass at most one locator. Without one the item is descriptor-only. `ambiguous` is what two
    decodings may show differently, ``orientation`` or ``transparency``; see `describe_image`.

    Raises:
        ContractError: a name, the fingerprint or a locator breaks the contract.
        ProcessedPayloadError: the payload contains pixels, arrays or values that are not JSON.
    """
    if layout_fingerprint is None:
        raise contract_error(
            "missing_field",
            (),
            expected="a layout_fingerprint",
            got="None",
            hint="readers need it to check that they lay images out in the same way",
        )
    return RawMMItem(
        kind="prime_raw_mm_item",
        version=1,
        modality=modality,
        family=family,
        layout_fingerprint=layout_fingerprint,
        payload=payload,  # type: ignore[arg-type]  # any mapping; the constructor converts it
        vllm_modality=vllm_modality,
        raw_image_id=raw_image_id,
        raw_image_uri=raw_image_uri,
        ambiguous=ambiguous,  # type: ignore[arg-type]  # the constructor checks it
    )
