"""Records in a column of a Parquet file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawmm.cli.output import UsageError
from rawmm.cli.records import BrokenSourceError
from rawmm.cli.tables import TableSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

RECORDS: list[dict[str, Any]] = [{"id": n, "nodes": [], "text": "é" * n} for n in range(300)]
TEXTS = [msgspec.json.encode(record).decode() for record in RECORDS]


def table(path: Path, kind: Any = None, column: str = "record", **more: Any) -> Path:
    values = [text.encode() for text in TEXTS] if kind == pa.binary() else TEXTS
    columns = {column: pa.array(values, kind or pa.string()), **more}
    pq.write_table(pa.table(columns), path, row_group_size=70)
    return path


def lines(path: Path) -> Path:
    path.write_text("".join(f"{text}\n" for text in TEXTS))
    return path


def read(path: Path, column: str | None = None) -> list[Any]:
    with path.open("rb") as file:
        source = TableSource(file, "x", column)
        return [msgspec.json.decode(record.data) for record in source.records()]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str
)
@pytest.mark.parametrize("column", ["record", "trace"])
def test_column_of_text_or_bytes_is_read(tmp_path: Path, kind: Any, column: str) -> None:
    assert read(table(tmp_path / "a.parquet", kind, column)) == RECORDS


def test_column_of_messagepack_is_read(tmp_path: Path, rawmm: Run) -> None:
    packed = pa.array([msgspec.msgpack.encode(record) for record in RECORDS], pa.binary())
    pq.write_table(pa.table({"record": packed}), tmp_path / "a.parquet")
    assert rawmm("convert", tmp_path / "a.parquet", "-o", tmp_path / "b.jsonl").code == 0
    assert (tmp_path / "b.jsonl").read_text().splitlines() == TEXTS


def test_written_table_has_one_column_of_text_and_reads_back(tmp_path: Path, rawmm: Run) -> None:
    out = tmp_path / "out.parquet"
    assert rawmm("convert", lines(tmp_path / "a.jsonl"), "-o", out).code == 0
    assert pq.read_schema(out).names == ["record"]
    assert pq.read_table(out).column("record").to_pylist() == TEXTS
    assert read(out) == RECORDS
    assert rawmm("upgrade", out, "-o", out).code == 0  # in place
    assert rawmm("check", out) == (0, "", "1 file, 300 records, no errors\n")
    assert rawmm("convert", out, "-o", tmp_path / "b.jsonl").code == 0
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_text_of_records_stays_in_offload(tmp_path: Path, rawmm: Run) -> None:
    texts = ['{"nodes" :  [ ], "x": 1.50}', '{"messages": [], "y": 1e2}']
    pq.write_table(pa.table({"record": texts}), tmp_path / "a.parquet")
    done = rawmm(
        "offload",
        tmp_path / "a.parquet",
        "-o",
        tmp_path / "b.parquet",
        "--image-dir",
        tmp_path / "i",
    )
    assert done.code == 0
    assert pq.read_table(tmp_path / "b.parquet").column("record").to_pylist() == texts


def test_rows_are_written_in_groups_of_some_megabytes(tmp_path: Path, rawmm: Run) -> None:
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines(f'{{"nodes": [], "x": "{str(n) * 500_000}"}}\n' for n in range(10, 50))
    assert rawmm("convert", tmp_path / "a.jsonl", "-o", tmp_path / "a.parquet").code == 0
    meta = pq.read_metadata(tmp_path / "a.parquet")
    assert meta.num_row_groups == 3
    assert rawmm("check", tmp_path / "a.parquet").err == "1 file, 40 records, no errors\n"


def test_column_must_be_clear(tmp_path: Path, rawmm: Run) -> None:
    path = table(
        tmp_path / "a.parquet", column="trace", prompt=pa.array(TEXTS), n=pa.array(range(300))
    )
    code, _, err = rawmm("check", path)
    assert code == 2
    assert "which column has the records? give --column with one of trace, prompt" in err
    assert rawmm("check", path, "--column", "trace").code == 0
    code, _, err = rawmm("check", path, "--column", "n")
    assert code == 2
    assert "no column n of text or bytes; it has trace, prompt" in err
    pq.write_table(pa.table({"nodes": [[1]], "n": [1]}), path)
    code, _, err = rawmm("check", path)
    assert code == 2
    assert "no column has whole records as JSON text" in err


def test_other_columns_are_never_dropped_silently(tmp_path: Path, rawmm: Run) -> None:
    path = table(tmp_path / "a.parquet", n=pa.array(range(300)))
    for out in ("b.parquet", "b.jsonl", "a.parquet"):
        code, _, err = rawmm("convert", path, "-o", tmp_path / out)
        assert code == 2
        assert "the other columns (n) would not be written; give --column" in err
    assert pq.read_schema(path).names == ["record", "n"]
    assert rawmm("convert", path, "-o", tmp_path / "b.parquet", "--column", "record").code == 0


def test_row_of_an_error_is_named(tmp_path: Path, rawmm: Run) -> None:
    texts = [*TEXTS[:5], '{"nodes": 1}', "{", None, *TEXTS[:5]]
    pq.write_table(pa.table({"record": texts}), tmp_path / "a.parquet", row_group_size=3)
    code, out, _ = rawmm("check", tmp_path / "a.parquet", "--format", "json")
    assert code == 1
    found = [(one["line"], one["path"], one["code"]) for one in map(json.loads, out.splitlines())]
    assert found == [(6, "$.nodes", "wrong_type"), (7, "$", "malformed"), (8, "$", "malformed")]
    assert "null" in out


def test_table_without_rows_has_no_records(tmp_path: Path, rawmm: Run) -> None:
    pq.write_table(pa.table({"record": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert rawmm("convert", tmp_path / "a.parquet", "-o", tmp_path / "b.parquet").code == 0
    assert pq.read_table(tmp_path / "b.parquet").num_rows == 0
    assert rawmm("check", tmp_path / "b.parquet").code == 0


def test_damaged_table_is_an_error_with_its_row(tmp_path: Path, rawmm: Run) -> None:
    path = tmp_path / "a.parquet"
    assert rawmm("convert", lines(tmp_path / "a.jsonl"), "-o", path).code == 0
    whole = path.read_bytes()
    found = 0
    for at in range(8, len(whole) - 8, len(whole) // 60):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        try:
            assert read(path) == RECORDS
        except (BrokenSourceError, UsageError):
            found += 1
    assert found > 40  # the rest is metadata of other programs
    for end in (0, 3, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        code, out, err = rawmm("check", path, "--format", "json")
        assert code == 1
        assert json.loads(out)["code"] == "malformed"
        assert "rrow" not in out + err
    path.write_bytes(b"{}\n")
    assert rawmm("check", path).code == 1
    assert rawmm("convert", path, "-o", tmp_path / "b.jsonl").code == 1


def test_pipe_is_refused(process: Callable[..., Any], tmp_path: Path) -> None:
    data = table(tmp_path / "a.parquet").read_bytes()
    done = process("check", "-", "--input-format", "parquet", input=data)
    assert done.returncode == 2
    assert b"can only be read from a file" in done.stderr
    done = process("convert", lines(tmp_path / "a.jsonl"), "-o", "-", "--output-format", "parquet")
    assert pq.read_table(pa.BufferReader(done.stdout)).num_rows == 300


def test_tables_without_pyarrow_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, rawmm: Run, tmp_path: Path
) -> None:
    path = table(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for command in ("check", "stats", "view"):
        code, _, err = rawmm(command, path)
        assert code == 2
        assert err.startswith(f"rawmm: {path}: Parquet files need the extra tables: ")
        assert "pip install 'rawmm[tables]'" in err


@pytest.mark.parametrize("to", [pytest.param("-", marks=pytest.mark.slow), "out.parquet"])
def test_table_that_is_given_up_is_not_written_later(
    process: Callable[..., Any], tmp_path: Path, to: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"nodes": []}\n{"nodes": 1}\n')
    argv = ("convert", "in.jsonl", "-o", to, "--output-format", "parquet")
    done = process(*argv, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"PAR1" if to == "-" else b"")
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "out.parquet").exists()
