"""Compressed files of records: read and written by name, damage found with its place, in bounds."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from backports import zstd  # the environments of the tests have Python 3.11 to 3.13

from rawmm.cli import main
from rawmm.cli.compressed import DamagedStreamError, Decompressed, compressor
from rawmm.cli.output import UsageError
from rawmm.cli.records import BrokenSourceError, Source
from rawmm.cli.report import location_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rawmm.cli.compressed import Compression
    from rawmm.cli.records import Format

    Run = Callable[..., Any]

BOTH = pytest.mark.parametrize("compression", ["gzip", "zstd"])
SUFFIX: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst"}
NODE = {"message": {"role": "user", "content": "x" * 50}, "token_ids": [1], "mask": [False]}
LINES = b"".join(msgspec.json.encode({"nodes": [NODE], "id": n}) + b"\n" for n in range(1500))


def packed(data: bytes, compression: Compression) -> bytes:
    """As the usual programs write it."""
    return gzip.compress(data) if compression == "gzip" else zstd.compress(data)


def unpacked(data: bytes, compression: Compression, step: int = 1 << 16) -> bytes:
    stream = io.BufferedReader(Decompressed(io.BytesIO(data), compression), step)
    return b"".join(iter(lambda: stream.read(step), b""))


def records(data: bytes, form: Format, compression: Compression, **options: Any) -> list[bytes]:
    source = Source(io.BytesIO(data), "x", form, compression, **options)
    return [record.data for record in source.records(may_be_empty=True)]


class OnlyRead:
    """What a store returns: a stream with one method, which gives less than it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._inner.read(min(size, 7))


