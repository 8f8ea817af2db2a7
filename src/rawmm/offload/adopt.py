"""Take over images that another store has, for a value whose URLs name that store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError
from rawmm.locators import Problem, file_path, scheme_of, stored_hash
from rawmm.offload.image_parts import ImageParts, StoredAt
from rawmm.store import put_image, read_bytes, store_for, url_of_id

if TYPE_CHECKING:
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
    urls: dict[str, str] = {}
    to_copy: list[ImagePart] = []
    for part in found.parts:
        name = _foreign_name(part, store)
        if name is None or part.source in urls:
            continue
        if not store.exists(name):
            if _read(part, found) is None:
                continue
            to_copy.append(part)
        urls[part.source] = url_of_id(store, name)
    for part in to_copy:
        raw = _read(part, found)
        if raw is not None:
            put_image(store, raw)
    if urls:
        moved = [
            StoredAt(urls[part.source])
            if type(part.source) is str and part.source in urls
            else None
            for part in found.parts
        ]
        found.plan(moved).apply()
    return len(to_copy)


def _foreign_name(part: ImagePart, store: Store) -> str | None:
    """The name of a stored image outside of `store`; None for any other part."""
    if part.fault is not None or type(part.source) is not str or scheme_of(part.source) != "file":
        return None
    path = file_path(part.source)
    if isinstance(path, Problem):
        return None
    name = path.rpartition("/")[2]
    if stored_hash(name) is None:
        return None
    try:
        store.exists(part.source)
    except RawMMError as error:
        return name if error.code == "path_escape" else None
    return None


def _read(part: ImagePart, found: ImageParts) -> bytes | None:
    """The verified bytes of an image, from the directory that its URL names; None if it is gone."""
    try:
        return read_bytes(store_for(part.source), part.source, stored_hash(part.source))
    except RawMMError as error:
        refusal = error
    if refusal.code != "missing_image":
        raise refusal.at(path=found.path(part))
    return None
