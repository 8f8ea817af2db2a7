"""Many files are rewritten on an engine, and an interrupted run goes on where it stopped."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.cli import many
from rawmm.cli.inputs import find_inputs
from rawmm.cli.pieces import size_of
from rawmm.store import put_object
from tests.unit.cli.test_process import HANGS
from tests.unit.images.pictures import chat_request, url_of
from tests.unit.parallel.work import make_no_pass

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]


DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / f"in/step_{number // 2}/{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(chat_request(url_of(seed=seed))) for seed in (number, 0)]
        path.write_text("\n".join(lines) + "\n")
    return tmp_path


def written(folder: Path) -> dict[str, bytes]:
    out = folder / "out"
    return {str(one.relative_to(out)): one.read_bytes() for one in sorted(out.rglob("*.jsonl"))}


def offload(rawmm: Run, folder: Path, *more: object) -> Any:
    argv = ("offload", folder / "in", "-o", folder / "out", "--image-dir", folder / "images")
    return rawmm(*argv, *more)


@pytest.mark.parametrize(
    "engine", [(), pytest.param(("--engine=processes", "--jobs=2"), marks=pytest.mark.slow)]
)
def test_run_goes_on_with_what_is_left(engine: tuple[str, ...], rawmm: Run, folder: Path) -> None:
    assert offload(rawmm, folder).code == 0
    whole = written(folder)
    for path in (folder / "out").rglob("*.jsonl"):
        path.unlink()
    bad = folder / "in/step_1/2.jsonl"
    good = bad.read_bytes()
    bad.write_bytes(b'{"messages": [')
    manifest = ("--manifest", folder / "manifest", *engine)
    found = offload(rawmm, folder, *manifest)
    assert found.code == 1
    assert f"{bad}:1:" in found.err
    assert "5 files, 1 not written, 10 records, 10 images seen" in found.err
    assert written(folder) == {name: raw for name, raw in whole.items() if name != "step_1/2.jsonl"}
    times = {one: one.stat().st_mtime_ns for one in (folder / "out").rglob("*.jsonl")}
    bad.write_bytes(good)
    with (folder / "manifest").open("ab") as file:
        file.write(b'{"input": "cut')
    found = offload(rawmm, folder, *manifest)
    assert (found.code, found.err.splitlines()[0][:50]) == (
        0, "6 files (5 by an earlier run), 12 records, 12 imag",
    )  # fmt: skip
    assert written(folder) == whole
    assert {one: one.stat().st_mtime_ns for one in times} == times
    lines = [json.loads(line) for line in (folder / "manifest").read_text().splitlines()]
    assert [len(line.get("sha256", "")) for line in lines] == [0] + [64] * 6


def test_changed_input_or_lost_output_is_written_again(rawmm: Run, folder: Path) -> None:
    manifest = ("--manifest", folder / "manifest")
    assert offload(rawmm, folder, *manifest).code == 0
    changed, touched, lost, same = (folder / f"in/step_{n // 2}/{n}.jsonl" for n in (0, 1, 2, 3))
    out = {
        one: folder / "out" / one.relative_to(folder / "in")
        for one in (changed, touched, lost, same)
    }
    times = {one: path.stat().st_mtime_ns for one, path in out.items()}
    changed.write_bytes(changed.read_bytes() + b"\n")
    os.utime(touched, (1, 1))
    out[lost].unlink()
    assert offload(rawmm, folder, *manifest).code == 0
    again = {one for one, path in out.items() if path.stat().st_mtime_ns != times[one]}
    assert again == {changed, lost}


def test_manifest_of_another_run_is_refused(rawmm: Run, folder: Path) -> None:
    manifest = ("--manifest", folder / "manifest")
    assert offload(rawmm, folder, *manifest).code == 0
    found = offload(rawmm, folder, *manifest, "--no-durable")
    assert (found.code, found.err) == (
        2, f"rawmm: {folder}/manifest: is that of another command, or of other options\n",
    )  # fmt: skip
    (folder / "manifest").write_bytes(b'{"rawmm": 7}\nmore\n')
    assert offload(rawmm, folder, *manifest).code == 2


def test_run_with_another_image_directory_is_another_run(
    rawmm: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("offload", folder / "in", "-o", folder / "out", "--manifest", folder / "manifest")
    for name, code in (("a", 0), ("b", 2), ("a", 0)):
        monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", str(folder / name))
        assert rawmm(*argv).code == code
    monkeypatch.chdir(folder)
    assert rawmm(*argv, "--image-dir", "a").code == 0


def test_store_that_workers_cannot_open_is_said(
    rawmm: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawmm.cli.commands.offload._pass_of", make_no_pass)
    found = offload(rawmm, folder, "--jobs", "2")
    assert found.code == 2
    assert found.err.count("rawmm: no permission here\n") == 6


def test_files_that_fail_are_listed_in_order(rawmm: Run, folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "in").rglob("*.jsonl"))):
        path.write_bytes(path.read_bytes() * (60 - 10 * number) + b"[1, \n")  # the first is longest
    serial, parallel = (offload(rawmm, folder, "--jobs", jobs) for jobs in ("1", "3"))
    assert (serial.code, serial.err.count("[malformed]")) == (1, 6)
    assert parallel == serial


def test_two_runs_with_one_manifest_are_refused(rawmm: Run, folder: Path) -> None:
    path = folder / "manifest"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        found = offload(rawmm, folder, "--manifest", path)
    assert (found.code, found.err) == (2, f"rawmm: {path}: is in use by another run\n")
    assert path.read_bytes() == b""
    assert offload(rawmm, folder, "--manifest", path).code == 0
    found = offload(rawmm, folder, "--manifest", "s3://bucket/manifest")
    assert (found.code, "a file of this machine" in found.err) == (2, True)


def test_killed_run_leaves_whole_files_and_goes_on(rawmm: Run, folder: Path) -> None:
    assert offload(rawmm, folder).code == 0
    whole = written(folder)
    for path in (folder / "out").rglob("*.jsonl"):
        path.unlink()
    manifest = folder / "manifest"
    argv = ["offload", folder / "in", "-o", folder / "out", "--image-dir", folder / "images"]
    argv += ["--manifest", manifest, "--jobs", "2"]
    with subprocess.Popen([sys.executable, "-m", "rawmm", *argv]) as child:
        until = time.monotonic() + HANGS
        while time.monotonic() < until and child.poll() is None:
            if manifest.exists() and manifest.read_bytes().count(b"\n") >= 2:
                break
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert all(whole[name] == raw for name, raw in written(folder).items())
    assert offload(rawmm, folder, "--manifest", manifest).code == 0
    assert written(folder) == whole


def test_upgrade_goes_on_too(rawmm: Run, folder: Path) -> None:
    lines: dict[str, list[Any]] = {
        "a.jsonl": [{"nodes": []}] * 3,
        "b.jsonl": [{"nodes": 7}],
        "c.jsonl": [{"nodes": []}],
    }
    for name, records in lines.items():
        path = folder / "old" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    argv = ("upgrade", folder / "old", "-o", folder / "new", "--manifest", folder / "m", "-j2")
    found = rawmm(*argv)
    assert found.code == 1
    assert found.err.endswith("2 files, 1 not written, 4 records (4 canonical), no changes\n")
    (folder / "old/b.jsonl").write_text('{"nodes": []}\n')
    found = rawmm(*argv)
    assert found.err == "3 files (2 by an earlier run), 5 records (5 canonical), no changes\n"
    assert sorted(one.name for one in (folder / "new").iterdir()) == sorted(lines)
    assert rawmm(*argv, "--notes").code == 2


def test_file_for_many_outputs_is_wrong_usage(rawmm: Run, folder: Path) -> None:
    argv = ("offload", folder / "in", "-o", folder / "out.jsonl", "--image-dir", folder / "images")
    assert rawmm(*argv, "--jobs", "2").code == 2


@pytest.mark.parametrize("form", ["json", "jsonl", "jsonl.gz", "jsonl.zst", "msgpack", "parquet"])
def test_input_is_read_once(
    rawmm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder, manifest = tmp_path / "in", tmp_path / "manifest"
    folder.mkdir()
    (tmp_path / "a.json").write_text(json.dumps(chat_request(url_of(seed=1))))
    assert (
        rawmm(
            "offload",
            tmp_path / "a.json",
            "--image-dir",
            tmp_path / "i",
            "-o",
            folder / f"a.{form}",
        ).code
        == 0
    )

    def again(given: Any) -> str:
        assert form == "parquet", "read twice"
        return str(read_again(given))

    read_again = many.sha256_of
    monkeypatch.setattr(many, "sha256_of", again)
    argv = (folder, "-o", tmp_path / "out", "--image-dir", tmp_path / "i", "--manifest", manifest)
    assert rawmm("offload", *argv).code == 0
    line = json.loads(manifest.read_text().splitlines()[1])
    data = (folder / f"a.{form}").read_bytes()
    assert (line["sha256"], line["size"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_run_in_which_every_file_fails_is_summed_up(rawmm: Run, folder: Path) -> None:
    for path in (folder / "in").rglob("*.jsonl"):
        path.write_bytes(b'{"messages": [')
    found = offload(rawmm, folder, "--manifest", folder / "manifest")
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith("no files, 6 not written, no records, no images")


def test_bundle_is_rewritten_once(rawmm: Run, tmp_path: Path) -> None:
    bundle, out, flow = tmp_path / "b.zip", tmp_path / "out", DATA / "wire/flow-0.4.0"
    files = (flow / "offloaded.trace.json", flow / "inline.trace.json")
    assert rawmm("bundle", *files, "-o", bundle, "--image-dir", flow / "images").code == 0
    argv = ("upgrade", bundle, "-o", out, "--manifest", tmp_path / "manifest")
    assert rawmm(*argv).err.startswith("2 files, 2 records")
    assert {one.name for one in (out / "records").iterdir()} == {
        "offloaded.trace.jsonl", "inline.trace.jsonl",
    }  # fmt: skip
    assert rawmm(*argv).err.startswith("2 files (2 by an earlier run), 2 records")


def test_sizes_of_objects_are_known_from_the_listing(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(chat_request(url_of(seed=1))) + "\n")
    url = f"memory://{tmp_path.name}/run"
    for name in ("a", "b/c"):
        put_object(f"{url}/{name}.jsonl", path)
    found = find_inputs(f"{url}/**", None, "", None)
    assert [one.input.size for one in found] == [path.stat().st_size] * 2
    (one,) = find_inputs(f"{url}/a.jsonl", None, "", None)
    assert one.input.size is None
    assert size_of(one.input) == path.stat().st_size
    assert size_of(one.input._replace(path=f"{url}/none.jsonl")) == 0


@pytest.mark.parametrize("text", ['{"nodes": []}', '{"nodes": []}\n{"nodes": []}', "[]\n", "x"])
@pytest.mark.parametrize("name", ["other.jsonl", "in/step_0/0.jsonl"])
def test_file_that_is_no_manifest_is_refused_and_stays(
    rawmm: Run, folder: Path, text: str, name: str
) -> None:
    (folder / name).write_text(text)
    done = offload(rawmm, folder, "--manifest", folder / name)
    assert done.code == 2
    assert "is not a manifest of rawmm" in done.err
    assert (folder / name).read_text() == text


def test_manifest_with_a_damaged_line_is_refused_and_stays(rawmm: Run, folder: Path) -> None:
    manifest = folder / "manifest"
    assert offload(rawmm, folder, "--manifest", manifest).code == 0
    damaged = manifest.read_bytes().replace(b'"sha256":"', b'"sha256":', 1)
    manifest.write_bytes(damaged)
    done = offload(rawmm, folder, "--manifest", manifest)
    assert done.code == 2
    assert "is not a manifest of rawmm" in done.err
    assert manifest.read_bytes() == damaged


def test_manifest_that_cannot_be_opened_is_refused(rawmm: Run, folder: Path) -> None:
    done = offload(rawmm, folder, "--manifest", folder / "none" / "manifest")
    assert done.code == 2
    assert f"{folder}/none/manifest: cannot be used: no such file or directory" in done.err


def test_interrupted_run_says_how_many_files_are_written(
    rawmm: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = many.Manifest.add

    def interrupted(self: many.Manifest, one: Any) -> None:
        add(self, one)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(many.Manifest, "add", interrupted)
        done = offload(rawmm, folder, "--manifest", folder / "manifest")
    assert done.code == 130
    assert done.err.startswith("interrupted; so far ")
    assert done.err.endswith(" of 6 written\n")
    assert "by an earlier run" in offload(rawmm, folder, "--manifest", folder / "manifest").err


def test_manifest_is_none_of_the_files_that_are_written(rawmm: Run, folder: Path) -> None:
    (folder / "out/step_0").mkdir(parents=True)
    done = offload(rawmm, folder, "--manifest", folder / "out/step_0/0.jsonl")
    assert done.code == 2
    assert "--manifest names a file that is written" in done.err


@pytest.mark.parametrize("more", [[], ["--jobs=1"]])
@pytest.mark.parametrize("form", ["jsonl", "json", "msgpack", "parquet"])
def test_folder_in_another_format_has_the_extensions_of_it(
    rawmm: Run, tmp_path: Path, form: str, more: list[str]
) -> None:
    trace = b'{"nodes":[]}\n'
    (tmp_path / "in").mkdir()
    for name in ("a.json", "b.ndjson", "c.jsonl.gz", "rank_0.bin"):
        data = gzip.compress(trace) if name.endswith("gz") else trace
        (tmp_path / "in" / name).write_bytes(b"\x91\x81\xa5nodes\x90" if "rank" in name else data)
    out = tmp_path / "out"
    argv = ("-o", out, "--image-dir", tmp_path / "i", "--output-format", form, *more)
    assert rawmm("upgrade", tmp_path / "in", *argv).code == 0
    assert rawmm("check", out).err == "4 files, 4 records, no errors\n"
    names = {
        "jsonl": ["a.jsonl", "b.ndjson", "c.jsonl.gz", "rank_0.jsonl"],
        "json": ["a.json", "b.json", "c.json.gz", "rank_0.json"],
        "msgpack": ["a.msgpack", "b.msgpack", "c.msgpack.gz", "rank_0.bin"],
        "parquet": ["a.parquet", "b.parquet", "c.parquet", "rank_0.parquet"],
    }
    assert sorted(path.name for path in out.iterdir()) == names[form]


@pytest.mark.parametrize("more", [[], ["--jobs=1"]])
def test_two_files_of_one_name_are_refused_before_anything_is_written(
    rawmm: Run, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.json", "a.jsonl"):
        (tmp_path / "in" / name).write_text('{"nodes":[]}\n')
    argv = ("-o", tmp_path / "out", "--output-format", "msgpack", *more)
    code, _, err = rawmm("upgrade", tmp_path / "in", *argv)
    assert code == 2
    assert "would both be written to" in err
    assert not (tmp_path / "out").exists()
