"""Memory of a worker that offloads rollouts, measured in a separate process.

The process is ``python -m benchmarks.memory ROLLOUTS TURNS WIDTH HEIGHT``. It keeps all offloaded
messages, as a worker does until its rollouts end.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import rawmm
from benchmarks import data
from benchmarks.harness import at_most, exponent, single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Row, Settings

_ROOT = Path(__file__).parent.parent


def run(settings: Settings) -> Iterator[Row]:
    """The growth and the peak of memory."""
    turns = settings.pick(10, 2)
    size = settings.pick((data.WIDTH, data.HEIGHT), (96, 64))
    sizes = settings.pick((8, 16, 32), (1, 2, 4))
    found = [_measured(rollouts, turns, *size) for rollouts in sizes]
    most = found[-1]
    body = most["body"]
    yield single(
        "memory",
        f"growth over {sizes[-1]} rollouts of {turns} turns, MessagePack",
        most["grown"] / 1e6,
        "MB",
        at_most(5),
        f"{sizes[-1] * body / 1e6:.0f} MB offloaded",
    )
    for name, what in (
        ("peak", "most that offloading decoded messages takes, over one body"),
        ("request_peak", "most that offload_request takes beside the body, over one body"),
    ):
        detail = f"{most[name] / 1e6:.1f} MB for a body of {body / 1e6:.1f} MB"
        yield single("memory", what, most[name] / body, "x", at_most(1.5), detail)
    grown = [max(each["grown"], 1e3) for each in found]
    numbers = ", ".join(f"{n}: {each / 1e6:.2f} MB" for n, each in zip(sizes, grown, strict=True))
    power = exponent(sizes, grown)
    yield single("memory", "growth over rollouts", power, "exponent", None, numbers)


def _measured(*sizes: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *map(str, sizes)],
        cwd=_ROOT,
        # Large blocks return to the system when they are freed, so only memory in use counts.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _forget_peak() -> None:
    """Reset VmHWM to the memory in use."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


def _body(rollout: int, pictures: list[bytes]) -> bytes:
    pngs = [data.variation(png, f"{rollout}/{turn}") for turn, png in enumerate(pictures)]
    return msgspec.msgpack.encode({"messages": data.messages(pngs)})


def _child(rollouts: int, turns: int, width: int, height: int) -> dict[str, float]:
    pictures = [data.screenshot(turn, width, height) for turn in range(turns)]
    kept: list[Any] = []
    peaks, request_peaks = [0], [0]
    with tempfile.TemporaryDirectory() as place:
        bodies = Path(place) / "bodies"
        bodies.mkdir()
        for rollout in range(rollouts + 1):
            (bodies / str(rollout)).write_bytes(_body(rollout, pictures))
        del pictures
        store = rawmm.ImageStore(Path(place) / "images", durable=False)
        # The first rollout loads the modules that load on first use.
        begin = 0
        for rollout in range(rollouts + 1):
            value = msgspec.msgpack.decode((bodies / str(rollout)).read_bytes())
            peak = _growth(partial(rawmm.offload_images_inplace, value, store=store))
            if rollout:
                kept.append(value)
                peaks.append(peak)
            else:
                del value
                data.screenshot.cache_clear()
                gc.collect()
                begin = _status("VmRSS")
        del value
        gc.collect()
        grown = _status("VmRSS") - begin
        for rollout in range(min(rollouts, 4)):
            value = msgspec.msgpack.decode((bodies / str(rollout)).read_bytes())
            text, size = msgspec.json.encode(value), (bodies / str(rollout)).stat().st_size
            del value
            other = rawmm.ImageStore(Path(place) / f"images {rollout}", durable=False)
            request_peaks.append(_growth(partial(rawmm.offload_request, text, store=other)))
    return {
        "grown": grown,
        "peak": max(peaks),
        "request_peak": max(request_peaks),
        "body": size,
    }


def _growth(call: Callable[[], object]) -> int:
    """The peak memory of a call."""
    gc.collect()
    before = _status("VmRSS")
    _forget_peak()
    call()
    return _status("VmHWM") - before


if __name__ == "__main__":
    print(json.dumps(_child(*map(int, sys.argv[1:]))))
