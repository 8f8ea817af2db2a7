"""A Ray cluster of two workers gives the report of one process, also when a worker is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.cli import main, pieces
from rawmm.parallel import Outcome, RayEngine, in_order
from tests.unit.cli.test_check_jobs import everything
from tests.unit.cli.test_check_jobs import lines as many_lines
from tests.unit.cli.test_engines import run_dir as run_dir  # noqa: PLC0414  (a fixture)
from tests.unit.cli.test_many import folder as folder  # noqa: PLC0414
from tests.unit.cli.test_many import written
from tests.unit.parallel.work import POISON, make_dying_check, make_slow, make_square

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.usefixtures("ray"),
    pytest.mark.filterwarnings("ignore"),
]


def said(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_report_is_the_serial_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 20_000)
    files = everything(tmp_path, 1)
    summaries = []
    reports = []
    for engine in ("serial", "ray"):
        place = tmp_path / f"{engine}.summary"
        argv = ("check", *files, "--max-errors=700", "--summary", place, "--engine", engine)
        reports.append(said(capsys, *argv))
        summaries.append(place.read_bytes())
    assert reports[0][1].count("\n") >= 700
    assert reports[0] == reports[1]
    assert summaries[0] == summaries[1]


def test_killed_worker_is_tried_again_and_poison_is_an_outcome(tmp_path: Path) -> None:
    with RayEngine(max_retries=2) as engine:
        found = list(in_order(engine.map(make_square, (str(tmp_path),), range(20))))
    assert [one.number for one in found] == list(range(20))
    assert (tmp_path / "died").exists()
    for outcome in found:
        if outcome.number == POISON:
            assert outcome.lost is not None
            assert outcome.lost.startswith("3 worker processes were killed")
        elif outcome.number == 7:
            assert outcome.lost == "internal error: ZeroDivisionError"
        else:
            assert outcome == Outcome(outcome.number, outcome.number**2, None, last=True)


def test_task_that_is_cancelled_removes_its_files(tmp_path: Path) -> None:
    with RayEngine() as engine:
        next(engine.map(partial(make_slow, others=1), (str(tmp_path),), range(2)))
    assert not list(tmp_path.iterdir())


def test_report_is_the_serial_one_when_workers_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"\n".join(many_lines(1600)))
    serial = said(capsys, "check", path, "--max-errors=0")
    monkeypatch.setattr(pieces, "PIECE_BYTES", 4096)
    monkeypatch.setattr(
        "rawmm.cli.commands.check.checker_of", partial(make_dying_check, str(tmp_path))
    )
    assert said(capsys, "check", path, "--max-errors=0", "--engine=ray") == serial
    assert (tmp_path / "died").exists()


OF_ITS_OWN = """
import sys
from rawmm.cli import main, pieces
from rawmm.cli.commands import check
from tests.unit.parallel.work import make_poisoned_check
pieces.PIECE_BYTES = 4096
check.checker_of = make_poisoned_check
sys.exit(main(["check", sys.argv[1], "--max-errors=0", "--format=json", "--engine=ray"]))
"""


def test_report_has_nothing_of_a_cluster_that_the_command_started(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"\n".join([*many_lines(400), b'{"poison": 1}']))
    done = subprocess.run(
        [sys.executable, "-c", OF_ITS_OWN, path], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"4 worker processes were killed" in done.stderr
    for line in done.stdout.splitlines():
        json.loads(line)


@pytest.mark.parametrize("command", ["fsck", "gc"])
def test_fsck_and_gc_say_the_same(
    command: str, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [run_dir / f"{number}.jsonl" for number in range(3)]
    more = ("--max-errors=0",) if command == "fsck" else ("--dry-run", "--grace=0s")
    argv: tuple[Any, ...] = (command, run_dir / "images", "--refs", *files, *more)
    assert said(capsys, *argv, "--engine=ray") == said(capsys, *argv)


def test_names_are_relative_to_the_folder_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", "images")  # not known to the cluster
    assert said(capsys, "offload", "in", "-o", "out", "--engine=ray")[0] == 0
    assert len(written(folder)) == 6
    argv = ("check", "out", "--image-dir=images", "--require-images")
    assert said(capsys, *argv, "--engine=ray") == said(capsys, *argv)


def test_offload_writes_the_same_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("offload", folder / "in", "-o", folder / "out", "--image-dir", folder / "images")
    assert said(capsys, *argv)[0] == 0
    whole = written(folder)
    for path in (folder / "out").rglob("*.jsonl"):
        path.unlink()
    assert said(capsys, *argv, "--engine=ray", "--manifest", folder / "manifest")[0] == 0
    assert written(folder) == whole
