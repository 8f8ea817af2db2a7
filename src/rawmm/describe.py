"""From an image to its descriptor, hash and token count, without decoding a pixel.

Orientation: an EXIF orientation tag is ignored, so width and height are those of the pixels as
they are stored. That is what the consumers see: renderers and engines open an image with
``PIL.Image.open(...).convert("RGB")``, which does not turn it. (``load_image`` of transformers
does; images that go through it must be stored upright.)
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from rawmm import layouts
from rawmm.errors import OffloadError, contract_error, shown, shown_path, shown_text
from rawmm.images import Limits, checked_limits, prepare_image
from rawmm.locators import Problem, file_path, scheme_of
from rawmm.media import IMAGE
from rawmm.model.types import RawMMItem
from rawmm.real_class import is_a
from rawmm.store import ImageStore, StoredImage, resolved_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawmm.layouts import Layout

    _Path: TypeAlias = str | os.PathLike[str]
    DescribableImage: TypeAlias = StoredImage | bytes | bytearray | memoryview | _Path

_HASH_DIGITS: Final = 32


class DescribedImage(NamedTuple):
    """What a sidecar says of one image.

    Attributes:
        item: the descriptor; its modality is ``image``.
        mm_hash: the first 32 hex digits of the SHA-256 of the file.
        num_tokens: the image-typed tokens of the image.
        placeholder_length: the tokens of a message that stand for it: `num_tokens`, or 1 where
            the engine expands them (Kimi).
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
) -> DescribedImage:
    """The descriptor, hash and token count of an image; only its header is decoded.

    The item points at the image where it can. The module states the orientation policy.

    Args:
        image: what `ImageStore.put` returned: the item has its ``raw_image_id``, and nothing is
            read. Or a path, a ``file://`` or a ``data:image/...;base64,`` URL: the item has it
            as ``raw_image_uri``. Or the bytes of a file: the item has no locator.
        family: a family, with its default parameters, or a layout from `rawmm.layouts.get`.
        image_dir: the run's image directory. `image` must then be a path or ``file://`` URL of
            a file directly in it, and the item has the name as ``raw_image_id``.
        limits: what is accepted; `Limits()` by default. A `StoredImage` has passed its store's.

    Raises:
        ContractError: an unknown family; ``image_limit`` for a shape that the family refuses.
        OffloadError: ``not_an_image``, ``image_type_mismatch``, ``image_limit``,
            ``bad_base64``, ``bad_locator``, ``path_escape`` or ``wrong_type``.
        MaterializeError: ``missing_image``, ``store_failed``; ``path_escape`` for a symbolic
            link, ``bad_locator`` for a name that is no ``raw_image_id``, ``hash_mismatch`` for a
            file that is not the one in its name.
    """
    layout = family if is_a(family, layouts.Layout) else layouts.get(family)
    if image_dir is not None and not _is_file(image):
        raise OffloadError(
            "bad_locator",
            expected="a path or a file:// URL of a file in image_dir",
            got=shown(image),
            hint="leave image_dir out",
        )
    if is_a(image, StoredImage):
        locator = {"raw_image_id": image.raw_image_id}
        sha256, size = image.sha256, (image.width, image.height)
    else:
        source, locator = _source_and_locator(image, image_dir)
        prepared = prepare_image(source, checked_limits(limits) or Limits())
        sha256, size = prepared.sha256, (prepared.header.width, prepared.header.height)
    geometry = layout.describe(*size)
    item = raw_mm_item(
        modality=IMAGE.name,
        family=layout.family,
        layout_fingerprint=layout.fingerprint(),
        payload=geometry.payload,
        vllm_modality=layout.vllm_modality,
        **locator,
    )
    return DescribedImage(
        item, sha256[:_HASH_DIGITS], geometry.num_tokens, geometry.placeholder_length
    )


def _is_file(image: object) -> bool:
    """Whether `image` is a path, or a URL other than a data URL."""
    if is_a(image, str):
        return scheme_of(image) != "data"
    return is_a(image, os.PathLike)


def _source_and_locator(image: Any, image_dir: _Path | None) -> tuple[Any, dict[str, str]]:
    """What `prepare_image` takes, and the locator of the item as arguments."""
    if not _is_file(image):
        return image, {"raw_image_uri": image} if is_a(image, str) else {}
    uri = _uri_of(image)
    path = file_path(uri)
    if isinstance(path, Problem):
        raise OffloadError(path.code, expected=path.expected, got=path.got)
    folder, name = os.path.split(path)
    store = ImageStore(folder)
    if image_dir is None:
        return store.read(uri), {"raw_image_uri": uri}
    if store.root != resolved_dir(image_dir):
        raise OffloadError(
            "path_escape",
            expected=f"a file directly in {shown_path(resolved_dir(image_dir))}",
            got=shown_text(uri),
            hint="leave image_dir out, or store the image there first",
        )
    return store.read(name), {"raw_image_id": name}


def _uri_of(image: Any) -> str:
    """The URL of a path; a URL as it is."""
    if is_a(image, str) and scheme_of(image):
        return image
    uri = None
    with suppress(AttributeError, TypeError, ValueError):  # a path of bytes, or of surrogates
        # Not resolve(): a link is refused where it is read, like every other.
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
) -> RawMMItem:
    """A descriptor of one raw media item, checked.

    Give at most one locator; with none the item is descriptor-only.

    Raises:
        ContractError: a name, the fingerprint or a locator breaks the contract.
        ProcessedPayloadError: the payload holds pixels, arrays or what JSON cannot say.
    """
    if layout_fingerprint is None:
        raise contract_error(
            "missing_field",
            (),
            expected="a layout_fingerprint",
            got="None",
            hint="without it a reader cannot tell whether it lays images out alike",
        )
    return RawMMItem(
        kind="prime_raw_mm_item",
        version=1,
        modality=modality,
        family=family,
        layout_fingerprint=layout_fingerprint,
        payload=payload,  # type: ignore[arg-type]  # any mapping; the constructor makes it a dict
        vllm_modality=vllm_modality,
        raw_image_id=raw_image_id,
        raw_image_uri=raw_image_uri,
    )
