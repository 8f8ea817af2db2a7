"""The pre-commit hook and the GitHub action, on a scratch repository with real installations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
TRACE = json.loads((ROOT / "examples/trace.json").read_bytes())

pytestmark = pytest.mark.slow


def call(*argv: str | Path, cwd: Path, **variables: str) -> tuple[int, str]:
    # Another environment's variables must not reach the scratch repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "VIRTUAL"))}
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A repository with a clean record and one with ``pixel_values``."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    node = TRACE["nodes"][0]
    (folder / "clean.jsonl").write_text(json.dumps(node) + "\n")
    broken = {**node, "info": {"pixel_values": [[0.5, 0.25]]}}
    (folder / "broken.jsonl").write_text(json.dumps(node) + "\n" + json.dumps(broken) + "\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -qm first"):
        assert call("git", *command.split(), cwd=folder)[0] == 0
    return folder


def test_pre_commit_hook_fails_on_pixels_and_passes_clean_records(
    scratch: Path, tmp_path: Path
) -> None:
    hooks = (sys.executable, "-m", "pre_commit", "try-repo", ROOT, "rawmm-check")
    cache = {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    code, out = call(*hooks, "--files", "clean.jsonl", cwd=scratch, **cache)
    assert (code, "Passed" in out) == (0, True), out
    code, out = call(*hooks, "--files", "broken.jsonl", "clean.jsonl", cwd=scratch, **cache)
    assert (code, "Failed" in out) == (1, True), out
    assert "broken.jsonl:2::$.info.pixel_values: " in out
    assert "[processed_payload]" in out


def steps() -> list[dict[str, Any]]:
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text("utf-8"))
    listed: list[dict[str, Any]] = action["runs"]["steps"]
    return listed


def run_action(cwd: Path, temp: Path, files: str, args: str = "") -> tuple[int, str]:
    """Run the steps as the runner does: with bash, and with the expressions of `env` replaced."""
    known = {
        "github.action_path": str(ROOT),
        "inputs.python": sys.executable,
        "inputs.files": files,
        "inputs.args": args,
        "inputs.extras": "cli",
        "runner.temp": str(temp),
    }
    output = ""
    for step in steps():
        assert "${{" not in step["run"], "an input in a script is code"
        env = dict(step["env"])
        for name, text in known.items():
            env = {key: value.replace(f"${{{{ {name} }}}}", text) for key, value in env.items()}
        assert "${{" not in json.dumps(env)
        code, output = call(
            "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"], cwd=cwd, **env
        )
        if code:
            return code, output
    return 0, output


def test_action_annotates_pixels_and_passes_clean_records(scratch: Path, tmp_path: Path) -> None:
    code, out = run_action(scratch, tmp_path, "clean.jsonl")
    assert (code, "::error" in out) == (0, False), out
    (scratch / "a/b").mkdir(parents=True)
    (scratch / "broken.jsonl").rename(scratch / "a/b/broken.jsonl")
    files = "**/*.jsonl\nclean.jsonl"  # any number of folders, also none
    code, out = run_action(scratch, tmp_path, files, "--type MessageNode")
    assert code == 1
    (line,) = [each for each in out.splitlines() if each.startswith("::error ")]
    assert line.startswith(
        "::error file=a/b/broken.jsonl,line=2,title=rawmm processed_payload::$.info"
    )


def test_action_obeys_the_schema_of_actions() -> None:
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions")
    code, out = call(*check, ROOT / "action.yml", cwd=ROOT)
    assert code == 0, out


def test_hooks_obey_the_schema_of_hooks() -> None:
    code, out = call(
        sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml",
        cwd=ROOT,
    )  # fmt: skip
    assert code == 0, out
