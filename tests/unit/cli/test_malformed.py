"""Malformed JSON: each mistake has a sentence with line and column, in every report format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

GOOD = '{"nodes": []}'
# What a record may be instead, the column of the fault, and how its name begins.
MISTAKES: dict[str, tuple[str, int, str]] = {
    "NaN": ('{"nodes": [], "x": NaN}', 20, "NaN, which JSON"),
    "Infinity": ('{"x": -Infinity}', 7, "-Infinity, which JSON"),
    "trailing comma": ('{"é": [1,]}', 9, "a trailing comma"),
    "two documents on a line": (f"{GOOD}{GOOD}", 14, "a second document on"),
    "single quotes": ("{'nodes': []}", 2, "a single quote"),
    "cut": ('{"nodes": [', 12, "a document cut short after 11 bytes"),
    "Python": ('{"x": None}', 7, "None, which is Python syntax"),
    "comment": ('{"x": 1} // y', 10, "a comment, which JSON"),
    "surrogate": ('{"x": "\\ud800"}', 8, "a string with a lone"),
    "too large": ('{"x": 1e999}', 7, "a number that a double"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_record_of_json_lines_has_line_and_column(mistake: str, rawmm: Run, tmp_path: Path) -> None:
    text, column, cause = MISTAKES[mistake]
    path = tmp_path / "a.jsonl"
    path.write_text(f"{GOOD}\n\n{text}\n{GOOD}\n", "utf-8")
    code, out, err = rawmm("check", path)
    assert code == 1
    at = "$.x" if mistake in {"NaN", "Infinity"} else "$"
    said = f"{at}: expected one complete JSON document, got {cause}"
    assert out.startswith(f"{path}:3:{column}::{said}")
    assert out.endswith("[malformed]\n")
    assert out.count("\n") == 1
    assert err == "1 file, 3 records, 1 error\n"
    told = json.loads(rawmm("check", path, "--format", "json").out)
    assert (told["line"], told["column"]) == (3, column)
    assert told["got"].startswith(cause)
    out = rawmm("check", path, "--format", "github").out
    assert out.startswith(f"::error file={path},line=3,col={column},title=rawmm malformed::{at}: ")
    assert rawmm("check", path, "--jobs", "2").out == rawmm("check", path).out


@pytest.mark.parametrize(
    "mistake", ["NaN", "trailing comma", "single quotes", "Python", "surrogate"]
)
def test_document_of_many_lines_has_line_and_column(
    mistake: str, rawmm: Run, tmp_path: Path
) -> None:
    text, column, cause = MISTAKES[mistake]
    path = tmp_path / "a.json"
    path.write_text(f'{{\r\n"a": [\r\n{text}\r\n]}}\r\n', "utf-8", newline="")
    out = rawmm("check", path).out
    at = "$.a[0].x" if mistake == "NaN" else "$"
    said = f"{at}: expected one complete JSON document, got {cause}"
    assert out.startswith(f"{path}:3:{column}::{said}")


@pytest.mark.parametrize("command", ["offload", "upgrade"])
def test_rewriting_commands_report_the_location(command: str, rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"mm_items": {}}\n{"x": NaN}\n')
    code, _, err = rawmm(command, path, "-o", path, "--image-dir", tmp_path)
    assert code == 1
    assert err == (
        f"{path}:2:7::$.x: expected one complete JSON document, got NaN, which JSON does not have; "
        "write null or leave the field out [malformed]\n"
    )


def test_byte_order_mark_is_the_fault_of_the_first_record(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\n{GOOD}\n".encode())
    code, out, err = rawmm("check", path)
    assert code == 1
    assert out.startswith(
        f"{path}:1:1::$: expected one complete JSON document, got a byte order mark "
    )
    assert out.endswith("; write it as UTF-8 without a byte order mark [malformed]\n")
    assert out.count("\n") == 1
    assert err == "1 file, 2 records, 1 error\n"


def test_carriage_return_line_endings_are_reported(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\r".join([GOOD.encode()] * 3))
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert "after a carriage return alone; end lines with a line" in out
    path.write_bytes(b"\r\n".join([GOOD.encode()] * 3))
    assert rawmm("check", path).code == 0


def test_line_with_an_open_bracket_does_not_stop_the_others(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{GOOD}\n{{\n{GOOD}\n{{"nodes": 1}}\n')
    code, out, err = rawmm("check", path)
    assert code == 1
    assert [line.partition("::")[0] for line in out.splitlines()] == [f"{path}:2:2", f"{path}:4"]
    assert err == "1 file, 4 records, 2 errors\n"


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\n"], ids=repr)
class TestEmptyJsonLines:
    def test_empty_file_passes_check_with_a_notice(
        self, data: bytes, rawmm: Run, tmp_path: Path
    ) -> None:
        path, other = tmp_path / "a.jsonl", tmp_path / "b.json"
        path.write_bytes(data)
        other.write_text(GOOD)
        code, out, err = rawmm("check", path, other)
        assert (code, out) == (0, "")
        assert err == f"{path}: no records\n2 files, 1 record, no errors\n"

    def test_rewritten_empty_file_has_no_records(
        self, data: bytes, rawmm: Run, tmp_path: Path
    ) -> None:
        path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
        path.write_bytes(data)
        for command, says, written in (
            ("offload", "no records, no images seen, 0 stored, ", data),
            ("upgrade", "no records, no changes, no images stored\n", b""),
        ):
            code, _, err = rawmm(command, path, "-o", out, "--image-dir", tmp_path / "im")
            assert code == 0
            assert err.startswith(says)
            assert out.read_bytes() == written
            out.unlink()

    def test_empty_file_is_not_a_json_document(
        self, data: bytes, rawmm: Run, tmp_path: Path
    ) -> None:
        path, out = tmp_path / "a.jsonl", tmp_path / "out.json"
        path.write_bytes(data)
        code, _, err = rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "im")
        assert code == 2
        assert "holds one document, but the input has none" in err
        assert not out.exists()

    def test_empty_records_stop_a_collector(self, data: bytes, rawmm: Run, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(data)
        (tmp_path / "im").mkdir()
        assert rawmm("gc", tmp_path / "im", "--refs", path).code == 1
