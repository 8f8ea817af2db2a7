"""Take over images that another store has, for a value whose URLs name that store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.locators import Problem, file_path, scheme_of, stored_hash
from rawmm.offload.image_parts import ImageParts, StoredAt
from rawmm.store import put_image, read_bytes, store_for, url_of_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.offload.image_parts import ImagePart
    from rawmm.store import Store


def adopt_images(value: Any, store: Store) -> int:
    """Give images of other directories their place in `store`, and change their URLs in place.

    A record may name the directory of another machine. So an image is looked for by its file name
    in `store` first; otherwise it is read where its URL says, verified, and copied. Only names
    with a hash are taken, because any other name may be that of another image. Other images, and
    those in neither place, keep their URLs, which `offload_images_inplace` refuses.

    Returns:
        The number of images that were copied.

    Raises:
        RawMMError: ``hash_mismatch`` or ``store_failed``; ``path`` is that of the URL. The value
            is unchanged.
    """
    found = ImageParts(value)
    urls, copied = adopted_urls(found, [part.source for part in found.parts], store)
    if urls:
        moved = [
            StoredAt(urls[part.source])
            if type(part.source) is str and part.source in urls
            else None
            for part in found.parts
        ]
        found.plan(moved).apply()
    return copied


def adopted_urls(
    found: ImageParts, sources: Sequence[Any], store: Store
) -> tuple[dict[str, str], int]:
    """The new URLs of images of other directories by their old ones, and how many were copied.

    Args:
        found: the images.
        sources: the URL of each image; anything else for an image without one.
        store: where they are copied to, if they are not there.

    Raises:
        RawMMError: as `adopt_images`.
    """
    urls: dict[str, str] = {}
    to_copy: list[tuple[ImagePart, str]] = []
    for part, source in zip(found.parts, sources, strict=True):
        name = None if part.fault is not None else _foreign_name(source, store)
        if name is None or source in urls:
            continue
        if not store.exists(name):
            if _read(source, part, found) is None:
                continue
            to_copy.append((part, source))
        urls[source] = url_of_id(store, name)
    for part, source in to_copy:
        raw = _read(source, part, found)
        if raw is not None:
            put_image(store, raw)
    return urls, len(to_copy)


def _foreign_name(source: Any, store: Store) -> str | None:
    """The name of a stored image outside of `store`; None for any other source."""
    if type(source) is not str or scheme_of(source) != "file":
        return None
    path = file_path(source)
    if isinstance(path, Problem):
        return None
    name = path.rpartition("/")[2]
    if stored_hash(name) is None:
        return None
    try:
        store.exists(source)
    except RawMMError as error:
        return name if error.code == "path_escape" else None
    return None


def _read(source: str, part: ImagePart, found: ImageParts) -> bytes | None:
    """The verified bytes of an image, from the directory that its URL names; None if it is gone."""
    try:
        return read_bytes(store_for(source), source, stored_hash(source))
    except RawMMError as error:
        refusal = error
    if refusal.code != "missing_image":
        raise refusal.at(path=found.path(part))
    return None
