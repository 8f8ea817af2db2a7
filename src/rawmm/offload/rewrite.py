"""Rewrite inline images into references to stored ones, all or nothing.

Three phases: check every image part in document order, write every image, rewrite every
part. A failure in any phase leaves the value as it was; images written by then stay in the
store, where the same call finds them when it is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import ContractError, OffloadError, shown, shown_text
from rawmm.locators import scheme_of
from rawmm.offload.data_url import is_image_data_url
from rawmm.offload.image_parts import ImagePart, ImageParts
from rawmm.offload.limits import Limits
from rawmm.offload.prepare import PreparedImage, check_image, prepare_image
from rawmm.offload.run_dir import run_image_dir
from rawmm.offload.store import ImageStore

if TYPE_CHECKING:
    import os

    from rawmm.offload.stored_image import StoredImage

_MODES: Final = ("offload", "inline")


@dataclass(slots=True)
class ImageOffloadStats:
    """What one or more calls did. Bytes are of image files, not of base64.

    Attributes:
        images_seen: image parts; a part that is shared by two messages counts once.
        images_rewritten: parts whose data URL became a ``file://`` URL.
        images_deduplicated: those of them whose image was not written by their call, because
            it was there or an earlier part had it.
        bytes_in: bytes of all images that came as data URLs, repeated ones included.
        bytes_written: bytes of the images that were written.
    """

    images_seen: int = 0
    images_rewritten: int = 0
    images_deduplicated: int = 0
    bytes_in: int = 0
    bytes_written: int = 0

    def add(self, other: ImageOffloadStats) -> None:
        """Add another call's numbers to these."""
        self.images_seen += other.images_seen
        self.images_rewritten += other.images_rewritten
        self.images_deduplicated += other.images_deduplicated
        self.bytes_in += other.bytes_in
        self.bytes_written += other.bytes_written

    def __add__(self, other: ImageOffloadStats) -> ImageOffloadStats:
        """The sum of both, as a new object."""
        total = ImageOffloadStats()
        total.add(self)
        total.add(other)
        return total


def offload_images_inplace(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageStore | None = None,
    mode: str = "offload",
    limits: Limits | None = None,
) -> ImageOffloadStats:
    """Store every inline image of a value, and put ``file://`` URLs in their place.

    Image parts are found in dicts, lists, tuples, msgspec Structs, pydantic models and
    dataclasses: ``{"type": "image_url", "image_url": {"url": ...}}``, ``image_url`` as a
    string, ``{"type": "image", "image": url}``. A dict part comes out in the first shape, a
    typed part with a new URL; a frozen one is replaced in its parent. ``file://`` URLs inside
    the image directory stay, and are checked to exist; every other URL is refused.

    Args:
        value: messages, a request body, a rollout ... changed in place.
        image_dir: the image directory; `run_image_dir` by default, asked only when there is
            an image.
        store: a store to use instead of `image_dir`.
        mode: ``offload``, or ``inline`` to check only: nothing is written or rewritten.
        limits: bounds; those of the store by default.

    Raises:
        OffloadError: an image cannot be offloaded; ``path`` is the JSON path of its URL. The
            value is as it was.
        ContractError: ``bad_value`` for another mode.
    """
    if mode not in _MODES:
        raise ContractError("bad_value", expected="the mode 'offload' or 'inline'", got=shown(mode))
    call = _Call(image_dir, store, limits)
    found = ImageParts(value)
    if mode == "inline":
        return call.check(found)
    planned = call.prepare(found)
    changes = found.plan([image.url for image in planned])
    call.write(found, planned)
    changes.apply()
    return call.stats(planned)


async def offload_images_async(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageStore | None = None,
    limits: Limits | None = None,
) -> ImageOffloadStats:
    """`offload_images_inplace` for an event loop: images are checked and written in a thread.

    The thread gets nothing but URLs. The value is read and changed by the loop alone, and
    changed in one step at the end: no other task sees half of it, and a cancelled call changes
    nothing, then or later. What other tasks did to the value meanwhile is looked at first.

    Args and errors are those of `offload_images_inplace`.
    """
    import asyncio  # import rawmm stays light

    call = _Call(image_dir, store, limits)
    found = ImageParts(value)
    while found.parts:
        planned = await asyncio.to_thread(call.put, found)
        before, found = found, ImageParts(value)
        if [part.url for part in found.parts] == [part.url for part in before.parts]:
            found.plan([image.url for image in planned]).apply()
            return call.stats(planned)
    return call.stats([])


def offload_image_to_run_assets(
    url: Any, image_dir: str | os.PathLike[str] | None = None
) -> tuple[str, int] | None:
    """Store the image of one data URL: its ``file://`` URL and its size in bytes.

    None for anything that does not begin with ``data:image/``.

    Args:
        url: a ``data:image/...;base64,`` URL, or anything else.
        image_dir: the image directory; `run_image_dir` by default.

    Raises:
        OffloadError: the data URL is wrong, or its image cannot be stored.
    """
    if not is_image_data_url(url):
        return None
    stored = _store(image_dir).put_data_url(url)
    return stored.uri, stored.size


