"""Released bundles are locked, and the package has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import rawmm
from codegen import profile, released
from rawmm.model import schemas

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    return tmp_path


def test_package_has_the_released_bundles() -> None:
    assert schemas.released_versions()[:3] == ("1.0", "1.1", "1.2")
    assert list(released.texts(ROOT)) == list(schemas.released_versions())
    for version, text in released.texts(ROOT).items():
        assert schemas.released(version) == json.loads(text)
        assert schemas.released(version)["x-rawmm-version"] == version


def test_unreleased_version_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        schemas.released("0.9")


def test_edited_release_is_refused(tree: Path) -> None:
    path = tree / "schemas/released/1.0.json"
    path.write_text(path.read_text("utf-8").replace("255", "256") + "\n", "utf-8")
    with pytest.raises(profile.ProfileError, match=r"1\.0\.json changed after its release"):
        released.texts(tree)


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("1.0.json", "1.9.json", "1.9.json is not in LOCK.json"),
        ("1.0.json", None, "1.0.json is locked, but missing"),
    ],
)
def test_release_and_lock_must_agree(
    tree: Path, source: str, target: str | None, text: str
) -> None:
    folder = tree / "schemas/released"
    if target:
        shutil.copy(folder / source, folder / target)
    else:
        (folder / source).unlink()
    with pytest.raises(profile.ProfileError, match=text):
        released.texts(tree)


def test_released_version_is_not_released_again(tree: Path) -> None:
    with pytest.raises(profile.ProfileError, match="raise x-rawmm-version"):
        released.release(tree)


def test_release_adds_the_working_bundle(tree: Path) -> None:
    path = tree / "schemas/v1/annotations.json"
    text = path.read_text("utf-8")
    current = f'"x-rawmm-version": "{rawmm.SCHEMA_VERSION}"'
    assert current in text
    path.write_text(text.replace(current, '"x-rawmm-version": "1.10"'), "utf-8")
    before = released.texts(tree)
    assert released.release(tree).name == "1.10.json"
    after = released.texts(tree)
    assert list(after) == [*before, "1.10"]
    assert json.loads(after["1.10"])["x-rawmm-version"] == "1.10"
    assert {version: after[version] for version in before} == before


@pytest.mark.parametrize("version", ["1", "1.0.0", "01.0", "1.x", ""])
def test_bad_version_is_refused(version: str) -> None:
    with pytest.raises(profile.ProfileError, match=r"major\.minor"):
        released.number(version)
