"""Offload of ten turns that each send all earlier images again: 55 images, of which 10 differ."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import rawmm
from benchmarks import baseline, data, reference
from benchmarks.harness import Variant, at_least, exponent, race, shown_time, single
from benchmarks.offload import screenshots
from rawmm import native

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.harness import Row, Settings


def run(settings: Settings) -> Iterator[Row]:
    """Offload all requests of a rollout into one new store."""
    turns = settings.pick(10, 3)
    sizes = settings.pick((5, 10, 20), (1, 2, 4))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        timed = race(
            {
                "rawmm": _Rollout(folder, _bodies(turns, settings)).with_rawmm(),
                "reference": _Rollout(folder, _bodies(turns, settings)).with_reference(),
                "baseline": _Rollout(folder, _bodies(turns, settings)).with_baseline(),
            },
            settings,
        )
        yield timed.row(
            "resend", f"{turns} turns: times as fast as the reference",
            "reference", "rawmm", at_least(10 if native.COMPILED else 7.5),
        )  # fmt: skip
        what = "the same for the baseline: store new images, find and hash those sent again"
        yield timed.row("resend", what, "reference", "baseline")
        variants = {}
        for size in sizes:
            bodies = _bodies(size, settings)
            variants[f"all of {size}"] = _Rollout(folder, bodies).with_rawmm()
            variants[f"new of {size}"] = _Rollout(folder, [bodies[-1]]).with_rawmm()
        timed = race(variants, settings)
        sent = [sum(map(len, _bodies(size, settings))) for size in sizes]
        whole = [timed.median(f"all of {size}") for size in sizes]
        fresh = [timed.median(f"new of {size}") for size in sizes]
        numbers = ", ".join(
            f"{size}: {shown_time(all_)} for all, {shown_time(new)} if all are new"
            for size, all_, new in zip(sizes, whole, fresh, strict=True)
        )
        yield single(
            "resend", "time over turns; the bytes sent grow with n^2", exponent(sizes, whole),
            "exponent", None, numbers,
        )  # fmt: skip
        again = [
            (bytes_ - len(_bodies(size, settings)[-1])) / max(all_ - new, 1e-9) / 1e9
            for size, bytes_, all_, new in zip(sizes, sent, whole, fresh, strict=True)
        ]
        yield single("resend", "rate of images that are sent again", again[-1], "GB/s")


def _bodies(turns: int, settings: Settings) -> list[bytes]:
    pngs = screenshots(turns, settings)
    return [data.body(pngs[: turn + 1]) for turn in range(turns)]


class _Rollout:
    """Requests in order, offloaded into a directory that is new in each round."""

    def __init__(self, folder: Path, bodies: Sequence[bytes]) -> None:
        self._folder = folder
        self._bodies = bodies
        self._place: Path | None = None
        self._store: rawmm.ImageStore | None = None

    def with_rawmm(self) -> Variant:
        return Variant(self._rawmm, self._begin)

    def with_reference(self) -> Variant:
        return Variant(self._reference, self._begin)

    def with_baseline(self) -> Variant:
        return Variant(self._baseline, self._begin)

    def _begin(self) -> None:
        if self._place is not None:
            shutil.rmtree(self._place)
        self._place = Path(tempfile.mkdtemp(dir=self._folder))
        self._store = rawmm.ImageStore(self._place, durable=False)

    def _rawmm(self) -> None:
        for body in self._bodies:
            rawmm.offload_request(body, store=self._store)

    def _baseline(self) -> None:
        requests = baseline.Requests(str(self._place))
        for body in self._bodies:
            requests.offload(body)

    def _reference(self) -> None:
        assert self._place is not None
        for body in self._bodies:
            reference.offload_body(body, self._place)