def _store(image_dir: str | os.PathLike[str] | None) -> ImageStore:
    return ImageStore(run_image_dir() if image_dir is None else image_dir)


class _Planned(NamedTuple):
    """The URL that a part gets, and the image to write for it, if any."""

    url: str
    image: PreparedImage | None


class _Call:
    """What the parts of one call share: the store, the limits, the images seen so far."""

    def __init__(
        self,
        image_dir: str | os.PathLike[str] | None,
        store: ImageStore | None,
        limits: Limits | None,
    ) -> None:
        self._image_dir = image_dir
        self._store = store
        self.limits = limits or (store.limits if store else Limits())
        self._known: dict[str, PreparedImage] = {}
        self._by_hash: dict[str, PreparedImage] = {}
        self._stored: dict[str, StoredImage] = {}

    def check(self, found: ImageParts) -> ImageOffloadStats:
        """Check every part; nothing is stored."""
        self._check_count(found)
        sizes: dict[str, int] = {}
        stats = ImageOffloadStats(images_seen=len(found.parts))
        for part in found.parts:
            with _At(found, part):
                url = self._url(part)
                if scheme_of(url) == "file":
                    self._opened().check_present(url)
                    continue
                if url not in sizes:
                    sizes[url] = len(check_image(url, self.limits).raw)
                stats.bytes_in += sizes[url]
        return stats

    def prepare(self, found: ImageParts) -> list[_Planned]:
        """Check every part, and prepare its image; nothing is written."""
        self._check_count(found)
        planned = []
        for part in found.parts:
            with _At(found, part):
                planned.append(self._prepared(part))
        return planned

    def write(self, found: ImageParts, planned: list[_Planned]) -> None:
        """Write every prepared image that this call has not written yet."""
        for part, (_, image) in zip(found.parts, planned, strict=True):
            if image is not None and image.sha256 not in self._stored:
                with _At(found, part):
                    self._stored[image.sha256] = self._opened().commit(image)

    def put(self, found: ImageParts) -> list[_Planned]:
        """Prepare and write. The containers that hold the parts are not looked at."""
        planned = self.prepare(found)
        self.write(found, planned)
        return planned

    def stats(self, planned: list[_Planned]) -> ImageOffloadStats:
        """What the call did, if `planned` is what its value came to."""
        fresh = {sha: one.bytes_written for sha, one in self._stored.items() if one.written}
        stats = ImageOffloadStats(images_seen=len(planned), bytes_written=sum(fresh.values()))
        for _, image in planned:
            if image is not None:
                stats.images_rewritten += 1
                stats.bytes_in += len(image.raw)
                stats.images_deduplicated += fresh.pop(image.sha256, None) is None
        return stats

    def _opened(self) -> ImageStore:
        """The store; the environment is asked for it only now."""
        if self._store is None:
            self._store = _store(self._image_dir)
        return self._store

    def _check_count(self, found: ImageParts) -> None:
        if len(found.parts) > self.limits.max_images:
            with _At(found, found.parts[self.limits.max_images]):
                self.limits.check_count(len(found.parts))

    def _prepared(self, part: ImagePart) -> _Planned:
        url = self._url(part)
        if scheme_of(url) == "file":
            self._opened().check_present(url, keep=True)
            return _Planned(url, None)
        image = self._known.get(url)
        if image is None:
            image = prepare_image(url, self.limits)
            # Other text may say the same bytes; one copy of them is enough.
            image = self._by_hash.setdefault(image.sha256, image)
            self._known[url] = image
        return _Planned((self._opened().root / image.raw_image_id).as_uri(), image)

    def _url(self, part: ImagePart) -> str:
        hint = "encode the image as a data:image/...;base64, URL, or write it into the image "
        hint += "directory and refer to it by file:// URL"
        if part.fault:
            code, expected, got = part.fault
            raise OffloadError(code, expected=expected, got=got, hint=hint)
        url: str = part.url
        scheme = scheme_of(url)
        if scheme in ("data", "file"):
            return url
        raise OffloadError(
            "bad_locator",
            expected="a data:image/...;base64, URL, or a file:// URL in the image directory",
            got=f"the scheme {shown_text(scheme)}" if scheme else "a string without a scheme",
            hint=hint,
        )


class _At:
    """Gives an `OffloadError` the JSON path of the part it is about."""

    def __init__(self, found: ImageParts, part: ImagePart) -> None:
        self._found = found
        self._part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, OffloadError):
            error.path = self._found.path(self._part)
            error.args = (error.code, error.path, *error.args[2:])
