"""Offload of one request with ten screenshots, from the bytes of its body to the new body."""

from __future__ import annotations

import base64
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rawmm
from benchmarks import baseline, data, reference
from benchmarks.harness import Variant, at_least, at_most, growth, race, single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.harness import Row, Settings


def run(settings: Settings) -> Iterator[Row]:
    """Compare with the reference without syncing, and with the baseline in both ways."""
    pngs = screenshots(settings.pick(10, 2), settings)
    body = data.body(pngs)
    texts = [base64.b64encode(png).decode() for png in pngs]
    size = sum(map(len, pngs)) / len(pngs)
    yield single("offload", f"mean size of {len(pngs)} screenshots", size / 1e3, "kB")
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(len(texts)) as pool:
        folder = Path(place)
        timed = race(
            {
                "rawmm": _fresh(folder, partial(_rawmm, body, durable=False)),
                "reference": _fresh(folder, partial(reference.offload_body, body)),
                "baseline": _fresh(folder, partial(_baseline, texts, durable=False)),
                "rawmm, durable": _fresh(folder, partial(_rawmm, body, durable=True)),
                "baseline, durable": _fresh(folder, partial(_baseline, texts, durable=True)),
                "baseline, durable, threads": _fresh(
                    folder, lambda new: baseline.store_at_once(texts, str(new), pool)
                ),
            },
            settings,
        )
        yield timed.row(
            "offload", "times as fast as the reference, neither syncs",
            "reference", "rawmm", at_least(3.8),
        )  # fmt: skip
        yield timed.row(
            "offload", "share of the baseline in one thread, neither syncs", "baseline", "rawmm"
        )
        what = "share of the baseline that writes and syncs one image after the other, both sync"
        yield timed.row("offload", what, "baseline, durable", "rawmm, durable", at_least(0.75))
        what = "share of the baseline with a thread for each image, both sync"
        yield timed.row(
            "offload", what, "baseline, durable, threads", "rawmm, durable", at_least(0.7)
        )
        yield growth(
            "offload",
            "time over images, not synced",
            settings.pick((3, 10, 30), (1, 2, 3)),
            partial(_growing, folder, settings),
            settings,
            at_most(1.1),
        )


def screenshots(number: int, settings: Settings) -> list[bytes]:
    """`number` different screenshots: ten drawn pictures, and variations of them."""
    size = settings.pick((data.WIDTH, data.HEIGHT), (96, 64))
    return [
        data.variation(data.screenshot(index % 10, *size), f"copy {index}")
        for index in range(number)
    ]


def _growing(folder: Path, settings: Settings, images: int) -> Variant:
    body = data.body(screenshots(images, settings))
    return _fresh(folder, partial(_rawmm, body, durable=False))


def _fresh(folder: Path, offload: Callable[[Path], object]) -> Variant:
    """A variant that writes into a new directory in each call."""
    place: list[Path] = []

    def before() -> None:
        for old in place:
            shutil.rmtree(old)
        place[:] = [Path(tempfile.mkdtemp(dir=folder))]

    return Variant(lambda: offload(place[0]), before)


def _rawmm(body: bytes, folder: Path, *, durable: bool) -> object:
    return rawmm.offload_request(body, store=rawmm.ImageStore(folder, durable=durable))


def _baseline(texts: Sequence[str], folder: Path, *, durable: bool) -> None:
    baseline.store(texts, str(folder), durable=durable)
