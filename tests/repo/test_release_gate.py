"""The schemas are compatible with their releases, and a change that is not is refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codegen import gate

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    # Only the last release, so that a test takes a second.
    folder = tmp_path / "schemas/released"
    lock = json.loads((folder / "LOCK.json").read_text("utf-8"))
    last = list(lock)[-1]
    for version in lock:
        if version != last:
            (folder / f"{version}.json").unlink()
    (folder / "LOCK.json").write_text(json.dumps({last: lock[last]}), "utf-8")
    (tmp_path / gate.WAIVERS).write_text('{"waivers": []}', "utf-8")
    return tmp_path


def change(tree: Path, file: str, edit: Callable[[Any], None]) -> None:
    path = tree / "schemas" / file
    data = json.loads(path.read_text("utf-8"))
    edit(data)
    path.write_text(json.dumps(data), "utf-8")


def set_version(tree: Path, version: str) -> None:
    change(
        tree, "v1/annotations.json", lambda notes: notes[""].update({"x-rawmm-version": version})
    )


def require_mask(data: Any) -> None:
    data["$defs"]["MessageNode"].setdefault("required", []).append("mask")


def narrow_hash(data: Any) -> None:
    data["$defs"]["ImageHash"]["pattern"] = "^[0-8a-f]{32}$"


def add_field(data: Any) -> None:
    data["$defs"]["PlaceholderRange"]["properties"]["note"] = {"type": "string", "description": "d"}


@pytest.mark.slow  # `codegen --check` asks the same
def test_schemas_are_compatible_with_their_releases() -> None:
    assert gate.problems(ROOT) == []


def test_field_that_becomes_required_is_refused_with_a_counterexample(tree: Path) -> None:
    change(tree, "v1/trace.schema.json", require_mask)
    found = gate.problems(tree)
    line = next(one for one in found if "[required_property_added]" in one)
    assert line.startswith("#/$defs/MessageNode/required: breaks ")
    assert "MessageNode accepted {" in line
    assert '"mask"' not in line.partition("accepted")[2]


def test_narrower_hash_is_refused_with_a_counterexample(tree: Path) -> None:
    change(tree, "v1/common.schema.json", narrow_hash)
    line = next(one for one in gate.problems(tree) if "[pattern_" in one)
    assert line.startswith("#/$defs/ImageHash/pattern: breaks ")
    assert "ImageHash accepted " in line


def test_optional_field_is_told_to_raise_the_minor_version(tree: Path) -> None:
    change(tree, "v1/sidecar.schema.json", add_field)
    (line,) = gate.problems(tree)
    assert "is compatible, and accepts more" in line
    assert "raise x-rawmm-version to 1." in line


@pytest.mark.slow
def test_optional_field_passes_with_a_higher_version_and_an_entry(tree: Path) -> None:
    change(tree, "v1/sidecar.schema.json", add_field)
    set_version(tree, "1.99")
    (line,) = gate.problems(tree)
    assert line == "CHANGELOG.md: name what is new in contract 1.99 under Added or Changed"
    log = tree / "CHANGELOG.md"
    text = log.read_text("utf-8")
    log.write_text(
        text.replace("### Added\n", "### Added\n\n- A note (contract 1.99).\n", 1), "utf-8"
    )
    assert gate.problems(tree) == []


def test_version_without_a_change_is_refused(tree: Path) -> None:
    set_version(tree, "1.99")
    assert any("need not be 1.99" in one for one in gate.problems(tree))


def test_edited_release_is_refused_even_with_its_lock(tree: Path) -> None:
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
        subprocess.run(command, cwd=tree, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "release")
    assert gate.problems(tree) == []
    (path,) = (tree / "schemas/released").glob("1.*.json")
    path.write_text(path.read_text("utf-8") + " ", "utf-8")
    found = gate.problems(tree)
    assert f"schemas/released/{path.name} differs from the revision that released it" in found
    assert f"schemas/released: {path.name} changed after its release" in found


def waiver(**changes: str) -> dict[str, str]:
    last = list(json.loads((ROOT / "schemas/released/LOCK.json").read_text("utf-8")))[-1]
    fields = {
        "from": last, "to": last, "pointer": "#/$defs/MessageNode/required",
        "rule": "required_property_added", "reason": "why", "expires": "2.0",
    }  # fmt: skip
    return fields | changes


@pytest.mark.slow
def test_waiver_excuses_its_difference(tree: Path) -> None:
    change(tree, "v1/trace.schema.json", require_mask)
    (tree / gate.WAIVERS).write_text(json.dumps({"waivers": [waiver()]}), "utf-8")
    found = gate.problems(tree, dt.date(2026, 11, 28))
    assert not any("[required_property_added]" in line or "waiver" in line for line in found)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (waiver(), "waiver not used: required_property_added at #/$defs/MessageNode/required"),
        (waiver(expires="2026-11-28"), "waiver expired"),
        (waiver(expires="1.0"), "waiver expired"),
        (waiver(reason=" "), "a waiver has"),
        (waiver(expires="soon"), "expires is a date or a version"),
    ],
)
def test_waiver_needs_use_reason_and_time(tree: Path, one: dict[str, str], text: str) -> None:
    (tree / gate.WAIVERS).write_text(json.dumps({"waivers": [one]}), "utf-8")
    found = gate.problems(tree, dt.date(2026, 11, 28))
    assert any(text in line for line in found), found


@pytest.mark.parametrize(
    ("one", "expired"),
    [
        (waiver(expires="2026-11-29"), False),
        (waiver(expires="2026-11-28"), True),
        (waiver(expires="1.3"), False),
        (waiver(expires="1.2"), True),
        (waiver(expires="1.10"), False),
    ],
)
def test_waiver_expires_at_its_date_or_version(one: dict[str, str], expired: bool) -> None:  # noqa: FBT001
    fields = {"from_" if key == "from" else key: value for key, value in one.items()}
    assert gate.Waiver(**fields).is_expired("1.2", dt.date(2026, 11, 28)) is expired
