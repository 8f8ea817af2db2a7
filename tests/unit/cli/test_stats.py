"""Counts of what files hold, and the differences of two files."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm as package
from rawmm.cli import pieces
from rawmm.cli.statistics import Counting, Statistics
from tests.unit.images.pictures import part, picture, url_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

FLOW = Path(__file__).resolve().parents[2] / "data" / "wire" / "flow-0.4.0"


def user(parent: int | None, *urls: str, tokens: int = 2) -> dict[str, Any]:
    return {
        "parent": parent,
        "message": {"role": "user", "content": [part(url) for url in urls]},
        "token_ids": list(range(tokens)),
        "mask": [False] * tokens,
    }


def answer(parent: int, tokens: int = 3) -> dict[str, Any]:
    return {
        "parent": parent,
        "message": {"role": "assistant", "content": "a"},
        "sampled": True,
        "token_ids": list(range(tokens)),
        "mask": [False] + [True] * (tokens - 1),
    }


def counted(*values: Any) -> dict[str, Any]:
    found = Statistics()
    for value in values:
        Counting(None).count(value, found)
    return found.as_dict()


def test_trace_is_counted() -> None:
    one, two = url_of(seed=1), url_of(seed=2)
    nodes = [user(None, one, two), answer(0), user(1, one), answer(2), answer(0)]
    sizes = [len(picture(seed=seed)) for seed in (1, 2)]
    text = sum(len(url.partition(",")[2]) for url in (one, two, one))
    found = counted({"nodes": nodes})
    assert found == {
        "records": 0, "records_with_errors": 0, "traces": 1, "turns": 3, "forks": 1, "tokens": 13,
        "trained_tokens": 6, "images": 3, "distinct_images": 2, "inline_images": 3,
        "inline_bytes": text, "saved_bytes": text - sum(sizes), "errors": {},
    }  # fmt: skip


@pytest.mark.parametrize("encode", [package.encode_json, package.encode_msgpack])
def test_packed_streams_count_like_lists(encode: Any) -> None:
    plain = {"nodes": [user(None), answer(0, 5)]}
    trace = package.convert(plain, package.Trace)
    data = encode(trace, packed=True)
    decoded = (
        msgspec.json.decode(data) if encode is package.encode_json else msgspec.msgpack.decode(data)
    )
    assert type(decoded["nodes"][0]["token_ids"]) is dict
    assert counted(decoded) == counted(plain)


def test_every_kind_of_record_is_counted() -> None:
    nodes = [user(None, url_of()), answer(0), answer(0), user(None)]
    assert counted({"id": "e", "traces": [{"nodes": nodes}, {"nodes": nodes}]})["forks"] == 4
    assert counted(nodes)["turns"] == 2
    assert counted([{"nodes": nodes}])["turns"] == 2
    request = {"messages": [user(None, url_of())["message"], {"role": "assistant", "content": "x"}]}
    assert {name: counted(request)[name] for name in ("turns", "images", "traces")} == {
        "turns": 1, "images": 1, "traces": 0,
    }  # fmt: skip


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["nodes", "traces", "message", "messages", "mask", "token_ids", "shape", "data", "parent", "sampled", "content", "image_url", "url"]),
        inner, max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_any_json_is_counted_without_an_error(value: Any) -> None:
    counted(value)


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(0, 6))
def test_counts_add_in_any_split(seeds: list[int], cut: int) -> None:
    values = [{"nodes": [user(None, url_of(seed=seed)), answer(0, seed + 1)]} for seed in seeds]
    parts = [Statistics(), Statistics()]
    for value in values[:cut]:
        Counting(None).count(value, parts[0])
    for value in values[cut:]:
        Counting(None).count(value, parts[1])
    parts[1].add(parts[0])
    assert parts[1].as_dict() == counted(*values)


def test_offloaded_and_inline_records_save_the_same(rawmm: Run, tmp_path: Path) -> None:
    found = []
    for name in ("inline", "offloaded"):
        done = rawmm("stats", FLOW / f"{name}.trace.json", "--json", "--image-dir", FLOW / "images")
        assert done.code == 0
        found.append(json.loads(done.out.splitlines()[0]))
    assert found[0]["saved_bytes"] == found[1]["saved_bytes"] > 0
    assert found[1]["inline_bytes"] == 0
    assert found[0]["distinct_images"] == found[1]["distinct_images"] == 3


def test_table_has_a_row_a_file_a_total_and_the_errors(
    rawmm: Run, examples: Path, tmp_path: Path
) -> None:
    code, out, err = rawmm(
        "stats", examples / "trace.json", examples / "broken" / "parent_order.json"
    )
    assert (code, err) == (0, "")
    head, *rows, error = out.splitlines()
    assert head.split() == [
        "file",
        "records",
        "turns",
        "tokens",
        "images",
        "distinct",
        "inline",
        "saved",
        "forks",
        "errors",
    ]
    assert rows[0].split()[1:5] == ["1", "5", "1,315", "4"]
    assert rows[2].startswith("2 files")
    assert error == "parent_order: 1"


def test_malformed_record_is_an_error_and_the_others_count(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"nodes": []}\n{\n{"nodes": 1}\n{"nodes": []}\n')
    code, out, _ = rawmm("stats", source, "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert found["records"] == 4
    assert found["records_with_errors"] == 2
    assert found["errors"] == {"malformed": 1, "wrong_type": 1}


def test_unreadable_and_damaged_files_set_the_exit_code(rawmm: Run, tmp_path: Path) -> None:
    good = tmp_path / "a.jsonl"
    good.write_text('{"nodes": []}\n')
    assert rawmm("stats", good, tmp_path / "no.jsonl").code == 2
    (tmp_path / "b.jsonl.gz").write_bytes(b"\x1f\x8b")
    code, out, err = rawmm("stats", tmp_path / "b.jsonl.gz", good)
    assert code == 1
    assert "[malformed]" in err
    assert str(good) in out
    assert rawmm("stats").code == 2


def test_damaged_files_have_the_errors_that_check_counts(rawmm: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"nodes": []}\n{\n')
    (tmp_path / "b.json").write_text("")
    (tmp_path / "c.jsonl.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "d.jsonl").symlink_to("nowhere")
    assert rawmm("check", tmp_path, "--summary", tmp_path / "summary").code == 2
    summary = json.loads((tmp_path / "summary").read_text())
    code, out, _ = rawmm("stats", tmp_path, "--json")
    assert code == 2
    *_, found = map(json.loads, out.splitlines())
    assert found["errors"] == {one: of["count"] for one, of in summary["codes"].items()}
    assert found["errors"] == {"malformed": 3}
    assert (found["files"], found["unreadable"]) == (3, summary["unreadable"])


# --- diff


@pytest.mark.parametrize(
    ("engine", "form"),
    [
        (("--jobs", "2"), ("--json",)),
        pytest.param(("--jobs", "2"), (), marks=pytest.mark.slow),
        pytest.param(("--engine", "processes"), ("--json",), marks=pytest.mark.slow),
        pytest.param(("--engine", "processes"), (), marks=pytest.mark.slow),
    ],
)
def test_counts_are_the_same_on_every_engine(
    engine: tuple[str, str],
    form: tuple[str, ...],
    rawmm: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 4000)
    line = json.dumps({"nodes": [user(None, url_of()), answer(0)]})
    (tmp_path / "a.jsonl").write_text(f"{line}\n" * 30 + '{"nodes": 1}\n' + f"{line}\n" * 5)
    (tmp_path / "b.jsonl").write_text("")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(f"{line}\n".encode() * 4)[:-9])
    (tmp_path / "d.json").write_text(line)
    files = [*(tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl.gz", "d.json", "e"))]
    serial = rawmm("stats", *files, *form)
    assert serial.code == 2  # there is no file e
    assert rawmm("stats", *files, *form, *engine) == serial


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, list[Any]]:
    values = [{"nodes": [user(None, url_of(seed=n)), answer(0)], "id": n} for n in range(3)]
    one, other = tmp_path / "a.jsonl", tmp_path / "b.msgpack"
    one.write_bytes(b"".join(msgspec.json.encode(value) + b"\n" for value in values))
    other.write_bytes(b"".join(map(msgspec.msgpack.encode, values)))
    return one, other, values


def test_equal_records_of_two_formats_do_not_differ(rawmm: Run, two: Any) -> None:
    assert rawmm("diff", *two[:2]) == (0, "", "no records of 3 differ\n")


def test_first_difference_of_each_record_is_listed(rawmm: Run, two: Any) -> None:
    one, other, values = two
    changed = copy.deepcopy(values)
    changed[0]["nodes"][1]["token_ids"][1] = 77
    changed[0]["id"] = 9
    changed[2]["nodes"][0]["message"]["content"][0] = part(url_of(seed=99))
    other.write_bytes(b"".join(map(msgspec.msgpack.encode, [*changed, {"nodes": []}])))
    code, out, err = rawmm("diff", one, other)
    assert (code, err) == (1, "3 records of 4 differ\n")
    first, second, third = out.splitlines()
    assert first == f"{one}:1::$.nodes[1].token_ids[1]: 1 became 77"
    assert second.startswith(f"{one}:3::$.nodes[0].message.content[0].image_url.url: ")
    assert url_of(seed=99)[40:60] not in out
    assert third == f"{one}:4::$: nothing became an object with nodes"
    assert rawmm("diff", one, other, "--all").out.count("\n") == 4
    assert rawmm("diff", one, other, "--ignore", "token_ids", "--ignore", "id").out.count("\n") == 2
    rows = [json.loads(line) for line in rawmm("diff", one, other, "--json").out.splitlines()]
    assert rows[0] == {"line": 1, "path": "$.nodes[1].token_ids[1]", "old": "1", "new": "77"}


def test_malformed_record_stops_diff_with_its_place(rawmm: Run, two: Any) -> None:
    one, other, _ = two
    one.write_text(one.read_text().replace('"id":1}', '"id":1'))
    code, _, err = rawmm("diff", one, other)
    assert code == 1
    assert err.startswith(f"{one}:2:")
    assert rawmm("diff", one, "no.json").code == 2
    assert rawmm("diff", "-", "-").code == 2


def test_image_that_is_inline_and_stored_is_one(rawmm: Run, examples: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "out.json", tmp_path / "images"
    assert rawmm("offload", examples / "trace.json", "-o", out, "--image-dir", images).code == 0

    def counted(*argv: Any) -> dict[str, Any]:
        return dict(json.loads(rawmm("stats", *argv, "--json").out.splitlines()[-1]))

    both = (examples / "trace.json", out)
    assert counted(*both, "--jobs", "2") == counted(*both)
    for files in (both, both[::-1]):
        found = counted(*files)
        assert (found["images"], found["distinct_images"]) == (8, 4)
        with_images = counted(*files, "--image-dir", images)
        assert with_images["distinct_images"] == 4
        assert with_images["saved_bytes"] > found["saved_bytes"]


def test_parquet_on_standard_input_is_read_if_it_is_a_file(
    rawmm: Run, examples: Path, tmp_path: Path
) -> None:
    table = tmp_path / "a.parquet"
    assert rawmm("convert", examples / "trace.json", "-o", table).code == 0
    for command in ("check", "stats"):
        for more in ([], ["--jobs", "2"]):
            done = rawmm(command, "-", "--input-format", "parquet", *more, stdin=table)
            assert done.code == 0, done.err
            assert "<stdin>" in done.out or "1 file, 1 record, no errors" in done.err
