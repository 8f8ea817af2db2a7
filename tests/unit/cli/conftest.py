"""Running the command line, in this process and in its own."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from cyclopts import App

from rawmm.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import ArgumentCollection

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


_READ: Final = App.assemble_argument_collection
_PARAMETERS: Final[dict[Any, ArgumentCollection]] = {}
"""The parameters of each command."""


def _parameters_read_once(app: App, **options: Any) -> ArgumentCollection:
    """The parameters of the command of an application, without values.

    Reading them from its signature takes most of the time of a short call.
    """
    key = (app.default_command, *options.items())
    if key not in _PARAMETERS:
        _PARAMETERS[key] = _READ(app, **options)
    found = _PARAMETERS[key].copy()
    found[:] = map(copy.copy, found)
    for argument in found:
        argument.tokens = []
    return found


@pytest.fixture
def rawmm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run a command in this process, with a file or bytes as its standard input."""
    monkeypatch.setattr(App, "assemble_argument_collection", _parameters_read_once)

    def run(*argv: str | Path, stdin: Path | bytes = b"") -> Outcome:
        with io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin.open("rb") as file:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
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
