from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.cli import boundaries
from rawmm.cli.boundaries import NotADocumentError, documents

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
def test_a_stream_is_cut_where_its_documents_end(values: list[Any], step: int) -> None:
    encoded = [msgspec.msgpack.encode(value) for value in values]
    stream = io.BytesIO(b"".join(encoded))
    found = list(documents(lambda size: stream.read(min(step, size))))
    assert [data for data, _ in found] == encoded
    assert [alone for _, alone in found] == [len(encoded) == 1] * len(encoded)


@pytest.mark.parametrize("size", [31, 32, 255, 256, 65535, 65536])
@pytest.mark.parametrize("make", ["str", "bin", "array", "map", "ext"])
def test_every_width_of_length_is_read(size: int, make: str) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "str": lambda: ["x" * size],
        "bin": lambda: [b"x" * size],
        "array": lambda: [0] * size,
        "map": lambda: {str(index): index for index in range(size)},
        "ext": lambda: [extension(1, b"x" * size)],
    }
    data = msgspec.msgpack.encode(makers[make]())
    assert list(documents(io.BytesIO(data * 2).read)) == [(data, False)] * 2


def test_what_is_left_comes_last() -> None:
    data = msgspec.msgpack.encode({"a": [1, 2, 3]})
    for cut in range(1, len(data)):
        assert list(documents(io.BytesIO(data + data[:cut]).read)) == [
            (data, False),
            (data[:cut], False),
        ]
        assert list(documents(io.BytesIO(data[:cut]).read)) == [(data[:cut], True)]


def test_a_length_that_lies_asks_for_no_memory() -> None:
    asked: list[int] = []
    stream = io.BytesIO(b"\x91\xdb\xff\xff\xff\xffabc")

    def read(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    assert len(list(documents(read))) == 1
    assert max(asked) <= boundaries._CHUNK


def test_depth_is_no_matter() -> None:
    data = b"\x91" * 1_000_000 + b"\x01"
    assert list(documents(io.BytesIO(data).read)) == [(data, True)]


def test_a_stream_of_something_else_ends_at_once() -> None:
    with pytest.raises(NotADocumentError, match="neither a map nor an array at byte 1"):
        list(documents(io.BytesIO(b"\x90hello").read))
