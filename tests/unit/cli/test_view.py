"""The command `view`."""

from __future__ import annotations

import json
import os
import shutil
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import ImageStore
from rawmm.cli import main
from rawmm.cli.commands.check import Checker
from tests.cases import each
from tests.unit.images.pictures import picture
from tests.unit.view.records import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FLOW = Path(__file__).parents[2] / "data" / "wire" / "flow-0.4.0"


def read(path: Path) -> Reader:
    return Reader(path.read_text("utf-8"))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_example_becomes_a_page_beside_the_working_directory(
    rawmm: Run, examples: Path, tmp_path: Path
) -> None:
    done = rawmm("view", examples / "trace.json")
    assert (done.code, done.out) == (0, "")
    assert "1 record, 12 messages, 4 different images, no violations" in done.err
    page = read(tmp_path / "trace.html")
    (record,) = page.index["records"]
    assert (record["nodes"], record["images"], record["errors"]) == (12, 4, 0)


def test_only_a_page_is_replaced_without_output(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    assert rawmm("view", examples / "trace.json").code == 0
    assert rawmm("view", examples / "trace.json").code == 0
    (tmp_path / "trace.html").write_text("mine")
    done = rawmm("view", examples / "trace.json")
    assert done.code == 2
    assert "give --output" in done.err
    assert (tmp_path / "trace.html").read_text() == "mine"


def test_page_of_a_folder_has_its_name(
    rawmm: Run, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rollouts"
    folder.mkdir()
    shutil.copy(examples / "trace.json", folder)
    monkeypatch.chdir(folder)
    assert rawmm("view", ".").code == 0
    assert [file.name for file in folder.glob("*html")] == ["rollouts.html"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_other_kinds_of_files_are_not_replaced_without_output(
    rawmm: Run, examples: Path, make: Callable[[str], None]
) -> None:
    make("trace.html")
    done = rawmm("view", examples / "trace.json")
    assert done.code == 2
    assert "exists and is no page of rawmm view; give --output" in done.err


def test_page_is_written_to_standard_output(
    examples: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["view", str(examples / "trace.json"), "-o", "-"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"<!doctype html>")


@each(
    "name", ["bad_locator", "count_mismatch", "malformed", "parent_order", "placeholder_order",
             "processed_payload", "stream_length", "unsupported_version"],
)  # fmt: skip
def test_broken_example_is_shown_with_its_code(name: str) -> None:
    file = Path(__file__).parents[3] / "examples" / "broken" / f"{name}.json"
    assert main(["view", str(file)]) == 0
    page = read(Path(f"{name}.html"))
    assert page.index["records"][0]["codes"] == [name]
    (error,) = page.json("r0")["sides"][0]["errors"]
    assert error["node"] == (None if name == "malformed" else 0)


def test_every_record_of_every_file_is_in_the_list(rawmm: Run, examples: Path) -> None:
    done = rawmm("view", examples / "rollout.jsonl", examples / "nodes.json", "-o", "page.html")
    assert "6 records" in done.err
    page = read(Path("page.html"))
    assert [record["line"] for record in page.index["records"]] == [1, 2, 3, 4, 5, None]
    assert len(page.index["images"]) == 4


def test_records_over_the_limit_are_counted(rawmm: Run, examples: Path) -> None:
    done = rawmm("view", examples / "rollout.jsonl", "--max-records", "2")
    assert "3 more" in done.err
    assert read(Path("rollout.html")).index["leftOut"] == 3
    rawmm("view", examples / "rollout.jsonl", "--max-records", "0")
    assert len(read(Path("rollout.html")).index["records"]) == 5


def test_records_over_the_limit_are_not_checked(
    rawmm: Run, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []
    findings = Checker.findings

    def counted(self: Checker, record: Any, form: Any) -> Any:
        checked.append(record)
        return findings(self, record, form)

    monkeypatch.setattr(Checker, "findings", counted)
    rawmm("view", examples / "rollout.jsonl", "--max-records", "2")
    assert len(checked) == 2


def test_traces_of_an_episode_over_the_limit_are_counted(rawmm: Run) -> None:
    nodes = [{"message": {"role": "user", "content": "a"}}]
    Path("episode.json").write_text(json.dumps({"traces": [{"nodes": nodes}] * 5}), "utf-8")
    done = rawmm("view", "episode.json", "--max-records", "3")
    assert "2 more" in done.err
    index = read(Path("episode.html")).index
    assert (len(index["records"]), index["leftOut"]) == (3, 2)
    Path("more.json").write_text("{", "utf-8")
    done = rawmm("view", "episode.json", "more.json", "--max-records", "3")
    assert "3 more" in done.err
    done = rawmm("view", "episode.json", "--compare", "more.json", "--max-records", "3")
    assert "2 more" in done.err


def test_stored_images_are_read_from_the_directory(rawmm: Run) -> None:
    file = FLOW / "offloaded.trace.json"
    rawmm("view", file, "-o", "without.html")
    assert not read(Path("without.html")).index["images"]
    done = rawmm("view", file, "--image-dir", FLOW / "images", "-o", "with.html")
    assert "no violations" in done.err
    assert len(read(Path("with.html")).index["images"]) == 3


def test_changed_image_is_a_violation(rawmm: Run, tmp_path: Path) -> None:
    images = shutil.copytree(FLOW / "images", tmp_path / "images")
    changed = min(images.iterdir())
    changed.write_bytes(picture(seed=5))
    done = rawmm("view", FLOW / "offloaded.trace.json", "--image-dir", images, "-o", "page.html")
    assert done.code == 0
    assert read(Path("page.html")).index["records"][0]["codes"] == ["hash_mismatch"]


def test_messagepack_is_shown(rawmm: Run) -> None:
    rawmm("view", FLOW.parent / "envelope_v1" / "nodes.msgpack")
    assert read(Path("nodes.html")).index["records"][0]["nodes"]


def test_two_files_are_compared(rawmm: Run) -> None:
    done = rawmm("view", FLOW / "inline.trace.json", "--compare", FLOW / "offloaded.trace.json",
                 "--image-dir", FLOW / "images", "-o", "page.html")  # fmt: skip
    assert done.code == 0
    page = read(Path("page.html"))
    assert page.index["compare"]
    found = page.json("r0")["differences"]
    assert sum(one["moved"] for one in found["list"]) == 3
    assert found["list"][found["first"]]["path"] == "$.id"


def test_record_without_a_counterpart_is_compared_with_nothing(
    rawmm: Run, examples: Path, tmp_path: Path
) -> None:
    lines = (examples / "rollout.jsonl").read_text("utf-8").splitlines(keepends=True)
    short = tmp_path / "short.jsonl"
    short.write_text("".join(lines[:3]), "utf-8")
    rawmm("view", examples / "rollout.jsonl", "--compare", short, "-o", "page.html")
    records = read(Path("page.html")).index["records"]
    assert [record["differs"] for record in records] == [False] * 3 + [True] * 2


def test_layout_gives_accounts(rawmm: Run) -> None:
    file = FLOW / "inline.trace.json"
    rawmm("view", file, "--layout", "qwen_vl,patch_size=16", "-o", "page.html")
    (item,) = read(Path("page.html")).nodes()[0]["items"]
    assert item["account"]["family"] == "qwen_vl"


def test_page_is_opened_by_its_url(
    rawmm: Run, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    rawmm("view", examples / "trace.json", "--open", "-o", "a b.html")
    assert opened == [(tmp_path / "a b.html").as_uri()]


def test_wrong_usage_is_refused(rawmm: Run, examples: Path) -> None:
    trace: Any = examples / "trace.json"
    for words in (
        [],
        ["-"],
        ["missing.json"],
        [trace, trace, "--compare", trace],
        [trace, "--image-megabytes", "-1"],
        [trace, "--max-records", "-1"],
        [trace, "--layout", "none"],
        [trace, "--type", "none"],
        [trace, "--image-dir", ""],
        [trace, "-o", "."],
    ):
        done = rawmm("view", *words)
        assert done.code == 2, words
        assert done.err.startswith("rawmm: "), words
    assert not list(Path().glob("*.html"))


def test_empty_file_has_a_page(rawmm: Run) -> None:
    Path("none.jsonl").write_text("")
    assert rawmm("view", "none.jsonl").code == 0
    assert read(Path("none.html")).index["records"] == []
    Path("none.json").write_text("")
    assert "1 violation" in rawmm("view", "none.json", "-o", "x.html").err


def test_page_has_no_path_of_an_image_that_was_not_read(rawmm: Run, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    stored = store.put(picture())
    part = {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}
    record = {"nodes": [{"message": {"role": "user", "content": [part]}}]}
    Path("a.json").write_text(json.dumps(record))
    rawmm("view", "a.json", "--image-dir", stored.path.parent)
    page = read(Path("a.html"))
    assert not page.index["images"]
    assert page.index["records"][0]["codes"] == ["path_escape"]


def test_folder_pattern_and_table_are_shown_as_in_other_commands(
    rawmm: Run, examples: Path
) -> None:
    folder = shutil.copytree(examples, "run", ignore=shutil.ignore_patterns("broken"))
    assert rawmm("view", folder).err.startswith("run.html: 7 records")
    assert rawmm("view", "run/*.json").err.startswith("nodes.html: 2 records")
    table = Path("trace.parquet")
    assert rawmm("convert", "run/trace.json", "-o", table).code == 0
    done = rawmm("view", table, "--column", "record", "--input-format", "parquet")
    assert done.err.startswith("trace.html: 1 record")
    assert rawmm("view", table, "--column", "other", "-o", "x.html").code == 2


@each("name", ["trace.json", "nodes.json", "link.json", "./trace.json"])
def test_page_never_replaces_a_file_that_is_read(rawmm: Run, examples: Path, name: str) -> None:
    for file in ("trace.json", "nodes.json"):
        shutil.copy(examples / file, file)
    Path("link.json").unlink(missing_ok=True)
    Path("link.json").symlink_to("nodes.json")
    done = rawmm("view", "trace.json", "--compare", "nodes.json", "-o", name)
    assert done.code == 2
    assert done.err.startswith("rawmm: --output names ")
    for file in ("trace.json", "nodes.json"):
        assert Path(file).read_bytes() == (examples / file).read_bytes()


@each("megabytes", ["nan", "inf", "-inf"])
def test_megabytes_that_are_no_size_are_wrong_usage(
    rawmm: Run, examples: Path, megabytes: str
) -> None:
    done = rawmm("view", examples / "trace.json", f"--image-megabytes={megabytes}")
    assert done.code == 2
    assert "take 0 or a positive number" in done.err


def test_empty_name_of_a_page_is_wrong_usage(rawmm: Run, examples: Path) -> None:
    assert "is empty" in rawmm("view", examples / "trace.json", "-o", "").err


@each("name", ["folder", "file.zip"])
def test_bundle_has_the_violations_that_check_reports(
    rawmm: Run, examples: Path, name: str
) -> None:
    rawmm("offload", examples / "rollout.jsonl", "-o", "a.jsonl", "--image-dir", "images")
    assert rawmm("bundle", "a.jsonl", "-o", name).code == 0
    assert rawmm("check", name).code == 0
    assert "no violations" in rawmm("view", name, "-o", "page.html").err


def test_changed_image_of_a_bundle_is_one_violation(rawmm: Run) -> None:
    rawmm("bundle", FLOW / "offloaded.trace.json", "-o", "b", "--image-dir", FLOW / "images")
    before = rawmm("view", "b", "-o", "page.html").err
    assert "no violations" in before
    image = min(Path("b/images").iterdir())
    image.write_bytes(image.read_bytes()[:-1] + b"?")
    assert rawmm("check", "b").err.endswith("1 file, 1 record, 1 error\n")
    assert "1 violation" in rawmm("view", "b", "-o", "page.html").err
