"""`rawmm check`: its report, its exit codes and its formats."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.cli.commands.check import Checker
from rawmm.cli.records import Record
from rawmm.errors import CODES, RawMMError

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

BROKEN = sorted((Path(__file__).resolve().parents[3] / "examples" / "broken").glob("*.json"))
ENCODED = re.compile(r"[A-Za-z0-9+/]{40,}")


def user(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("rollout.jsonl", "1 file, 5 records, no errors\n"),
        ("trace.json", "1 file, 1 record, no errors\n"),
        (
            "nodes.json",
            "1 file, 1 record, no errors, 3 images not checked (give --image-dir)\n",
        ),
    ],
)
def test_examples_are_clean(name: str, summary: str, rawmm: Run, examples: Path) -> None:
    assert rawmm("check", examples / name) == (0, "", summary)


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_example_has_its_code_and_no_other(path: Path, rawmm: Run) -> None:
    code, out, _ = rawmm("check", path)
    assert code == 1
    (line,) = out.splitlines()
    assert line.startswith(f"{path}:22:151::$" if path.stem == "malformed" else f"{path}::$")
    assert line.endswith(f"[{path.stem}]")
    assert path.stem in CODES


def test_error_is_one_sentence_with_its_location(rawmm: Run, examples: Path) -> None:
    path = examples / "broken" / "parent_order.json"
    assert rawmm("check", path).out == (
        f"{path}::$[0].parent: expected null in the root, got 1 [parent_order]\n"
    )


def test_lines_of_json_lines_are_numbered_and_blank_ones_counted(
    rawmm: Run, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"nodes": []}\n\n  \r\n{"nodes": 1}\r\n{"nodes": [\n{"nodes": [], "id": 1}')
    code, out, err = rawmm("check", path)
    assert code == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == [
        f"{path}:4::$.nodes",
        f"{path}:5:12::$",
    ]
    assert err == "1 file, 4 records, 2 errors\n"


def test_every_error_of_a_record_is_listed(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"nodes": [{"message": {"role": "user", "content": 1}}, {}], "nodes": [7, 8]}')
    _, out, _ = rawmm("check", path)
    assert [line.partition("::")[2].split(": ")[0] for line in out.splitlines()] == [
        "$.nodes",
        "$.nodes[0]",
        "$.nodes[1]",
    ]


def test_duplicate_keys_are_all_found_at_their_paths(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        r'{"nodes": [], "a": {"b": 1, "\u0062": 2}, "c d": [{"x": {}, "y": 0, "x": 1, "x": 1}]}'
    )
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert out.splitlines() == [
        f"{path}::$.a.b: expected each key once, got 'b' again [duplicate_key]",
        f"{path}::$[\"c d\"][0].x: expected each key once, got 'x' again [duplicate_key]",
        f"{path}::$[\"c d\"][0].x: expected each key once, got 'x' again [duplicate_key]",
    ]


@pytest.mark.parametrize(
    ("name", "data", "got"),
    [
        ("a.json", b"", "nothing"),
        ("a.msgpack", b"", "nothing"),
        ("a.json", b"\n \n", "nothing but white space"),
        ("a.json", b'{"nodes": [', "a document cut short after 11 bytes"),
        ("a.msgpack", b"\x81\xa5nod", "a document cut short after 5 bytes"),
        ("a.json", b'{"nodes": "\xff"}', "text that is not UTF-8"),
        ("a.msgpack", b"\x81\xa1\xff\x01", "text that is not UTF-8"),
        ("a.json", b'{"nodes": []} x', "something else after the document"),
        ("a.json", b'{"nodes": []}\n{"nodes": []}\n', "a second document"),
        ("a.json", b'{"nodes": [], "a": "\\ud800"}', "a string with a lone"),
        ("a.json", b"\xef\xbb\xbf{}", "a byte order mark"),
        ("a.json", b"\xff\xfe{\0", "text in UTF-16"),
        ("a.json", b"\x81\xa5nodes\x90", "what looks like MessagePack"),
        ("a.msgpack", b' {"nodes": []}', "what looks like JSON"),
        ("a.msgpack", b"plain", "neither a map nor an array at byte 0"),
        ("a.msgpack", b"\x81\xa5nodes\x90\x05", "neither a map nor an array at byte 8"),
        ("a.msgpack", b"\x91\xc1", "something else at byte 1 of 2"),
        ("a.jsonl", b'{\n"nodes": []\n}\n', "a document of many lines"),
        ("a.jsonl", b"\x1f\x8b\x08\0", "a gzip file"),
        ("a.json", b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
    ],
)
def test_bytes_that_are_no_document_are_malformed(
    name: str, data: bytes, got: str, rawmm: Run, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    code, out, _ = rawmm("check", path)
    assert code == 1
    last = out.splitlines()[-1]
    assert "::$: expected " in last
    assert f", got {got}" in last
    assert last.endswith("[malformed]")


@pytest.mark.parametrize("form", ["json", "jsonl", "msgpack"])
@pytest.mark.parametrize(
    ("name", "looks"),
    [("cat.jpg", "a JPEG image"), ("form.png", "a PNG image"), ("dashboard.webp", "a WebP image")],
)
def test_image_is_named_as_what_it_is(
    name: str, looks: str, form: str, rawmm: Run, examples: Path
) -> None:
    code, out, _ = rawmm("check", examples / "images" / name, "--input-format", form)
    assert code == 1
    (line,) = out.splitlines()
    assert f"got {looks}" in line


def test_json_lines_in_a_json_file_are_hinted_at(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"nodes": []}\n{"nodes": []}\n')
    assert "if it is JSON Lines, give --input-format jsonl" in rawmm("check", path).out


def test_deep_nesting_is_an_error_and_no_crash(rawmm: Run, tmp_path: Path) -> None:
    for name, data in {
        "a.json": b"[" * 100_000 + b"]" * 100_000,
        "b.json": b'{"a":' * 100_000,
        "c.msgpack": b"\x91" * 100_000 + b"\x01",
    }.items():
        (tmp_path / name).write_bytes(data)
        code, out, _ = rawmm("check", tmp_path / name)
        assert code == 1
        assert out.endswith("[too_deep]\n")


def test_unreadable_files_are_exit_code_2_and_the_others_are_checked(
    rawmm: Run, tmp_path: Path, examples: Path
) -> None:
    missing, unknown = tmp_path / "no.json", tmp_path / "a.dat"
    unknown.touch()
    code, out, err = rawmm(
        "check", missing, tmp_path, unknown, examples / "broken" / "stream_length.json"
    )
    assert code == 2
    assert out.endswith("[stream_length]\n")
    known = ".json, .jsonl, .ndjson, .msgpack, .mpk, also before .gz or .zst, or .parquet; give --input-format json, jsonl or msgpack"
    assert err.splitlines() == [
        f"rawmm: {missing}: cannot be read: no such file or directory",
        f"rawmm: {tmp_path}: has no file of records",
        f"rawmm: {unknown}: the extension is not one of {known}",
        "4 files, 1 record, 1 error, 3 unreadable",
    ]


def test_file_without_permission_is_unreadable(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch(mode=0)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)  # root may read every file, so become another user
    try:
        code, _, err = rawmm("check", path)
    finally:
        os.seteuid(own)
    assert code == 2
    assert "permission denied" in err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "nothing to check"),
        (("a.json", "--max-errors", "-1"), "--max-errors takes 0, which lists all"),
        (("a.json", "--max-errors", "x"), "--max-errors"),
        (("a.json", "--format", "xml"), '"text", "json", "github"'),
        (("a.json", "--type", "RawMmItem"), "did you mean RawMMItem"),
        (("a.json", "--type", "list[list[Foo]]"), "see rawmm schema --list"),
        (("a.json", "--nope"), "--nope"),
        (("a.json", "-x"), "-x"),
        (("a.json", "--image-dir", "\udcff"), "an image directory whose path is UTF-8"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    argv: tuple[str, ...], says: str, rawmm: Run
) -> None:
    code, out, err = rawmm("check", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("rawmm: ")
    assert err.count("\n") == 1
    assert says in err


def test_input_format_overrides_the_extension(rawmm: Run, examples: Path) -> None:
    assert rawmm("check", examples / "nodes.json", "--input-format", "json").code == 0
    assert rawmm("check", examples / "nodes.json", "--input-format", "msgpack").code == 1


def test_named_type_is_the_one_checked(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    assert rawmm("check", examples / "nodes.json", "--type", "list[MessageNode]").code == 0
    code, out, _ = rawmm("check", examples / "nodes.json", "--type", "Trace")
    assert code == 1
    assert "[wrong_type]" in out
    path = tmp_path / "a.json"
    path.write_text('{"role": "user", "content": "", "name": "x"}')
    assert rawmm("check", path).code == 1
    assert rawmm("check", path, "--type", "ChatRequest").code == 0
    path.write_text("7")
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert "name the type with --type" in out


def test_messagepack_streams_are_numbered_only_if_there_are_many(
    rawmm: Run, tmp_path: Path
) -> None:
    good, bad = msgspec.msgpack.encode({"nodes": []}), msgspec.msgpack.encode({"nodes": 1})
    path = tmp_path / "a.msgpack"
    path.write_bytes(bad)
    assert rawmm("check", path).out.startswith(f"{path}::$.nodes: ")
    path.write_bytes(good * 2 + bad + good + good[:3])
    code, out, err = rawmm("check", path)
    assert code == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == [
        f"{path}:3::$.nodes",
        f"{path}:5::$",
    ]
    assert err == "1 file, 5 records, 2 errors\n"


@pytest.mark.parametrize("wrap", [lambda m: {"messages": m}, lambda m: m], ids=["body", "list"])
def test_images_of_chat_requests_are_checked(
    wrap: Any, rawmm: Run, tmp_path: Path, image_url: str
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        user(image_url),
        user("file:///nowhere/a.png"),
        user("https://example.com/a.png"),
        user(image_url[:-8] + "*" + image_url[-7:]),
        user("file://host/a.png"),
        user(image_url.replace("image/jpeg", "image/png")),
        {"role": "user", "content": [{"type": "image_url", "image_url": {"no": 1}}]},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(wrap(messages)))
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert [line.rpartition("[")[2][:-1] for line in out.splitlines()] == [
        "bad_locator",
        "bad_base64",
        "bad_locator",
        "wrong_type",
    ]
    prefix = "$.messages" if isinstance(wrap(messages), dict) else "$"
    assert out.startswith(f"{path}::{prefix}[3].content[0].image_url.url: ")
    assert not ENCODED.search(out.replace(str(path), ""))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": [1]}, "$.messages[0]: expected a message: an object, got 1 [wrong_type]"),
        ({"messages": [{}]}, "$.messages[0]: expected the field 'role'"),
        ({"messages": [{"role": 1}]}, "$.messages[0].role: expected a string, got 1"),
        ({"messages": [{"role": "user", "content": 1}]}, "$.messages[0].content: expected a str"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "$.messages[0].content[0]: expected"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "$.messages[0].content[0]: expected"),
        ([{"role": "developer", "content": 1}], "$[0].content: expected a string"),
    ],
)
def test_messages_of_chat_requests_are_messages(
    body: Any, where: str, rawmm: Run, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(body))
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert out.startswith(f"{path}::{where}")
    assert out.count("\n") == 1


def _codes(checker: Checker, data: bytes) -> list[str]:
    found = checker.findings(Record(data, None), "json")
    return [error.code for error in found if isinstance(error, RawMMError)]


def test_forced_chat_request_needs_messages() -> None:
    checker = Checker(None, None)
    assert _codes(checker, b"{}") == ["unknown_type"]
    from rawmm.cli.record_types import named_type

    forced = Checker(named_type("ChatRequest"), None)
    codes = [_codes(forced, data) for data in (b"{}", b'{"messages": 1}', b"7")]
    assert codes == [["missing_field"], ["wrong_type"], ["wrong_type"]]


def test_images_are_looked_for_only_with_an_image_dir(
    rawmm: Run, tmp_path: Path, image_url: str
) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps({"messages": [user(image_url)]}))
    stored = tmp_path / "stored.json"
    assert rawmm("offload", chat, "-o", stored, "--image-dir", tmp_path / "im").code == 0
    assert rawmm("check", stored, "--image-dir", tmp_path / "im").code == 0
    trace = tmp_path / "trace.json"
    message = json.loads(stored.read_text())["messages"][0]
    trace.write_text(json.dumps({"messages": [], "nodes": []}))
    assert rawmm("check", trace).code == 0
    trace.write_text(json.dumps([message]))
    for image in (tmp_path / "im").iterdir():
        image.unlink()
    for path in (stored, trace):
        assert rawmm("check", path).code == 0
        code, out, _ = rawmm("check", path, "--image-dir", tmp_path / "im")
        assert code == 1
        assert out.endswith("[missing_image]\n")


def test_json_report_is_an_object_a_line(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "é,:%.jsonl"
    path.write_text('{"nodes": 1}\n')
    code, out, err = rawmm("check", path, "--format", "json")
    assert code == 1
    assert json.loads(out) == {
        "file": str(path),
        "line": 1,
        "column": None,
        "path": "$.nodes",
        "code": "wrong_type",
        "message": "expected array, got 1"
        if "expected array" in out
        else json.loads(out)["message"],
        "expected": json.loads(out)["expected"],
        "got": "1",
        "hint": None,
        "level": "error",
    }
    assert out.count("\n") == 1
    assert err.endswith("1 error\n")


def test_github_report_escapes_its_properties(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a,b:c%.jsonl"
    path.write_text('{"nodes": 1}\n')
    code, out, _ = rawmm("check", path, "--format", "github")
    assert code == 1
    file = f"{tmp_path}/a%2Cb%3Ac%25.jsonl"
    assert out.startswith(f"::error file={file},line=1,title=rawmm wrong_type::$.nodes: expected ")
    path.write_text('{"nodes": [], "%0A": [1, 1], "%0A": 2}\n')
    _, out, _ = rawmm("check", path, "--format", "github")
    assert '::$["%250A"]: ' in out
    assert out.count("\n") == 1


def test_names_of_files_cannot_move_the_cursor(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31m.json"
    path.write_text("{")
    _, out, _ = rawmm("check", path)
    assert out.count("\n") == 1
    assert r"a\n\x1b[31m.json:1:2::$: " in out


def test_max_errors_counts_over_all_files(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"nodes": 1}\n' * 30)
    _, out, err = rawmm("check", path)
    assert out.count("\n") == 20
    assert err == "… 10 more (--max-errors 0 lists all)\n1 file, 30 records, 30 errors\n"
    _, out, err = rawmm("check", path, path, "--max-errors", "45")
    assert out.count("\n") == 45
    assert err.startswith("… 15 more")
    _, out, err = rawmm("check", path, path, "--max-errors", "0")
    assert out.count("\n") == 60
    assert err == "2 files, 60 records, 60 errors\n"


def test_number_is_accepted_if_a_double_holds_it(rawmm: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"nodes": [], "big": 123456789012345678901234567890, "f": 1e-300}')
    assert rawmm("check", path).code == 0
    path.write_text('{"nodes": [], "big": 1e999}')
    code, out, _ = rawmm("check", path)
    assert code == 1
    assert "got a number that a double" in out
