"""One offload: every image part checked in document order, then every image written.

What is rewritten comes after both, and is the caller's. A failure in either phase is that of
the first part that has one; images written by then stay in the store, where the same call
finds them when it is repeated. Images are checked and written several at once, and decoded in
each phase: to keep them in between would take more memory than the second time takes time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import OffloadError, shown_text
from rawmm.locators import scheme_of
from rawmm.offload.data_url import DataUrl, decode_data_url, parse_data_url
from rawmm.offload.limits import Limits
from rawmm.offload.parallel import in_order, processors
from rawmm.offload.prepare import check_image, prepare_image
from rawmm.offload.run_dir import run_image_dir
from rawmm.offload.stats import ImageOffloadStats
from rawmm.offload.store import ImageStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from rawmm.offload.image_parts import ImagePart, ImageParts
    from rawmm.offload.prepare import ImageFacts

_WORTH_THREADS: Final = 256 * 1024
"""Characters of base64 that take longer to hash than a thread takes to start."""
_WAITING: Final = 4
"""Threads that wait for a disk: as many help as there are processors, and these at least."""


class InlineImage(NamedTuple):
    """An image that came as a data URL. ``known`` says that its text had been met before."""

    source: DataUrl
    facts: ImageFacts
    known: bool


class Planned(NamedTuple):
    """The URL that a part gets, and the image to write for it, if any."""

    url: str
    image: InlineImage | None


def store_in(image_dir: str | os.PathLike[str] | None) -> ImageStore:
    """The store in a directory, by default the one that the environment names."""
    return ImageStore(run_image_dir() if image_dir is None else image_dir)


class Call:
    """What the parts of one call share: the store, the limits, the images seen so far.

    Args:
        image_dir: the image directory; `run_image_dir` by default.
        store: a store to use instead of `image_dir`; only what it knows is worth learning.
        limits: bounds; those of the store by default.
        read: the URL of a part, given what stands in its place.
    """

    def __init__(
        self,
        image_dir: str | os.PathLike[str] | None,
        store: ImageStore | None,
        limits: Limits | None,
        read: Callable[[str], str | memoryview] = lambda url: url,
    ) -> None:
        self._image_dir = image_dir
        self._store = store
        self._index = store.known if store else None
        self._read = read
        self.limits = limits or (store.limits if store else Limits())
        self._written: dict[str, int] = {}

    def check(self, found: ImageParts) -> ImageOffloadStats:
        """Check every part; nothing is stored."""
        self._check_count(found)
        sizes: dict[str, int] = {}
        stats = ImageOffloadStats(images_seen=len(found.parts))
        for part in found.parts:
            with _At(found, part):
                url = self._url(part)
                if isinstance(url, str) and scheme_of(url) == "file":
                    self._opened().check_present(url)
                    continue
                if part.url not in sizes:
                    sizes[part.url] = len(check_image(parse_data_url(url), self.limits).raw)
                stats.bytes_in += sizes[part.url]
        return stats

    def prepare(self, found: ImageParts) -> list[Planned]:
        """Check every part, and hash its image; nothing is written."""
        self._check_count(found)
        sources, failure = self._sources(found)
        jobs, job_of = _distinct(found.parts, sources)

        def examined(job: _Job) -> InlineImage:
            with _At(found, job.part):
                image = self._examined(job.source)
                self._opened()
                return image

        size = sum(len(job.source.url) for job in jobs)
        threads = processors() if size > _WORTH_THREADS else 1
        images = in_order(examined, jobs, threads=threads)
        if failure is not None:
            raise failure
        planned = []
        for source, number in zip(sources, job_of, strict=True):
            if isinstance(source, str):
                planned.append(Planned(source, None))
            else:
                image = images[number]
                uri = (self._opened().root / image.facts.raw_image_id).as_uri()
                planned.append(Planned(uri, image))
        return planned

    def write(self, found: ImageParts, planned: list[Planned]) -> None:
        """Write every image that this call has not written yet."""
        first: dict[str, tuple[ImagePart, InlineImage]] = {}
        for part, (_, image) in zip(found.parts, planned, strict=True):
            if image is not None and image.facts.sha256 not in self._written:
                first.setdefault(image.facts.sha256, (part, image))
        if not first:
            return
        store = self._opened()

        def placed(job: tuple[ImagePart, InlineImage]) -> int:
            part, image = job
            with _At(found, part):
                written = store.place(image.facts, lambda: decode_data_url(image.source))
            if self._index is not None and not image.known:
                self._index.learn(image.source, image.facts)
            return image.facts.size if written else 0

        new = [image for _, image in first.values() if not image.known]
        waits = store.durable and new
        size = sum(len(image.source.url) for image in new)
        threads = max(processors(), _WAITING) if waits or size > _WORTH_THREADS else 1
        done = in_order(placed, list(first.values()), threads=threads)
        if any(done):
            part, _ = next(iter(first.values()))
            with _At(found, part):
                store.sync()
        self._written.update(zip(first, done, strict=True))

    def put(self, found: ImageParts) -> list[Planned]:
        """Prepare and write. The containers that hold the parts are not looked at."""
        planned = self.prepare(found)
        self.write(found, planned)
        return planned

    def stats(self, planned: list[Planned]) -> ImageOffloadStats:
        """What the call did, if `planned` is what its value came to."""
        fresh = {sha256: written for sha256, written in self._written.items() if written}
        stats = ImageOffloadStats(images_seen=len(planned), bytes_written=sum(fresh.values()))
        for _, image in planned:
            if image is not None:
                stats.images_rewritten += 1
                stats.bytes_in += image.facts.size
                stats.images_deduplicated += fresh.pop(image.facts.sha256, None) is None
        return stats

    def _examined(self, source: DataUrl) -> InlineImage:
        facts = self._index.find(source) if self._index is not None else None
        if facts is None:
            return InlineImage(source, prepare_image(source, self.limits).facts, known=False)
        facts.check(self.limits)
        return InlineImage(source, facts, known=True)

    def _opened(self) -> ImageStore:
        """The store; the environment is asked for it only now."""
        if self._store is None:
            self._store = store_in(self._image_dir)
        return self._store

    def _check_count(self, found: ImageParts) -> None:
        if len(found.parts) > self.limits.max_images:
            with _At(found, found.parts[self.limits.max_images]):
                self.limits.check_count(len(found.parts))

    def _sources(self, found: ImageParts) -> tuple[list[str | DataUrl], OffloadError | None]:
        """What the parts refer to, up to the first one that is wrong as it stands."""
        sources: list[str | DataUrl] = []
        for part in found.parts:
            try:
                with _At(found, part):
                    url = self._url(part)
                    if isinstance(url, str) and scheme_of(url) == "file":
                        self._opened().check_present(url, keep=True)
                        sources.append(url)
                    else:
                        sources.append(parse_data_url(url))
            except OffloadError as error:
                return sources, error
        return sources, None

    def _url(self, part: ImagePart) -> str | memoryview:
        """A data URL or a ``file://`` URL; bytes are always a data URL."""
        hint = "encode the image as a data:image/...;base64, URL, or write it into the image "
        hint += "directory and refer to it by file:// URL"
        if part.fault:
            code, expected, got = part.fault
            raise OffloadError(code, expected=expected, got=got, hint=hint)
        url = self._read(part.url)
        if isinstance(url, memoryview):
            return url
        scheme = scheme_of(url)
        if scheme in ("data", "file"):
            return url
        raise OffloadError(
            "bad_locator",
            expected="a data:image/...;base64, URL, or a file:// URL in the image directory",
            got=f"the scheme {shown_text(scheme)}" if scheme else "a string without a scheme",
            hint=hint,
        )


class _Job(NamedTuple):
    part: ImagePart
    source: DataUrl


def _distinct(
    parts: Sequence[ImagePart], sources: Sequence[str | DataUrl]
) -> tuple[list[_Job], list[int]]:
    """The data URLs that differ from those before them, and the number of each part's."""
    jobs: list[_Job] = []
    job_of: list[int] = []
    last: dict[object, int] = {}
    for part, source in zip(parts, sources, strict=False):
        if isinstance(source, str):
            job_of.append(-1)
            continue
        # Only the last one of a kind is compared: however many there are, it is one pass.
        number = last.get(source.sketch)
        if number is None or not source.same_as(jobs[number].source):
            number = last[source.sketch] = len(jobs)
            jobs.append(_Job(part, source))
        job_of.append(number)
    return jobs, job_of


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
