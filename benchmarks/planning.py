"""Measures the constants of docs/planning.md: ``python -m benchmarks.planning``.

Everything is processor time or memory, so other programs on the machine change little.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import rawmm
from rawmm.cli import main
from rawmm.store import fsck
from rawmm.store.references import Referenced

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = 4_000
NAMES = 100_000
IMAGES = 400
EXAMPLE = Path(__file__).parents[1] / "examples" / "trace.json"


def cpu_of(work: Callable[[], object]) -> float:
    """Processor seconds of a call: the least of three."""
    took = []
    for _ in range(3):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return min(took)


def name(number: int) -> str:
    """A file name as a store gives it."""
    return f"{hashlib.sha256(number.to_bytes(8)).hexdigest()}.png"


def records(folder: Path) -> Path:
    """A file of small traces: two messages, two references, 1,000 tokens."""
    lines = []
    for number in range(RECORDS):
        parts = [
            {"type": "image_url", "image_url": {"url": f"file:///images/{name(number * 2 + i)}"}}
            for i in range(2)
        ]
        tokens = list(range(500))
        node = {"token_ids": tokens, "mask": [False] * 500}
        lines.append(
            rawmm.encode_json(
                rawmm.convert(
                    {
                        "nodes": [
                            {"message": {"role": "user", "content": parts}, **node},
                            {"message": {"role": "assistant", "content": "x"}, "parent": 0, **node},
                        ]
                    },
                    rawmm.Trace,
                )
            )
        )
    path = folder / "records.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def bytes_each(make: Callable[[], object], count: int) -> float:
    """Memory of a collection for each of its entries."""
    tracemalloc.start()
    kept = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size / count


def measure() -> None:
    """Print each constant."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        path = records(folder)
        size = path.stat().st_size
        print(f"record: {size / RECORDS:,.0f} bytes")
        check = cpu_of(lambda: main(["check", "-q", str(path)]))
        print(f"check: {check / RECORDS * 1e6:.0f} us a record, {size / check / 1e6:.0f} MB/s")

        lines = path.read_bytes().split(b"\n")
        wanted = Referenced(map(name, range(2 * RECORDS)))

        def find() -> None:
            for line in lines:
                wanted.add(msgspec.json.decode(line))

        search = cpu_of(find)
        assert len(wanted.names) == 2 * RECORDS
        print(f"references of a record, decoding included: {search / RECORDS * 1e6:.0f} us")

        store = rawmm.ImageStore(folder / "images", durable=False)
        noise = [EXAMPLE.read_bytes()[:60_000] + number.to_bytes(4) for number in range(IMAGES)]
        took = cpu_of(lambda: [hashlib.sha256(one).digest() for one in noise])
        print(f"hash: {sum(map(len, noise)) / took / 1e6:,.0f} MB/s")
        for number in range(IMAGES):
            store.put(png(number))
        total = sum(one.stat().st_size for one in store.root.iterdir())
        took = cpu_of(lambda: fsck(store.root))
        print(f"fsck: {took / IMAGES * 1e6:.0f} us an image of {total / IMAGES:,.0f} bytes")

    as_texts = bytes_each(lambda: {*map(name, range(NAMES))}, NAMES)
    print(f"name in a set of texts: {as_texts:.0f} bytes")
    digests = [bytes.fromhex(name(number)[:64]) for number in range(NAMES)]
    ordered = bytes_each(lambda: b"".join(sorted(digests)), NAMES)
    print(f"name in sorted digests: {ordered:.0f} bytes")
    took = cpu_of(lambda: b"".join(sorted(digests)))
    print(f"sorting: {took / NAMES * 1e9:.0f} ns a name")


def png(number: int) -> bytes:
    """A small PNG that no other number has."""
    import io
    import random

    from PIL import Image

    out = io.BytesIO()
    pixels = random.Random(number).randbytes(160 * 120 * 3)
    Image.frombytes("RGB", (160, 120), pixels).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    measure()
