"""What an argument may name: files, folders, patterns, and files of other programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.cli.records import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

WIRE = Path(__file__).resolve().parents[2] / "data" / "wire" / "trainer"
SAMPLES = [
    msgspec.msgpack.decode((WIRE / f"training_sample.{form}.msgpack").read_bytes())
    for form in ("image_refs", "descriptor_and_uris")
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with records at three depths, and with other files."""
    root = tmp_path / "run"
    for name in ("a.jsonl", "step_1/b.jsonl", "step_1/deep/c.msgpack", ".hidden/d.jsonl"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        record: dict[str, list[Any]] = {"nodes": []}
        path.write_bytes(
            msgspec.msgpack.encode(record)
            if name.endswith("msgpack")
            else msgspec.json.encode(record) + b"\n"
        )
    (root / "log.txt").write_text("text")
    (root / ".e.jsonl").write_text("hidden")
    (root / "loop").symlink_to(root)
    return root


def test_folder_names_its_files_of_records(rawmm: Run, run: Path) -> None:
    assert rawmm("check", run) == (0, "", "3 files, 3 records, no errors\n")
    assert rawmm("check", run, run / "a.jsonl").err == "4 files, 4 records, no errors\n"
    (run / "images").mkdir()
    assert rawmm("fsck", run / "images", "--refs", run).code == 0


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*.jsonl", "1 file, 1"),
        ("**/*.jsonl", "2 files, 2"),
        ("step_?/*", "1 file, 1"),
        ("[a]*", "1 file, 1"),
    ],
)
def test_pattern_names_what_matches(rawmm: Run, run: Path, pattern: str, count: str) -> None:
    assert (
        rawmm("check", run / pattern).err == f"{count} record{'s' * (count[-1] > '1')}, no errors\n"
    )


def test_pattern_is_relative_to_the_working_folder(
    rawmm: Run, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert rawmm("convert", "**/*.jsonl", "-o", "out").code == 0
    assert sorted(path.name for path in (run / "out").rglob("*.jsonl")) == ["a.jsonl", "b.jsonl"]


def test_file_whose_name_looks_like_a_pattern_is_a_file(rawmm: Run, run: Path) -> None:
    (run / "x[a].jsonl").write_text('{"nodes": []}\n')
    assert rawmm("check", run / "x[a].jsonl").err.startswith("1 file")


@pytest.mark.parametrize("name", ["empty", "no*.jsonl", "step_1/*.txt"])
def test_nothing_to_read_is_wrong_usage(rawmm: Run, run: Path, name: str) -> None:
    (run / "empty").mkdir()
    code, _, err = rawmm("check", run / name, run / "a.jsonl")
    assert code == 2
    assert "no file of records" in err
    assert err.endswith("2 files, 1 record, no errors, 1 unreadable\n")
    assert rawmm("gc", run / "images", "--refs", run / name).code == 2


@pytest.mark.parametrize("command", ["convert", "upgrade", "offload"])
def test_files_of_a_folder_are_written_to_a_folder(
    rawmm: Run, run: Path, tmp_path: Path, command: str
) -> None:
    more = ("--image-dir", tmp_path / "i") if command == "offload" else ()
    done = rawmm(command, run, "-o", tmp_path / "out", *more)
    assert done.code == 0
    assert done.err.startswith("3 records")
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.jsonl", "step_1/b.jsonl", "step_1/deep/c.msgpack"]
    for out in (tmp_path / "out.jsonl", "-", run / "a.jsonl"):
        code, _, err = rawmm(command, run, "-o", out, *more)
        assert code == 2
        assert "may name several files, so --output takes a folder" in err


def test_error_names_the_file_and_stops_before_it(rawmm: Run, run: Path, tmp_path: Path) -> None:
    (run / "b.jsonl").write_text('{"nodes": 1}\n')
    code, _, err = rawmm("convert", run, "-o", tmp_path / "out")
    assert code == 1
    assert err.startswith(f"{run / 'b.jsonl'}:1::$.nodes: ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jsonl"]


def test_micro_batches_of_a_rank_are_records(rawmm: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "rank_0.bin", tmp_path / "out" / "rank_0.bin"
    source.write_bytes(msgspec.msgpack.encode(SAMPLES * 2))
    assert rawmm("upgrade", source, "-o", out).err.startswith("4 records")
    read = msgspec.msgpack.decode(out.read_bytes())
    assert len(read) == 4
    assert read[0] == read[2] == SAMPLES[0]
    assert read[1] == read[3] != SAMPLES[1]
    with (tmp_path / "x.msgpack").open("wb") as stream:
        stream.writelines(map(msgspec.msgpack.encode, SAMPLES * 2))
    assert rawmm("upgrade", tmp_path / "x.msgpack", "-o", tmp_path / "rank_7.bin").code == 0
    assert (tmp_path / "rank_7.bin").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"input_ids": [1], "loss_mask": [True], "position_ids": [0]}, "this is a micro-batch"),
        ({"token_ids": [1], "mask": [True], "env_name": "e"}, "this is a training sample"),
    ],
)
def test_what_the_trainer_has_is_named_with_what_to_check(
    rawmm: Run, tmp_path: Path, record: dict[str, Any], says: str
) -> None:
    source = tmp_path / "rank_0.bin"
    source.write_bytes(msgspec.msgpack.encode([record]))
    code, out, _ = rawmm("check", source)
    assert code == 1
    assert f"{says}, which is no type of the contract; check the trace" in out
    assert "[unknown_type]" in out


