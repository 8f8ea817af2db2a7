"""`rawmm fsck`: its findings, formats and exit codes."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.store import ImageStore
from tests.unit.cli.test_process import each_on_terminal
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory with a valid image, a corrupt one, a stale file and a foreign file, and records."""
    store = ImageStore(tmp_path / "images", durable=False)
    good, bad = store.put(picture()), store.put(picture(seed=1))
    bad.path.write_bytes(b"x")
    stale = store.root / f".tmp-9999999999-1-{'0' * 16}"
    stale.write_bytes(b"")
    os.utime(stale, (0, 0))
    (store.root / "notes.txt").write_text("x")
    refs = tmp_path / "refs.jsonl"
    missing = f"file://{store.root}/{'a' * 64}.png"
    refs.write_text(f"{json.dumps([good.uri])}\n\n{json.dumps({'url': missing})}\n")
    return store.root


def test_every_finding_is_a_line(rawmm: Run, images: Path) -> None:
    refs = images.with_name("refs.jsonl")
    code, out, err = rawmm("fsck", images, "--refs", refs)
    assert code == 1
    lines = out.splitlines()
    assert [re.search(r"\[(\w+)\]$", line)[1] for line in lines] == [  # type: ignore[index]
        "stale_file", "missing_image", "hash_mismatch", "unreferenced_image", "foreign_file",
    ]  # fmt: skip
    assert lines[1].startswith(
        f"{refs}:3::$.url: expected an image in '{images}', got no file named "
    )
    assert lines[2].startswith(f"{images}/")
    assert err == "2 images: 1 missing, 1 corrupt, 1 orphaned, 1 stale, 1 foreign\n"


def test_missing_and_orphaned_images_need_records(rawmm: Run, images: Path) -> None:
    code, out, err = rawmm("fsck", images)
    assert code == 1
    assert len(out.splitlines()) == 3
    assert err == (
        "2 images: 1 corrupt, 1 stale, 1 foreign; missing and orphaned images were not checked "
        "(give --refs)\n"
    )


def test_findings_that_only_cost_space_are_exit_code_0(rawmm: Run, images: Path) -> None:
    assert rawmm("fsck", images, "--quarantine").code == 1
    code, out, err = rawmm("fsck", images, "--repair")
    assert code == 0
    assert "removed [stale_file]" in out
    assert err.startswith("1 image: no corrupt, 1 stale, 2 foreign, 1 repaired; missing and ")
    assert rawmm("fsck", images).err.startswith("1 image: no corrupt, no stale, 2 foreign; ")


def test_json_and_github_reports_list_findings(rawmm: Run, images: Path) -> None:
    refs = images.with_name("refs.jsonl")
    out = rawmm("fsck", images, "--refs", refs, "--format", "json").out
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 5
    for one in found:
        assert list(one) == [
            "file", "line", "column", "path", "code", "message", "expected", "got", "hint", "level",
        ]  # fmt: skip
    assert (found[1]["file"], found[1]["line"]) == (str(refs), 3)
    lines = rawmm("fsck", images, "--refs", refs, "--format", "github").out.splitlines()
    levels = [line.split()[0] for line in lines]
    assert levels == ["::notice", "::error", "::error", "::notice", "::notice"]


def test_findings_over_the_limit_are_counted(rawmm: Run, images: Path) -> None:
    code, out, err = rawmm("fsck", images, "--max-errors", "1")
    assert (code, len(out.splitlines())) == (1, 1)
    assert err.startswith("… 2 more")
    assert rawmm("fsck", images, "--max-errors", "-1").code == 2


def test_unreadable_input_is_reported(rawmm: Run, images: Path, tmp_path: Path) -> None:
    code, out, err = rawmm("fsck", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "a directory that does not exist" in err
    assert rawmm("fsck", images, "--refs", tmp_path / "no.json").code == 2
    assert rawmm("fsck").code == 2
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{}\n{"a": \n')
    code, _, err = rawmm("fsck", images, "--refs", broken)
    assert code == 1
    assert err.startswith(f"{broken}:2:6::$: ")
    assert err.endswith("[malformed]\n")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_terminal_gets_a_table(images: Path) -> None:
    refs = ["--refs", str(images.with_name("refs.jsonl"))]
    commands = [["fsck", str(images)], ["fsck", str(images), *refs, "--quarantine", "--repair"]]
    alone, with_records = each_on_terminal(commands, {"COLUMNS": "200"})
    assert "\x1b[" in alone
    rows = rows_of(alone)
    assert ["images", "2"] in rows
    assert ["corrupt", "1"] in rows
    assert not [row for row in rows if row[:1] in (["outside"], ["repaired"])]
    rows = rows_of(with_records)
    assert ["references", "2"] in rows
    assert ["missing", "1"] in rows
    assert ["outside", "0"] in rows
    assert ["repaired", "2"] in rows


def rows_of(shown: str) -> list[list[str]]:
    """The first two words of each line."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    return [line.split()[:2] for line in plain.splitlines()]


def test_references_to_another_directory_are_counted_and_named(
    rawmm: Run, tmp_path: Path, examples: Path
) -> None:
    records, empty = tmp_path / "out.jsonl", tmp_path / "empty"
    empty.mkdir()
    images = tmp_path / "images"
    rawmm("offload", examples / "rollout.jsonl", "-o", records, "--image-dir", images)
    code, out, err = rawmm("fsck", empty, "--refs", records)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == len(list(images.iterdir())) == 4
    for line in lines:
        assert f"got '{images}/" in line
        assert line.endswith("it was not checked [path_escape]")
    assert err == (
        "no images: no missing, no corrupt, no orphaned, no stale, no foreign; "
        "14 of 14 references refer to images elsewhere, not checked\n"
    )
    levels = rawmm("fsck", empty, "--refs", records, "--format", "github").out.splitlines()
    assert {line.split()[0] for line in levels} == {"::notice"}


@pytest.mark.parametrize("command", ["fsck", "gc"])
def test_refs_without_a_file_is_wrong_usage(rawmm: Run, images: Path, command: str) -> None:
    before = sorted(images.iterdir())
    for argv in (
        ["--refs"],
        ["--refs", "--allow-empty"] if command == "gc" else ["--refs", "--repair"],
    ):
        code, out, err = rawmm(command, images, *argv)
        assert (code, out) == (2, "")
        assert err.startswith("rawmm: --refs takes one or more files")
    assert sorted(images.iterdir()) == before


@pytest.mark.parametrize("command", ["fsck", "gc"])
def test_empty_name_is_wrong_usage(rawmm: Run, images: Path, command: str) -> None:
    refs = images.with_name("refs.jsonl")
    for argv in (("", "--refs", refs), (images, "--refs", "")):
        code, _, err = rawmm(command, *argv)
        assert code == 2
        assert " is empty; " in err
