"""fsck and gc say the same on every engine, and options of engines that contradict are refused."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.cli import pieces
from rawmm.cli.audit import Audit
from rawmm.cli.engines import open_engine
from rawmm.cli.records import Input
from rawmm.cli.report import Report
from rawmm.store import ImageStore, ObjectImageStore, collect_garbage, fsck, open_store
from tests.unit.images.pictures import picture
from tests.unit.parallel.work import make_poisoned_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

_names = count()
ENGINES = [("--engine=processes", "--jobs=2"), ("--engine", "serial")]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2000)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Records that name images which exist, are missing, are damaged, or are elsewhere."""
    store = ImageStore(tmp_path / "images")
    stored = [store.put(picture(seed=seed)) for seed in range(12)]
    (tmp_path / "images" / stored[3].raw_image_id).write_bytes(b"damaged")
    (tmp_path / "images" / stored[4].raw_image_id).unlink()
    for number in range(3):
        with (tmp_path / f"{number}.jsonl").open("w") as file:
            for line in range(80):
                uri = stored[(number * 4 + line) % 9].uri
                other = f"file:///elsewhere/{line % 7:064x}.png"
                file.write(json.dumps([uri, other, {"raw_image_id": f"{line % 5}.png"}]) + "\n")
    return tmp_path


@pytest.mark.parametrize("command", ["fsck", pytest.param("gc", marks=pytest.mark.slow)])
def test_engines_report_the_same(command: str, run_dir: Path, rawmm: Run) -> None:
    files = [run_dir / f"{number}.jsonl" for number in range(3)]
    more = ("--max-errors=0",) if command == "fsck" else ("--dry-run", "--grace=0s")
    argv = (command, run_dir / "images", "--refs", *files, *more)
    whole = rawmm(*argv)
    assert whole.out.count("\n") >= (8 if command == "fsck" else 3)
    for engine in ENGINES:
        assert rawmm(*argv, *engine) == whole


@pytest.mark.slow
def test_piece_that_kills_its_workers_is_reported_and_the_lines_after_it_keep_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"nodes": []}'] * 400
    lines[200] = '{"nodes": [], "id": "poison"}'
    lines[399] = '{"nodes": 1}'
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with Report("text", None) as report, open_engine("processes", 2, None) as engine:
        audit = Audit([(str(path), Input(str(path), None, "--input-format"))], engine, report)
        audit.run(make_poisoned_check, (None, None, False))
    said = capsys.readouterr()
    assert said.out.startswith(f"{path}:400::$.nodes")
    assert "worker processes were killed" in said.err
    assert "bytes " in said.err
    assert (report.lost, report.errors) == (1, 1)
    assert 200 < report.records < 400
    assert audit.as_json()["lost"] == 1


@pytest.mark.parametrize("command", [pytest.param("fsck", marks=pytest.mark.slow), "gc"])
def test_record_that_cannot_be_searched_stops_every_engine_there(
    command: str, run_dir: Path, rawmm: Run
) -> None:
    files = [run_dir / f"{number}.jsonl" for number in range(3)]
    lines = files[1].read_text().splitlines()
    lines[60] = "{"
    files[1].write_text("\n".join(lines))
    argv = (command, run_dir / "images", "--refs", *files)
    whole = rawmm(*argv)
    assert whole.code == 1
    assert f"{files[1]}:61:" in whole.err
    for engine in ENGINES:
        assert rawmm(*argv, *engine) == whole


def test_quarantine_works_in_processes(run_dir: Path, rawmm: Run) -> None:
    found = rawmm("fsck", run_dir / "images", "--quarantine", "--jobs=2")
    assert (found.code, found.out.count("moved aside")) == (1, 1)
    assert rawmm("fsck", run_dir / "images").code == 0


def test_fsck_reports_tombstones(
    rawmm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://tombstones-{next(_names)}/images"
    store = ObjectImageStore(url)
    kept, garbage = (store.put(picture(seed=seed)) for seed in range(2))
    (tmp_path / "refs.json").write_text(json.dumps([kept.uri]))
    refs = ("--refs", tmp_path / "refs.json")
    assert rawmm("fsck", url, *refs).err.endswith("no foreign\n")
    assert collect_garbage(url, [kept.uri], grace=timedelta(microseconds=1)).marked == 1
    found = rawmm("fsck", url, *refs)
    assert found.err.startswith("2 images: no missing, no corrupt, 1 orphaned, no stale")
    assert found.err.endswith("no foreign, 1 marked by gc\n")
    open_store(url).delete(garbage.raw_image_id)
    assert fsck(url, [kept.uri]) == []  # a gc may be at work
    monkeypatch.setattr(sys.modules["rawmm.store.fsck"], "STALE_AFTER_ALIVE", timedelta(0))
    (left,) = fsck(url, [kept.uri])
    assert (left.kind, str(left.file)) == ("stale", f".gc/{garbage.raw_image_id}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--address", "auto"), "--address is of a Ray cluster; give --engine ray, too"),
        (("--jobs=-1",), "--jobs takes 0, which starts one process per core, or a positive number"),
    ],
)
def test_options_that_contradict_are_refused(
    options: tuple[str, ...], message: str, run_dir: Path, rawmm: Run
) -> None:
    for argv in (("check", run_dir / "0.jsonl"), ("fsck", run_dir / "images")):
        assert rawmm(*argv, *options) == (2, "", f"rawmm: {message}\n")


def test_ray_that_is_not_installed_is_named(
    run_dir: Path, rawmm: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    found = rawmm("check", run_dir / "0.jsonl", "--engine=ray")
    message = "rawmm: --engine ray: no package ray: pip install 'rawmm[ray]'\n"
    assert found == (2, "", message)
