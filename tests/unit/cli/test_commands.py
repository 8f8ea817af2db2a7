"""A command is one module and one entry in `COMMANDS`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rawmm.cli import commands
from rawmm.cli.app import COMMANDS, make_app

if TYPE_CHECKING:
    import pytest


def greet(name: Annotated[str, Parameter(help="Whom to greet.")], /) -> int:
    """Greet somebody."""
    sys.stdout.write(f"hello {name}\n")
    return 7


def test_every_module_of_commands_is_listed() -> None:
    modules = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert [command.__module__ for command in COMMANDS] == [
        f"rawmm.cli.commands.{command.__name__}" for command in COMMANDS
    ]
    assert {command.__name__ for command in COMMANDS} == modules


def test_listed_command_runs_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    app = make_app({**COMMANDS, greet: "NAME"})
    assert app(["greet", "you"]) == 7
    assert capsys.readouterr().out == "hello you\n"
    app(["--help"])
    assert "Greet somebody." in capsys.readouterr().out
    app(["greet", "--help"])
    out = capsys.readouterr().out
    assert out.startswith("Usage: rawmm greet NAME")
    assert "Whom to greet." in out
