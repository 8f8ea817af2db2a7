"""Instruction counts may grow by 5 %; more needs a line in the changelog."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks import instructions
from benchmarks.counted import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RECORDED: dict[str, Any] = {"environment": {}, "counts": {"decode": 1_000_000}, "growths": []}
LINE = "- `decode` takes 1.20 million instructions, 1.00 before: it checks more.\n"


def test_small_growth_passes() -> None:
    assert instructions.problems({"decode": 1_050_000}, RECORDED, "") == []
    assert instructions.problems({"decode": 1}, RECORDED, "") == []


def test_large_growth_is_refused() -> None:
    (problem,) = instructions.problems({"decode": 1_050_001}, RECORDED, LINE)
    assert problem == "decode: 1,050,001 instructions, +5.0% over 1,000,000"


def test_new_call_has_to_be_recorded() -> None:
    (problem,) = instructions.problems({"encode": 5}, RECORDED, "")
    assert problem == "encode: 5 instructions are not recorded"


def test_recorded_growth_needs_a_line_in_the_changelog() -> None:
    entry = instructions.updated({"decode": 1_200_000}, RECORDED)
    assert entry["counts"] == {"decode": 1_200_000}
    (problem,) = instructions.problems({"decode": 1_200_000}, entry, "- `decode` is slower.\n")
    assert problem == "the changelog has no line with `decode` and 1.20 million instructions"
    assert instructions.problems({"decode": 1_200_000}, entry, LINE) == []


def test_numbers_do_not_creep_up() -> None:
    entry = RECORDED
    for number in (1_040_000, 1_049_000):
        entry = instructions.updated({"decode": number}, entry)
        assert entry["counts"] == {"decode": 1_000_000}
        assert entry["growths"] == []
    assert instructions.updated({"decode": 9}, entry)["counts"] == {"decode": 9}


def test_first_numbers_of_an_environment_are_recorded_as_they_are() -> None:
    entry = instructions.updated({"decode": 7}, None)
    assert entry["counts"] == {"decode": 7}
    assert entry["growths"] == []


def test_missing_valgrind_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert instructions.main([]) == 0
    told = "valgrind is not installed: instruction counts were not compared\n"
    assert capsys.readouterr().out == told


def test_other_environment_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "valgrind").write_text("")
    (tmp_path / "valgrind").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(instructions, "FILE", tmp_path / "instructions.json")
    instructions.FILE.write_text(json.dumps([RECORDED | {"environment": {"python": "PyPy 1"}}]))
    assert instructions.main([]) == 0
    assert "no instruction counts are recorded for" in capsys.readouterr().out


def test_recorded_numbers_are_of_the_calls() -> None:
    entries = json.loads(instructions.FILE.read_text("utf-8"))
    changelog = instructions.CHANGELOG.read_text("utf-8")
    assert entries
    for entry in entries:
        assert set(entry["counts"]) == {*NAMES, "import rawmm", "import msgspec"}
        assert instructions.problems({}, entry, changelog) == []


def test_import_costs_less_than_two_of_msgspec() -> None:
    for entry in json.loads(instructions.FILE.read_text("utf-8")):
        counts = entry["counts"]
        assert counts["import rawmm"] <= 1.9 * counts["import msgspec"]
