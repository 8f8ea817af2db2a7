"""Records in object stores: patterns, streams, whole outputs, and objects that change."""

from __future__ import annotations

import gzip
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.cli import audit, pieces
from rawmm.cli.commands.check import checker_of
from rawmm.cli.records import Input
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
        ("[z-a]*", [], ["z", "a", "-"]),
        ("[!z-a]", ["z", "a"], ["/"]),
        ("[--0&&~~||]", ["-", ".", "0", "&", "~", "|"], ["/", "a"]),
        ("a%20b%5B1%5D%2A", ["a b[1]*"], ["a%20b%5B1%5D%2A", "a b1x"]),
        ("[%61-c]%2520*", ["b%20", "a%20b"], ["a "]),
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


ODD_NAMES = ("a b.jsonl", "a%20b.jsonl", "100%.jsonl", "x[1].jsonl", "s*.jsonl", "é/日本.jsonl",
             "q#?.jsonl", "+&=~'{}.jsonl", "cr.jsonl")  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_odd_names_come_back_from_a_store(rawmm: Run, bucket: str, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(get(f"{bucket}/a/0.jsonl").replace(b"\n", b"\r\n"))
    images = ("--image-dir", f"{bucket}/images")
    store = f"{bucket}/my run"
    assert rawmm("offload", tmp_path / "in", "-o", store, *images).code == 0
    listed = list(list_objects(f"{store}/**"))
    assert sorted(one.name for one in listed) == sorted(ODD_NAMES)
    for one in listed:  # its URL names it alone, also as an argument
        found = rawmm("check", one.url, *images)
        assert (found.code, found.err) == (0, "1 file, 1 record, no errors\n")
    there = ("offload", f"{store}/**", "-o", f"{bucket}/again", *images)
    assert rawmm(*there, "--manifest", tmp_path / "manifest").code == 0
    assert "(9 by an earlier run)" in rawmm(*there, "--manifest", tmp_path / "manifest").err
    assert rawmm("offload", f"{bucket}/again/", "-o", tmp_path / "out", *images).code == 0
    back = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert sorted(str(one.relative_to(tmp_path / "out")) for one in back) == sorted(ODD_NAMES)


@pytest.mark.parametrize("command", ["check", "stats", "upgrade", "summary", "refs", "bundle"])
@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:CANARY@bucket/run/*.jsonl",
        "s3://KEY:a/b@CANARY@bucket/run/a.jsonl",
        "memory://CANARY@bucket/run/a.jsonl",
        "s3://bucket/run/a.jsonl?X-Amz-Signature=CANARY",
        "https://CANARY@host/a.jsonl",
    ],
)
def test_credentials_in_a_url_are_not_shown(
    command: str, url: str, rawmm: Run, tmp_path: Path
) -> None:
    record = tmp_path / "a.jsonl"
    record.touch()
    argv: dict[str, tuple[object, ...]] = {
        "upgrade": ("upgrade", record, "-o", url),
        "summary": ("check", record, "--summary", url),
        "refs": ("fsck", tmp_path, "--refs", url),
        "bundle": ("bundle", url, "-o", tmp_path / "b"),
    }
    found = rawmm(*argv.get(command, (command, url)))
    assert found.code == 2
    assert "CANARY" not in found.out + found.err
    assert "rawmm: " in found.err


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


def test_no_durable_is_of_the_output_alone(rawmm: Run, bucket: str, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.jsonl", "--image-dir", f"{bucket}/images", "--no-durable")
    assert rawmm("offload", f"{bucket}/a/0.jsonl", *out).code == 0


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


def test_pieces_of_an_object_are_of_one_version(
    rawmm: Run, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1000)
    url = f"{bucket}/long.jsonl"
    put(url, b'{"nodes": 1}\n' * 500, tmp_path)
    found: list[Any] = []
    for number, piece in enumerate(pieces.pieces_of(Input(url, None, ""))):
        if number == 2:
            put(url, b'{"nodes": 2}   \n' * 500, tmp_path)
        with pieces.opened(piece) as reader:
            found.append(({record.data for record in reader}, str(reader.failure)))
    assert found[:2] == [({b'{"nodes": 1}\n'}, "None")] * 2
    assert {len(records) for records, _ in found[2:]} == {0}
    assert all("written or deleted meanwhile" in failure for _, failure in found[2:])


def test_rest_of_a_compressed_object_is_of_one_version(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FINDINGS_AT_ONCE", 3)
    url = f"{bucket}/long.jsonl.gz"
    put(url, gzip.compress(b'{"nodes": 1}\n' * 9), tmp_path)
    work = audit.work_of(checker_of, ("Trace", None, False), 0)
    (piece,) = pieces.pieces_of(Input(url, None, ""))
    checked, rest = work(piece)
    assert (checked.records, checked.failure) == (3, None)
    assert rest is not None
    assert work(rest)[0].records == 3
    put(url, gzip.compress(b'{"nodes": 2}\n' * 9), tmp_path)
    checked, rest = work(rest)
    assert (checked.records, rest) == (0, None)
    assert "written or deleted meanwhile" in str(checked.failure)


def test_object_that_changed_is_unreadable_once(
    rawmm: Run, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1000)
    url = f"{bucket}/long.jsonl"
    put(url, b'{"nodes": 1}\n' * 500, tmp_path)
    opened = pieces.opened

    def opened_late(piece: pieces.Piece, **options: Any) -> Any:
        if piece.begin:
            put(url, b'{"nodes": 2}   \n' * 500, tmp_path)
        return opened(piece, **options)

    monkeypatch.setattr(audit, "opened", opened_late)
    found = rawmm("check", url)
    assert found.code == 2
    assert found.err.count("meanwhile") == 1
    assert "1 unreadable" in found.err


def test_reader_seeks_as_a_file(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_objects, "CHUNK", 7)
    url = f"{bucket}/c/2.jsonl"
    raw, reader = get(url), ObjectReader(url)
    assert reader.seek(-5, 2) == len(raw) - 5
    assert reader.read() == raw[-5:]
    assert reader.read() == b""
    assert (reader.seek(3), reader.read(20), reader.tell()) == (3, raw[3:10], 10)
    assert (reader.seek(2, 1), reader.read(1)) == (12, raw[12:13])
