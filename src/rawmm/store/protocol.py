"""The interface of an image store. Every URL scheme implements it; `registry` lists the schemes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rawmm.errors import MaterializeError, OffloadError, contract_error, shown, shown_text
from rawmm.real_class import is_a
from rawmm.store.errors import calling, missing_image
from rawmm.store.fetcher import checked_fetcher

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from rawmm.images import ImageInfo, Limits, PreparedImage
    from rawmm.store.fetcher import Fetcher
    from rawmm.store.stored_image import StoredImage


class ImageReader(Protocol):
    """The reading half of a store, which is all that `rawmm.materialize` needs."""

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        """Return the bytes of the file that a ``raw_image_id`` or a URL names.

        `expected_hash` is a prefix of their SHA-256. Callers in rawmm compare it again.

        Raises:
            MaterializeError: ``missing_image``, ``hash_mismatch``, ``bad_locator``,
                ``path_escape`` or ``store_failed``.
        """
        ...


class Store(ImageReader, Protocol):
    """Images named by the SHA-256 of their bytes, in one place. Methods are thread-safe.

    A locator is a ``raw_image_id`` or a URL that begins with the location of the store.
    """

    @property
    def root(self) -> os.PathLike[str] | str:
        """The location: a directory or a URL."""
        ...

    @property
    def limits(self) -> Limits:
        """The limits of accepted images."""
        ...

    def uri(self, info: ImageInfo) -> str:
        """Return the URL of an image, whether it is stored or not."""
        ...

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        """Write an image unless it exists. With `verify`, compare the bytes of one that exists.

        Putting an image that exists renews its age.

        Raises:
            OffloadError: an image that is refused, or ``store_failed``.
        """
        ...

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        """Whether an image exists. With `renew`, reset its age as `put` does.

        Raises:
            OffloadError: ``bad_locator`` or ``path_escape`` if the locator cannot be of this
                store, ``store_failed``.
        """
        ...

    def names(self) -> Iterable[str]:
        """Return the ``raw_image_id`` of every image.

        Raises:
            OffloadError: ``store_failed``.
        """
        ...

    def delete(self, raw_image_id: str) -> None:
        """Delete an image. Deleting one that does not exist does nothing.

        Raises:
            OffloadError: ``bad_locator``, ``path_escape`` or ``store_failed``.
        """
        ...


_METHODS: Final = ("read", "uri", "put", "exists", "names", "delete")


def check_store_arguments(image_dir: object, store: object, methods: tuple[str, ...] = ()) -> None:
    """Check the arguments `image_dir` and `store` of a function that takes one of them.

    Raises:
        TypeError: both are given.
        ContractError: ``wrong_type`` if `store` lacks one of `methods`.
    """
    if image_dir is not None and store is not None:
        msg = "pass image_dir or store, not both: a store has its own location"
        raise TypeError(msg)
    if store is None or all(callable(getattr(type(store), name, None)) for name in methods):
        return
    raise contract_error(
        "wrong_type",
        ("store",),
        expected="an ImageStore, or another store from rawmm.open_store",
        got=shown(store),
        hint="pass a directory as image_dir",
    )


def checked_store(image_dir: object, store: Any) -> Store | None:
    """Return the argument `store` of a function that also takes `image_dir`.

    Raises:
        TypeError, ContractError: as `check_store_arguments`.
    """
    check_store_arguments(image_dir, store, _METHODS)
    checked: Store | None = store
    return checked


def fetcher_of(store: Any) -> Fetcher | None:
    """Return what fetches images from the web for a store, if it has one.

    Raises:
        OffloadError: ``store_failed``.
        ContractError: ``wrong_type``.
    """
    with calling("fetcher", "the fetcher of the store"):
        fetcher = getattr(store, "fetcher", None)
    return checked_fetcher(fetcher)


def read_bytes(reader: ImageReader, locator: str, expected_hash: str | None = None) -> bytes:
    """Read an image from a store. The caller compares its hash.

    Raises:
        MaterializeError: ``wrong_type`` if the store returns anything but bytes, and as
            `ImageReader.read`.
    """
    with calling("read", "the bytes of an image from the store", MaterializeError):
        raw: object = reader.read(locator, expected_hash)
    if is_a(raw, bytes):
        return raw
    raise MaterializeError("wrong_type", expected="bytes from the store", got=shown(raw))


def put_image(store: Store, image: bytes | PreparedImage) -> StoredImage:
    """Write an image into a store.

    Raises:
        OffloadError: as `Store.put`.
    """
    with calling("put", "to write an image into the store"):
        return store.put(image)


def urls_of(store: Store, infos: Iterable[ImageInfo]) -> list[str]:
    """Return the URLs of images in a store.

    Raises:
        OffloadError: ``store_failed``.
    """
    with calling("uri", "the URL of an image in the store"):
        return [store.uri(info) for info in infos]


def url_of_id(store: Store, raw_image_id: str) -> str:
    """Return the URL of the image with an id: the location of the store, a slash and the id."""
    root = store.root
    location = root if is_a(root, str) else Path(root).as_uri()
    return f"{location.removesuffix('/')}/{raw_image_id}"


def list_names(store: Store) -> list[str]:
    """Return the ``raw_image_id`` of every image in a store.

    Raises:
        OffloadError: ``store_failed``; ``wrong_type`` if the store lists anything but text.
    """
    with calling("names", "to list the images of the store"):
        names = list(store.names())
    for name in names:
        if not is_a(name, str):
            raise OffloadError("wrong_type", expected="names from the store", got=shown(name))
    return names


def delete_image(store: Store, raw_image_id: str) -> None:
    """Delete an image of a store.

    Raises:
        OffloadError: as `Store.delete`.
    """
    with calling("delete", f"to delete {shown_text(raw_image_id)} from the store"):
        store.delete(raw_image_id)


def check_exists(store: Store, locator: str, *, renew: bool = False) -> None:
    """Check that an image exists.

    Raises:
        OffloadError: ``missing_image``, and as `Store.exists`.
    """
    with calling("exists", "to look for an image in the store"):
        exists = store.exists(locator, renew=renew)
    if not exists:
        raise missing_image(store.root, locator.rpartition("/")[2])
