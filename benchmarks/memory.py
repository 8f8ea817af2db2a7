"""Memory of a worker that offloads rollouts as they come, in a process of its own.

``python -m benchmarks.memory ROLLOUTS TURNS WIDTH HEIGHT`` is that process. It keeps every offloaded
message, as a worker does until its rollouts end.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import rawmm
from benchmarks import data
from benchmarks.harness import at_most, exponent, single

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Row, Settings

_ROOT = Path(__file__).parent.parent


def run(settings: Settings) -> Iterator[Row]:
    """What stays, and what the most was."""
    turns = settings.pick(10, 2)
    size = settings.pick((data.WIDTH, data.HEIGHT), (96, 64))
    sizes = settings.pick((8, 16, 32), (1, 2, 4))
    found = [_measured(rollouts, turns, *size) for rollouts in sizes]
    most = found[-1]
    yield single(
        "memory",
        f"growth over {sizes[-1]} rollouts of {turns} turns, MessagePack",
        most["grown"] / 1e6,
        "MB",
        at_most(5),
        f"{sizes[-1] * most['body'] / 1e6:.0f} MB offloaded",
    )
    yield single(
        "memory",
        "most while offloading, over the size of one body",
        most["peak"] / most["body"],
        "x",
        at_most(1.5),
        f"{most['peak'] / 1e6:.1f} MB for a body of {most['body'] / 1e6:.1f} MB",
    )
    grown = [max(each["grown"], 1e3) for each in found]
    numbers = ", ".join(
        f"{size}: {each / 1e6:.2f} MB" for size, each in zip(sizes, grown, strict=True)
    )
    yield single(
        "memory", "growth over rollouts", exponent(sizes, grown), "exponent", None, numbers
    )


def _measured(*sizes: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *map(str, sizes)],
        cwd=_ROOT, capture_output=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _forget_peak() -> None:
    """Let VmHWM begin again from what is in use now."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


def _body(rollout: int, pictures: list[bytes]) -> bytes:
    pngs = [data.variation(png, f"{rollout}/{turn}") for turn, png in enumerate(pictures)]
    return msgspec.msgpack.encode({"messages": data.messages(pngs)})


def _offloaded(body: bytes, store: rawmm.ImageStore) -> Any:
    value = msgspec.msgpack.decode(body)
    rawmm.offload_images_inplace(value, store=store)
    return value


def _child(rollouts: int, turns: int, width: int, height: int) -> dict[str, float]:
    pictures = [data.screenshot(turn, width, height) for turn in range(turns)]
    kept = []
    peak = 0
    with tempfile.TemporaryDirectory() as place:
        bodies = Path(place) / "bodies"
        bodies.mkdir()
        for rollout in range(rollouts + 1):
            (bodies / str(rollout)).write_bytes(_body(rollout, pictures))
        store = rawmm.ImageStore(Path(place) / "images", durable=False)
        _offloaded((bodies / "0").read_bytes(), store)  # loads what is loaded on first use
        gc.collect()
        begin = _status("VmRSS")
        body = b""
        for rollout in range(1, rollouts + 1):
            body = b""
            body = (bodies / str(rollout)).read_bytes()
            before = _status("VmRSS")
            _forget_peak()
            kept.append(_offloaded(body, store))
            peak = max(peak, _status("VmHWM") - before)
        size = len(body)
        del body
        gc.collect()
        grown = _status("VmRSS") - begin
    return {"grown": grown, "peak": peak, "body": size}


if __name__ == "__main__":
    print(json.dumps(_child(*map(int, sys.argv[1:]))))
