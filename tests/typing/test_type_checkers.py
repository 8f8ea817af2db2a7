"""The errors that mypy, pyright, ty and pyrefly report in a program that uses the types.

Run by CI in the development environment, which has them: ``pytest tests/typing``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rawmm

SOURCES = Path(rawmm.__file__).parents[1]
USES = Path(__file__).with_name("uses.py")
BIN = Path(sys.executable).parent
CHECKERS: dict[str, list[str | Path]] = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="],
    # pyright itself fetches its program where it first runs; this is the same one in a wheel.
    "pyright": [BIN / "basedpyright", "--level", "error", "--pythonpath", sys.executable],
    "ty": [BIN / "ty", "check", "--python", sys.prefix, "--extra-search-path", SOURCES, "--output-format", "concise"],
    "pyrefly": [BIN / "pyrefly", "check", "--preset", "default", "--python-interpreter-path", sys.executable, "--search-path", SOURCES, "--output-format", "min-text"],
}  # fmt: skip
MARKED = {
    number
    for number, line in enumerate(USES.read_text("utf-8").splitlines(), 1)
    if "# wrong" in line and "``" not in line
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_wrong_uses_are_reported_and_no_other(checker: str, tmp_path: Path) -> None:
    # A copy elsewhere, so that no checker finds a configuration for the project's own code.
    uses = tmp_path / USES.name
    uses.write_bytes(USES.read_bytes())
    done = subprocess.run(
        [*map(str, CHECKERS[checker]), str(uses)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SOURCES), "MYPYPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    reported = {
        int(line)
        for line in re.findall(r"uses\.py:(\d+)(?=.*error|:\d+-\d+: )", said, re.IGNORECASE)
    }
    assert sorted(reported) == sorted(MARKED), said
    assert done.returncode == 1


def test_there_are_wrong_uses() -> None:
    assert len(MARKED) > 15
