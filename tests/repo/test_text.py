"""What no commit may hold, and what the project's texts promise."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import rawmm
from rawmm.errors import CODES

ROOT = Path(__file__).parent.parent.parent
DOCS = (
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "schemas/README.md",
    "benchmarks/README.md",
)  # fmt: skip


def tracked() -> list[Path]:
    """Files of the project: git's, or in an unpacked sdist every file there is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0 and (ROOT / ".git").exists():
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    ignored = {"__pycache__", ".hypothesis", ".pytest_cache", ".venv"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not ignored & set(path.relative_to(ROOT).parts)
        and not any(part.startswith(".venv") for part in path.relative_to(ROOT).parts)
    ]


def texts() -> list[tuple[Path, str]]:
    pictures = {".png", ".jpg", ".webp", ".msgpack", ".gif"}
    return [
        (path, path.read_bytes().decode("utf-8"))
        for path in tracked()
        if path.is_file() and path.suffix not in pictures
    ]


def test_files_name_no_registry_host_and_no_machine_path() -> None:
    hosts = ["py" + "pi.org", "pythonhosted" + ".org", "npm" + "js.org", "debian" + ".org"]
    places = ["/wo" + "rk/", "/ro" + "ot/", "/home/" + "runner"]
    for path, text in texts():
        for word in (*hosts, *places):
            assert word not in text, f"{path.relative_to(ROOT)} holds {word}"


def test_files_have_unix_line_ends() -> None:
    for path, text in texts():
        if "schemas/conformance" not in str(path) and "_generated" not in str(path):
            assert "\r" not in text, path


@pytest.mark.parametrize("name", DOCS)
def test_relative_links_resolve(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{name} links to {target}"


def test_version_is_stated_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", rawmm.__version__)


def test_there_are_three_core_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert names == {"msgspec", "pillow", "pybase64"}


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "schemas" / "README.md").read_text("utf-8")
    missing = [code for code in CODES if f"`{code}`" not in text]
    assert missing == []


def test_changelog_has_an_unreleased_section() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
