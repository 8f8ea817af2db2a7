"""`rawmm schema`: bundle, single types and the list."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from rawmm import schemas
from rawmm._version import __version__
from rawmm.model.types import SCHEMA_VERSION
from tests.unit.cli.test_process import on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]


def test_bundle_is_printed(rawmm: Run) -> None:
    code, out, err = rawmm("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == schemas.bundle()


def test_one_type_is_complete_in_itself(rawmm: Run) -> None:
    code, out, _ = rawmm("schema", "PlaceholderRange")
    assert code == 0
    validator = jsonschema_rs.validator_for(json.loads(out))
    assert validator.is_valid({"offset": 0, "length": 1})
    assert not validator.is_valid({"offset": 0, "length": 0})


def test_list_has_a_line_for_each(rawmm: Run) -> None:
    code, out, _ = rawmm("schema", "--list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(schemas.bundle()["$defs"])
    assert all(line.endswith(".") for line in lines)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_terminal_gets_the_list_as_a_table() -> None:
    shown = on_terminal(["schema", "--list"], {"COLUMNS": "200"})
    assert "\x1b[1m" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    named = [line.split()[0] for line in plain.splitlines() if line[:1].strip()]
    assert named == list(schemas.bundle()["$defs"])


def test_unknown_name_is_exit_code_2(rawmm: Run) -> None:
    code, out, err = rawmm("schema", "rawmmitem")
    assert (code, out) == (2, "")
    assert err == (
        "rawmm: the contract has no type 'rawmmitem'; did you mean RawMMItem or RawMMRef?\n"
    )
    assert rawmm("schema", "zzz").err.endswith("; see rawmm schema --list\n")
    assert rawmm("schema", "Trace", "--list").code == 2


def test_version_and_help_are_printed(rawmm: Run) -> None:
    assert rawmm("--version") == (0, f"rawmm {__version__} (contract {SCHEMA_VERSION})\n", "")
    code, out, _ = rawmm("--help")
    assert code == 0
    for word in ("check", "offload", "schema", "Exit codes: 0 no errors"):
        assert word in out
    for command in ("check", "offload", "schema"):
        code, out, _ = rawmm(command, "--help")
        assert code == 0
        assert out.startswith(f"Usage: rawmm {command} ")


def test_unknown_command_is_exit_code_2(rawmm: Run) -> None:
    code, out, err = rawmm("chek")
    assert (code, out) == (2, "")
    assert 'Did you mean "check"?' in err
