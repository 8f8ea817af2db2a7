"""Running the command line, in this process and in its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rawmm.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLES = ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID")


class Outcome(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_image_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def examples() -> Path:
    return Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def image_url(examples: Path) -> str:
    """The data URL of one good image."""
    for line in (examples / "rollout.jsonl").read_text("utf-8").splitlines():
        for message in json.loads(line)["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else ():
                if part["type"] == "image_url":
                    return str(part["image_url"]["url"])
    raise AssertionError


@pytest.fixture
def rawmm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""

    def run(*argv: str | Path) -> Outcome:
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command in a process of its own."""

    def run(*argv: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "rawmm", *map(str, argv)]
        return subprocess.run(command, capture_output=True, timeout=600, check=False, **options)

    return run