@pytest.mark.parametrize("size", [0, 1, 15, 16, 70_000])
def test_list_of_any_length_is_split(size: int, tmp_path: Path) -> None:
    path = tmp_path / "rank_12.bin"
    path.write_bytes(msgspec.msgpack.encode([[n] for n in range(size)]))
    with path.open("rb") as file:
        source = Source(file, "x", "msgpack", listed=True)
        if not size:
            with pytest.raises(ValueError, match="nothing but blank lines"):
                list(source.records())
            return
        records = list(source.records())
    assert [record.line for record in records] == list(range(1, size + 1))
    assert [msgspec.msgpack.decode(record.data) for record in records] == [[n] for n in range(size)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x92\x91\x01",
        b"\x92\x91\x01\x91",
        b"\x91\x91\x01\x90",
        b"\x80",
        b"\x91\x01",
        b"\xdd\0",
        b"\xdc\0\x01",
    ],
)
def test_list_that_is_none_or_not_whole_is_refused(rawmm: Run, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "rank_0.bin"
    source.write_bytes(data)
    code, out, _ = rawmm("check", source, "--format", "json", "--type", "list[PlaceholderRange]")
    assert code == 1
    assert json.loads(out.splitlines()[-1])["code"] == "malformed"


def test_log_of_inspect_ai_is_named_with_what_to_do(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK\x03\x04")
    code, _, err = rawmm("check", path)
    assert code == 2
    assert "inspect_ai" in err
    assert "inspect log dump" in err
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": []}))
    code, out, _ = rawmm("check", log)
    assert code == 1
    assert "inspect_ai" in out
    assert "samples" in out


def test_chat_log_of_another_form_is_named_with_what_to_do(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"conversations": [{"from": "human", "value": "hi"}]}) + "\n")
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert "ShareGPT" in out
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}) + "\n")
    assert rawmm("check", path).code == 0


def test_pipe_in_a_folder_is_no_file_of_records(process: Callable[..., Any], run: Path) -> None:
    os.mkfifo(run / "pipe.jsonl")  # reading it would never end
    done = process("check", *(run / name for name in ("", "**/*.jsonl", "**", "*")), cwd=run)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"9 files, 9 records")


@pytest.mark.parametrize("name", ["", "*.jsonl", "**/*.jsonl", "dangling.jsonl"])
def test_broken_link_is_unreadable_however_it_is_named(rawmm: Run, run: Path, name: str) -> None:
    (run / "dangling.jsonl").symlink_to("nowhere")
    code, _, err = rawmm("check", run / name)
    assert code == 2
    assert "dangling.jsonl: cannot be read: no such file or directory" in err
    assert err.endswith("1 unreadable\n")


