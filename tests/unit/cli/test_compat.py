"""``rawmm compat``: operands, formats, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from rawmm.cli.app import run
from tests.unit.cli.test_report_formats import SARIF

if TYPE_CHECKING:
    from pathlib import Path

OLD = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    schemas: dict[str, Any] = {
        "old": OLD,
        "wider": {**OLD, "properties": {"a": {"type": "integer"}, "b": True}},
        "narrower": {**OLD, "required": ["a"]},
    }
    out = {}
    for name, schema in schemas.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(schema), "utf-8")
        out[name] = str(path)
    return out


def test_compatible_schema_exits_with_0(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compat", files["old"], files["wider"]]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "backward: yes, forward: no" in err
    assert "raise the minor version" in err


def test_break_is_shown_with_rule_pointer_and_document(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compat", files["old"], files["narrower"]]) == 1
    out, err = capsys.readouterr()
    assert out == (
        f'{files["narrower"]}::#/required: breaks readers; now "a"; refused now: {{}} '
        "[required_property_added]\n"
    )
    assert "needs a new major version" in err


def test_json_has_all_differences(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compat", files["old"], files["narrower"], "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["backward"], report["forward"], report["bump"]) == ("no", "yes", "major")
    assert report["differences"][0]["counterexample"] == {}
    assert report["differences"][0]["rule"] == "required_property_added"


def test_github_has_one_command_for_each_difference(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["compat", files["old"], files["narrower"], "--format", "github"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error file=")
    assert ",title=rawmm required_property_added::#/required" in line


def test_sarif_has_the_structure_of_2_1_0(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["compat", files["old"], files["narrower"], "--format", "sarif"])
    log = json.loads(capsys.readouterr().out)
    jsonschema.validate(log, SARIF)
    (run_,) = log["runs"]
    rules = run_["tool"]["driver"]["rules"]
    (result,) = run_["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "required_property_added"
    assert result["level"] == "error"
    assert result["message"]["text"]
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("narrower.json")
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "#/required"


def test_released_versions_and_the_current_one_are_operands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["compat", "1.2", "1.2"]) == 0
    assert run(["compat", "current", "current"]) == 0
    assert "no differences" in capsys.readouterr().err


@pytest.mark.parametrize("operand", ["git:no-such-revision", "git:HEAD:no-such-file", "gone.json"])
def test_operand_that_is_not_found_is_wrong_usage(
    operand: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compat", operand, files["old"]]) == 2
    assert capsys.readouterr().err.startswith("rawmm:")


def test_file_that_is_no_schema_is_wrong_usage(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    for text, code in (("{", "malformed"), ('{"type": 3}', "bad_schema")):
        bad.write_text(text, "utf-8")
        assert run(["compat", str(bad), files["old"]]) == 2
        assert f"[{code}]" in capsys.readouterr().err


def test_git_revision_is_an_operand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    import subprocess

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=tmp_path, check=True, capture_output=True)  # fmt: skip

    git("init", "-q")
    git("add", "old.json")
    git("commit", "-qm", "old")
    monkeypatch.chdir(tmp_path)
    assert run(["compat", "git:HEAD:old.json", "wider.json"]) == 0
    assert run(["compat", "git:HEAD:old.json", "narrower.json"]) == 1


def test_file_that_is_no_json_is_named(rawmm: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text("{}")
    bad.write_text("{")
    for argv in ((bad, good), (good, bad)):
        code, _, err = rawmm("compat", *argv)
        assert code == 2
        assert err.startswith(f"rawmm: {bad}: $: expected one complete JSON document")
