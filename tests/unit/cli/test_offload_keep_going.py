"""``rawmm offload`` past records that it refuses, and without writing."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.store import ImageStore
from tests.unit.cli.test_process import each_on_terminal
from tests.unit.images.pictures import chat_request, picture, url_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

BROKEN = "data:image/png;base64,aGVs*bG8="


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Of six records, the second, fourth and sixth cannot be offloaded."""
    lines = [
        json.dumps(chat_request(url_of(seed=1))),
        json.dumps(chat_request(url_of(seed=2), BROKEN), indent=None, separators=(" , ", " : ")),
        json.dumps(chat_request(url_of(seed=1), url_of(seed=3))),
        '{"messages": [',
        json.dumps(chat_request()),
        json.dumps(chat_request("https://example.com/a.png")),
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("target", ["out.jsonl", "out.msgpack"])
def test_good_records_are_written_and_the_refused_ones_with_their_errors(
    rawmm: Run, source: Path, tmp_path: Path, target: str
) -> None:
    out, images = tmp_path / target, tmp_path / "images"
    code, stdout, err = rawmm("offload", source, "-o", out, "--image-dir", images, "--keep-going")
    assert (code, stdout) == (1, "")
    *errors, summary = err.splitlines()
    assert [line.split("::")[0] for line in errors] == [
        f"{source}:2", f"{source}:4:15", f"{source}:6",
    ]  # fmt: skip
    assert summary.startswith("3 records, 3 images seen, 2 stored, 1 deduplicated, ")
    assert summary.endswith(f", 3 refused (in {out}.refused.jsonl)")
    kept = (
        [json.loads(line) for line in out.read_text().splitlines()]
        if target.endswith("jsonl")
        else list(_documents(out.read_bytes()))
    )
    assert [len(one["messages"][0]["content"]) for one in kept] == [1, 2, 0]
    assert len(list(images.iterdir())) == 2  # nothing of a refused record is stored
    refused = [
        json.loads(line) for line in (tmp_path / f"{target}.refused.jsonl").read_text().splitlines()
    ]
    lines = source.read_bytes().splitlines(keepends=True)
    assert [one["line"] for one in refused] == [2, 4, 6]
    assert [one["code"] for one in refused] == ["bad_base64", "malformed", "bad_locator"]
    assert refused[0]["path"] == "$.messages[0].content[1].image_url.url"
    assert refused[0]["record"] == json.loads(lines[1])
    assert base64.b64decode(refused[1]["bytes"]) == lines[3]
    assert "aGVs" not in refused[0]["message"]


def _documents(data: bytes) -> Any:
    decoder = __import__("msgpack").Unpacker()
    decoder.feed(data)
    return decoder


def test_refused_records_can_be_mended_and_offloaded(
    rawmm: Run, source: Path, tmp_path: Path
) -> None:
    refused = tmp_path / "refused.jsonl"
    argv = ("-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "i", "--keep-going")
    assert rawmm("offload", source, *argv, "--refused", refused).code == 1
    record = json.loads(refused.read_text().splitlines()[0])["record"]
    record["messages"][0]["content"].pop()
    source.write_text(json.dumps(record) + "\n")
    assert rawmm("offload", source, *argv, "--refused", tmp_path / "none.jsonl").code == 0
    assert not (tmp_path / "none.jsonl").exists()


def test_messagepack_record_is_kept_as_its_bytes(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.msgpack"
    bad = msgspec.msgpack.encode(chat_request(BROKEN))
    source.write_bytes(msgspec.msgpack.encode(chat_request(url_of())) + bad)
    argv = ("-o", tmp_path / "out.msgpack", "--image-dir", tmp_path / "i", "--keep-going")
    assert rawmm("offload", source, *argv).code == 1
    (refused,) = map(json.loads, (tmp_path / "out.msgpack.refused.jsonl").read_text().splitlines())
    assert base64.b64decode(refused["bytes"]) == bad


def test_listed_errors_are_limited_and_the_file_has_all(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f"{json.dumps(chat_request(BROKEN))}\n" * 30)
    argv = ("-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "i", "--keep-going")
    done = rawmm("offload", source, *argv)
    assert done.err.count("[bad_base64]") == 20
    assert "… 10 more refused (--max-errors 0 lists all)" in done.err
    assert (tmp_path / "out.jsonl.refused.jsonl").read_text().count("\n") == 30
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_damaged_file_or_full_store_stops_all_the_same(
    rawmm: Run, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    argv = ("-o", out, "--image-dir", tmp_path / "i", "--keep-going")
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(__import__("gzip").compress(source.read_bytes())[:-4])
    code, _, err = rawmm("offload", packed, *argv)
    assert code == 1
    assert "cut off after" in err
    assert not out.exists()
    assert not (tmp_path / "out.jsonl.refused.jsonl").exists()


def test_dry_run_writes_nothing_and_counts_the_same(
    rawmm: Run, source: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    images, out = tmp_path / "images", tmp_path / "out.jsonl"
    code, stdout, err = rawmm("offload", source, "--dry-run", "--image-dir", images)
    assert (code, stdout) == (1, "")
    assert sorted(tmp_path.rglob("*")) == before
    *errors, summary = err.splitlines()
    assert len(errors) == 3
    assert summary.startswith("dry run: 3 records, 3 images seen, 2 to be stored (")
    assert summary.endswith(", 3 refused")
    rawmm("offload", source, "-o", out, "--image-dir", images, "--keep-going")
    again = rawmm("offload", source, "-o", out, "--dry-run", "--image-dir", images)
    assert "0 to be stored (0 bytes)" in again.err
    assert out.stat().st_size


@pytest.mark.parametrize("place", ["image directory", "memory"])
def test_dry_run_with_a_folder_or_a_store_makes_neither(
    rawmm: Run, source: Path, tmp_path: Path, place: str
) -> None:
    source.write_text(source.read_text().splitlines()[0] + "\n")
    target = "memory://bucket/dry" if place == "memory" else tmp_path / "new"
    done = rawmm("offload", tmp_path, "--dry-run", "--image-dir", target)
    assert done.code == 0
    assert done.err.startswith("dry run: 1 record, 1 image seen, 1 to be stored (")
    assert not (tmp_path / "new").exists()


def test_dry_run_knows_images_of_other_directories(rawmm: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(chat_request(url_of())))
    assert rawmm("offload", source, "-o", out, "--image-dir", tmp_path / "a").code == 0
    done = rawmm("offload", out, "--dry-run", "--image-dir", tmp_path / "b")
    assert done.code == 0, done.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give --output, or --dry-run"),
        (("-o", "x.jsonl", "--refused", "y.jsonl"), "--refused is for --keep-going"),
        (("-o", "-", "--keep-going"), "give --refused"),
        (("-o", "x.jsonl", "--keep-going", "--refused", "x.jsonl"), "another file than IN and OUT"),
        (("-o", "x.jsonl", "--keep-going", "--refused", "./IN"), "another file than IN and OUT"),
        (("--dry-run", "--max-errors", "-1"), "--max-errors takes 0"),
    ],
)
def test_wrong_options_are_refused(
    rawmm: Run, source: Path, options: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    argv = [word.replace("IN", source.name) for word in options]
    code, _, err = rawmm("offload", source.name, "--image-dir", "i", *argv)
    assert code == 2
    assert says in err


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_summary_on_a_terminal_counts_what_was_refused_damaged_and_left(tmp_path: Path) -> None:
    images = tmp_path / "images"
    body = chat_request(url_of())
    told = {"messages": [{"role": "user", "content": "see data:image/png;base64,AAAA"}]}
    for name in ("a", "b"):
        lines = [json.dumps(body), json.dumps(told), '{"messages": 1'] if name == "a" else []
        path = tmp_path / "in" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([*lines, json.dumps(body)]) + "\n")
    damaged = ImageStore(images).put(picture())
    damaged.path.write_bytes(b"damaged")
    argv = ["offload", str(tmp_path / "in" / "a.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    argv += ["--image-dir", str(images), "--keep-going"]
    many = ["offload", str(tmp_path / "in" / "b*.jsonl"), "-o", str(tmp_path / "many"), "--jobs=1"]
    many += ["--image-dir", str(images)]
    shown, shown_of_many = map(rows, each_on_terminal([argv, many], {"COLUMNS": "200"}))
    assert ["refused", "1", str(tmp_path / "out.jsonl.refused.jsonl")] in shown
    assert ["damaged,", "replaced", "1"] in shown
    assert ["data", "URLs", "in", "text", "1"] in shown
    assert ["files", "1", "1", "file"] in shown_of_many
    assert ["deduplicated", "1"] in shown_of_many


def rows(shown: str) -> list[list[str]]:
    """The words of each line, without colours."""
    return [line.split() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()]


def test_refused_document_of_a_folder_does_not_stop_the_others(rawmm: Run, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name, url in (("a", url_of()), ("b", BROKEN), ("c", url_of())):
        (folder / f"{name}.json").write_text(json.dumps(chat_request(url)))
    argv = ("-o", out, "--image-dir", tmp_path / "i", "--keep-going")
    code, _, err = rawmm("offload", folder, *argv)
    assert code == 1
    assert err.splitlines()[-1].startswith("2 records, 2 images seen, 1 stored")
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "c.json"]
    (refused,) = map(json.loads, (tmp_path / "out.refused.jsonl").read_text().splitlines())
    assert refused["record"] == chat_request(BROKEN)
    (out / "b.json").write_text("as it was")
    assert rawmm("offload", folder / "b.json", "-o", out / "b.json", *argv[2:]).code == 1
    assert (out / "b.json").read_text() == "as it was"


def test_refused_records_save_nothing(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f"{json.dumps(chat_request(BROKEN))}\n" * 3)
    argv = ("-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "i", "--keep-going")
    assert ", nothing saved, 3 refused" in rawmm("offload", source, *argv).err


@pytest.mark.parametrize("given", [True, False])
def test_refused_records_never_replace_a_file_that_is_read(
    rawmm: Run, tmp_path: Path, *, given: bool
) -> None:
    source = tmp_path / "in" / "out.jsonl.refused.jsonl"
    source.parent.mkdir()
    text = f"{json.dumps(chat_request(BROKEN))}\n"
    source.write_text(text)
    argv = ["-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "i", "--keep-going"]
    if given:
        argv = ["-o", tmp_path / "out", *argv[2:], "--refused", source]
        names = source.parent
    else:
        names = source.rename(tmp_path / source.name)
        source = names
    code, _, err = rawmm("offload", names, *argv)
    assert code == 2
    assert err.startswith("rawmm: --refused names ")
    assert source.read_text() == text


def test_refused_records_go_to_standard_output_or_to_json_lines(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f"{json.dumps(chat_request(BROKEN))}\n")
    argv = ("--image-dir", tmp_path / "i", "--keep-going", "--refused")
    code, out, err = rawmm("offload", source, "-o", tmp_path / "out.jsonl", *argv, "-")
    assert (code, json.loads(out)["record"]) == (1, chat_request(BROKEN))
    assert err.endswith(", 1 refused (in standard output)\n")
    for name, output in (("-", "-"), ("r.parquet", "o.jsonl"), ("r.msgpack.gz", "o.jsonl")):
        code, out, err = rawmm(
            "offload", source, "-o", output, "--output-format", "jsonl", *argv, name
        )
        assert (code, out) == (2, "")
        assert err.startswith("rawmm: --refused "), err
