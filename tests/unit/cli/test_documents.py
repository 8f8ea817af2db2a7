"""Nothing is lost in decoding: duplicate keys are refused, and times are kept in full."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.cli.documents import decode_plain, decode_strict, key_errors
from rawmm.cli.msgpack_scan import Scan, is_exact
from rawmm.errors import RawMMError

encode = msgspec.msgpack.encode
Ext: Any = msgspec.msgpack.Ext

FLOAT_1 = b"\xcb\x3f\xf0\0\0\0\0\0\0"
STR8_A = b"\xd9\x01a"
TIME = b"\xd7\xff" + (7 << 34 | 1_700_000_000).to_bytes(8, "big")
"""A time with 7 nanoseconds."""
FAR_TIME = b"\xc7\x0c\xff\0\0\0\x01" + (2**60).to_bytes(8, "big")
"""A time that no datetime can be."""


def refusal(data: bytes) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        decode_strict(data, "msgpack")
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("data", "path", "got"),
    [
        (b"\x82\xa1a\x01\xa1a\x02", "$.a", "'a' again"),
        (b"\x82\xa1a\x01" + STR8_A + b"\x02", "$.a", "'a' again"),
        (b"\x82\x01\x01\xc3\x02", "$.true", "true beside 1"),
        (b"\x82\x01\x01" + FLOAT_1 + b"\x02", '$["1.0"]', "1.0 beside 1"),
        (b"\x82\xc2\x01\x00\x02", '$["0"]', "0 beside false"),
        (b"\x82\xc0\x01\xc0\x02", "$.null", "null again"),
        (b"\x82\x01\x01\xd1\x00\x01\x02", '$["1"]', "1 again"),
        (b"\x82\xc4\x01a\x01\xc4\x01a\x02", '$["1 byte"]', "1 byte again"),
        (b"\x82\x91\x01\x01\x91\x01\x02", '$["an array of 1"]', "an array of 1 again"),
        (b"\xde\x00\x02\xa1a\x01\xa1a\x02", "$.a", "'a' again"),
        (b"\xdf\0\0\0\x02\xa1a\x01\xa1a\x02", "$.a", "'a' again"),
        (b"\x92\x01\x81\xa1x\x92\x80\x82\xa1a\x01\xa1a\x02", "$[1].x[1].a", "'a' again"),
        (b"\xdc\x00\x01\x82\xa1a\x90\xa1a\x80", "$[0].a", "'a' again"),
        (b"\x92" + TIME + b"\x82\xa1a\x01\xa1a\x02", "$[1].a", "'a' again"),
    ],
)
def test_duplicate_key_is_refused_at_its_path(data: bytes, path: str, got: str) -> None:
    error = refusal(data)
    assert (error.code, error.path, error.got) == ("duplicate_key", path, got)


def test_every_duplicate_of_a_document_is_listed() -> None:
    data = b"\x93\x82\xa1a\x01\xa1a\x02\x83\xa1b\x01\xa1b\x02\xa1b\x03\x80"
    found = key_errors(data, "msgpack", decode_plain(data, "msgpack"))
    assert [error.path for error in found] == ["$[0].a", "$[1].b", "$[1].b"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x83\xa1a\x01\xc4\x01a\x02\x91\xa1a\x03",  # text, bytes and an array
        b"\x92\xca\x3f\x80\0\0\xd1\x00\x01",  # neither is written in the shortest way
        b"\x82\xcb\x7f\xf8\0\0\0\0\0\0\x01\xcb\x7f\xf8\0\0\0\0\0\0\x02",  # not equal to itself
        b"\x82\xa1a\x82\xa1a\x01\xa1b\x02\xa1b\x82\xa1a\x01\xa1b\x02",
    ],
)
def test_other_keys_are_not_refused(data: bytes) -> None:
    value = decode_strict(data, "msgpack")
    assert repr(value) == repr(msgspec.msgpack.decode(data))


@pytest.mark.parametrize(
    "time",
    [
        TIME,
        b"\xd7\xff" + (500 << 34).to_bytes(8, "big"),
        b"\xc7\x0c\xff" + (999_999_999).to_bytes(4, "big") + (-5).to_bytes(8, "big", signed=True),
        b"\xd6\xff\0\0\0\x01",
        encode(dt.datetime(2026, 1, 1, 1, 2, 3, 456789, tzinfo=dt.UTC)),
    ],
    ids=lambda time: time.hex(),
)
def test_time_is_written_back_unchanged(time: bytes) -> None:
    for data in (
        b"\x91" + time,
        b"\x82\xa1a" + time + b"\xa1b\x93\x01" + time + b"\xd5\x05xy",
        b"\x92" + time + encode(Ext(0, b"z")),
    ):
        assert encode(decode_strict(data, "msgpack")) == data


@pytest.mark.parametrize(
    "time",
    [
        FAR_TIME,
        b"\xd7\xff" + ((1 << 30) - 1 << 34).to_bytes(8, "big"),  # too many nanoseconds
        b"\xd4\xff\x01",  # no time at all
    ],
)
def test_invalid_time_is_refused_at_its_path(time: bytes) -> None:
    error = refusal(b"\x92" + TIME + b"\x81\xa1a\x92\x01" + time)
    assert (error.code, error.path) == ("out_of_range", "$[1].a[1]")
    with pytest.raises(RawMMError) as caught:
        decode_plain(b"\x91" + time, "msgpack")
    assert (caught.value.code, caught.value.path) == ("out_of_range", "$[0]")


def test_time_with_nanoseconds_as_a_key_is_refused() -> None:
    error = refusal(b"\x91\x81" + TIME + b"\x01")
    assert (error.code, error.path) == ("not_json", '$[0]["a datetime.datetime"]')
    whole = b"\x81\xd6\xff\0\0\0\x01\x01"
    assert encode(decode_strict(whole, "msgpack")) == whole


RUNS = st.lists(
    st.tuples(
        st.sampled_from([b"\x07", b"\xca\xca\xca\xca\xca", b"\xcd\x01\x02", b"\xc3", b"\xa2ab"]),
        st.integers(1, 40),
    ),
    max_size=6,
)


@given(RUNS)
def test_duplicate_behind_runs_of_numbers_is_found(runs: list[tuple[bytes, int]]) -> None:
    count = sum(length for _, length in runs)
    numbers = b"\xdc" + count.to_bytes(2, "big") + b"".join(one * length for one, length in runs)
    twins = b"\x82\xa1a\x01\xa1a\x02"
    (error,) = Scan(b"\x92" + numbers + twins).faults()
    assert error.path == "$[1].a"
    inside = b"\xdc" + (count + 1).to_bytes(2, "big") + numbers[3:] + twins
    (error,) = Scan(inside).faults()
    assert error.path == f"$[{count}].a"


@given(st.integers(0, 254), st.binary(max_size=20), st.booleans())
def test_extension_is_written_back_unchanged(kind: int, content: bytes, beside: bool) -> None:  # noqa: FBT001
    value = [Ext(kind if kind < 128 else kind - 256, content)]
    data = encode(value) if not beside else b"\x92" + encode(value) + TIME
    try:
        again = encode(decode_strict(data, "msgpack"))
    except RawMMError:
        raise AssertionError from None
    assert again == data


KEYS = st.sampled_from([b"\xa1a", STR8_A, b"\x01", b"\xc3", FLOAT_1, b"\xc0", b"\xc4\x01a"])
SCALARS = st.sampled_from(
    [b"\x07", b"\xa1x", b"\xca\x3f\x80\0\0", b"\xd9\x01y", TIME, b"\xd4\x05z"]
)


def array(items: list[bytes]) -> bytes:
    return bytes([0x90 + len(items)]) + b"".join(items)


def mapping(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return bytes([0x80 + len(pairs)]) + b"".join(key + value for key, value in pairs)


DOCUMENTS = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=4).map(array)
        | st.lists(st.tuples(KEYS, below), max_size=4).map(mapping)
    ),
    max_leaves=12,
)


def keys_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


@given(DOCUMENTS)
def test_scan_finds_as_many_duplicates_as_keys_are_lost(data: bytes) -> None:
    faults = list(Scan(data).faults())
    value = msgspec.msgpack.decode(data)
    lost = [error for error in faults if error.code == "duplicate_key"]
    assert bool(lost) <= (not is_exact(data, value))
    if not faults:
        written = encode(decode_strict(data, "msgpack"))
        assert keys_in(msgspec.msgpack.decode(written)) == written_keys(data)
    else:
        assert refusal(data).path == faults[0].path


def written_keys(data: bytes) -> int:
    """Keys of a document, counted in its bytes by another library's reader."""
    count = 0

    def pairs(found: list[tuple[Any, Any]]) -> int:
        nonlocal count
        count += len(found)
        return 0

    msgpack.unpackb(data, object_pairs_hook=pairs, strict_map_key=False, ext_hook=lambda *_: 0)
    return count
