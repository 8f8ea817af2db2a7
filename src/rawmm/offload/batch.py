"""One offload call: check every image part, then write every image.

Rewriting the value comes after both, and is up to the caller. If a part is refused, the error is
that of the first such part in document order; otherwise that of the first image that cannot be
written.

Several images are processed at once, and each is staged in a temporary file as soon as it is
checked. So one image is hashed while another is synced, and no image stays in memory until all are
checked.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from rawmm.errors import OffloadError, raise_alone, shown_text
from rawmm.images import (
    HEAD_SHOWN,
    DataUrl,
    Limits,
    as_png,
    bare_base64,
    check_image,
    checked_limits,
    decode_data_url,
    frozen_bytes,
    is_image_base64,
    is_mislabelled,
    may_be_image,
    normalized_image,
    parse_data_url,
    prepare_image,
)
from rawmm.locators import scheme_of
from rawmm.offload.forms import Holds
from rawmm.offload.image_parts import StoredAt
from rawmm.offload.opaque import is_picture
from rawmm.offload.parallel import available_cpus, map_in_order
from rawmm.offload.stats import ImageOffloadStats
from rawmm.real_class import is_a
from rawmm.store import (
    WEB_SCHEMES,
    ImageStore,
    batch_writer,
    check_exists,
    checked_store,
    fetched,
    fetcher_of,
    open_store,
    run_image_dir,
    served_schemes,
    urls_of,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rawmm.errors import RawMMError
    from rawmm.images import CheapKey, ImageHeader, ImageInfo
    from rawmm.offload.image_parts import ImagePart, ImageParts
    from rawmm.store import BatchWriter, Store

_WORTH_THREADS: Final = 2 * 1024 * 1024
"""Characters of base64 that take much longer to hash than threads take to wake up."""
_FETCH_THREADS: Final = 8
"""Threads that wait for web servers."""
_SYNC_THREADS: Final = 10
"""Threads if most of them wait for a disk. Each holds one image in memory."""


class InlineImage(NamedTuple):
    """An image from a data URL.

    Attributes:
        source: the URL.
        info: hash, header and size of the image.
        staged: the temporary file; None if the image exists or staging failed.
    """

    source: DataUrl
    info: ImageInfo
    staged: str | None = None


class PlannedImage(NamedTuple):
    """The new URL of a part, and the image to write for it, if any."""

    url: str
    image: InlineImage | None

    @property
    def stored(self) -> StoredAt:
        """What the form of the part needs to know."""
        if self.image is None:
            return StoredAt(self.url)
        info = self.image.info
        return StoredAt(self.url, info.header.media_type, info.raw_image_id)


def open_image_dir(image_dir: str | os.PathLike[str] | None) -> Store:
    """Open the store at a location; by default in the directory that the environment names."""
    return open_store(run_image_dir() if image_dir is None else image_dir)


class OffloadBatch:
    """The store, limits and images of one offload call.

    As a context manager, removes on exit whatever was staged and not written, and closes what it
    has opened.

    Args:
        image_dir: the image directory; `run_image_dir` by default.
        store: a store to use instead of `image_dir`. The data URLs of an `ImageStore` are indexed,
            because it may be used again.
        limits: the limits; those of the store by default.
        read: returns the URL of a part, given the string in its place.
        digest: returns the digest of the base64 that `read` returns a view of, if it is known.

    Raises:
        TypeError: both `image_dir` and `store` are given.
        ContractError, OffloadError: a wrong argument.
    """

    def __init__(
        self,
        image_dir: str | os.PathLike[str] | None,
        store: Store | None,
        limits: Limits | None,
        read: Callable[[str], str | memoryview] = lambda url: url,
        digest: Callable[[str], bytes | None] = lambda _: None,
    ) -> None:
        given = checked_store(image_dir, store)
        # An invalid directory is refused here, even if there are no images.
        self._opened = given if image_dir is None else open_store(image_dir)
        self._opened_writer = None if self._opened is None else batch_writer(self._opened)
        self._local = given if is_a(given, ImageStore) else None
        self._index = None if self._local is None else self._local.url_index
        self._read = read
        self._digest = digest
        self._fetcher = None if self._opened is None else fetcher_of(self._opened)
        self._fetched: dict[str, bytes | OffloadError] = {}
        self.limits = checked_limits(limits) or (Limits() if given is None else given.limits)
        self._written: dict[str, int] = {}
        self._staged: set[str] = set()
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._opened_writer is None:
            return
        if self._staged or self._made:
            self._opened_writer.discard(self._staged, () if self._written else self._made)
            self._staged.clear()
        self._opened_writer.close()

    def check(self, found: ImageParts) -> ImageOffloadStats:
        """Check every part without writing anything."""
        self._check_call(found)
        self._fetch(found)
        checked: dict[DataUrl, tuple[ImageHeader, int]] = {}
        stats = _begun(found)
        for part in found.parts:
            with error_path(found, part):
                source = self._source(part)
                if is_a(source, str):
                    check_exists(self._store, source)
                    continue
                if source not in checked:
                    image = check_image(source, self.limits)
                    checked[source] = image.header, len(image.raw)
                header, size = checked[source]
                stats.images_mislabelled += is_mislabelled(source.media_type, header.media_type)
                stats.bytes_in += size
        return stats

    def prepare(self, found: ImageParts) -> list[PlannedImage]:
        """Check every part, and stage its image."""
        self._check_call(found)
        self._fetch(found)
        sources, failure = self._sources(found)
        jobs, job_indices = _distinct_jobs(found.parts, sources, self._digest)

        images = self._examined(found, jobs, write=failure is None)
        if failure is not None:
            raise failure
        urls = urls_of(self._store, [image.info for image in images]) if images else []
        return [
            PlannedImage(source, None)
            if is_a(source, str)
            else PlannedImage(urls[index], images[index])
            for source, index in zip(sources, job_indices, strict=True)
        ]

    def write(self, found: ImageParts, planned: list[PlannedImage]) -> None:
        """Write every image that this batch has not written yet."""
        first: dict[str, tuple[ImagePart, InlineImage]] = {}
        for part, (_, image) in zip(found.parts, planned, strict=True):
            if image is not None and image.info.sha256 not in self._written:
                first.setdefault(image.info.sha256, (part, image))
        if not first:
            return
        there = self._writer.renew(
            [image.info for _, image in first.values() if image.staged is None]
        )
        self._written.update(dict.fromkeys(there, 0))
        jobs = [job for sha256, job in first.items() if sha256 not in there]

        def place(job: tuple[ImagePart, InlineImage]) -> bool:
            part, image = job
            try:
                new = self._placed(image)
            except OffloadError as error:
                raise_alone(error.at(path=found.path(part)))
            self._written[image.info.sha256] = image.info.size if new else 0
            return new

        if any(map_in_order(place, jobs, threads=self._writer.placed_at_once)):
            with error_path(found, found.parts[0]):
                self._writer.sync()

    def put(self, found: ImageParts) -> list[PlannedImage]:
        """Prepare and write, without access to the containers of the parts."""
        with self:
            planned = self.prepare(found)
            self.write(found, planned)
        return planned

    def stats(self, found: ImageParts, planned: list[PlannedImage]) -> ImageOffloadStats:
        """Return the statistics of the call that ended with `planned`."""
        fresh = {sha256: written for sha256, written in self._written.items() if written}
        stats = _begun(found)
        stats.bytes_written = sum(fresh.values())
        images = [image for _, image in planned if image is not None]
        stats.images_rewritten = len(images)
        for source, info, _ in images:
            stats.images_mislabelled += info.mislabelled(source.media_type)
            stats.bytes_in += info.size
            stats.images_deduplicated += fresh.pop(info.sha256, None) is None
        return stats

    @property
    def _store(self) -> Store:
        """The store. The environment is read only when an image needs it."""
        if self._opened is None:
            self._opened = open_image_dir(None)
        return self._opened

    @property
    def _writer(self) -> BatchWriter:
        if self._opened_writer is None:
            self._opened_writer = batch_writer(self._store)
        return self._opened_writer

    def _examined(self, found: ImageParts, jobs: list[_Job], *, write: bool) -> list[InlineImage]:
        """Return the images of the jobs. Raises the error of the first that is refused."""
        index = self._index

        def image_of(job: _Job) -> InlineImage:
            part, source, digest = job
            try:
                info = index.get(source, digest) if index is not None else None
                if info is None:
                    return self._staged_image(source, digest, write=write)
                info.check(self.limits, source.media_type)
            except OffloadError as error:
                raise_alone(error.at(path=found.path(part)))
            return InlineImage(source, info)

        new = [job for job in jobs if index is None or job.source not in index]
        if write and new:
            with suppress(OffloadError):  # no directory is named; each image raises that error
                self._made = self._writer.make()
        threads = 1
        slow = (
            job
            for job in jobs
            if index is None or job.source not in index or not (job.digest or index.is_fast)
        )
        if sum(len(job.source.url) for job in slow) > _WORTH_THREADS:
            threads = available_cpus()
        if self._opened is not None and self._writer.durable:
            threads = max(threads, min(len(new), _SYNC_THREADS))
        return map_in_order(image_of, jobs, threads=threads)

    def _staged_image(self, source: DataUrl, digest: bytes | None, *, write: bool) -> InlineImage:
        given = prepare_image(source, self.limits)
        image = given if self._local is None else self._local.normalized(given, self.limits)
        writer, staged = self._writer, None
        if write:
            # If staging fails, `write` tries again and raises the error, so that the error is
            # that of the first image.
            with suppress(OffloadError):
                staged = writer.stage(image)
        if staged is not None:
            self._staged.add(staged)
        # The index returns what a URL holds, so what is stored for it must be that.
        if self._index is not None and image is given:
            self._index.put(source, image.info, digest)
        return InlineImage(source, image.info, staged)

    def _load(self, image: InlineImage) -> bytes:
        """The bytes to store for an image."""
        raw = decode_data_url(image.source)
        if self._local is None or not self._local.normalize:
            return raw
        return normalized_image(prepare_image(raw, self.limits), self.limits).raw

    def _placed(self, image: InlineImage) -> bool:
        writer, load = self._writer, partial(self._load, image)
        self._staged.discard(image.staged or "")
        try:
            return writer.place(image.info, load, staged=image.staged)
        except OffloadError:
            if not self._staged:
                raise
        # On a full disk, the files staged for later images may occupy the space for this one.
        writer.discard(self._staged)
        self._staged.clear()
        return writer.place(image.info, load)

    def _check_call(self, found: ImageParts) -> None:
        """Check what concerns all of a call."""
        if len(found.parts) > self.limits.max_images:
            with error_path(found, found.parts[self.limits.max_images]):
                self.limits.check_count(len(found.parts))
        if found.other and self.limits.other_media == "refuse":
            raise OffloadError(
                "other_media",
                found.path(found.other[0]),
                expected="images and text only, as Limits.other_media demands",
                got="audio, video or a document",
                hint="leave it out, or allow it with Limits(other_media='accept')",
            )

    def _fetch(self, found: ImageParts) -> None:
        """Fetch the images of web URLs, each once. `_source` raises the errors."""
        fetcher = self._fetcher
        if fetcher is None:
            return

        def answer(url: str) -> bytes | OffloadError:
            try:
                return fetched(fetcher, url)
            except OffloadError as error:
                return error

        urls: dict[str, None] = {}
        for part in found.parts:
            if part.fault:
                break
            if is_a(part.source, str):
                url = self._read(str.__str__(part.source))
                if is_a(url, str) and scheme_of(url) in WEB_SCHEMES and url not in self._fetched:
                    urls[url] = None
        if urls:
            answers = map_in_order(answer, list(urls), threads=min(len(urls), _FETCH_THREADS))
            self._fetched.update(zip(urls, answers, strict=True))

    def _sources(self, found: ImageParts) -> tuple[list[str | DataUrl], RawMMError | None]:
        """Return the sources of the parts before the first refused one, and its error."""
        sources: list[str | DataUrl] = []
        for part in found.parts:
            try:
                source = self._source(part)
                if is_a(source, str):
                    check_exists(self._store, source, renew=True)
            except OffloadError as error:
                return sources, error.at(path=found.path(part))
            sources.append(source)
        return sources, None

    def _source(self, part: ImagePart) -> str | DataUrl:
        """Return the image of a part, or its URL if the scheme is served."""
        if part.fault:
            code, expected, got = part.fault
            hint = part.hint or _HINTS.get(code, _AS_DATA_URL)
            raise OffloadError(code, expected=expected, got=got, hint=hint)
        if not is_a(part.source, str):
            if is_picture(part.source):
                return _encoded(as_png(part.source), "")
            raw = frozen_bytes(part.source, self.limits)
            return _encoded(raw or b"", part.declared)
        url = self._read(str.__str__(part.source))
        if is_a(url, memoryview):
            # No base64 of an image begins with this letter.
            is_url = url[0] in b"dD"
            return parse_data_url(url) if is_url else _bare(part, url)
        scheme = scheme_of(url)
        if scheme == "data":
            return parse_data_url(url)
        if _is_base64(part, url):
            return _bare(part, url)
        if scheme in served_schemes():
            return url
        if url in self._fetched:
            answer = self._fetched[url]
            if isinstance(answer, OffloadError):
                raise answer
            return _encoded(answer, part.declared)
        hint = _AS_DATA_URL
        if scheme in WEB_SCHEMES and self._fetcher is None:
            hint = "encode the image as a data:image/...;base64, URL, or have it fetched: "
            hint += 'ImageStore(..., fetcher=HttpsFetcher(["host"])), rawmm offload --fetch HOST'
        got = f"the scheme {shown_text(scheme)}" if scheme else "a string without a scheme"
        if url.strip() != url:
            got = "white space around the URL"
        served = ", ".join(f"{name}://" for name in served_schemes())
        raise OffloadError(
            "bad_locator",
            expected=f"a data:image/...;base64, URL, or a URL of an image in the store ({served})",
            got=got,
            hint=hint,
        )


def _bare(part: ImagePart, text: str | memoryview) -> DataUrl:
    url_safe = part.form is not None and part.form.url_safe
    return bare_base64(text, part.declared, url_safe=url_safe)


def inline_url(part: ImagePart) -> str:
    """The URL of a part that has no fault, or the data URL of what it holds without one."""
    if not is_a(part.source, str):
        raw = as_png(part.source) if is_picture(part.source) else frozen_bytes(part.source) or b""
        return f"data:image;base64,{_encoded(raw, '').text}"
    text = str.__str__(part.source)
    if scheme_of(text) == "data" or not _is_base64(part, text):
        return text
    if part.form is not None and part.form.url_safe:
        text = text.replace("-", "+").replace("_", "/")
    return f"data:{part.declared if may_be_image(part.declared) else 'image'};base64,{text}"


def _is_base64(part: ImagePart, text: str) -> bool:
    """Whether a source without the scheme ``data:`` is base64."""
    holds_base64 = part.form is not None and part.form.holds is Holds.BASE64
    return holds_base64 or is_image_base64(text[:HEAD_SHOWN])


_AS_DATA_URL: Final = (
    "encode the image as a data:image/...;base64, URL, or write it into the image directory and "
    "refer to it by file:// URL"
)
_HINTS: Final = {
    "unknown_image_form": "rewrite it as a part of type image_url; docs/image-forms.md lists all "
    "forms, and text may contain anything",
    "count_mismatch": "give one image for each placeholder, in the same order",
}


def _begun(found: ImageParts) -> ImageOffloadStats:
    """What is known of a call before its images are read."""
    return ImageOffloadStats(
        images_seen=len(found.parts),
        images_encoded=sum(
            not is_a(part.source, str) and is_picture(part.source) for part in found.parts
        ),
        other_media=len(found.other),
        text_data_urls=found.text_data_urls,
    )


def _encoded(raw: bytes, declared: str) -> DataUrl:
    import pybase64

    return bare_base64(pybase64.b64encode(raw).decode("ascii"), declared)


class _Job(NamedTuple):
    """An image to examine; ``digest`` is that of its text, if it is known."""

    part: ImagePart
    source: DataUrl
    digest: bytes | None


def _distinct_jobs(
    parts: Sequence[ImagePart],
    sources: Sequence[str | DataUrl],
    digest_of: Callable[[str], bytes | None],
) -> tuple[list[_Job], list[int]]:
    """Return a job for each distinct data URL, and the index of each part's job, -1 for none."""
    jobs: list[_Job] = []
    indices: list[int] = []
    last: dict[CheapKey, int] = {}
    for part, source in zip(parts, sources, strict=False):
        if is_a(source, str):
            indices.append(-1)
            continue
        # Compared with the last job of the same key only, so that this stays a single pass.
        index = last.get(source.cheap_key)
        if index is None or not source.same_as(jobs[index].source):
            index = last[source.cheap_key] = len(jobs)
            given = is_a(source.url, memoryview) and is_a(part.source, str)
            jobs.append(_Job(part, source, digest_of(part.source) if given else None))
        indices.append(index)
    return jobs, indices


@contextmanager
def error_path(found: ImageParts, part: ImagePart) -> Iterator[None]:
    """Give an `OffloadError` the JSON path of the part that caused it."""
    try:
        yield
    except OffloadError as error:
        raise_alone(error.at(path=found.path(part)))
