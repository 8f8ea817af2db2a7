"""The same 10,000 records in each kind of file: CPU time and memory of commands. Linux only."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from benchmarks.data import data_url, screenshot
from benchmarks.harness import Row, at_most, quartiles, single
from benchmarks.processes import measured
from benchmarks.records import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.harness import Settings
    from benchmarks.processes import Measured

FORMATS: Final = ("jsonl", "jsonl.gz", "jsonl.zst", "msgpack", "parquet")
_COMMANDS: Final = ("check", "stats", "upgrade", "offload")
_BATCH: Final = 100


def run(settings: Settings) -> Iterator[Row]:
    """CPU seconds of each command on each kind of file, and its memory."""
    # A row group of Parquet, which is in memory as a whole, has some 1,300 records. The memory of
    # pyarrow's pool grows until some 5,000 records were written: 195 MB for 3,000, 222 MB for
    # 6,000, 10,000, 20,000 and 30,000.
    many, few = settings.pick((10_000, 6_000), (20, 10))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [data_url(screenshot(seed, 96, 64)) for seed in range(settings.pick(50, 2))]
        small, large = (_written(folder, count, images) for count in (few, many))
        size = large["jsonl"].stat().st_size / 1e6
        growth: dict[str, float] = {}
        for command in _COMMANDS:
            taken: dict[str, list[Measured]] = {form: [] for form in FORMATS}
            for _ in range(settings.pick(3, 1)):
                for form in FORMATS:
                    taken[form].append(_measured(command, large[form], folder))
            for form in FORMATS:
                before = [_measured(command, small[form], folder) for _ in taken[form]]
                # The allocator of pyarrow varies by 30 MB.
                after, least = (
                    statistics.median(one.peak for one in each) for each in (taken[form], before)
                )
                growth[f"{command} .{form}"] = after - least
            low, median, high = quartiles([one.cpu for one in taken["jsonl"]])
            what = f"{command}: CPU seconds for {many:,} records, {size:.0f} MB as .jsonl"
            yield Row("formats", what, median, low, high, "s", None, _detail(taken))
        worst = max(growth, key=growth.__getitem__)
        yield single("formats", f"more memory for {many:,} records than for {few:,}, at most",
                     growth[worst], "MB", at_most(12), worst)  # fmt: skip


def _detail(taken: dict[str, list[Measured]]) -> str:
    return ", ".join(
        f".{form} {statistics.median(one.cpu for one in each):.3g} s and "
        f"{max(one.peak for one in each):.0f} MB"
        for form, each in taken.items()
    )


def _measured(command: str, path: Path, folder: Path) -> Measured:
    out = folder / f"out.{path.name.partition('.')[2]}"
    options = {
        "check": ["--max-errors", "0"],
        "stats": [],
        "upgrade": ["-o", str(out)],
        "offload": ["-o", str(out), "--image-dir", str(folder / "images")],
    }
    argv = [sys.executable, "-m", "rawmm", command, str(path), *options[command]]
    done = measured(argv, os.environ)
    if done.code:
        msg = f"{command} {path.name}: exit code {done.code}"
        raise AssertionError(msg)
    return done


def _written(folder: Path, count: int, images: list[str]) -> dict[str, Path]:
    """Records in every kind of file."""
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    from rawmm.cli.compressed import compressor

    paths = {form: folder / f"{count}.{form}" for form in FORMATS}
    schema = pa.schema([("record", pa.string())])
    packer = compressor("zstd")
    with (
        paths["jsonl"].open("wb") as plain,
        gzip.open(paths["jsonl.gz"], "wb", 6) as zipped,
        paths["jsonl.zst"].open("wb") as packed,
        paths["msgpack"].open("wb") as binary,
        pq.ParquetWriter(paths["parquet"], schema) as table,
    ):
        for batch in _batches(lines(0, count, images)):
            for line in batch:
                plain.write(line)
                zipped.write(line)
                packed.write(packer.compress(line))
                binary.write(msgspec.msgpack.encode(msgspec.json.decode(line)))
            rows: list[Any] = [line.decode().rstrip() for line in batch]
            table.write_table(pa.table([rows], schema))
        packed.write(packer.flush())
    return paths


def _batches(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    source = iter(records)
    while batch := list(islice(source, _BATCH)):
        yield batch
