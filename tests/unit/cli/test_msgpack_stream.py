"""MessagePack streams are split into documents."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.cli import msgpack_stream
from rawmm.cli.msgpack_stream import NotADocumentError, documents
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable

extension: Any = msgspec.msgpack.Ext
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=70)
    | st.binary(max_size=70)
    | st.tuples(st.integers(0, 127), st.binary(max_size=20)).map(lambda two: extension(*two))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=18),
    max_leaves=30,
)
DOCUMENTS = st.lists(VALUES, max_size=5) | st.dictionaries(st.text(), VALUES, max_size=5)


@given(st.lists(DOCUMENTS, min_size=1, max_size=5), st.integers(1, 50))
def test_stream_is_split_into_its_documents(values: list[Any], step: int) -> None:
    encoded = [msgspec.msgpack.encode(value) for value in values]
    stream = io.BytesIO(b"".join(encoded))
    found = list(documents(lambda size: stream.read(min(step, size))))
    assert [data for data, _ in found] == encoded
    assert [alone for _, alone in found] == [len(encoded) == 1] * len(encoded)


@each("size", [31, 32, 255, 256, 65535, 65536])
@each("make", ["str", "bin", "array", "map", "ext"])
def test_lengths_of_every_width_are_read(size: int, make: str) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "str": lambda: ["x" * size],
        "bin": lambda: [b"x" * size],
        "array": lambda: [0] * size,
        "map": lambda: {str(index): index for index in range(size)},
        "ext": lambda: [extension(1, b"x" * size)],
    }
    data = msgspec.msgpack.encode(makers[make]())
    assert list(documents(io.BytesIO(data * 2).read)) == [(data, False)] * 2


def test_incomplete_document_comes_last() -> None:
    data = msgspec.msgpack.encode({"a": [1, 2, 3]})
    for cut in range(1, len(data)):
        assert list(documents(io.BytesIO(data + data[:cut]).read)) == [
            (data, False),
            (data[:cut], False),
        ]
        assert list(documents(io.BytesIO(data[:cut]).read)) == [(data[:cut], True)]


def test_false_length_reserves_no_memory() -> None:
    asked: list[int] = []
    stream = io.BytesIO(b"\x91\xdb\xff\xff\xff\xffabc")

    def read(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    assert len(list(documents(read))) == 1
    assert max(asked) <= msgpack_stream._CHUNK


@pytest.mark.parametrize(
    "broken", [b"\x91\xc1", b"\x91" * 2000 + b"\x01"], ids=["unused byte", "2,000 levels"]
)
def test_broken_document_ends_the_stream_with_all_that_was_read(broken: bytes) -> None:
    good = msgspec.msgpack.encode([1])
    found = list(documents(io.BytesIO(good + broken + good).read))
    assert found == [(good, False), (broken + good, False)]


def test_document_of_a_thousand_levels_is_found() -> None:
    data = b"\x91" * 1000 + b"\x01"
    assert list(documents(io.BytesIO(data * 2).read)) == [(data, False)] * 2


def test_document_larger_than_a_chunk_is_found() -> None:
    data = msgspec.msgpack.encode(["x" * 3_000_000, list(range(500_000))])
    assert list(documents(io.BytesIO(data * 2).read)) == [(data, False)] * 2


def test_empty_stream_has_no_documents() -> None:
    assert list(documents(io.BytesIO(b"").read)) == []


def test_scalar_at_the_top_is_refused() -> None:
    with pytest.raises(NotADocumentError, match="nor an array at byte 1"):
        list(documents(io.BytesIO(b"\x90hello").read))