@pytest.mark.parametrize("name", ["", "**/*.jsonl", "**", "*/*/**/*.jsonl"])
def test_folder_that_cannot_be_read_is_an_error(
    rawmm: Run, run: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Its path is too long for the system, which also root is refused.
    monkeypatch.chdir(run)
    for _ in range(20):
        Path("d" * 250).mkdir()
        monkeypatch.chdir("d" * 250)
    monkeypatch.chdir(run)
    code, _, err = rawmm("check", run / name)
    assert code == 2
    assert "cannot be read: file name too long" in err


def test_two_stars_name_every_file_below(rawmm: Run, run: Path) -> None:
    for pattern, count in (("**", 3), ("**/**", 3), ("step_1/**", 2), (".hidden/*", 1)):
        assert rawmm("check", run / pattern).err.startswith(f"{count} file"), pattern


@pytest.mark.parametrize(
    ("url", "what"),
    [("ftp://host/a.jsonl", "another scheme than az://, gs://, memory://, s3://"),
     ("file:///a.jsonl", "give the path, without file://")],
)  # fmt: skip
def test_url_that_names_no_file_is_refused(rawmm: Run, run: Path, url: str, what: str) -> None:
    for argv in (
        ["check", url],
        ["diff", url, run / "a.jsonl"],
        ["convert", run / "a.jsonl", "-o", url],
        ["offload", run, "-o", url.removesuffix(".jsonl"), "--image-dir", run / "images"],
        ["bundle", run, "-o", url.replace("jsonl", "zip")],
        ["view", run / "a.jsonl", "-o", url.replace("jsonl", "html")],
    ):
        code, _, err = rawmm(*argv)
        assert (code, what in err) == (2, True), (argv, err)


def test_summary_never_replaces_a_file_that_is_checked(rawmm: Run, run: Path) -> None:
    before = (run / "a.jsonl").read_bytes()
    code, _, err = rawmm("check", run, "--summary", run / "a.jsonl")
    assert (code, err) == (2, "rawmm: --summary names a file that is read; give another name\n")
    assert (run / "a.jsonl").read_bytes() == before


def test_damaged_bundle_is_an_error_of_the_data_in_every_command(
    rawmm: Run, run: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "b.zip"
    assert rawmm("bundle", run, "-o", bundle).code == 0
    bundle.write_bytes(bundle.read_bytes()[:-30])
    out = tmp_path / "out"
    for argv in (
        ["check", bundle],
        ["stats", bundle],
        ["convert", bundle, "-o", out],
        ["upgrade", bundle, "-o", out],
        ["inline", bundle, "-o", out],
        ["offload", bundle, "-o", out, "--image-dir", out],
        ["offload", bundle, "--dry-run", "--image-dir", out],
        ["offload", bundle, "-o", out, "--image-dir", out, "--jobs", "1"],
        ["relocate", bundle, "-o", out, "--from", out, "--to", out],
        ["bundle", bundle, "-o", out],
        ["bundle", "--verify", bundle],
        ["gc", out, "--refs", bundle],
        ["fsck", out, "--refs", bundle],
    ):
        out.mkdir(exist_ok=True)
        if argv[0] == "bundle":
            out.rmdir()
        code, text, err = rawmm(*argv)
        assert (code, "complete ZIP file" in text + err) == (1, True), (argv, text, err)


@pytest.mark.parametrize(
    "argv",
    [["check", "-", "-"], ["stats", "-", "-"], ["bundle", "-", "-", "-o", "b"],
     ["view", "-", "-", "-o", "p"], ["view", "-", "--compare", "-", "-o", "p"],
     ["fsck", ".", "--refs", "-", "-"]],
)  # fmt: skip
def test_standard_input_is_named_once(
    rawmm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = rawmm(*argv, "--input-format", "jsonl", stdin=b'{"nodes": []}\n')
    assert done.code == 2
    assert "can be read only once" in done.err
    assert not list(tmp_path.iterdir())
