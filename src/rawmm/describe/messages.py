"""Find and describe the images that messages refer to."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.describe.image import described
from rawmm.errors import MaterializeError, OffloadError, RawMMError, raise_alone, shown_hash
from rawmm.images import (
    ENGINE,
    ImageDecoding,
    Limits,
    checked_decoding,
    parse_data_url,
    prepare_image,
)
from rawmm.locators import file_path, scheme_of, stored_hash
from rawmm.store import check_exists, check_store_arguments, open_store, read_bytes, store_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.describe.image import DescribedImage
    from rawmm.errors import Path
    from rawmm.images import PreparedImage
    from rawmm.layouts import Layout
    from rawmm.store import ImageReader

    Keep = Callable[[PreparedImage], dict[str, str]]

_ELSEWHERE: Final = frozenset({"missing_image", "bad_locator", "path_escape"})
"""Codes of a store that does not have an image."""


class FoundImage(NamedTuple):
    """An image of a message: what the sidecar says of it, and its decoded size in pixels."""

    described: DescribedImage
    width: int
    height: int


class MessageImages:
    """Describes the images of messages with one layout. Reads each image once.

    An image that lies in the store gets its name there as ``raw_image_id``. It is looked for by the
    file name in its URL, because a record may name the directory of another machine. A name with a
    hash identifies the image, so the store comes before the URL. Any other name may be that of
    another image, so the URL comes first unless it is in the store.

    Args:
        layout: the model's image layout.
        image_dir: the image directory.
        store: a store to use instead of `image_dir`.
        keep: called with an inline image that the caller will store; returns its locator, by
            field. By default the item of an inline image has its data URL.
        decoding: how the images are decoded.

    Raises:
        TypeError, ContractError, OffloadError: a wrong `image_dir` or `store`.
    """

    def __init__(
        self,
        layout: Layout,
        image_dir: str | os.PathLike[str] | None = None,
        store: ImageReader | None = None,
        keep: Keep | None = None,
        decoding: ImageDecoding = ENGINE,
    ) -> None:
        check_store_arguments(image_dir, store, ("read",))
        self.layout = layout
        self._store: Any = store if image_dir is None else open_store(image_dir)
        self._limits: Limits = getattr(self._store, "limits", None) or Limits()
        self._keep = keep
        self._decoding = checked_decoding(decoding)
        self._found: dict[str, FoundImage] = {}

    def describe(self, url: str, path: Path, index: int = 0) -> FoundImage:
        """Describe the image at a URL of a message; `path` is that of the URL.

        `index` is the number of images before it in the prompt, as for `Layout.describe`.

        Raises:
            OffloadError, MaterializeError, ContractError: as `describe_image`.
        """
        found = self._found.get(url)
        if found is None:
            try:
                found = self._inline(url) if scheme_of(url) == "data" else self._stored(url)
            except RawMMError as error:
                raise_alone(error.at(path, path="$"))
            self._found[url] = found
        if not index:
            return found
        geometry = self.layout.describe(found.width, found.height, index=index)
        described = found.described._replace(
            num_tokens=geometry.num_tokens, placeholder_length=geometry.placeholder_length
        )
        return found._replace(described=described)

    def _inline(self, url: str) -> FoundImage:
        image = prepare_image(url, self._limits)
        if self._keep is not None:
            return self._of(image, self._keep(image))
        if self._has(image.raw_image_id):
            return self._of(image, {"raw_image_id": image.raw_image_id})
        head = parse_data_url(url)
        start = f"data:{head.media_type};base64,"
        # The contract writes the head in lower case. Most URLs have it so, and are not copied.
        return self._of(
            image, {"raw_image_uri": url if url.startswith(start) else f"{start}{head.text}"}
        )

    def _has(self, name: str) -> bool:
        """Whether the store has an image. A reader that cannot tell has none."""
        if not callable(getattr(type(self._store), "exists", None)):
            return False
        with suppress(OffloadError):
            check_exists(self._store, name)
            return True
        return False

    def _stored(self, url: str) -> FoundImage:
        name = _name_of(url)
        by_url = {"raw_image_uri": url}
        if self._store is None or name is None:
            return self._read(store_for(url), url, by_url)
        in_store = self._store, name, {"raw_image_id": name}
        places = [in_store]
        # A bare name is one in the store.
        if scheme_of(url) and not self._is_root_of(url):
            places.insert(0 if stored_hash(name) is None else 1, (None, url, by_url))
        first: RawMMError | None = None
        for store, locator, fields in places:
            try:
                return self._read(store or store_for(url), locator, fields)
            except RawMMError as error:
                if error.code not in _ELSEWHERE:
                    raise
                refusal = error
            first = first or refusal
        assert first is not None
        raise first.at(
            hint="pass the directory that has the image as image_dir, or copy the image into it"
        )

    def _is_root_of(self, url: str) -> bool:
        """Whether the URL names a file directly in the store."""
        root = getattr(self._store, "root", None)
        path = file_path(url) if scheme_of(url) == "file" else None
        if isinstance(path, str):
            return os.path.realpath(os.path.dirname(path)) == str(root)  # noqa: PTH120
        return url.rpartition("/")[0] == str(root).removesuffix("/")

    def _read(self, store: ImageReader, locator: str, fields: dict[str, str]) -> FoundImage:
        image = prepare_image(read_bytes(store, locator), self._limits)
        stated = stored_hash(locator)
        if stated is not None and not image.sha256.startswith(stated):
            raise MaterializeError(
                "hash_mismatch",
                expected=f"the image of hash {shown_hash(stated)}, as its name says",
                got=f"the image of hash {shown_hash(image.sha256)}",
                hint="offload the image again",
            )
        return self._of(image, fields)

    def _of(self, image: PreparedImage, locator: dict[str, str]) -> FoundImage:
        one = described(self.layout, image.sha256, image.header, locator, self._decoding)
        return FoundImage(one, *self._decoding.size_of(image.header))


def _name_of(url: str) -> str | None:
    """The file name in a URL; None if a ``file://`` URL is refused."""
    path = file_path(url) if scheme_of(url) == "file" else url
    return os.path.basename(path) if isinstance(path, str) else None  # noqa: PTH119
