"""Stores by URL scheme. To add a scheme, write a `Store` and add an entry to `_SCHEMES`."""

from __future__ import annotations

import os
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import OffloadError, contract_error, shown_text
from rawmm.locators import Problem, file_path, scheme_of
from rawmm.store.bundle_images import BundleImages, is_bundle
from rawmm.store.errors import calling
from rawmm.store.local import ImageStore
from rawmm.store.object_store import OBJECT_SCHEMES, ObjectImageStore
from rawmm.store.run_dir import location_scheme, run_image_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.store.protocol import Store


class Scheme(NamedTuple):
    """How to open the stores of one URL scheme.

    Attributes:
        open: called with the location of a store and options; returns the store.
        location_of: the location of the store that holds the image at a URL.
    """

    open: Callable[..., Store]
    location_of: Callable[[str], str]


def parent_url(url: str) -> str:
    """Return a URL without its last segment."""
    return url.rpartition("/")[0]


def _directory_of(url: str) -> str:
    path = file_path(url)
    if isinstance(path, Problem):
        raise OffloadError(path.code, expected=path.expected, got=path.got)
    return os.path.dirname(path)  # noqa: PTH120  (pathlib would normalize the path)


_SCHEMES: Final[dict[str, Scheme]] = {
    "file": Scheme(ImageStore, _directory_of),
    **{scheme: Scheme(ObjectImageStore, parent_url) for scheme in OBJECT_SCHEMES},
}


_BUILT_IN: Final = dict(_SCHEMES)


def is_of_this_process(location: object) -> bool:
    """Whether other processes cannot open the store at a location, or find no images in it."""
    scheme = location_scheme(location) or "file"
    return scheme == "memory" or _SCHEMES.get(scheme) is not _BUILT_IN.get(scheme)


def served_schemes() -> tuple[str, ...]:
    """Return the schemes of `open_store`, sorted."""
    return tuple(sorted(_SCHEMES))


def register_scheme(
    scheme: str,
    open: Callable[..., Store],  # noqa: A002  (the name of the field)
    location_of: Callable[[str], str] = parent_url,
) -> None:
    """Serve another URL scheme, in lower case. Replaces the entry of a scheme that is served."""
    _SCHEMES[scheme] = Scheme(open, location_of)


def open_store(url_or_path: str | os.PathLike[str], **options: Any) -> Store:
    """Open the store at a location.

    Args:
        url_or_path: a directory, absolute or relative to the working directory; a bundle, a ZIP
            file or folder of ``rawmm bundle``, which is read only; or a URL whose scheme is
            served: ``file`` is, and with the extra ``stores`` also ``s3``, ``gs``, ``az`` and
            ``memory``.
        options: passed to the store, e.g. those of `ImageStore` for a directory and of
            `ObjectImageStore` for a bucket.

    Raises:
        OffloadError: ``bad_locator`` for a scheme that is not served, and what the store raises.
        ContractError: ``unknown_field`` for an option that the store does not have.
    """
    scheme = location_scheme(url_or_path) or "file"
    open_ = _entry(scheme, "a path").open
    if open_ is ImageStore and is_bundle(url_or_path):
        open_ = BundleImages
    _, *parameters = signature(open_).parameters.values()
    accepted = [one.name for one in parameters]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in options:
        # Checked here, because Python's own error would show a name of any length.
        if name not in accepted and not takes_any:
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"an option of {scheme} stores",
                got=shown_text(name),
                hint=", ".join(accepted),
            )
    return _opened(scheme, open_, url_or_path, options)


def store_for(locator: str) -> Store:
    """Open the store that holds an image.

    Args:
        locator: a URL, or a ``raw_image_id``, which is looked up in `run_image_dir`.

    Raises:
        OffloadError: ``bad_locator`` for a scheme that is not served, ``no_image_dir``, and what
            the store raises.
    """
    scheme = scheme_of(locator)
    if not scheme:
        return open_store(run_image_dir())
    entry = _entry(scheme, "a raw_image_id")
    with calling("location_of", f"the location of a {scheme} store"):
        location = entry.location_of(locator)
    return _opened(scheme, entry.open, location, {})


def _opened(scheme: str, open_: Callable[..., Store], location: Any, options: Any) -> Store:
    if open_ is ImageStore:
        return open_(location, **options)
    with calling("open", f"to open a {scheme} store"):
        return open_(location, **options)


def _entry(scheme: str, alternative: str) -> Scheme:
    if scheme in _SCHEMES:
        return _SCHEMES[scheme]
    raise OffloadError(
        "bad_locator",
        expected=f"{alternative}, or a URL with a served scheme ({', '.join(served_schemes())})",
        got=f"the scheme {shown_text(scheme)}",
        hint="pass a store that reads it, or a directory where it is mounted",
    )