@BOTH
@pytest.mark.parametrize("step", [1, 3, 1000, 1 << 20])
def test_content_is_that_of_the_usual_program(compression: Compression, step: int) -> None:
    for size in (0, 1, 1000, 70_000 if step > 3 else 5000):
        data = random.Random(size).randbytes(size // 2) + b"a" * (size - size // 2)
        assert unpacked(packed(data, compression), compression, step) == data


@BOTH
def test_written_stream_is_read_by_the_usual_program_and_repeats(compression: Compression) -> None:
    def written() -> bytes:
        stream = compressor(compression)
        return stream.compress(LINES[:100]) + stream.compress(LINES[100:]) + stream.flush()

    read = gzip.decompress if compression == "gzip" else zstd.decompress
    assert read(written()) == LINES
    assert written() == written()


@BOTH
def test_several_members_are_one_file(compression: Compression) -> None:
    parts = [packed(LINES[:777], compression), packed(b"", compression)]
    whole = b"".join([*parts, packed(LINES[777:], compression)])
    assert unpacked(whole, compression) == LINES


def test_padding_after_a_gzip_file_and_skippable_frames_are_ignored() -> None:
    assert unpacked(packed(LINES, "gzip") + bytes(400_000), "gzip") == LINES
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    whole = skippable + packed(LINES, "zstd") + skippable
    assert unpacked(whole, "zstd") == LINES


@BOTH
def test_file_cut_off_anywhere_is_refused(compression: Compression) -> None:
    whole = packed(LINES[:2000], compression)
    for end in range(len(whole)):
        with pytest.raises(DamagedStreamError, match=r"cut off after|damaged data before byte"):
            unpacked(whole[:end], compression)


@BOTH
def test_changed_bit_is_found(compression: Compression) -> None:
    stream = compressor(compression)
    whole = stream.compress(LINES[:2000]) + stream.flush()
    kept = 0
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        try:
            assert unpacked(bytes(damaged), compression) == LINES[:2000]
            kept += 1
        except DamagedStreamError:
            pass
    assert kept <= 8  # bits of the header without meaning for the content, such as a time


@BOTH
@pytest.mark.parametrize("tail", [b"\0x", b"more", LINES])
def test_other_data_after_the_end_is_refused(compression: Compression, tail: bytes) -> None:
    with pytest.raises(DamagedStreamError):
        unpacked(packed(LINES, compression) + tail, compression)


@BOTH
@pytest.mark.parametrize("form", ["json", "jsonl", "msgpack"])
def test_stream_with_read_alone_gives_the_same_records(
    form: Format, compression: Compression
) -> None:
    documents = [{"nodes": [NODE], "id": n} for n in range(1 if form == "json" else 40)]
    encode = msgspec.msgpack.encode if form == "msgpack" else msgspec.json.encode
    data = [encode(one) + (b"\n" if form == "jsonl" else b"") for one in documents]
    for stream, kind in (
        (OnlyRead(b"".join(data)), None),
        (OnlyRead(packed(b"".join(data), compression)), compression),
    ):
        source = Source(stream, "s3://b/x", form, kind, size=10)
        assert [record.data for record in source.records()] == data
        assert source.content == len(b"".join(data))
        assert source.size == 10


@BOTH
@pytest.mark.parametrize("form", ["jsonl", "msgpack", "json"])
def test_damage_names_the_record(form: Format, compression: Compression) -> None:
    noise = [{"id": random.Random(n).randbytes(200).hex()} for n in range(2000)]
    encode = msgspec.msgpack.encode if form == "msgpack" else msgspec.json.encode
    whole = packed(
        b"\n".join(encode(one) for one in noise)
        if form != "msgpack"
        else b"".join(map(encode, noise)),
        compression,
    )
    read: list[Any] = []
    source = Source(io.BytesIO(whole[: len(whole) // 2]), "x", form, compression)
    with pytest.raises(BrokenSourceError) as caught:
        read.extend(source.records())
    error = caught.value
    assert error.code == "malformed"
    assert error.line == (None if form == "json" else len(read) + 1)
    assert form == "json" or len(read) > 500
    assert "cut off after" in error.got
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.line) == (str(error), error.line)
    assert location_of("f", None, error).line == error.line


@BOTH
@pytest.mark.parametrize("form", ["json", "jsonl", "msgpack"])
def test_record_that_a_few_bytes_stand_for_is_refused_early(
    form: Format, compression: Compression
) -> None:
    size = 1 << 24
    body = b"\xdb" + size.to_bytes(4, "big") + b" " * size
    bomb = packed((b"\x91" + body) if form == "msgpack" else b'["' + b" " * size, compression)
    assert len(bomb) < size / 500
    for data in (bomb, packed(b"\n" * size, compression)):
        if data is bomb or form == "json":
            with pytest.raises(BrokenSourceError, match="at most 1,000,000 bytes"):
                records(data, form, compression, largest=1_000_000)
    if form == "jsonl":  # blank lines are kept only if asked for
        assert records(packed(b"\n" * 300_000, compression), form, compression, largest=9) == []
        source = Source(
            io.BytesIO(packed(b"\n" * 3000, compression)), "x", form, compression, largest=999
        )
        with pytest.raises(BrokenSourceError):
            list(source.records(may_be_empty=True, keep_blank=True))


@BOTH
def test_commands_read_and_write_by_name(
    compression: Compression, rawmm: Run, tmp_path: Path
) -> None:
    plain, source = tmp_path / "a.jsonl", tmp_path / f"a.jsonl{SUFFIX[compression]}"
    plain.write_bytes(LINES)
    source.write_bytes(packed(LINES, compression))
    assert rawmm("check", source) == rawmm("check", plain)
    for command, more in (
        ("upgrade", ()),
        ("convert", ()),
        ("offload", ("--image-dir", tmp_path / "i")),
    ):
        out, expected = tmp_path / f"b.msgpack{SUFFIX[compression].upper()}", tmp_path / "b.msgpack"
        done = rawmm(command, source, "-o", out, *more)
        assert done == rawmm(command, plain, "-o", expected, *more)
        assert done.code == 0
        assert unpacked(out.read_bytes(), compression) == expected.read_bytes()
    assert rawmm("upgrade", source, "-o", source).code == 0  # in place
    assert unpacked(source.read_bytes(), compression) == LINES.replace(b'": ', b'":')


@BOTH
def test_damaged_file_changes_nothing_and_is_an_error_with_its_line(
    compression: Compression, rawmm: Run, tmp_path: Path
) -> None:
    source = tmp_path / f"a.jsonl{SUFFIX[compression]}"
    source.write_bytes(packed(LINES, compression)[:-9])
    code, out, _ = rawmm("check", source, "--format", "json")
    assert code == 1
    (found,) = map(json.loads, out.splitlines())
    assert (found["code"], found["path"]) == ("malformed", "$")
    assert found["line"] > 700
    done = rawmm("offload", source, "-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "i")
    assert done.code == 1
    assert f"{source}:{found['line']}::$: " in done.err
    assert not (tmp_path / "out.jsonl").exists()


def test_gzip_of_a_format_without_name_needs_the_option(rawmm: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.gz"
    source.write_bytes(gzip.compress(LINES))
    code, _, err = rawmm("check", source)
    assert code == 2
    assert "; give --input-format json" in err
    assert rawmm("check", source, "--input-format", "jsonl").code == 0


def test_zstd_without_its_package_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "backports", None)
    with pytest.raises(UsageError, match=r"rawmm\[zstd\]"):
        Source(io.BytesIO(b""), "x", "jsonl", "zstd")
    with pytest.raises(UsageError, match=r"rawmm\[zstd\]"):
        compressor("zstd")


def test_error_never_has_the_decoder_s_text() -> None:
    data = bytearray(zlib.compress(LINES, wbits=31))
    data[200] ^= 0xFF
    with pytest.raises(BrokenSourceError) as caught:
        records(bytes(data), "jsonl", "gzip")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_file_with_the_extension_of_another_type_is_said_to_be_one(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text('{"nodes": []}\n')
    assert main(["check", str(tmp_path / name)]) == 1
    assert "got another type of file;" in capsys.readouterr().out
