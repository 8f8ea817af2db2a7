"""Commands that write MessagePack again: nothing in it is lost or rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

MESSAGE = msgspec.msgpack.encode({"role": "user", "content": "x"})
TIME = b"\xd7\xff" + (123_456_789 << 34 | 1_700_000_000).to_bytes(8, "big")
NODE: dict[str, Any] = {
    "parent": None,
    "message": {"role": "user", "content": "x"},
    "token_ids": [],
    "mask": [],
}


def trace_with(field: bytes) -> bytes:
    """A trace with a field of its own, whose encoded name and value are given."""
    nodes = b"\xa5nodes" + msgspec.msgpack.encode([NODE])
    return b"\x82" + nodes + field


@pytest.mark.parametrize("command", ["offload", "upgrade", "check"])
@pytest.mark.parametrize(
    ("field", "path"),
    [(b"\xa3own\x82\xa1a\x01\xa1a\x02", "$.own.a"), (b"\xa3own\x82\x01\x01\xc3\x02", "$.own.true")],
    ids=["equal", "1 and true"],
)
def test_duplicate_key_is_refused(
    rawmm: Run, tmp_path: Path, command: str, field: bytes, path: str
) -> None:
    source, target = tmp_path / "in.msgpack", tmp_path / "out.msgpack"
    source.write_bytes(trace_with(field))
    argv = [] if command == "check" else ["-o", target]
    if command == "offload":
        argv += ["--image-dir", tmp_path / "images"]
    code, out, err = rawmm(command, source, *argv)
    assert code == 1
    assert f"in.msgpack::{path}: expected each key once" in out + err
    assert "[duplicate_key]" in out + err
    assert not target.exists()


@pytest.mark.parametrize(
    "value",
    [TIME, b"\x92" + TIME + b"\xd4\x07x", b"\xd5\x05xy"],
    ids=["nanoseconds", "beside an extension", "an extension"],
)
def test_offload_keeps_times_and_extensions(rawmm: Run, tmp_path: Path, value: bytes) -> None:
    source, target = tmp_path / "in.msgpack", tmp_path / "out.msgpack"
    source.write_bytes(trace_with(b"\xa3own" + value))
    assert rawmm("offload", source, "-o", target, "--image-dir", tmp_path / "images").code == 0
    assert b"\xa3own" + value in target.read_bytes()


def test_upgrade_refuses_times_and_extensions_at_their_paths(rawmm: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "in.msgpack", tmp_path / "out.msgpack"
    for value in (TIME, b"\xd5\x05xy"):
        source.write_bytes(trace_with(b"\xa3own" + value))
        code, _, err = rawmm("upgrade", source, "-o", target)
        assert code == 1
        assert "in.msgpack::$.own: expected a JSON value" in err
        assert not target.exists()


@pytest.mark.parametrize("command", ["offload", "upgrade", "check", "gc"])
def test_invalid_time_is_refused_at_its_path(rawmm: Run, tmp_path: Path, command: str) -> None:
    source, images = tmp_path / "in.msgpack", tmp_path / "images"
    images.mkdir()
    source.write_bytes(trace_with(b"\xa3own\xc7\x0c\xff\0\0\0\1\x40" + bytes(7)))
    arguments: dict[str, list[Path | str]] = {
        "offload": [source, "-o", tmp_path / "out.msgpack", "--image-dir", images],
        "upgrade": [source, "-o", tmp_path / "out.msgpack"],
        "check": [source],
        "gc": [images, "--refs", source],
    }
    code, out, err = rawmm(command, *arguments[command])
    assert code == 1
    assert "in.msgpack::$.own: expected a time in the years 1 to 9999" in out + err
