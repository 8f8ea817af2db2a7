"""``rawmm check`` on a large file of JSON Lines, against validators of the same schema."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jsonschema
import jsonschema_rs
import msgspec

from benchmarks import data
from benchmarks.harness import Row, at_least, at_most, exponent, quartiles, single
from rawmm import schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Settings

_ROUNDS: Final = 3
_PEAK: Final = """
import sys
from pathlib import Path
from rawmm.cli import main
code = main(sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if "VmHWM" in line))
sys.exit(code)
"""


def run(settings: Settings) -> Iterator[Row]:
    """Megabytes a second, memory, and growth."""
    lines = [
        msgspec.json.encode(data.trace(settings.pick(20, 1), seed=seed)) + b"\n"
        for seed in range(settings.pick(16, 2))
    ]
    block = b"".join(lines)
    sizes = settings.pick((64, 256, 1024), (0.02, 0.04, 0.08))
    with tempfile.TemporaryDirectory() as place:
        files = [_written(Path(place) / f"{size}.jsonl", block, size * 1e6) for size in sizes]
        yield from _rawmm(files, settings)
        yield from _against(lines, Path(place), settings)


def _written(path: Path, block: bytes, size: float) -> Path:
    with path.open("wb") as file:
        for _ in range(max(1, round(size / len(block)))):
            file.write(block)
    return path


def _rawmm(files: list[Path], settings: Settings) -> Iterator[Row]:
    large = files[-1]
    seconds: dict[tuple[Path, str], list[float]] = {}
    for _ in range(settings.pick(_ROUNDS, 1)):
        for path in files:
            for jobs in ("1", "0") if path is large else ("1",):
                seconds.setdefault((path, jobs), []).append(_timed(path, jobs))
    size = large.stat().st_size / 1e6
    for jobs, name in (("1", "one process"), ("0", "--jobs 0, a process for each core")):
        low, rate, high = quartiles([size / each for each in seconds[large, jobs]])
        yield Row("check", f"{size:.0f} MB of JSON Lines, {name}", rate, low, high, "MB/s")
    ratios = [
        one / many for one, many in zip(seconds[large, "1"], seconds[large, "0"], strict=True)
    ]
    low, ratio, high = quartiles(ratios)
    yield Row("check", "times as fast with --jobs 0", ratio, low, high)
    medians = [statistics.median(seconds[path, "1"]) for path in files]
    yield single(
        "check", "time over bytes, one process",
        exponent([path.stat().st_size for path in files], medians), "exponent", at_most(1.1),
        ", ".join(f"{path.stem} MB: {t:.2f} s" for path, t in zip(files, medians, strict=True)),
    )  # fmt: skip
    peaks = [_peak(path) for path in (files[0], large)]
    yield single(
        "check", f"more memory for {large.stem} MB than for {files[0].stem} MB",
        (peaks[1] - peaks[0]) / 1e6, "MB", at_most(5), f"at most {peaks[1] / 1e6:.0f} MB in all",
    )  # fmt: skip


def _timed(path: Path, jobs: str) -> float:
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rawmm", "check", str(path), "--jobs", jobs],
        check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - begin


def _peak(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, "check", str(path)], check=True, capture_output=True
    )
    return int(done.stdout) * 1024


def _against(lines: list[bytes], place: Path, settings: Settings) -> Iterator[Row]:
    """Each validator on what it gets through in seconds; rawmm on the same lines."""
    schema = schemas.schema("Trace")
    slices = settings.pick((200, 2), (1, 1))
    fast = jsonschema_rs.validator_for(schema)
    slow = jsonschema.Draft202012Validator(schema)
    yield _ratio("jsonschema-rs", lambda line: fast.is_valid(json.loads(line)), lines, slices[0])
    yield _ratio("jsonschema", lambda line: slow.is_valid(json.loads(line)), lines, slices[1])
    if importlib.util.find_spec("check_jsonschema"):
        yield _check_jsonschema(schema, lines[: slices[1]], place)


def _ratio(name: str, is_valid: Callable[[bytes], bool], lines: list[bytes], number: int) -> Row:
    from rawmm.cli.commands.check import Checker
    from rawmm.cli.records import Record
    from rawmm.errors import RawMMError

    checker = Checker(None, None)
    chosen = [lines[index % len(lines)] for index in range(number)]
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        findings = (one for line in chosen for one in checker.findings(Record(line, 1), "jsonl"))
        found = sum(isinstance(one, RawMMError) for one in findings)
        middle = time.perf_counter()
        valid = all(is_valid(line) for line in chosen)
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - begin)
        if found or not valid:
            msg = f"{name} and rawmm do not agree"
            raise AssertionError(msg)
    size = sum(map(len, chosen)) / 1e6
    low, ratio, high = quartiles([b / a for a, b in zip(ours, theirs, strict=True)])
    detail = f"{name} {size / statistics.median(theirs):.3g} MB/s, "
    detail += f"rawmm {size / statistics.median(ours):.3g} MB/s, on {size:.3g} MB"
    what = f"times as fast as {name}, which checks the schema and no rule"
    target = at_least(2.5) if name == "jsonschema-rs" else None
    return Row("check", what, ratio, low, high, "x", target, detail)


def _check_jsonschema(schema: dict[str, Any], lines: list[bytes], place: Path) -> Row:
    """The command knows no JSON Lines: it gets an array of the records."""
    (place / "schema.json").write_text(
        json.dumps({**schema, "$ref": "#/$defs/all", "$defs": {**schema["$defs"], "all": {
            "type": "array", "items": {"$ref": "#/$defs/Trace"}}}}),
        "utf-8",
    )  # fmt: skip
    array = place / "array.json"
    array.write_bytes(b"[" + b",".join(lines) + b"]")
    commands = (
        ["-m", "rawmm", "check", str(array)],
        ["-m", "check_jsonschema", "--schemafile", str(place / "schema.json"), str(array)],
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for command, found in zip(commands, seconds, strict=True):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            found.append(time.perf_counter() - begin)
    low, ratio, high = quartiles([b / a for a, b in zip(*seconds, strict=True)])
    size = array.stat().st_size / 1e6
    detail = f"check-jsonschema {statistics.median(seconds[1]):.3g} s for {size:.3g} MB, "
    detail += f"rawmm {statistics.median(seconds[0]):.3g} s; 1 GB would take it "
    detail += f"{statistics.median(seconds[1]) * 1000 / size / 3600:.1f} hours"
    return Row("check", "times as fast as check-jsonschema, start-up included", ratio, low, high,
               "x", None, detail)  # fmt: skip
