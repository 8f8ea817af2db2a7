"""The versions of the consumers are named once, in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TABLE: dict[str, list[Any]] = PROJECT["tool"]["rawmm-ci"]["consumers"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
NAMES = ("verifiers", "renderers")


def version_of(requirement: str) -> str:
    (specifier,) = Requirement(requirement).specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("pair", TABLE["tested"], ids=lambda pair: pair[0])
def test_tested_pair_is_in_the_ranges_of_the_extras(pair: list[str]) -> None:
    assert tuple(Requirement(one).name for one in pair) == NAMES
    for name, one in zip(NAMES, pair, strict=True):
        (extra,) = EXTRAS[name]
        assert Requirement(extra).specifier.contains(version_of(one), prereleases=True)


def test_lower_bounds_of_the_extras_are_tested() -> None:
    for index, name in enumerate(NAMES):
        bounds = {one.operator: one.version for one in Requirement(EXTRAS[name][0]).specifier}
        assert bounds[">="] == version_of(TABLE["tested"][0][index])
        assert "<" in bounds


def test_newest_admits_pre_releases_of_the_two_alone() -> None:
    requirements = [Requirement(one) for one in TABLE["newest"]]
    assert tuple(one.name for one in requirements) == NAMES
    assert all(one.specifier.prereleases for one in requirements)
    for one, tested in zip(requirements, TABLE["tested"][-1], strict=True):
        assert one.specifier.contains(version_of(tested))
    assert "--pre" not in (ROOT / ".ci" / "run").read_text("utf-8").split()


@pytest.mark.parametrize(
    "name", ["docs/guides/verifiers.md", "src/rawmm/integrations/verifiers.py"]
)
def test_documents_name_the_tested_versions(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for pair in TABLE["tested"]:
        assert version_of(pair[0]) in text


def test_script_prints_the_table() -> None:
    def printed(what: str) -> list[list[str]]:
        command = [sys.executable, str(ROOT / ".ci" / "consumers.py"), what]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [line.split() for line in lines.splitlines()]

    assert printed("tested") == TABLE["tested"]
    assert printed("newest") == [TABLE["newest"]]
