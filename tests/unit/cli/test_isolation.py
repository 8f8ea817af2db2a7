"""An invalid record or file, or a bug while checking it, does not stop the others."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm.cli.commands.check
import rawmm.cli.commands.offload
import rawmm.cli.commands.upgrade
from rawmm.cli import main
from rawmm.cli.audit import findings
from rawmm.cli.bugs import Bug
from rawmm.cli.commands.check import Checker
from rawmm.cli.records import Record, Source
from rawmm.validation import detect
from tests.unit.upgrades.forms import bare_grid, envelope, node, sidecar, without_version

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SECRET = "a secret of the data"


def broken(*_: object, **__: object) -> Any:
    raise TypeError(SECRET)


def broken_at(number: int) -> Callable[[Any], Any]:
    """A function that has a bug with the record that says `number`."""

    def told(value: Any) -> Any:
        if isinstance(value, dict) and value.get("n") == number:
            raise TypeError(SECRET)
        return detect(value)

    return told


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "three.jsonl"
    path.write_text('{"nodes": []}\n{"nodes": [], "n": 2}\n{"nodes": 3}\n')
    return path


def test_bug_at_a_record_is_reported_and_the_others_are_checked(
    rawmm: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawmm.checks.checker.detect_type", broken_at(2))
    code, out, err = rawmm("check", three, EXAMPLES / "broken" / "stream_length.json")
    assert code == 2
    assert [line.partition("::")[0] for line in out.splitlines()] == [
        f"{three}:3",
        str(EXAMPLES / "broken" / "stream_length.json"),
    ]
    first, last = err.splitlines()
    assert first.startswith(f"rawmm: {three}:2: internal error: TypeError at ")
    assert first.endswith("; this is a bug in rawmm, not an error in the data; please report it")
    assert last == "2 files, 4 records, 2 errors, 1 internal error"
    assert SECRET not in err


def test_bug_in_reading_a_file_is_reported_and_the_others_are_checked(
    rawmm: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "_jsonl", broken)
    code, out, err = rawmm("check", three, EXAMPLES / "broken" / "stream_length.json")
    assert code == 2
    assert out.endswith("[stream_length]\n")
    assert err.startswith(f"rawmm: {three}: internal error: TypeError at ")
    assert SECRET not in err


@pytest.mark.parametrize("command", ["offload", "upgrade"])
def test_bug_in_a_rewrite_leaves_the_output_unchanged(
    command: str, rawmm: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawmm.cli.commands.offload.offload_request", broken)
    monkeypatch.setattr("rawmm.cli.commands.upgrade.kind_of", broken)
    out = three.with_name("out.jsonl")
    out.write_text("before")
    code, _, err = rawmm(command, three, "-o", out, "--image-dir", three.parent)
    assert code == 2
    assert err.startswith(f"rawmm: {three}:1: internal error: TypeError at ")
    assert err.count("\n") == 1
    assert SECRET not in err
    assert out.read_text() == "before"
    assert {path.name for path in three.parent.iterdir()} == {"three.jsonl", "out.jsonl"}


def test_bug_does_not_stop_a_dry_run(
    rawmm: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawmm.cli.commands.upgrade.kind_of", broken_at(2))
    code, _, err = rawmm("upgrade", three, "--dry-run")
    assert code == 2
    first, second, last = err.splitlines()
    assert first.startswith(f"rawmm: {three}:2: internal error: TypeError at ")
    assert second.startswith(f"{three}:3::$.nodes: ")
    assert last == (
        "dry run: 3 records (1 canonical, 1 refused, 1 with an internal error), no changes"
    )


def test_bug_anywhere_else_is_one_line(rawmm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawmm.schemas.bundle", broken)
    code, out, err = rawmm("schema")
    assert (code, out) == (2, "")
    assert err.startswith("rawmm: internal error: TypeError at ")
    assert err.count("\n") == 1
    assert SECRET not in err


@pytest.mark.parametrize(
    "record",
    [
        {"role": []}, {"role": {}}, [{"role": [1]}], {"messages": [{"role": {"a": []}}]},
        {"role": "user", "content": [{"type": []}]}, {"role": "user", "content": [{"type": {}}]},
        {"type": []}, {"kind": [], "version": {}}, {"kind": {}}, [[{"kind": []}]],
        {"mm_items": {"image": [{"kind": [], "family": {}}]}}, {"nodes": [{"message": {"role": []}}]},
        {"message": {"role": "user", "content": [{"type": [], "image_url": []}]}},
        {"role": "assistant", "tool_calls": [{"type": [], "function": []}]},
        {"family": [], "fingerprint": {}, "mm_hash": []}, {"__nd__": [], "dtype": {}, "shape": ""},
        {"mm_hashes": {"image": [[]]}, "kwargs_data": {"image": [{}]}},
    ],
    ids=json.dumps,
)  # fmt: skip
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_values_of_the_wrong_type_are_errors_of_the_data(
    record: Any, form: str, rawmm: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{form}"
    encode = msgspec.msgpack.encode if form == "msgpack" else msgspec.json.encode
    path.write_bytes(encode(record))
    code, out, err = rawmm("check", path, EXAMPLES / "broken" / "stream_length.json")
    assert code == 1, err
    assert out.endswith("[stream_length]\n")


def documents() -> list[Any]:
    """Documents of every sort that the commands take."""
    found: list[Any] = []
    found += [json.loads((EXAMPLES / "nodes.json").read_bytes())]
    found += [
        sidecar(envelope(), bare_grid(), without_version(raw_image_uri="file:///a.png")),
        {"nodes": [node(sidecar(envelope())), node(None, 0)], "own": {"x": [1]}},
        [[[envelope(raw_image_id="a.png"), "0" * 32, "file:///a.png", 0, 4]]],
        [sidecar(envelope()), ["file:///a.png"]],
        [[["file:///a.png", 0, 4]]],
        [[1, 2], [False, True], [], [[["file:///a.png", 0, 4]]], 1.5],
        {"mm_hashes": {"image": ["0" * 32]}, "mm_placeholders": {}, "kwargs_data": {"image": ["mmraw:v2:a"]}},
        "mmraw:v2:demo", ["mmraw:e30", "mmfile:v1:x"], {"a": "mmraw:{}"},
        {"messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///a.png"}}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        ], "tools": [{"name": "f", "parameters": {}}]},
    ]  # fmt: skip
    return found


DOCUMENTS = documents()
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1 << 63, 1 << 70, 1.5, 1e308, "", "x", "\0", "é" * 40, "image",
    "image_url", "data:", "data:image/png;base64,", "file:///a.png", "file://host/%00", "mmraw:",
    "mmraw:e30", "mmraw:v9:", [], {}, [[]], [{}], {"": []}, {"role": []}, {"type": {}},
    {"kind": []}, {"__nd__": True}, [[[]]], ["x"], [1, [2]], {"image": {}}, {"image": [None]},
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document, with each key or index in it."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        current = stack.pop()
        keys = list(current) if isinstance(current, dict) else range(len(current))
        for key in list(keys)[:40]:
            found.append((current, key))
            if isinstance(current[key], (dict, list)):
                stack.append(current[key])
    return found


@st.composite
def garbage(draw: st.DrawFn) -> Any:
    """A document with up to four values exchanged, removed or renamed."""
    value = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    if not isinstance(value, (dict, list)):
        return draw(st.sampled_from([value, *ODD]))
    for _ in range(draw(st.integers(1, 4))):
        found = places(value)
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(["odd", "odd", "remove", "rename", "other"]))
        if change == "odd":
            container[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif change == "other":
            container[key] = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
        elif change == "remove" or isinstance(container, list):
            del container[key]
        else:
            container[draw(st.sampled_from(["role", "type", "kind", "nodes", "x", ""]))] = (
                container.pop(key)
            )
    return value


@given(garbage())
def test_check_reports_no_bug_for_any_json(value: Any) -> None:
    record = Record(json.dumps(value).encode(), None)
    for image_dir in (None, "/nowhere"):
        checker = rawmm.cli.commands.check.checker_of(None, image_dir, False)
        found = list(findings(checker, record, "json"))
        assert not [one for one in found if isinstance(one, Bug)], found


def packable(value: Any) -> bool:
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        return False
    return True


@given(garbage().filter(packable))
def test_check_reports_no_bug_for_any_messagepack(value: Any) -> None:
    record = Record(msgspec.msgpack.encode(value), None)
    checker = Checker(None, None)
    found = list(findings(checker.findings, record, "msgpack"))
    assert not [one for one in found if isinstance(one, Bug)], found


@given(st.lists(garbage(), min_size=1, max_size=8))
def test_upgrade_and_offload_report_no_bug_for_any_document(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps(value) + "\n" for value in values))
    images = ["--image-dir", str(folder / "images")]
    out = ["-o", str(folder / "out.jsonl"), *images, "--no-durable"]
    for argv in (
        ["upgrade", str(source), "--dry-run", "--layout", "qwen_vl", *images],
        ["upgrade", str(source), *out],
        ["offload", str(source), *out],
    ):
        assert main(argv) in (0, 1), argv
