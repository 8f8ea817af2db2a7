"""The command as a process: pipes, signals, closed streams, memory."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

    Run = Callable[..., subprocess.CompletedProcess[bytes]]
    RunHere = Callable[..., Outcome]

COMMAND = [sys.executable, "-m", "rawmm"]
# Children inherit an ignored SIGINT, which is what tests get from nohup and from a script's `&`.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from rawmm.cli import main\n"
    "sys.exit(main())",
]
HANGS = 300
"""Seconds after which a child hangs. No test waits for them."""


def test_script_is_installed(examples: Path) -> None:
    script = Path(sys.executable).with_name("rawmm")
    done = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert done.stdout.startswith(b"rawmm ")


def test_standard_input_and_output_are_a_dash(
    process: Run, rawmm: RunHere, examples: Path, tmp_path: Path
) -> None:
    data = (examples / "rollout.jsonl").read_bytes()
    images = ("--image-dir", tmp_path / "images")
    done = process("offload", "-", "-o", "-", "--input-format", "jsonl", *images, input=data)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 5
    assert done.stderr.startswith(b"5 records, 14 images seen, 4 stored")
    checked = process("check", "-", "--input-format", "jsonl", *images, input=done.stdout)
    assert (checked.returncode, checked.stdout) == (0, b"")
    broken = rawmm("check", "-", "--input-format=jsonl", stdin=b'{"nodes": []}\n{"nodes": 1}')
    assert broken.code == 1
    assert broken.out.startswith("<stdin>:2::$.nodes: ")
    nothing = rawmm("check", "-", "--input-format=jsonl", stdin=b"")
    assert nothing == (0, "", "<stdin>: no records\n1 file, no records, no errors\n")
    unnamed = rawmm("check", "-", stdin=data)
    assert unnamed.code == 2
    assert "standard input has no extension; give --input-format" in unnamed.err


def test_output_to_a_pipe_is_kept_if_a_later_record_fails(
    process: Run, examples: Path, tmp_path: Path
) -> None:
    data = (examples / "rollout.jsonl").read_bytes() + b"{}}\n"
    done = process(
        "offload",
        "-",
        "-o",
        "-",
        "--input-format=jsonl",
        "--image-dir",
        tmp_path / "im",
        input=data,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"<stdin>:6:3::$: expected one complete JSON document")
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    "argv",
    [
        ["check", "--max-errors", "0", "a.jsonl"],
        pytest.param(["offload", "--image-dir", "i", "-o", "-", "a.jsonl"], marks=pytest.mark.slow),
        pytest.param(["schema"], marks=pytest.mark.slow),
    ],
    ids=["check", "offload", "schema"],
)
def test_broken_pipe_is_quiet(argv: list[str], tmp_path: Path) -> None:
    # More than a pipe takes.
    line = json.dumps({"nodes": 1, "x": "y" * 100})
    (tmp_path / "a.jsonl").write_text(f"{line}\n" * 5000)
    with subprocess.Popen(
        [*COMMAND, *argv], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()
    assert err == b""
    assert child.returncode == 141


def test_control_c_is_quiet_and_leaves_nothing(examples: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            *INTERRUPTIBLE,
            "offload",
            "-",
            "--input-format=jsonl",
            "-o",
            "out.jsonl",
            "--image-dir",
            "images",
        ],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write((examples / "rollout.jsonl").read_bytes())
        child.stdin.flush()
        until = time.monotonic() + HANGS
        while not (tmp_path / "images").exists() and time.monotonic() < until:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        child.wait(HANGS)
        err = child.stderr.read()
    assert (child.returncode, err) == (130, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_closed_streams_are_no_crash(examples: Path) -> None:
    path = examples / "broken" / "stream_length.json"
    run = f"{sys.executable} -m rawmm check"
    for redirect, code in (
        (f"{path} >&-", 1),
        (f"{path} 2>&-", 1),
        ("- --input-format json <&-", 2),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{run} {redirect}"], capture_output=True, check=False
        )
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "argv",
    [
        ["schema"],
        pytest.param(["check", "nodes.json", "broken/malformed.json"], marks=pytest.mark.slow),
    ],
)
def test_full_disk_behind_standard_output_is_exit_code_2(argv: list[str], examples: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *argv], cwd=examples, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert b"standard output cannot be written: no space left on device" in done.stderr


@pytest.mark.parametrize("missing", ["cyclopts", "msgpack", "rich"])
def test_missing_extra_is_named_by_the_command(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from rawmm.cli import main; sys.exit(main(['--help']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        f"rawmm: the command line needs the package {missing}: pip install 'rawmm[cli]'\n"
    )


def test_importing_rawmm_loads_no_command_line() -> None:
    program = "import sys, rawmm; print([m for m in ('rich', 'cyclopts', 'rawmm.cli') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


NEXT = "-- the next command"
EACH = f"""
import json, sys
from rawmm.cli import main
for argv in json.loads(sys.argv[1]):
    main(argv)
    print({NEXT!r}, flush=True)
