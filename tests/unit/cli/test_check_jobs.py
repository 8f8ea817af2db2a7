"""`rawmm check --jobs` reports the same from several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.cli import parallel
from rawmm.cli.bugs import Bug
from rawmm.cli.malformed import MalformedJsonError, with_fault
from rawmm.cli.output import UsageError
from rawmm.cli.parallel import Workers
from rawmm.cli.records import Record
from rawmm.errors import CODES, ContractError, RawMMError
from rawmm.offload import available_cpus
from rawmm.values.json_fault import JsonFault
from tests.unit.cli.test_process import HANGS, INTERRUPTIBLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.cli.records import Format

    Run = Callable[..., Any]

COMMAND = [*INTERRUPTIBLE, "check"]
GOOD = b'{"nodes": []}'
BROKEN = b'{"nodes": [{"message": {"role": "user", "content": 1}}, {}]}'


def lines(number: int) -> list[bytes]:
    """Lines of every sort: fine, with one error and more, blank, cut short."""
    sorts = (GOOD, BROKEN, b"  ", b'{"nodes": 1, "nodes": 2}', b'{"nodes": [', b"7", GOOD)
    return [sorts[index * index % len(sorts)] for index in range(number)]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"\n".join(lines(1600)))
    return path


@pytest.mark.parametrize(
    ("style", "most"),
    [
        ("text", "700"),
        pytest.param("json", "0", marks=pytest.mark.slow),
        pytest.param("github", "700", marks=pytest.mark.slow),
    ],
)
def test_report_is_the_serial_one(style: str, most: str, many: Path, rawmm: Run) -> None:
    argv = ("check", many, many, "--format", style, "--max-errors", most)
    serial = rawmm(*argv)
    assert serial.code == 1
    assert serial.out.count("\n") >= 700
    assert rawmm(*argv, "--jobs", "3") == serial


def test_messagepack_streams_are_shared_out_too(tmp_path: Path, rawmm: Run) -> None:
    path = tmp_path / "many.msgpack"
    good, bad = msgspec.msgpack.encode({"nodes": []}), msgspec.msgpack.encode({"nodes": 1})
    path.write_bytes((good + bad) * 800 + good[:3])
    serial = rawmm("check", path, "--max-errors=0")
    assert serial.out.count("\n") == 801
    assert rawmm("check", path, "--max-errors=0", "-j2") == serial


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


def test_file_error_is_reported_after_its_records(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "many.msgpack"
    path.write_bytes(msgspec.msgpack.encode({"nodes": 1}) * 1600 + b"\x05")
    serial = rawmm("check", path, "--max-errors=0")
    assert serial.out.count("\n") == 1601
    assert "neither a map nor an array at byte" in serial.out.splitlines()[-1]
    assert rawmm("check", path, "--max-errors=0", "--jobs=2") == serial


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
    monkeypatch.setattr(parallel, "Pipe", None)
    for name in ("rollout.jsonl", "trace.json", "nodes.json"):
        assert rawmm("check", examples / name, "--jobs", "0").code == 0


def test_number_below_zero_is_wrong_usage(many: Path, rawmm: Run) -> None:
    code, out, err = rawmm("check", many, "--jobs", "-1")
    assert (code, out) == (2, "")
    assert err == "rawmm: --jobs takes 0, which starts one process per core, or a positive number\n"


def test_zero_is_one_process_for_each_core_that_may_be_used() -> None:
    own = os.sched_getaffinity(0)
    assert available_cpus() == len(own)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, own)


def records(number: int) -> Iterator[Record]:
    return (Record(b"%d" % line, line) for line in range(1, number + 1))


def make_faulty(fault: str) -> Callable[[Record, Format], Iterator[RawMMError]]:
    """A check that finds an error in each record, and at the 1,500th meets a fault of its own."""

    def check(record: Record, _: Format) -> Iterator[RawMMError]:
        yield ContractError("malformed", expected="a", got=record.data.decode())
        if record.line == 1500:
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError(fault)

    return check


@pytest.mark.parametrize("number", [1, 2])
def test_bug_ends_the_check_of_its_record_alone(number: int) -> None:
    with Workers(number, make_faulty, "a secret") as workers:
        found = list(workers.findings(records(2500), "jsonl"))
    errors = [(line, each.got) for line, each in found if isinstance(each, RawMMError)]
    assert errors == [(line, str(line)) for line in range(1, 2501)]
    ((line, bug),) = [(line, each) for line, each in found if isinstance(each, Bug)]
    assert (line, bug.name) == (1500, "ZeroDivisionError")
    assert found.index((line, bug)) == 1500  # behind what the record had before
    assert "a secret" not in str(bug)


def test_killed_worker_is_reported_and_replaced() -> None:
    with Workers(2, make_faulty, "killed") as workers:
        for _ in range(2):
            with pytest.raises(UsageError, match="a worker process was killed"):
                list(workers.findings(records(2500), "jsonl"))
        assert len(list(workers.findings(records(1200), "jsonl"))) == 1200


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


@pytest.mark.parametrize("delay", [0.1, 1.0])
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
    assert (child.returncode, err) == (130, b"")
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
