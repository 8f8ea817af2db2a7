"""`rawmm check --jobs` reports the same from several processes."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import schemas
from rawmm.cli import audit, pieces
from rawmm.cli.audit import Codes, Place
from rawmm.cli.malformed import MalformedJsonError, with_fault
from rawmm.cli.styles import WRITERS
from rawmm.errors import CODES, ContractError
from rawmm.offload import available_cpus
from rawmm.parallel import processes
from rawmm.values.json_fault import JsonFault
from tests.unit.cli.test_process import HANGS, INTERRUPTIBLE
from tests.unit.parallel.work import make_dying_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Run = Callable[..., Any]

ROOT = Path(__file__).parents[3]
COMMAND = [*INTERRUPTIBLE, "check"]
GOOD = b'{"nodes": []}'
BROKEN = b'{"nodes": [{"message": {"role": "user", "content": 1}}, {}]}'


def lines(number: int) -> list[bytes]:
    """Lines of every sort: fine, with one error and more, blank, cut short."""
    sorts = (GOOD, BROKEN, b"  ", b'{"nodes": 1, "nodes": 2}', b'{"nodes": [', b"7", GOOD)
    return [sorts[index * index % len(sorts)] for index in range(number)]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 4096)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"\n".join(lines(1600)))
    return path


@pytest.mark.parametrize(
    ("style", "most", "jobs"),
    [
        ("text", "700", "2"),
        pytest.param("text", "700", "3", marks=pytest.mark.slow),
        pytest.param("json", "0", "3", marks=pytest.mark.slow),
        pytest.param("github", "700", "3", marks=pytest.mark.slow),
    ],
)
def test_report_is_the_serial_one(style: str, most: str, jobs: str, many: Path, rawmm: Run) -> None:
    argv = ("check", many, many, "--format", style, "--max-errors", most)
    serial = rawmm(*argv)
    assert serial.code == 1
    assert serial.out.count("\n") >= 700
    assert rawmm(*argv, "--jobs", jobs) == serial


@pytest.mark.slow
def test_messagepack_streams_are_shared_out_too(tmp_path: Path, rawmm: Run) -> None:
    path = tmp_path / "many.msgpack"
    good, bad = msgspec.msgpack.encode({"nodes": []}), msgspec.msgpack.encode({"nodes": 1})
    path.write_bytes((good + bad) * 800 + good[:3])
    serial = rawmm("check", path, "--max-errors=0")
    assert serial.out.count("\n") == 801
    assert rawmm("check", path, "--max-errors=0", "-j2") == serial


@pytest.mark.slow
def test_report_is_the_serial_one_when_a_worker_is_killed(
    many: Path, rawmm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = rawmm("check", many, "--max-errors=0")
    dying = partial(make_dying_check, str(tmp_path))
    monkeypatch.setattr("rawmm.cli.commands.check.checker_of", dying)
    assert rawmm("check", many, "--max-errors=0", "--jobs=2") == serial
    assert (tmp_path / "died").exists()


def everything(folder: Path, step: int) -> list[Path]:
    """Each or one of `step` vectors and examples, as JSON Lines, MessagePack and compressed."""
    texts = [vector["document"].encode() for vector in schemas.conformance_vectors()]
    texts += [path.read_bytes() for path in sorted((ROOT / "examples").rglob("*.json*"))]
    lines = [line for text in texts[::step] for line in one_line(text)]
    (folder / "all.jsonl").write_bytes(b"\n".join(lines))
    packed = []
    for line in lines:
        with suppress(ValueError, OverflowError, RecursionError, msgspec.DecodeError):
            packed.append(msgspec.msgpack.encode(msgspec.json.decode(line)))
    (folder / "all.msgpack").write_bytes(b"".join(packed))
    (folder / "all.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines))[:-9])
    (folder / "empty.jsonl").write_bytes(b"\n" * 9000)
    (folder / "odd.jsonl").write_bytes(b"\n" * 9000 + b"{\n" + b'"nodes": []}\n' * 900)
    (folder / "late.jsonl").write_bytes(b'{"nodes": []}\n' * 900 + b"[\nBZh\n" + b"PAR1" * 2000)
    (folder / "deep.jsonl").write_bytes(b'{"nodes": [7, 8, 9]}' * 2000 + b"\n{}")
    (folder / "number.msgpack").write_bytes(packed[0] * 900 + b"\x05" + packed[0])
    (folder / "cut.msgpack").write_bytes(packed[0] * 900 + packed[0][:-1])
    return sorted([*folder.iterdir(), *(ROOT / "examples").rglob("*.json*"), folder / "none.jsonl"])


def one_line(text: bytes) -> list[bytes]:
    try:
        return [msgspec.json.format(text.strip(), indent=-1)]
    except msgspec.DecodeError:
        return text.splitlines()


@pytest.mark.parametrize(
    ("style", "limits", "sizes", "step"),
    [
        pytest.param("text", ("--max-errors=70",), ((300, 1),), 16, id="some"),
        *(
            pytest.param(
                style,
                ("--max-errors=0", "--max-errors=70"),
                ((1, 10), (300, 1), (20_000, 7)),
                1,
                id=style,
                marks=pytest.mark.slow,
            )
            for style in WRITERS
        ),
    ],
)
def test_pieces_of_any_size_give_the_report_of_whole_files(
    style: str,
    limits: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    step: int,
    tmp_path: Path,
    rawmm: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = everything(tmp_path, step)
    place = tmp_path / "summary.json"

    def report(size: int, at_once: int, *more: str) -> tuple[Any, bytes]:
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        monkeypatch.setattr(audit, "FINDINGS_AT_ONCE", at_once)
        argv = ("check", *files, "--format", style, "--summary", place, *more)
        return rawmm(*argv), place.read_bytes()

    for most in limits:
        whole = report(1 << 40, 1 << 40, most)
        assert whole[0].code == 2
        assert "no records" in whole[0].err
        for size, at_once in sizes:
            assert report(size, at_once, most) == whole
    if style == "text" and step == 1:
        assert report(4096, 1000, "--max-errors=70", "--engine=processes", "--jobs=2") == whole
    codes = json.loads(whole[1])["codes"]
    assert len(codes) > 12
    assert all(len(one["first"]) == min(one["count"], 3) for one in codes.values())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=30), st.randoms())
def test_summary_is_the_same_in_any_order(errors: list[tuple[str, int]], order: Random) -> None:
    def counted(places: list[tuple[str, int]], file: int = 0) -> Codes:
        codes = Codes()
        for code, line in places:
            codes.add(code, Place(file, line, 0, "$"))
        return codes

    parts = [counted([(code, line % 10)]) for code, line in errors]
    whole = counted(errors)
    found = Codes()
    for index in order.sample(range(len(errors)), len(errors)):
        found.merge(parts[index], 0, errors[index][1] // 10 * 10)
    assert found.as_json(["a"]) == whole.as_json(["a"])


@pytest.mark.slow
def test_standard_input_is_shared_out_too(many: Path, process: Run) -> None:
    argv = ("check", "-", "--input-format", "jsonl", "--max-errors=0")
    serial = process(*argv, input=many.read_bytes())
    parallel_ = process(*argv, "--jobs", "2", input=many.read_bytes())
    assert serial.stdout.count(b"<stdin>:") > 1000
    assert (parallel_.returncode, parallel_.stdout, parallel_.stderr) == (
        serial.returncode,
        serial.stdout,
        serial.stderr,
    )


@pytest.mark.slow
def test_file_error_is_reported_after_its_records(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "many.msgpack"
    path.write_bytes(msgspec.msgpack.encode({"nodes": 1}) * 1600 + b"\x05")
    serial = rawmm("check", path, "--max-errors=0")
    assert serial.out.count("\n") == 1601
    assert "neither a map nor" in serial.out.splitlines()[-1]
    assert rawmm("check", path, "--max-errors=0", "--jobs=2") == serial


@pytest.mark.slow
def test_options_reach_the_workers(
    many: Path, rawmm: Run, examples: Path, tmp_path: Path, image_url: str
) -> None:
    argv: tuple[Any, ...] = ("check", many, "--type", "MessageNode", "--max-errors=0")
    assert rawmm(*argv, "--jobs=2") == rawmm(*argv)
    part = {"type": "image_url", "image_url": {"url": f"file://{tmp_path}/im/a.png"}}
    request = json.dumps({"messages": [{"role": "user", "content": [part]}]})
    many.write_text(f"{request}\n" * 600)
    argv = ("check", many, "--image-dir", str(tmp_path / "im"))
    found = rawmm(*argv, "--jobs=2")
    assert found.out.count("[missing_image]") == 20
    assert found == rawmm(*argv)
    argv = ("check", many, "--require-images")
    found = rawmm(*argv, "--jobs=2")
    assert found.out.count("[no_image_dir]") == 20
    assert found == rawmm(*argv)


@pytest.mark.slow
def test_images_that_workers_did_not_check_are_counted(rawmm: Run, tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "file:///images/a.png"}}
    request = json.dumps({"messages": [{"role": "user", "content": [part] * 3}]})
    path = tmp_path / "many.jsonl"
    path.write_text(f"{request}\n" * 1200)
    code, out, err = rawmm("check", path, "--jobs=2")
    assert (code, out) == (0, "")
    assert err.endswith("1200 records, no errors, 3600 images not checked (give --image-dir)\n")


def test_too_little_to_share_starts_no_process(
    rawmm: Run, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(processes, "Pipe", None)
    for name in ("rollout.jsonl", "trace.json", "nodes.json"):
        assert rawmm("check", examples / name, "--jobs", "0").code == 0


def test_zero_is_one_process_for_each_core_that_may_be_used() -> None:
    own = os.sched_getaffinity(0)
    assert available_cpus() == len(own)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, own)


def test_location_of_a_malformed_record_crosses_processes() -> None:
    import pickle

    error = with_fault(ContractError("malformed", expected="b", got="c"), b'{"a": NaN}', "jsonl")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, MalformedJsonError)
    assert (str(again), again.fault) == (str(error), JsonFault(1, 7, *again.fault[2:]))


def test_error_crosses_processes_unchanged() -> None:
    import pickle

    error = ContractError("malformed", "$.a", expected="b", got="c")
    error.hint, error.path = "later", "$.later"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.hint) == (str(error), "later")
    assert error.code in CODES


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def gone(pids: list[int]) -> bool:
    """Whether all processes end within a few seconds."""
    until = time.monotonic() + HANGS
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.02)
    return False


def started(child: subprocess.Popen[bytes]) -> list[int]:
    """Feed a command until its workers run; their ids."""
    assert child.stdin is not None
    until = time.monotonic() + HANGS
    while len(found := children(child.pid)) < 2 and time.monotonic() < until:
        child.stdin.write(b"\n".join([GOOD] * 600) + b"\n")
        child.stdin.flush()
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("delay", [0.1, pytest.param(1.0, marks=pytest.mark.slow)])
def test_control_c_is_quiet_and_leaves_no_process(delay: float) -> None:
    with subprocess.Popen(
        [*COMMAND, "-", "--input-format=jsonl", "--jobs=2"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        workers = started(child)
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        time.sleep(delay)
        assert children(child.pid) == workers  # they leave it to their parent
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        child.wait(HANGS)
        assert child.stderr is not None
        err = child.stderr.read()
    assert child.returncode == 130
    assert re.fullmatch(rb"interrupted; so far (1|no) files? of 1, .* records?, .* errors?\n", err)
    assert gone(workers)


def test_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [*COMMAND, "-", "--input-format=jsonl", "--jobs=2"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        workers = started(child)
        child.kill()
        child.wait(HANGS)
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert len(workers) == 2
    assert gone(workers)


@pytest.mark.slow
def test_broken_pipe_is_quiet(many: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--max-errors=0", "--jobs=2", many, many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()
    assert (child.returncode, err) == (141, b"")
