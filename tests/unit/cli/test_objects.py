"""Records in object stores: patterns, streams, whole outputs, and objects that change."""

from __future__ import annotations

import gzip
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.cli import pieces
from rawmm.errors import OffloadError
from rawmm.store import ObjectReader, list_objects, object_state, put_object, record_objects
from rawmm.store.record_objects import matches
from tests.unit.images.pictures import chat_request, url_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

_names = count()


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """Three files of requests: plain, compressed, and in a folder below."""
    url = f"memory://records-{next(_names)}/run"
    for number, name in enumerate(("a/0.jsonl", "a/b/1.jsonl.gz", "c/2.jsonl", "c/notes.txt")):
        text = "".join(
            json.dumps(chat_request(url_of(seed=seed))) + "\n" for seed in range(number + 1)
        ).encode()
        put(f"{url}/{name}", gzip.compress(text) if name.endswith("gz") else text, tmp_path)
    return url


def put(url: str, raw: bytes, folder: Path) -> None:
    (folder / "object").write_bytes(raw)
    put_object(url, folder / "object")


def get(url: str) -> bytes:
    return ObjectReader(url).read()


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.jsonl", ["a.jsonl", ".jsonl"], ["a/b.jsonl", "a.jsonl.gz"]),
        ("**/t.jsonl", ["t.jsonl", "a/t.jsonl", "a/b/t.jsonl"], ["at.jsonl", "a/t.json"]),
        ("step_[0-9]/*", ["step_1/a"], ["step_a/a", "step_1/a/b", "step_12/a"]),
        ("[!a]*", ["b"], ["a", "/"]),
        ("a**", ["a", "a/b/c"], ["b/a"]),
        ("a+(b).json", ["a+(b).json"], ["aab.json"]),
        ("[", ["["], ["a"]),
    ],
)
def test_pattern_matches_names(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in (*yes, *no) if matches(pattern).match(name)] == yes


def test_pattern_lists_objects_in_order(bucket: str) -> None:
    names = [one.url.removeprefix(bucket) for one in list_objects(f"{bucket}/**/*.jsonl*")]
    assert names == ["/a/0.jsonl", "/a/b/1.jsonl.gz", "/c/2.jsonl"]
    assert list(list_objects(f"{bucket}/none/*")) == []


@pytest.mark.parametrize("size", [1, 500, 1 << 30])
def test_check_reads_objects_as_files(
    size: int, rawmm: Run, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", size)
    monkeypatch.setattr(record_objects, "CHUNK", 100)
    found = rawmm("check", f"{bucket}/**/*.jsonl*")
    assert (found.code, found.err) == (0, "3 files, 6 records, no errors\n")
    assert rawmm("check", f"{bucket}/").err == found.err
    assert rawmm("check", f"{bucket}/c/2.jsonl", "--type=Trace").out.count(f"{bucket}/c/2.jsonl:3:")


def test_object_that_does_not_exist_is_unreadable(rawmm: Run, bucket: str) -> None:
    found = rawmm("check", f"{bucket}/none.jsonl", f"{bucket}/none/*.jsonl")
    assert found.code == 2
    assert f"{bucket}/none.jsonl: cannot be read: " in found.err
    assert f"{bucket}/none/*.jsonl: matches no file of records" in found.err


def test_offload_writes_whole_objects(rawmm: Run, bucket: str, tmp_path: Path) -> None:
    images, out = f"{bucket}/images", f"{bucket}/out"
    argv = ("offload", f"{bucket}/**/*.jsonl*", "-o", f"{out}/", "--image-dir", images)
    assert rawmm(*argv).code == 0
    for name in ("a/0.jsonl", "a/b/1.jsonl.gz", "c/2.jsonl"):
        raw = get(f"{out}/{name}")
        text = gzip.decompress(raw) if name.endswith("gz") else raw
        assert b";base64," not in text
        assert images.encode() in text
    assert rawmm("check", f"{out}/**", "--image-dir", images).err.startswith(
        "3 files, 6 records, no "
    )
    one = ("offload", f"{bucket}/a/0.jsonl", "-o", f"{bucket}/one.jsonl", "--image-dir", images)
    assert rawmm(*one).code == 0
    assert get(f"{bucket}/one.jsonl") == get(f"{out}/a/0.jsonl")
    put(f"{bucket}/a/0.jsonl", b"{", tmp_path)
    assert rawmm(*one).code == 1
    assert get(f"{bucket}/one.jsonl") == get(f"{out}/a/0.jsonl")  # unchanged


def test_run_over_objects_goes_on(rawmm: Run, bucket: str, tmp_path: Path) -> None:
    argv = (
        "offload",
        f"{bucket}/**/*.jsonl*",
        "-o",
        f"{bucket}-out",
        "--image-dir",
        tmp_path / "i",
        "--manifest",
        tmp_path / "manifest.jsonl",
    )
    good = get(f"{bucket}/c/2.jsonl")
    put(f"{bucket}/c/2.jsonl", b"{", tmp_path)
    assert rawmm(*argv).code == 1
    assert object_state(f"{bucket}-out/c/2.jsonl") is None
    before = object_state(f"{bucket}-out/a/0.jsonl")
    put(f"{bucket}/c/2.jsonl", good, tmp_path)
    found = rawmm(*argv)
    assert (found.code, "\n3 files (2 by an earlier run)" in found.err) == (0, True)
    assert object_state(f"{bucket}-out/a/0.jsonl") == before


def test_object_that_changes_while_it_is_read_is_an_error(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_objects, "CHUNK", 100)
    url = f"{bucket}/a/0.jsonl"
    reader = ObjectReader(url)
    assert reader.read(100)
    put(url, b"x" * 10**4, tmp_path)
    with pytest.raises(OffloadError) as caught:
        reader.read(100)
    assert caught.value.code == "store_changed"


def test_reader_seeks_as_a_file(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_objects, "CHUNK", 7)
    url = f"{bucket}/c/2.jsonl"
    raw, reader = get(url), ObjectReader(url)
    assert reader.seek(-5, 2) == len(raw) - 5
    assert reader.read() == raw[-5:]
    assert reader.read() == b""
    assert (reader.seek(3), reader.read(20), reader.tell()) == (3, raw[3:10], 10)
    assert (reader.seek(2, 1), reader.read(1)) == (12, raw[12:13])
