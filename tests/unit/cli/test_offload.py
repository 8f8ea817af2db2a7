"""`rawmm offload`: the output, the stored images and failures."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.store import ImageStore
from tests.builders import names_in
from tests.unit.images.pictures import part
from tests.unit.offload.form_bodies import (
    BODIES,
    NO_IMAGE,
    NO_IMAGE_BODIES,
    PARTS,
    REFUSED,
    filled,
    message,
    places,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]


def test_example_becomes_small_and_clean(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "out.jsonl", tmp_path / "images"
    code, stdout, err = rawmm(
        "offload", examples / "rollout.jsonl", "-o", out, "--image-dir", images
    )
    assert (code, stdout) == (0, "")
    assert err.startswith("5 records, 14 images seen, 4 stored, 10 deduplicated, ")
    assert err.endswith(" saved\n")
    stored = {path.read_bytes() for path in images.iterdir()}
    originals = (examples / "images").glob("*.[jpw]*")
    assert stored == {path.read_bytes() for path in originals}
    assert rawmm("check", out, "--image-dir", images).code == 0
    before = [json.loads(line) for line in (examples / "rollout.jsonl").read_bytes().splitlines()]
    after = [json.loads(line) for line in out.read_bytes().splitlines()]
    for request in (*before, *after):
        for one in request["messages"]:
            for piece in one["content"] if isinstance(one["content"], list) else ():
                if piece["type"] == "image_url":
                    piece["image_url"]["url"] = ""
    assert json.dumps(before) == json.dumps(after)
    assert names_in(tmp_path) == ["images", "out.jsonl"]


def test_trace_and_the_nodes_stay_what_they_are(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "out.json", tmp_path / "images"
    args = ("-o", out, "--image-dir", images)
    assert rawmm("offload", examples / "trace.json", *args).code == 0
    assert rawmm("offload", out, *args).code == 0
    assert len(names_in(images)) == 4
    # Its URLs name another directory; the images are found by name.
    assert rawmm("offload", examples / "nodes.json", *args).code == 0
    assert rawmm("check", out, "--image-dir", images).code == 0
    elsewhere = ("-o", out, "--image-dir", tmp_path / "elsewhere")
    code, _, err = rawmm("offload", examples / "nodes.json", *elsewhere)
    assert code == 1
    assert err.endswith("[path_escape]\n")


def test_other_data_is_unchanged(rawmm: Run, tmp_path: Path, image_url: str) -> None:
    text = (
        '{"z":1,"a":[1.0,-0.0,1e300,0.1,123456789012345678901234567890,9007199254740993,true,null],'
        '"é\\u0000\\u2028😀":"\\/\\"","":{},"messages":[{"content":[{"type":"text","text":""}]}]}'
    )
    path = tmp_path / "a.jsonl"
    path.write_text(text + "\n", "utf-8")
    assert rawmm("offload", path, "-o", path, "--image-dir", tmp_path / "im").code == 0
    line = path.read_text("utf-8")
    assert line.endswith("}\n")
    assert json.dumps(json.loads(line)) == json.dumps(json.loads(text))
    assert not (tmp_path / "im").exists()


@pytest.mark.parametrize(
    ("line", "code", "path"),
    [
        ('{"messages": [', "malformed", "15::$"),
        ('{"a": 1, "a": 2}', "duplicate_key", "$.a"),
        ('{"m": "\xff"}', "malformed", "8::$"),
        ('[{"type": "image_url", "image_url": "http://x/y.png"}]', "bad_locator", "$[0].image_url"),
        ('{"a": {"type": "image", "image": "file:///etc/passwd"}}', "path_escape", "$.a.image"),
        (
            '[{"type": "image", "image": "data:image/png;base64,AAAA"}]',
            "not_an_image",
            "$[0].image",
        ),
        (
            '[{"type": "image", "image": "data:image/png;base64,aGVs*bG8="}]',
            "bad_base64",
            "$[0].image",
        ),
    ],
)
def test_failing_record_leaves_the_output_unchanged(
    line: str, code: str, path: str, rawmm: Run, tmp_path: Path, image_url: str
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f"{json.dumps([part(image_url)])}\n\n{line}\n{{}}\n", "latin-1")
    out.write_text("before")
    result = rawmm("offload", source, "-o", out, "--image-dir", tmp_path / "images")
    assert result.code == 1
    place = path if "::" in path else f":{path}"
    assert result.err.startswith(f"{source}:3:{place}: expected ")
    assert result.err.endswith(f" [{code}]\n")
    assert "AAAA" not in result.err
    assert "bG8" not in result.err
    assert out.read_text() == "before"
    assert names_in(tmp_path) == ["images", "in.jsonl", "out.jsonl"]
    assert len(names_in(tmp_path / "images")) == 1  # the record before it was fine


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\x81\xa1a\x01", b"{\n}\n"], ids=repr)
def test_invalid_json_lines_are_malformed(data: bytes, rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(data)
    code, _, err = rawmm("offload", source, "-o", source, "--image-dir", tmp_path)
    assert code == 1
    assert err.endswith("[malformed]\n")
    assert source.read_bytes() == data
    assert names_in(tmp_path) == ["in.jsonl"]


def test_input_and_output_may_be_the_same_file(rawmm: Run, tmp_path: Path, image_url: str) -> None:
    real, link = tmp_path / "a.data", tmp_path / "link.json"
    real.write_text(json.dumps([part(image_url)]) + "\n")
    real.chmod(0o640)
    link.symlink_to(real)
    args = (
        "offload",
        real,
        "-o",
        link,
        "--input-format",
        "jsonl",
        "--image-dir",
        tmp_path / "images",
    )
    assert rawmm(*args).code == 0
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text())[0]["image_url"]["url"].startswith("file:///")


def test_inline_mode_checks_and_keeps(rawmm: Run, tmp_path: Path, image_url: str) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps([part(image_url)]))
    code, _, err = rawmm("offload", source, "-o", out, "--mode", "inline")
    assert (code, err) == (0, "1 record, 1 image: no errors\n")
    assert json.loads(out.read_text()) == json.loads(source.read_text())
    assert names_in(tmp_path) == ["in.json", "out.json"]
    source.write_text(json.dumps([part("http://x")]))
    assert rawmm("offload", source, "-o", out, "--mode", "inline").code == 1


def test_image_dir_comes_from_the_environment(
    rawmm: Run, tmp_path: Path, image_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps([part(image_url)]))
    code, _, err = rawmm("offload", source, "-o", out)
    assert code == 2
    assert err.startswith("rawmm: expected an image directory, got none; give --image-dir, or set ")
    assert err.endswith(" PRIME_RL_RUN_DIR or RUN_ID\n")
    monkeypatch.setenv("PRIME_RL_RUN_DIR", str(tmp_path))
    assert rawmm("offload", source, "-o", out, "--no-durable").code == 0
    assert len(names_in(tmp_path / "assets" / "images")) == 1
    monkeypatch.setenv("RUN_ID", "../x")
    monkeypatch.delenv("PRIME_RL_RUN_DIR")
    assert rawmm("offload", source, "-o", out).code == 2


def test_folder_of_out_is_made(rawmm: Run, tmp_path: Path, image_url: str) -> None:
    source, out = tmp_path / "in.json", tmp_path / "a" / "b" / "out.json"
    source.write_text(json.dumps([part(image_url)]))
    assert rawmm("offload", source, "-o", out, "--image-dir", tmp_path / "images").code == 0
    assert len(json.loads(out.read_bytes())) == 1


def test_unreadable_input_or_unwritable_output_is_exit_code_2(
    rawmm: Run, tmp_path: Path, image_url: str
) -> None:
    source, images = tmp_path / "in.json", tmp_path / "images"
    source.write_text(json.dumps([part(image_url)]))
    (tmp_path / "a.txt").write_text("")
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        ((tmp_path / "no.json", "-o", "x.json"), "no such file"),
        ((tmp_path, "-o", "x.json"), "--output takes a folder"),
        ((tmp_path / "a.txt", "-o", "x.json"), "the extension is not"),
        ((source, "-o", tmp_path), "is a directory"),
        ((source, "-o", "/dev/full"), "no space left"),
        ((source,), "--output"),
        ((source, "-o", "x.json", "--mode", "link"), '"offload", "inline"'),
    ]
    for argv, says in cases:
        code, out, err = rawmm("offload", *argv, "--image-dir", images)
        assert (code, out) == (2, ""), argv
        assert says in err
        assert err.count("\n") == 1
    code, _, err = rawmm("offload", source, "-o", tmp_path / "o.json", "--image-dir", source)
    assert code == 2
    assert "a file where a directory" in err
    assert not (tmp_path / "o.json").exists()


def test_folder_without_permission_is_exit_code_2(
    rawmm: Run, tmp_path: Path, image_url: str
) -> None:
    source = tmp_path / "in.json"
    source.write_text(json.dumps([part(image_url)]))
    if os.getuid():
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o555)
    else:  # root writes everywhere but here
        folder = Path("/sys/kernel")
    code, _, err = rawmm("offload", source, "-o", folder / "x.json", "--image-dir", tmp_path / "i")
    assert code == 2
    assert f"rawmm: {folder}/x.json: cannot be written: " in err
    assert not (tmp_path / "i").exists()


def test_formats_are_converted(rawmm: Run, tmp_path: Path, image_url: str) -> None:
    array = {"__nd__": True, "dtype": "int32", "shape": [1], "data": b"\1\0\0\0"}
    value = {"a": [part(image_url)], "n": {"routed": array, "x": [1, 2.5, None]}}
    encoded = {**array, "data": base64.b64encode(b"\1\0\0\0").decode()}
    packed, lines, again = (tmp_path / f"a.{end}" for end in ("msgpack", "jsonl", "mpk"))
    packed.write_bytes(msgspec.msgpack.encode(value) * 2)
    images = ("--image-dir", tmp_path / "images")
    assert rawmm("offload", packed, "-o", lines, *images).code == 0
    first, second = (json.loads(line) for line in lines.read_bytes().splitlines())
    assert first == second
    assert first["n"] == {"routed": encoded, "x": [1, 2.5, None]}
    assert rawmm("offload", lines, "-o", again, *images).code == 0
    assert (
        again.read_bytes()
        == msgspec.msgpack.encode(
            {"a": first["a"], "n": value["n"]},
        )
        * 2
    )
    code, _, err = rawmm("offload", lines, "-o", tmp_path / "one.json", *images)
    assert code == 2
    assert "JSON file holds one document" in err
    assert not (tmp_path / "one.json").exists()
    odd = tmp_path / "odd.json"
    assert rawmm("offload", lines, "-o", odd, "--output-format", "jsonl", *images).code == 0
    assert odd.read_bytes() == lines.read_bytes()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [b"raw"]}, "$.a[0]"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": [1, float("nan")]}, "$.a[1]"),
        ([msgspec.msgpack.Ext(5, b"x")], "$[0]"),
    ],
)
def test_value_without_a_json_form_is_refused(
    value: Any, path: str, rawmm: Run, tmp_path: Path
) -> None:
    source, same = tmp_path / "a.msgpack", tmp_path / "b.msgpack"
    source.write_bytes(msgspec.msgpack.encode(value))
    args = ("--image-dir", tmp_path / "images")
    code, _, err = rawmm("offload", source, "-o", tmp_path / "a.json", *args)
    assert code == 1
    assert err.startswith(f"{source}::{path}: expected ")
    assert err.endswith("; write MessagePack instead [not_json]\n")
    assert rawmm("offload", source, "-o", same, *args).code == 0
    assert same.read_bytes() == source.read_bytes()


def test_value_without_a_messagepack_form_is_refused(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    args = ("-o", tmp_path / "a.msgpack", "--image-dir", tmp_path / "images")
    source.write_text(f'{{"a": {1 << 70}}}')
    code, _, err = rawmm("offload", source, *args)
    assert code == 1
    assert err.endswith("[out_of_range]\n")
    source.write_text('{"a": [{"__nd__": true, "data": "*"}]}')
    code, _, err = rawmm("offload", source, *args)
    assert code == 1
    assert err == (
        f"{source}::$.a[0].data: expected strict base64, got 1 characters [bad_format]\n"
    )


def test_summary_has_bytes_and_damaged_files(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "out.jsonl", tmp_path / "images"
    args = ("offload", examples / "rollout.jsonl", "-o", out, "--image-dir", images)
    first = rawmm(*args).err
    assert "10 deduplicated, 364.3 KiB in, 97.5 KiB written, " in first
    next(images.iterdir()).write_bytes(b"x")
    second = rawmm(*args).err
    assert "1 stored, 13 deduplicated, 1 damaged and replaced, 364.3 KiB in, " in second


def test_directory_that_cannot_be_written_stops_it_at_the_start(rawmm: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text('{"no": "image"}')
    for command in ("offload", "upgrade"):
        code, _, err = rawmm(command, source, "-o", out, "--image-dir", source)
        assert code == 2
        assert err.startswith(f"rawmm: expected to write images into '{source}', got a file where")
    assert rawmm("offload", source, "-o", out, "--mode=inline", "--image-dir", source).code == 0
    assert names_in(tmp_path) == ["in.json", "out.json"]


@pytest.mark.parametrize("form", ["json", "jsonl", "msgpack"])
def test_every_form_is_offloaded_and_found_again(form: str, rawmm: Run, tmp_path: Path) -> None:
    where = places(ImageStore(tmp_path / "images"))
    bodies = [message(filled(part, **where)) for part, _ in PARTS.values()]
    expected = [message(filled(part, **where)) for _, part in PARTS.values()]
    bodies += [filled(body, **where) for body, _ in BODIES.values()]
    expected += [filled(body, **where) for _, body in BODIES.values()]
    given = bodies if form == "jsonl" else [bodies]
    encode = msgspec.msgpack.encode if form == "msgpack" else msgspec.json.encode
    path, out = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
    path.write_bytes(b"\n".join(map(encode, given)))
    code, _, err = rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "images")
    assert code == 0
    assert ", 2 mislabelled" in err
    decode = msgspec.msgpack.decode if form == "msgpack" else msgspec.json.decode
    lines = out.read_bytes().splitlines() if form == "jsonl" else [out.read_bytes()]
    assert [decode(line) for line in lines] == (expected if form == "jsonl" else [expected])
    # Garbage collection keeps the image, and fsck misses none.
    assert len(names_in(tmp_path / "images")) == 1
    assert rawmm("fsck", tmp_path / "images", "--refs", out).code == 0
    assert rawmm("gc", tmp_path / "images", "--refs", out, "--grace", "0s").code == 0
    assert len(names_in(tmp_path / "images")) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_image_that_cannot_be_offloaded_stops_the_command(
    name: str, rawmm: Run, tmp_path: Path
) -> None:
    part, error = REFUSED[name]
    path, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    lines = [message(filled(part)), message({"type": "text", "text": "x"})]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, _, err = rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "images")
    assert code == 1
    assert err.startswith(f"{path}:1::$.messages[0].content[1]")
    assert err.endswith(f"[{error}]\n")
    assert names_in(tmp_path) == ["a.jsonl"]
    # Without a directory, images in stores are not checked.
    in_store = name in {"Gemini web", "Bedrock store"}
    options = ["--image-dir", tmp_path / "images"] if in_store else []
    code, stdout, _ = rawmm("check", path, *options)
    assert code == 1
    assert f"[{error}]\n" in stdout


def test_bodies_without_images_are_said_to_have_none(rawmm: Run, tmp_path: Path) -> None:
    bodies = [message(filled(part)) for part in NO_IMAGE.values()]
    bodies += [filled(body) for name, body in NO_IMAGE_BODIES.items() if name != "descriptor"]
    path, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    code, _, err = rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "images")
    assert code == 0
    assert f"{len(bodies)} records, no images seen, " in err
    assert " other media" in err
    assert " data URLs in text" in err
    assert [json.loads(line) for line in out.read_bytes().splitlines()] == bodies
    assert not (tmp_path / "images").exists()