"""


def on_terminal(argv: list[str], env: dict[str, str]) -> str:
    """The output of a command on a terminal."""
    return _shown([*COMMAND, *argv], env)


def each_on_terminal(commands: list[list[str]], env: dict[str, str]) -> list[str]:
    """The output of each of several commands on a terminal, in one process."""
    shown = _shown([sys.executable, "-c", EACH, json.dumps(commands)], env).split(NEXT)
    assert len(shown) == len(commands) + 1
    return shown[:-1]


def _shown(program: list[str], env: dict[str, str]) -> str:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover  (the child)
        os.execve(program[0], program, {**os.environ, "TERM": "xterm", **env})
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # how Linux reports that the child has exited
            break
        if not piece:
            break
        shown += piece
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_colours_are_for_terminals_only(rawmm: RunHere, examples: Path) -> None:
    argv = ["check", str(examples / "broken" / "stream_length.json")]
    assert "\x1b[" in on_terminal(argv, {"COLUMNS": "300"})
    assert "\x1b[3" not in on_terminal(argv, {"COLUMNS": "300", "NO_COLOR": "1"})
    done = rawmm(*argv)
    assert "\x1b" not in done.out + done.err


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_terminal_gets_the_summary_as_a_table(examples: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    argv = ["offload", str(examples / "rollout.jsonl"), "-o", out, "--image-dir", str(tmp_path)]
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on_terminal(argv, {"COLUMNS": "100"}))
    rows = [line.split() for line in shown.splitlines()]
    assert ["records", "5"] in rows
    assert [row for row in rows if row[:2] == ["deduplicated", "10"]]
    assert [row for row in rows if row[:1] == ["saved"]]


MEASURE = """
import sys
from pathlib import Path
from rawmm.cli import main
code = main(sys.argv[1:])
print(next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l).split()[1])
sys.exit(code)
"""


def peak(argv: list[str | Path]) -> int:
    """The most memory a command had, in bytes.

    VmHWM, not ru_maxrss: the latter also counts the process that started this one.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, argv)], capture_output=True, check=True
    )
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("command", ["check", "offload"])
@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_memory_does_not_grow_with_the_number_of_records(
    command: str, form: str, examples: Path, tmp_path: Path, process: Run
) -> None:
    few, many = tmp_path / f"few.{form}", tmp_path / f"many.{form}"
    if form == "jsonl":
        shutil.copy(examples / "rollout.jsonl", few)
    else:
        process(
            "offload", examples / "rollout.jsonl", "-o", few, "--mode=inline"
        ).check_returncode()
    few.write_bytes(few.read_bytes() * 48)  # more than two pieces
    many.write_bytes(few.read_bytes() * 4)
    options: list[str | Path] = []
    if command == "offload":
        options = ["-o", tmp_path / f"out.{form}", "--image-dir", tmp_path, "--no-durable"]
    growth = peak([command, many, *options]) - peak([command, few, *options])
    assert growth < 6e6, f"{growth / 1e6:.1f} MB more for {many.stat().st_size / 1e6:.0f} MB"
