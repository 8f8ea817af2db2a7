"""`rawmm upgrade`: every form, its options and failures."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import layouts
from tests.builders import FINGERPRINT, json_lines, names_in
from tests.unit.cli.test_process import on_terminal, peak
from tests.unit.images.pictures import data_url, picture
from tests.unit.upgrades.forms import (
    SHA,
    STORED,
    URL,
    bare_grid,
    envelope,
    node,
    sidecar,
    without_version,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

OLD = without_version(raw_image_uri="file:///images/a.png")
NEW = envelope(raw_image_uri="file:///images/a.png")
REF = f"mmraw:v2:demo:qwen_vl:{FINGERPRINT}:image:{SHA[:32]}:a.png:e30"
TODAY = (
    f'mmraw:{{"family":"qwen_vl","fingerprint":"{FINGERPRINT}","mm_hash":"{SHA[:32]}",'
    '"modality":"image","payload":{},"raw_image_id":"a.png"}'
)
WIRE = Path(__file__).resolve().parents[2] / "data" / "wire"


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_records_of_every_form_go_through(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(
        tmp_path / "in.jsonl",
        node(sidecar(OLD)),
        [node(sidecar(bare_grid()))],
        {"nodes": [node(sidecar(OLD)), node(sidecar(OLD))], "own": [1.0, 1 << 70]},
        sidecar(NEW),
        REF,
        {"a": REF},
        {"role": "user", "content": "x"},
    )
    out = tmp_path / "out.jsonl"
    code, stdout, err = rawmm("upgrade", source, "-o", out)
    assert (code, stdout) == (0, "")
    assert err == (
        "7 records (1 descriptor_only, 2 mmraw_v2, 2 uri, 1 envelope_v1, 1 canonical), 6 changes\n"
    )
    item = {
        **envelope(payload={"image_grid_thw": [1, 8, 8]}),
        "raw_image_id": "a07e50973f7c1376.png",
    }
    assert read(out) == [
        node(sidecar(NEW)),
        [node(sidecar(item))],
        {"nodes": [node(sidecar(NEW)), node(sidecar(NEW))], "own": [1.0, 1 << 70]},
        sidecar(NEW),
        TODAY,
        {"a": TODAY},
        {"role": "user", "content": "x"},
    ]
    again = tmp_path / "again.jsonl"
    code, _, err = rawmm("upgrade", out, "-o", again)
    assert code == 0
    assert err.endswith(", no changes\n")
    assert again.read_bytes() == out.read_bytes()


def test_other_fields_of_a_record_are_unchanged(rawmm: Run, tmp_path: Path) -> None:
    text = (
        '{"z":1,"own":[1.0,-0.0,1e300,0.1,123456789012345678901234567890,null,{"\\u00e9":{}}],'
        f'"nodes":[{{"message":{{"content":"\\u2028","role":"user"}},"multi_modal_data":'
        f"{json.dumps({'mm_items': {'image': [OLD]}})}}}]}}"
    )
    source = tmp_path / "a.json"
    source.write_text(text)
    assert rawmm("upgrade", source, "-o", source).code == 0
    wanted = text.replace(json.dumps(OLD), json.dumps({**OLD, "version": 1}))
    assert json.dumps(json.loads(source.read_text("utf-8"))) == json.dumps(json.loads(wanted))


@pytest.mark.parametrize("form", ["descriptor_only", "uri", "inline", "envelope_v1", "released"])
@pytest.mark.parametrize("wire", ["json", "msgpack"])
def test_upgraded_records_pass_check(form: str, wire: str, rawmm: Run, tmp_path: Path) -> None:
    out, images = tmp_path / f"out.{wire}", tmp_path / "images"
    source = WIRE / form / f"nodes.{wire}"
    code, _, err = rawmm("upgrade", source, "-o", out, "--image-dir", images)
    assert code == 0
    changes = "no changes" if form in {"envelope_v1", "released"} else "3 changes"
    stored = 3 if form == "inline" else "no"
    assert err == f"1 record (1 {form}), {changes}, {stored} images stored\n"
    assert rawmm("check", out).code == 0
    assert images.exists() is (form == "inline")


def test_inline_images_are_stored_or_stay(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(tmp_path / "in.jsonl", *[sidecar(without_version(raw_image_data=URL))] * 2)
    out, images = tmp_path / "out.jsonl", tmp_path / "images"
    code, _, err = rawmm("upgrade", source, "-o", out, "--image-dir", images)
    assert (code, err) == (0, "2 records (2 inline), 2 changes, 1 image stored\n")
    assert read(out) == [sidecar(envelope(raw_image_id=STORED))] * 2
    assert names_in(images) == [STORED]
    code, _, err = rawmm("upgrade", source, "-o", out, "--no-durable")
    assert (code, err) == (0, "2 records (2 inline), 2 changes\n")
    assert read(out) == [sidecar(envelope(raw_image_uri=URL))] * 2


def test_formats_are_converted(rawmm: Run, tmp_path: Path) -> None:
    array = {"__nd__": True, "dtype": "uint8", "shape": [40], "data": bytes(40)}
    packed, out, again = (tmp_path / name for name in ("a.msgpack", "a.jsonl", "b.mpk"))
    records = [{**node(sidecar(OLD)), "routed_experts": array}, node(sidecar(NEW))]
    packed.write_bytes(b"".join(map(msgspec.msgpack.encode, records)))
    assert rawmm("upgrade", packed, "-o", out).code == 0
    first, second = read(out)
    assert first["routed_experts"]["data"] == "A" * 54 + "=="
    assert second == node(sidecar(NEW))
    assert rawmm("upgrade", out, "-o", again).code == 0
    wanted = [{**node(sidecar(NEW)), "routed_experts": array}, node(sidecar(NEW))]
    stream = msgspec.msgpack.encode([{}, {}])[:1] + again.read_bytes()
    assert msgspec.msgpack.decode(stream) == wanted  # an array of the two
    code, _, err = rawmm("upgrade", packed, "-o", tmp_path / "a.json")
    assert code == 2
    assert "JSON file holds one document" in err
    odd = tmp_path / "odd"
    assert rawmm("upgrade", packed, "-o", odd, "--output-format", "jsonl").code == 0
    assert odd.read_bytes() == out.read_bytes()


def test_training_samples_keep_their_fields(rawmm: Run, tmp_path: Path) -> None:
    source = WIRE / "trainer" / "training_sample.descriptor_and_uris.msgpack"
    out = tmp_path / "out.msgpack"
    code, _, err = rawmm("upgrade", source, "-o", out, "--notes")
    assert code == 0
    assert err == (
        f"{source}::$[9]: each URL joined to its descriptor, hash and range [descriptor_and_uris]\n"
        "1 record (1 descriptor_and_uris), 1 change\n"
    )
    before, after = (msgspec.msgpack.decode(path.read_bytes()) for path in (source, out))
    assert [*before[:9], *before[10:]] == [*after[:9], *after[10:]]
    assert [ref[3:] for ref in after[9][0]] == [[3, 6], [14, 8]]


def test_pruned_records_get_the_fingerprint_of_the_layout(rawmm: Run, tmp_path: Path) -> None:
    fingerprint = layouts.get("qwen_vl", patch_size=14).fingerprint()
    old = {name: OLD[name] for name in ("kind", "family", "payload", "raw_image_uri")}
    ref = TODAY.replace(f'"fingerprint":"{FINGERPRINT}",', "")
    source = json_lines(tmp_path / "in.jsonl", node(sidecar(old)), old, ref)
    out = tmp_path / "out.jsonl"
    outcome = rawmm("upgrade", source, "-o", out, "--layout", "qwen_vl,patch_size=14")
    assert (outcome.code, outcome.err) == (
        0,
        "3 records (2 uri, 1 unversioned_fingerprint), 7 changes\n",
    )
    new = {**NEW, "layout_fingerprint": fingerprint}
    assert read(out) == [node(sidecar(new)), new, TODAY.replace(FINGERPRINT, fingerprint)]
    assert rawmm("upgrade", source, "-o", out).code == 0
    assert read(out)[2] == ref


class TestLayout:
    def run(self, rawmm: Run, tmp_path: Path, *args: str) -> Any:
        source = json_lines(tmp_path / "in.jsonl", [[[URL, 0, 2]]])
        return rawmm("upgrade", source, "-o", tmp_path / "out.jsonl", *args)

    def test_family_with_parameters_is_accepted(self, rawmm: Run, tmp_path: Path) -> None:
        images = ("--image-dir", str(tmp_path / "images"))
        outcome = self.run(rawmm, tmp_path, "--layout", "qwen_vl,min_pixels=1024", *images)
        assert outcome.err == "1 record (1 inline_urls), 1 change, 1 image stored\n"
        ((((item, sha256, uri, *span),),),) = read(tmp_path / "out.jsonl")
        assert item["payload"] == {"image_grid_thw": [[1, 2, 4]]}
        assert (sha256, span) == (SHA[:32], [0, 2])
        assert uri == (tmp_path / "images" / STORED).as_uri()

    def test_missing_layout_or_directory_is_named(self, rawmm: Run, tmp_path: Path) -> None:
        outcome = self.run(rawmm, tmp_path, "--image-dir", str(tmp_path / "images"))
        assert outcome.code == 1
        assert outcome.err.endswith("can be computed [historical_form]\n")
        outcome = self.run(rawmm, tmp_path, "--layout", "qwen_vl,min_pixels=1024")
        assert outcome.code == 2
        assert outcome.err.startswith("rawmm: expected an image directory")
        outcome = self.run(
            rawmm, tmp_path, "--layout", "qwen_vl", "--image-dir", str(tmp_path / "i")
        )
        assert outcome.code == 1
        assert outcome.err.endswith("[geometry_mismatch]\n")
        assert names_in(tmp_path) == ["in.jsonl"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("gemma", "--layout: expected one of "),
            ("qwen_vl,patch=3", "--layout: expected a parameter of qwen_vl"),
            ("qwen_vl,patch_size=0", "--layout: expected an integer from 1"),
            ("qwen_vl,patch_size", "--layout takes FAMILY,NAME=INTEGER,...; got 'patch_size'"),
            ("qwen_vl,patch_size=1.5", "--layout takes FAMILY,NAME=INTEGER,..."),
            ("qwen_vl,family=3", "--layout takes FAMILY,NAME=INTEGER,..."),
            ("qwen_vl,", "--layout takes FAMILY,NAME=INTEGER,..."),
        ],
    )
    def test_invalid_layout_is_wrong_usage(
        self, text: str, says: str, rawmm: Run, tmp_path: Path
    ) -> None:
        outcome = self.run(rawmm, tmp_path, "--layout", text)
        assert outcome.code == 2
        assert outcome.err.startswith(f"rawmm: {says}")
        assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("record", "code", "path"),
    [
        (node(sidecar({"pixel_values": 1})), "processed_payload", "$.multi_modal_data.mm_items.image[0].pixel_values"),
        (sidecar(envelope(version=2)), "unsupported_version", "$.mm_items.image[0].version"),
        (sidecar(bare_grid(raw_image_id="../a")), "path_escape", "$.mm_items.image[0].raw_image_id"),
        (sidecar(without_version(raw_image_data=URL), hashes=["0" * 32]), "hash_mismatch", "$.mm_items.image[0].raw_image_data"),
        (sidecar(without_version(raw_image_data="data:image/png;base64,a*")), "bad_base64", "$.mm_items.image[0].raw_image_data"),
        (["mmfile:v1:x"], "processed_payload", "$[0]"),
        ({"messages": []}, "unknown_type", "$"),
        ({"x": 1}, "unknown_type", "$"),
        ({**node(sidecar(OLD)), "mask": []}, "stream_length", "$.mask"),
    ],
)  # fmt: skip
def test_refused_record_leaves_every_file_unchanged(
    record: Any, code: str, path: str, rawmm: Run, tmp_path: Path
) -> None:
    source = json_lines(tmp_path / "in.jsonl", sidecar(OLD), record, sidecar(OLD))
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    outcome = rawmm("upgrade", source, "-o", out, "--image-dir", tmp_path / "images")
    assert outcome.code == 1
    assert outcome.err.startswith(f"{source}:2::{path}: expected ")
    assert outcome.err.endswith(f" [{code}]\n")
    assert out.read_text() == "before"
    assert names_in(tmp_path) == ["in.jsonl", "out.jsonl"]


def test_type_can_be_named(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(tmp_path / "in.jsonl", {}, {"mm_items": {"image": [OLD]}})
    out = tmp_path / "out.jsonl"
    code, _, err = rawmm("upgrade", source, "-o", out)
    assert code == 1
    assert "name the type with --type" in err
    assert rawmm("upgrade", source, "-o", out, "--type", "MultiModalData").code == 0
    assert read(out) == [{}, {"mm_items": {"image": [NEW]}}]
    outcome = rawmm("upgrade", source, "-o", out, "--type", "list[MultiModalData]")
    assert outcome.err.endswith("[wrong_type]\n")
    for name, says in (("ChatRequest", "has no sidecar"), ("Trase", "did you mean Trace")):
        code, _, err = rawmm("upgrade", source, "-o", out, "--type", name)
        assert code == 2
        assert says in err


class TestDryRun:
    def test_dry_run_writes_nothing_and_lists_refused_records(
        self, rawmm: Run, tmp_path: Path
    ) -> None:
        source = tmp_path / "in.jsonl"
        json_lines(source, sidecar(without_version(raw_image_data=URL)), {"x": 1}, sidecar(OLD))
        with source.open("a") as file:
            file.write('{"a": \n')
            file.write(json.dumps(sidecar(NEW)) + "\n")
        out, images = tmp_path / "out.jsonl", tmp_path / "images"
        for args in ((), ("-o", out)):
            code, stdout, err = rawmm("upgrade", source, "--dry-run", "--image-dir", images, *args)
            assert (code, stdout) == (1, "")
            first, second, last = err.splitlines()
            assert first.startswith(f"{source}:2::$: ")
            assert second.startswith(f"{source}:4:6::$: ")
            assert last == (
                "dry run: 5 records (1 uri, 1 inline, 1 envelope_v1, 2 refused), 2 changes"
            )
            assert names_in(tmp_path) == ["in.jsonl"]

    def test_dry_run_of_valid_records_is_exit_code_0(self, rawmm: Run, tmp_path: Path) -> None:
        source = json_lines(tmp_path / "in.jsonl", sidecar(OLD), sidecar(NEW))
        code, stdout, err = rawmm("upgrade", source, "--dry-run", "--notes")
        assert (code, stdout) == (0, "")
        assert err == (
            f"{source}:1::$.mm_items.image[0]: version 1 added [uri]\n"
            "dry run: 2 records (1 uri, 1 envelope_v1), 1 change\n"
        )

    def test_lists_twenty_and_counts_the_rest(self, rawmm: Run, tmp_path: Path) -> None:
        source = json_lines(tmp_path / "in.jsonl", *[{"x": 1}] * 23)
        code, _, err = rawmm("upgrade", source, "--dry-run")
        assert code == 1
        assert len(err.splitlines()) == 22
        assert err.splitlines()[-2].startswith("… 3 more refused (")
        assert err.endswith(")\ndry run: 23 records (23 refused), no changes\n")

    def test_dry_run_of_an_invalid_file_is_an_error(self, rawmm: Run, tmp_path: Path) -> None:
        source = tmp_path / "in.jsonl"
        source.write_bytes(picture())
        code, _, err = rawmm("upgrade", source, "--dry-run")
        assert code == 1
        assert err.endswith("[malformed]\n")
        assert err.count("\n") == 1


def test_notes_are_on_request(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    source.write_text(json.dumps([node(sidecar(OLD, bare_grid()), 2)]))
    out = tmp_path / "out.json"
    assert rawmm("upgrade", source, "-o", out).err.count("\n") == 1
    at = f"{source}::$[0].multi_modal_data.mm_items.image"
    first, second, _ = rawmm("upgrade", source, "-o", out, "--notes").err.splitlines()
    assert first == f"{at}[0]: version 1 added [uri]"
    assert second.startswith(f"{at}[1]: put in an envelope ")
    assert second.endswith(" [descriptor_only]")


def test_input_and_output_may_be_the_same_file_or_streams(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(tmp_path / "in.jsonl", sidecar(OLD))
    data = source.read_bytes()
    assert rawmm("upgrade", source, "-o", source).code == 0
    assert read(source) == [sidecar(NEW)]
    done = rawmm("upgrade", "-", "-o", "-", "--input-format", "jsonl", stdin=data)
    assert done.code == 0
    assert json.loads(done.out) == sidecar(NEW)
    assert done.err.startswith("1 record (1 uri), 1 change")


def test_unreadable_input_or_unwritable_output_is_exit_code_2(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(tmp_path / "in.jsonl", sidecar(without_version(raw_image_data=URL)))
    out = tmp_path / "out.jsonl"
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        ((source,), "give --output, or --dry-run to write nothing"),
        ((tmp_path / "no.jsonl", "-o", out), "no such file"),
        ((tmp_path / "no.txt", "-o", out), "no such file"),
        ((source, "-o", tmp_path), "is a directory"),
        ((source, "-o", "/dev/full"), "no space left"),
        ((source, "-o", out, "--image-dir", source), "a file where a directory"),
        ((source, "-o", out, "--image-dir", os.fsdecode(b"\xff")), "UTF-8"),
        ((source, "-o", out, "--form", "json"), "--form"),
    ]
    for argv, says in cases:
        code, stdout, err = rawmm("upgrade", *argv)
        assert (code, stdout) == (2, ""), argv
        assert says in err
        assert err.count("\n") == 1
        assert not out.exists()


def test_json_lines_in_a_json_file_get_a_hint(rawmm: Run, tmp_path: Path) -> None:
    source = json_lines(tmp_path / "in.json", sidecar(OLD), sidecar(OLD))
    code, _, err = rawmm("upgrade", source, "-o", source)
    assert code == 1
    assert err.endswith("give --input-format jsonl [malformed]\n")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_summary_is_a_table_on_a_terminal(tmp_path: Path) -> None:
    inline = sidecar(without_version(raw_image_data=URL))
    source = json_lines(tmp_path / "in.jsonl", sidecar(OLD, OLD), sidecar(NEW), inline)
    argv = ["upgrade", str(source), "-o", str(source), "--image-dir", str(tmp_path)]
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on_terminal(argv, {"COLUMNS": "120"}))
    rows = [line.split() for line in shown.splitlines()]
    assert ["uri", "1", "2", "a", "sidecar", "item", "without"] in [row[:7] for row in rows]
    assert ["envelope_v1", "1", "0", "nothing", "to", "change:"] in [row[:6] for row in rows]
    assert ["images", "stored", "1"] in rows
    json_lines(source, {"x": 1})
    shown = on_terminal(["upgrade", str(source), "--dry-run"], {"COLUMNS": "120", "TERM": "dumb"})
    assert ["refused", "1", "0"] in [line.split() for line in shown.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_memory_does_not_grow_with_the_number_of_records(form: str, tmp_path: Path) -> None:
    few, many, out = (tmp_path / f"{name}.{form}" for name in ("few", "many", "out"))
    inline = node(sidecar(without_version(raw_image_data=data_url(picture(size=(400, 400))))))
    inline["message"]["content"].append({"type": "text", "text": "x" * 500_000})
    encode = msgspec.msgpack.encode if form == "msgpack" else msgspec.json.encode
    few.write_bytes((encode(inline) + b"\n" * (form == "jsonl")) * 10)
    many.write_bytes(few.read_bytes() * 8)
    options = ("-o", out, "--image-dir", tmp_path, "--no-durable", "--notes")
    growth = peak(["upgrade", many, *options]) - peak(["upgrade", few, *options])
    assert growth < 6e6, f"{growth / 1e6:.1f} MB more for {many.stat().st_size / 1e6:.0f} MB"
