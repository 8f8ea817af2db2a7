"""Every benchmark runs. The measurements are not checked."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import rawmm
from benchmarks import __main__ as command
from benchmarks import baseline, harness, reference, report, rules
from benchmarks.data import body, screenshot, trace, variation
from rawmm import native
from rawmm.rules.registry import RULES

if TYPE_CHECKING:
    from benchmarks.harness import Row

POSITIVE = {"x", "MB/s", "GB/s", "ms", "µs", "kB"}


def check(rows: list[Row]) -> None:
    assert rows
    for row in rows:
        assert all(math.isfinite(value) for value in (row.value, row.low, row.high)), row
        if row.unit in POSITIVE and row.subject not in {"memory", "footprint"}:
            assert row.value > 0, row


@pytest.mark.slow
@pytest.mark.parametrize("name", command.SUBJECTS)
def test_every_benchmark_runs(name: str) -> None:
    check(list(import_module(f"benchmarks.{name}").run(harness.Settings(quick=True))))


@pytest.mark.slow
def test_command_writes_its_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    begins, ends = command._BEGIN, command._END
    if not native.COMPILED:
        begins, ends = command._PURE_BEGIN, command._PURE_END
    readme.write_text(f"before\n{begins}old\n{ends}after\n")
    monkeypatch.setattr(command, "_README", readme)
    out = tmp_path / "out.json"
    argv = ["--quick", "--only", "packed", "--only", "rules", "--write", "--json", str(out)]
    assert command.main(argv) == 0
    text = readme.read_text()
    assert text.startswith(f"before\n{begins}| ")
    assert text.endswith(f".\n{ends}after\n")
    assert "old" not in text
    found = json.loads(out.read_text())
    assert {row["subject"] for row in found["rows"]} == {"packed", "rules", "walk"}
    assert len(found["rows"]) == text.count("\n| ") - 1
    assert found["environment"]["packages"]["rawmm"] == rawmm.__version__
    assert str(Path(__file__).parents[2]) not in out.read_text() + text
    assert "median" in capsys.readouterr().out


def test_readme_has_markers_for_the_table() -> None:
    text = Path(command._README).read_text("utf-8")
    assert text.count(command._BEGIN) == text.count(command._END) == 1
    assert text.count(command._PURE_BEGIN) == text.count(command._PURE_END) == 1
    assert text.count(command._SERVERS_BEGIN) == text.count(command._SERVERS_END) == 1
    for name in (*command.SUBJECTS, *command.ON_SERVERS):
        assert f"| {name} |" in text


def test_compared_variants_give_equal_results(tmp_path: Path) -> None:
    document = trace(2)
    data = msgspec.msgpack.encode(document)
    assert msgspec.to_builtins(
        msgspec.msgpack.decode(data, type=baseline.bare(rawmm.Trace))
    ) == rawmm.to_builtins(rawmm.decode_msgpack(data, rawmm.Trace))
    model = reference.decode_msgpack(data)
    assert model.model_dump(exclude_unset=True) == document
    assert reference.decode_json(reference.encode_json(model)) == model
    assert msgspec.msgpack.decode(reference.encode_msgpack(model)) == document
    with pytest.raises(ValueError, match="pixel_values"):
        reference.check_raw({"a": [{"pixel_values": 1}]})
    pngs = [variation(screenshot(0, 96, 64), str(number)) for number in range(2)]
    store = rawmm.ImageStore(tmp_path / "ours", durable=False)
    ours = rawmm.offload_request(body([*pngs, pngs[0]]), store=store).body
    (tmp_path / "theirs").mkdir()
    theirs = reference.offload_body(body([*pngs, pngs[0]]), tmp_path / "theirs")
    assert json.loads(ours.replace(b"/ours/", b"/theirs/")) == json.loads(theirs)
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert [path.name for path in sorted((tmp_path / "ours").iterdir())] == names
    assert len(names) == 2


def test_screenshots_are_deterministic() -> None:
    first = screenshot(1, 96, 64)
    screenshot.cache_clear()
    assert screenshot(1, 96, 64) == first != screenshot(2, 96, 64)


def test_exponent_of_a_power_law_is_found() -> None:
    sizes = (3, 10, 70)
    assert harness.exponent(sizes, [5 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_ratio_compares_within_a_round() -> None:
    timed = harness.Race({"a": [1.0, 20.0, 3.0, 8.0, 10.0], "b": [1.0, 10.0, 1.0, 2.0, 2.0]})
    row = timed.row("s", "w", "a", "b", harness.at_least(4))
    assert (row.low, row.value, row.high) == (2.0, 3.0, 4.0)
    assert row.target is not None
    assert not row.target.met(row.value)
    assert row.target.met(4)
    assert harness.at_most(3).met(row.value)


def test_variants_take_turns_in_another_order_each_round() -> None:
    calls: list[str] = []
    variants = {
        name: harness.Variant(lambda name=name: calls.append(name), lambda: None)  # type: ignore[misc]
        for name in "abcd"
    }
    timed = harness.race(variants, harness.Settings(quick=True))
    once, first, second = ("".join(calls[at : at + 4]) for at in (0, 4, 8))
    assert (once, sorted(first), sorted(second)) == ("abcd", list("abcd"), list("abcd"))
    assert len({once, first, second}) == 3
    assert len(calls) == 12
    assert [len(each) for each in timed.seconds.values()] == [2, 2, 2, 2]


def test_every_rule_has_a_benchmark() -> None:
    assert set(rules._subjects(harness.Settings(quick=True))) == set(RULES)


def test_new_rows_replace_those_of_their_subject_only() -> None:
    first = [harness.single(subject, "time", 1.0, "ms") for subject in ("codec", "rules", "walk")]
    old = report.markdown(first)
    table = report.markdown([harness.single("rules", "another time", 2.0, "ms")], old)
    subjects = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| ")][1:]
    assert subjects == [["| codec", "time"], ["| rules", "another time"], ["| walk", "time"]]
