"""One offload: every image part is checked, then every image gets its place in the store.

What is rewritten comes after both, and is the caller's. An error is that of the first part, in
document order, that is refused; failing that, of the first that cannot be stored.

Several images are worked on at once, and each is written, under a temporary name, as soon as it
is checked: so one is hashed while another is synced, and none has to be kept in memory until
all are known to be good.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from rawmm.errors import OffloadError, contract_error, shown, shown_text
from rawmm.images import (
    DataUrl,
    Limits,
    check_image,
    checked_limits,
    decode_data_url,
    parse_data_url,
    prepare_image,
)
from rawmm.locators import scheme_of
from rawmm.offload.parallel import available_cpus, in_order
from rawmm.offload.stats import ImageOffloadStats
from rawmm.real_class import is_a
from rawmm.store import ImageStore, check_one_place, run_image_dir

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rawmm.images import ImageFacts
    from rawmm.offload.image_parts import ImagePart, ImageParts

_WORTH_THREADS: Final = 2 * 1024 * 1024
"""Characters of base64 that take much longer to hash than other threads take to wake."""
_WAITING: Final = 6
"""Threads where most of them wait for a disk. Each holds one image in memory."""


class InlineImage(NamedTuple):
    """An image that came as a data URL.

    Attributes:
        source: the URL.
        facts: what is known of the image.
        staged: the temporary file, unless the store has the image, or could not write it.
    """

    source: DataUrl
    facts: ImageFacts
    staged: str | None = None


class Planned(NamedTuple):
    """The URL that a part gets, and the image to write for it, if any."""

    url: str
    image: InlineImage | None


def store_in(image_dir: str | os.PathLike[str] | None) -> ImageStore:
    """The store in a directory, by default the one that the environment names."""
    return ImageStore(run_image_dir() if image_dir is None else image_dir)


class Call:
    """What the parts of one call share: the store, the limits, the images seen so far.

    As a context manager it removes what was prepared and not written.

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
        check_one_place(image_dir, store)
        if store is not None and not is_a(store, ImageStore):
            raise contract_error(
                "wrong_type",
                ("store",),
                expected="an ImageStore",
                got=shown(store),
                hint="pass a directory as image_dir",
            )
        # A directory that is none is refused here, whether there are images or not.
        self._store = store if image_dir is None else ImageStore(image_dir)
        self._index = store.known if store is not None else None
        self._read = read
        self.limits = checked_limits(limits) or (store.limits if store is not None else Limits())
        self._written: dict[str, int] = {}
        self._staged: set[str] = set()
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._store is not None and (self._staged or self._made):
            self._store.discard(self._staged, () if self._written else self._made)
            self._staged.clear()

    def check(self, found: ImageParts) -> ImageOffloadStats:
        """Check every part; nothing is stored."""
        self._check_count(found)
        sizes: dict[str, int] = {}
        stats = ImageOffloadStats(images_seen=len(found.parts))
        for part in found.parts:
            with _At(found, part):
                url = self._url(part)
                if is_a(url, str) and scheme_of(url) == "file":
                    self._opened().check_present(url)
                    continue
                if part.url not in sizes:
                    sizes[part.url] = len(check_image(parse_data_url(url), self.limits).raw)
                stats.bytes_in += sizes[part.url]
        return stats

    def prepare(self, found: ImageParts) -> list[Planned]:
        """Check every part, and write its image under a temporary name."""
        self._check_count(found)
        sources, failure = self._sources(found)
        jobs, job_of = _distinct(found.parts, sources)

        images = self._examined(found, jobs, write=failure is None)
        if failure is not None:
            raise failure
        planned = []
        for source, number in zip(sources, job_of, strict=True):
            if is_a(source, str):
                planned.append(Planned(source, None))
            else:
                image = images[number]
                planned.append(Planned(self._opened().uri(image.facts), image))
        return planned

    def write(self, found: ImageParts, planned: list[Planned]) -> None:
        """Put every image in its place that this call has not put there yet."""
        first: dict[str, tuple[ImagePart, InlineImage]] = {}
        for part, (_, image) in zip(found.parts, planned, strict=True):
            if image is not None and image.facts.sha256 not in self._written:
                first.setdefault(image.facts.sha256, (part, image))
        written = False
        for sha256, (part, image) in first.items():
            with _At(found, part):
                new = self._placed(image)
            self._written[sha256] = image.facts.size if new else 0
            written = written or new
        if written:
            with _At(found, found.parts[0]):
                self._opened().sync()

    def put(self, found: ImageParts) -> list[Planned]:
        """Prepare and write. The containers that hold the parts are not looked at."""
        with self:
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

    def _examined(self, found: ImageParts, jobs: list[_Job], *, write: bool) -> list[InlineImage]:
        """The images of the jobs; the first that is refused is the error."""
        index = self._index

        def image_of(job: _Job) -> InlineImage:
            with _At(found, job.part):
                facts = index.find(job.source) if index is not None else None
                if facts is None:
                    return self._staged_image(job.source, write=write)
                facts.check(self.limits)
            return InlineImage(job.source, facts)

        new = [job for job in jobs if index is None or job.source not in index]
        if write and new:
            with suppress(OffloadError):  # no directory is named, which each image will say
                self._made = self._opened().make()
        threads = 1
        if sum(len(job.source.url) for job in jobs) > _WORTH_THREADS:
            threads = available_cpus()
        if self._store is not None and self._store.durable:
            threads = max(threads, min(len(new), _WAITING))
        return in_order(image_of, jobs, threads=threads)

    def _staged_image(self, source: DataUrl, *, write: bool) -> InlineImage:
        image = prepare_image(source, self.limits)
        store, staged = self._opened(), None
        if write:
            # Where this fails, `write` tries again and says why: at its turn, so that the error
            # is that of the first image, and after those before it.
            with suppress(OffloadError):
                staged = store.stage(image)
        if staged is not None:
            self._staged.add(staged)
        if self._index is not None:
            self._index.learn(source, image.facts)
        return InlineImage(source, image.facts, staged)

    def _placed(self, image: InlineImage) -> bool:
        store, load = self._opened(), partial(decode_data_url, image.source)
        self._staged.discard(image.staged or "")
        try:
            return store.place(image.facts, load, staged=image.staged)
        except OffloadError:
            if not self._staged:
                raise
        # On a full disk, those that come later may have the room that this one needs.
        store.discard(self._staged)
        self._staged.clear()
        return store.place(image.facts, load)

    def _opened(self) -> ImageStore:
        """The store; the environment is asked for it only now."""
        if self._store is None:
            self._store = store_in(None)
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
                    if is_a(url, str) and scheme_of(url) == "file":
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
        if is_a(url, memoryview):
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
        if is_a(source, str):
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
