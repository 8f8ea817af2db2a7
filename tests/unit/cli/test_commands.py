"""A command is one module and one entry in `COMMANDS`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rawmm.cli import commands
from rawmm.cli.app import COMMANDS, make_app, run

if TYPE_CHECKING:
    import pytest

GREET = '''
import sys
from typing import Annotated

from cyclopts import Parameter


def greet(name: Annotated[str, Parameter(help="Whom to greet.")], /) -> int:
    """Greet somebody."""
    sys.stdout.write(f"hello {name}\\n")
    return 7
'''


def test_every_module_of_commands_is_listed() -> None:
    modules = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(COMMANDS) == modules


def test_new_module_and_entry_are_a_command_with_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "greet.py").write_text(GREET, "utf-8")
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setitem(COMMANDS, "greet", "NAME")
    try:
        assert run(["greet", "you"]) == 7
        assert capsys.readouterr().out == "hello you\n"
        assert run(["--help"]) == 0
        assert "Greet somebody." in capsys.readouterr().out
        assert run(["greet", "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("Usage: rawmm greet NAME")
        assert "Whom to greet." in out
    finally:
        sys.modules.pop("rawmm.cli.commands.greet", None)


def test_command_loads_no_other_command() -> None:
    program = (
        "import sys; from rawmm.cli.app import run; run(['schema', '--list'])\n"
        "print([name for name in sys.modules if name.startswith('rawmm.cli.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.endswith(b"\n['rawmm.cli.commands.schema']\n")


def test_command_has_the_same_help_alone_and_among_all(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        make_app([name])([name, "--help"])
        alone = capsys.readouterr().out
        make_app()([name, "--help"])
        assert capsys.readouterr().out == alone


def test_unknown_command_is_refused_with_the_closest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["chek"]) == 2
    assert 'Did you mean "check"?' in capsys.readouterr().err
