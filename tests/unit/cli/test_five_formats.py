"""The same records in five kinds of files give the same results, in constant memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from tests.unit.images.pictures import part, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Any]

FORMATS: Final = ("jsonl", "jsonl.gz", "jsonl.zst", "msgpack", "parquet")
_MEASURED: Final = """
import resource, sys
from rawmm.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def record(number: int, tokens: int) -> dict[str, Any]:
    """A trace of two turns; of every 50, one breaks a rule."""
    ids = list(range(number, number + tokens))
    image = part(url_of(seed=number % 7))
    return {
        "id": f"trace-{number}",
        "nodes": [
            {
                "parent": None,
                "message": {"role": "user", "content": [image, {"type": "text", "text": "é" * 9}]},
                "token_ids": ids,
                "mask": [False] * tokens,
            },
            {
                "parent": 9 if number % 50 == 49 else 0,
                "message": {"role": "assistant", "content": "yes"},
                "sampled": True,
                "token_ids": ids,
                "mask": [True] * tokens,
                "logprobs": [-0.25] * tokens,
            },
        ],
    }


def write(folder: Path, count: int, tokens: int) -> dict[str, Path]:
    """The records in every format, in constant memory."""
    paths = {form: folder / f"in.{form}" for form in FORMATS}
    schema = pa.schema([("record", pa.string())])
    with (
        paths["jsonl"].open("wb") as plain,
        gzip.open(paths["jsonl.gz"], "wb", 1) as zipped,
        zstd.open(paths["jsonl.zst"], "wb") as packed,
        paths["msgpack"].open("wb") as binary,
        pq.ParquetWriter(paths["parquet"], schema) as table,
    ):
        rows = []
        for number in range(count):
            value = record(number, tokens)
            line = msgspec.json.encode(value)
            for file in (plain, zipped, packed):
                file.write(line + b"\n")
            binary.write(msgspec.msgpack.encode(value))
            rows.append(line.decode())
            if len(rows) == 100 or number == count - 1:
                table.write_table(pa.table([rows], schema))
                rows = []
    return paths


def values(path: Path) -> Iterator[Any]:
    """The records of a file, read without rawmm."""
    data = path.read_bytes()
    name = path.name
    if name.endswith("msgpack"):
        decoder = __import__("msgpack").Unpacker(max_buffer_size=1 << 31)
        decoder.feed(data)
        yield from decoder
        return
    if name.endswith("parquet"):
        yield from map(json.loads, pq.read_table(path).column("record").to_pylist())
        return
    data = gzip.decompress(data) if name.endswith("gz") else data
    data = zstd.decompress(data) if name.endswith("zst") else data
    yield from map(json.loads, data.splitlines())


def commands(source: Path, out: Path, images: Path) -> dict[str, list[str]]:
    return {
        "check": ["check", str(source), "--max-errors", "0"],
        "stats": ["stats", str(source), "--json"],
        "upgrade": ["upgrade", str(source), "--dry-run", "--max-errors", "0"],
        "offload": ["offload", str(source), "-o", str(out), "--image-dir", str(images)],
    }


def said(text: str, source: Path) -> str:
    """What a command printed, without the name of the file, and without the sizes of offload."""
    lines = text.replace(str(source), "FILE").splitlines()
    return "\n".join(
        line.partition(" KiB in")[0].rpartition(",")[0] if "KiB in" in line else line
        for line in lines
    )


def test_results_are_the_same_in_all_formats(rawmm: Run, tmp_path: Path) -> None:
    paths = write(tmp_path, 120, 20)
    expected: dict[str, Any] = {}
    for form, path in paths.items():
        out = tmp_path / f"out.{form}"
        for command, argv in commands(path, out, tmp_path / f"images-{form}").items():
            done = rawmm(*argv)
            result = (done.code, said(done.out, path), said(done.err, path))
            assert result == expected.setdefault(command, result), (form, command)
        offloaded = [json.dumps(value).replace(f"images-{form}", "images") for value in values(out)]
        assert offloaded == expected.setdefault("records", offloaded)
    assert expected["check"][0] == 1
    assert expected["check"][1].count("[parent_order]") == 2
    assert '"errors":{"parent_order":2}' in expected["stats"][1]
    assert "base64" not in "".join(expected["records"])


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("form", FORMATS)
def test_records_convert_between_all_formats(
    rawmm: Run, tmp_path: Path, form: str, target: str
) -> None:
    source = write(tmp_path, 7, 3)[form]
    out = tmp_path / f"out.{target}"
    assert rawmm("upgrade", source, "-o", out).code == 0
    assert list(values(out)) == [record(number, 3) for number in range(7)]
    assert rawmm("diff", out, source).err == "no records of 7 differ\n"


def peak(argv: list[str]) -> tuple[str, int]:
    """Standard output of a command in a process of its own, and its memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *argv],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout, int(done.stderr.splitlines()[-1]) // 1024


@pytest.mark.slow
def test_ten_thousand_records_take_the_memory_of_a_few(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for folder in (few, many):
        folder.mkdir()
    small, large = write(few, 300, 400), write(many, 10_000, 400)
    assert large["jsonl"].stat().st_size > 60 << 20
    results: dict[str, set[str]] = {}
    for form in FORMATS:
        for command in commands(small[form], few / "x", few / "i"):
            before, least = peak(commands(small[form], few / f"o.{form}", few / "i")[command])
            after, most = peak(commands(large[form], many / f"o.{form}", many / "i")[command])
            assert before != after or command in {"offload", "upgrade"}
            assert most < least + 24, (form, command, least, most)
            results.setdefault(command, set()).add(after.replace(str(large[form]), "FILE"))
        assert sum(1 for _ in values(many / f"o.{form}")) == 10_000
    assert {command: len(found) for command, found in results.items()} == dict.fromkeys(results, 1)
