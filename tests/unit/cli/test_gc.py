"""`rawmm gc`: the images that it keeps and deletes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.store import ImageStore
from tests.unit.cli.test_process import on_terminal
from tests.unit.images.pictures import picture
from tests.unit.store.test_gc import let_time_pass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Four images, all old."""
    store = ImageStore(tmp_path / "images", durable=False)
    for seed in range(4):
        store.put(picture(seed=seed))
    let_time_pass(store.root)
    return store


def name_of(store: ImageStore, seed: int) -> str:
    return store.prepare(picture(seed=seed)).raw_image_id


def test_files_of_every_format_keep_their_images(
    rawmm: Run, store: ImageStore, tmp_path: Path
) -> None:
    one, lines, packed = tmp_path / "a.json", tmp_path / "b.jsonl", tmp_path / "c.msgpack"
    one.write_text(json.dumps({"raw_image_id": name_of(store, 0)}))
    lines.write_text(f'{{}}\n"see {name_of(store, 1)}"\n')
    packed.write_bytes(
        msgspec.msgpack.encode([1]) + msgspec.msgpack.encode([[name_of(store, 2), b""]])
    )
    gone = store.path(name_of(store, 3))
    size = gone.stat().st_size
    args = ("gc", store.root, "--refs", one, lines, packed, "--grace", "0s")
    code, out, err = rawmm(*args, "--dry-run")
    assert (code, out) == (0, f"{gone}\n")
    assert err.startswith(f"dry run: 1 image deleted, {size} bytes freed, 3 referenced, 0 within")
    assert gone.exists()
    code, out, err = rawmm(*args)
    assert (code, out) == (0, f"{gone}\n")
    assert err.startswith("1 image deleted, ")
    assert not gone.exists()
    assert len(list(store.root.iterdir())) == 3


def test_grace_is_a_day(rawmm: Run, store: ImageStore, tmp_path: Path) -> None:
    refs = tmp_path / "a.json"
    refs.write_text(json.dumps([name_of(store, 0)]))
    code, out, err = rawmm("gc", store.root, "--refs", refs)
    assert (code, out) == (0, "")
    assert err == "no images deleted, 0 bytes freed, 1 referenced, 3 within the grace period\n"


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ("", 1, "[malformed]"),
        ("[]", 2, "(--allow-empty)"),
        ('["NAME"', 1, "[malformed]"),
        ('{"a": "NAME", "a": 1}', 1, "[duplicate_key]"),
        ('["NAME", "mmraw:v9:x"]', 1, "::$[1]: expected mmraw:"),
        ('["NAME", "\\ud800"]', 1, "[malformed]"),
        ("[" * 100_000, 1, "[too_deep]"),
    ],
)
def test_unreadable_record_stops_the_collection(
    data: str, code: int, says: str, rawmm: Run, store: ImageStore, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text("{}" if data == "[]" else json.dumps([name_of(store, 0)]))
    bad.write_text(data.replace("NAME", name_of(store, 0)))
    result = rawmm("gc", store.root, "--refs", good, bad, "--grace", "0s")
    assert (result.code, result.out) == (code, "")
    assert says in result.err
    assert len(list(store.root.iterdir())) == 4


def test_age_alone_deletes_nothing(rawmm: Run, store: ImageStore, tmp_path: Path) -> None:
    for argv in (
        (),
        ("--allow-empty",),
        ("--refs", tmp_path / "no.json"),
        ("--refs", tmp_path / "a.txt"),
        ("--refs", tmp_path),
        ("--refs", "x.json", "--grace", "5"),
        ("--refs", "x.json", "--grace=-1d"),
    ):
        code, out, err = rawmm("gc", store.root, "--grace", "0s", *argv)
        assert (code, out) == (2, ""), argv
        assert err.count("\n") == 1
    assert len(list(store.root.iterdir())) == 4
    assert rawmm("gc", tmp_path / "nowhere", "--refs", "-").code == 2


def test_allow_empty_deletes_every_old_image(rawmm: Run, store: ImageStore, tmp_path: Path) -> None:
    refs = tmp_path / "a.json"
    refs.write_text("[]")
    assert rawmm("gc", store.root, "--refs", refs, "--grace=0s", "--allow-empty").code == 0
    assert list(store.root.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_terminal_gets_a_table(store: ImageStore, tmp_path: Path) -> None:
    refs = tmp_path / "a.json"
    refs.write_text(json.dumps([name_of(store, 0), f"file:///a/{'a' * 64}.png"]))
    argv = ["gc", str(store.root), "--refs", str(refs), "--grace", "0s"]
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on_terminal(argv, {"COLUMNS": "100"}))
    rows = [line.split() for line in shown.splitlines()]
    assert ["referenced", "1"] in rows
    assert ["elsewhere", "1"] in [row[:2] for row in rows]
    assert [row[:2] for row in rows if row[:1] == ["deleted"]] == [["deleted", "3"]]


def test_records_are_read_from_standard_input(store: ImageStore, rawmm: Run) -> None:
    data = json.dumps([name_of(store, 0)]).encode()
    done = rawmm(
        "gc", store.root, "--refs", "-", "--input-format", "json", "--grace", "0s", stdin=data
    )
    assert done.code == 0
    assert len(done.out.splitlines()) == 3


def test_references_to_images_that_are_not_here_are_counted(
    rawmm: Run, store: ImageStore, tmp_path: Path
) -> None:
    refs = tmp_path / "a.json"
    refs.write_text(json.dumps([name_of(store, 0), f"file:///a/{'a' * 64}.png"]))
    err = rawmm("gc", store.root, "--refs", refs).err
    assert err.endswith(" within the grace period; 1 reference to images elsewhere, not checked\n")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x82\xa1aNAME\xa1a\x01", "::$.a: expected each key once, got 'a' again [duplicate_key]"),
        (b"\x82\x01NAME\xc3\x01", "::$.true: expected each key once, got true beside 1"),
        (b"\x92NAME\xd5\x05xx", "::$[1]: expected plain data"),
        (b"\x92NAME\xa1\xff", "[malformed]"),
        (b"\x92NAME", "[malformed]"),
        (b"\x91" * 100_000 + b"\x90", "[too_deep]"),
    ],
)
def test_messagepack_that_cannot_be_read_wholly_stops_it_all(
    data: bytes, says: str, rawmm: Run, store: ImageStore, tmp_path: Path
) -> None:
    refs = tmp_path / "a.msgpack"
    refs.write_bytes(data.replace(b"NAME", msgspec.msgpack.encode(name_of(store, 0))))
    for command in (("gc", "--grace", "0s"), ("gc", "--dry-run"), ("fsck",)):
        result = rawmm(command[0], store.root, "--refs", refs, *command[1:])
        assert (result.code, result.out) == (1, "")
        assert says in result.err
    assert len(list(store.root.iterdir())) == 4


def test_times_of_messagepack_do_not_stop_it(rawmm: Run, store: ImageStore, tmp_path: Path) -> None:
    refs = tmp_path / "a.msgpack"
    time = b"\xd7\xff" + (1 << 34 | 1_700_000_000).to_bytes(8, "big")
    refs.write_bytes(b"\x92" + time + msgspec.msgpack.encode(name_of(store, 0)))
    result = rawmm("gc", store.root, "--refs", refs, "--dry-run", "--grace", "0s")
    assert (result.code, len(result.out.splitlines())) == (0, 3)
