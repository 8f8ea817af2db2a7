"""The keyed hash of texts is the one that its docstring defines."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawmm import native
from rawmm.images import Limits
from rawmm.store import text_hash as subject
from rawmm.store.text_hash import (
    KEY_SIZE,
    TEST_DIGESTS,
    TEST_KEY,
    TEST_TEXT,
    WIDTHS,
    is_right,
    text_hash,
)

GROUP: Final = 1024
ELEMENT: Final = 16
MODULUS: Final = 1 << 128 | 1 << 7 | 1 << 2 | 1 << 1 | 1
THERE: Final = [width for width in WIDTHS if width <= native.TEXT_HASH_WIDTH]
"""Widths that this processor has, with the C part."""

SEEDS: Final = st.integers(0, 2**32)
SIZES: Final = st.builds(
    lambda unit, times, more: max(0, unit * times + more),
    st.sampled_from([ELEMENT, 32, 64, 128, GROUP]), st.integers(0, 3), st.integers(-2, 2),
)  # fmt: skip


def product(one: int, other: int) -> int:
    """The product of two elements of GF(2^128)."""
    found = 0
    for bit in range(128):
        if other >> bit & 1:
            found ^= one << bit
    for bit in range(254, 127, -1):
        if found >> bit & 1:
            found ^= MODULUS << bit - 128
    return found


def elements(text: bytes) -> list[int]:
    return [
        int.from_bytes(text[at : at + ELEMENT], "little") for at in range(0, len(text), ELEMENT)
    ]


def defined(key: bytes, text: bytes) -> bytes:
    """The digest, by the definition in `rawmm.store.text_hash`."""
    *factors, point = elements(key)
    digest = 0
    for at in range(0, len(text), GROUP):
        group = elements(text[at : at + GROUP].ljust(GROUP, b"\0"))
        summed = [m ^ k for m, k in zip(group, factors, strict=True)]
        digest = product(digest, point)
        for index in range(len(group)):
            if index % 8 < 4:
                digest ^= product(summed[index], summed[index + 4])
    digest = product(digest, point) ^ len(text)
    return digest.to_bytes(ELEMENT, "little")


def keyed(key: bytes, width: int, text: Any, start: int = 0, to_quote: int = 0, /) -> Any:
    assert native.keyed_digest is not None
    return native.keyed_digest(key, width, text, start, to_quote)


def test_digests_of_the_self_test_are_those_of_the_definition() -> None:
    for size, digest in TEST_DIGESTS.items():
        assert defined(TEST_KEY, TEST_TEXT[:size]).hex() == digest


@given(seed=SEEDS, size=SIZES, letters=st.booleans(), start=st.integers(0, 70))
@example(seed=0, size=GROUP, letters=True, start=1)
@example(seed=1, size=3 * GROUP, letters=False, start=15)
def test_every_width_gives_the_digest_of_the_definition(
    *, seed: int, size: int, letters: bool, start: int
) -> None:
    """Of bytes, of views that begin anywhere in memory, and of strings."""
    drawn = random.Random(seed)
    key, text = drawn.randbytes(KEY_SIZE), drawn.randbytes(size)
    if letters:
        text = bytes(byte & 127 for byte in text)
    digest = defined(key, text)
    longer = b"?" * start + text
    texts = [longer, memoryview(b"*" + longer)[1:], bytearray(longer)]
    texts += [longer.decode("ascii")] if letters else []
    for width in THERE:
        assert {keyed(key, width, one, start) for one in texts} == {digest}
        if b'"' not in text:
            end = start + len(text)
            for more in (b'"', b'""', b'"' + bytes(2 * GROUP), b'"' + text):
                assert keyed(key, width, longer + more, start, 1) == (end, digest)
            assert keyed(key, width, longer, start, 1) is None


def test_lengths_around_blocks_are_hashed_by_the_definition() -> None:
    units = (ELEMENT, 32, 64, 128, GROUP, 2 * GROUP)
    for size in sorted({0, *(unit + more for unit in units for more in (-1, 0, 1))}):
        digest = defined(TEST_KEY, TEST_TEXT[:size])
        for width in THERE:
            assert keyed(TEST_KEY, width, TEST_TEXT[:size]) == digest
            assert keyed(TEST_KEY, width, TEST_TEXT[:size] + b'"', 0, 1) == (size, digest)


def test_first_quote_is_found_wherever_it_is() -> None:
    text = bytes(range(128, 256)) * 20
    for width in THERE:
        for start in (0, 3):
            for at in range(start, len(text)):
                quoted = text[:at] + b'"' + text[at:]
                assert keyed(TEST_KEY, width, quoted, start, 1)[0] == at


@pytest.mark.parametrize("byte", [0, 255])
def test_keys_and_texts_of_equal_bytes_are_hashed_by_the_definition(byte: int) -> None:
    key, text = bytes([byte]) * KEY_SIZE, bytes([255 - byte]) * (2 * GROUP + 1)
    for width in THERE:
        assert keyed(key, width, text) == defined(key, text)


def test_each_changed_bit_changes_the_digest() -> None:
    key, text = os.urandom(KEY_SIZE), bytearray(os.urandom(GROUP + 40))
    for width in THERE:
        before = keyed(key, width, text)
        for bit in range(8 * len(text)):
            text[bit // 8] ^= 1 << bit % 8
            assert keyed(key, width, text) != before
            text[bit // 8] ^= 1 << bit % 8
        assert keyed(key, width, text) == before


def test_end_of_the_text_and_zeros_after_it_are_distinguished() -> None:
    key = os.urandom(KEY_SIZE)
    texts = [b"x" * size + bytes(more) for size in (0, 1, GROUP) for more in range(3)]
    for width in THERE:
        assert len({keyed(key, width, text) for text in texts}) == len(texts)


def test_start_beyond_the_text_leaves_nothing() -> None:
    for width, text in itertools.product(THERE, ("abc", b"abc")):
        assert keyed(TEST_KEY, width, text, 3) == keyed(TEST_KEY, width, b"")
        assert keyed(TEST_KEY, width, text, 2**40) == keyed(TEST_KEY, width, b"")
        assert keyed(TEST_KEY, width, text, -5) == keyed(TEST_KEY, width, b"abc")


def test_other_arguments_are_refused() -> None:
    for width in THERE:
        for key, wide in [(TEST_KEY[:-1], width), (TEST_KEY, 0), (TEST_KEY, 128), (TEST_KEY, 17)]:
            with pytest.raises(ValueError, match="a key of another size, or a width"):
                keyed(key, wide, b"")
        for text in (None, 7, memoryview(b"abcd")[::2]):
            with pytest.raises((TypeError, BufferError)):
                keyed(TEST_KEY, width, text)


def test_hash_of_this_process_tells_texts_apart() -> None:
    digest = text_hash()
    assert digest is not None
    text = "abcd" * 300
    views = [memoryview(text.encode()), memoryview(b"x" + text.encode())[1:]]
    assert {digest(text, 0), *(digest(view, 0) for view in views)} == {digest("--" + text, 2)}
    assert digest(text, 0) != digest(text, 1)
    assert digest("é", 0) is None
    assert digest("aé\ud800", 0) is None


def test_keyed_hash_is_used_if_it_is_there() -> None:
    assert (text_hash() is native.text_digest) == bool(THERE)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("only_to_quote", [0, 1])
def test_wrong_digest_switches_the_keyed_hash_off(
    width: int, only_to_quote: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(key: bytes, wide: int, text: bytes, start: int, to_quote: int, /) -> Any:
        end = text.find(b'"', start) if to_quote else len(text)
        digest = defined(key, text[start:end])
        if (wide, to_quote) == (width, only_to_quote) and end >= GROUP:
            digest = digest[::-1]
        return (end, digest) if to_quote else digest

    monkeypatch.setattr(native, "TEXT_HASH_WIDTH", max(WIDTHS))
    monkeypatch.setattr(native, "keyed_digest", wrong)
    subject.text_hash.cache_clear()
    try:
        digest = text_hash()
        assert digest is not None
        assert len(digest("text", 0) or b"") == 32  # BLAKE3
    finally:
        subject.text_hash.cache_clear()


def test_processor_without_the_instruction_has_no_keyed_hash() -> None:
    assert not is_right(keyed, 0)


def test_each_process_has_a_key_of_its_own() -> None:
    code = """from rawmm.store.text_hash import text_hash; print(text_hash()(b"text", 0).hex())"""
    ran = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert (ran[0].stdout != ran[1].stdout) == bool(THERE)


def test_bound_on_collisions_is_the_one_that_is_stated() -> None:
    longest = -(-Limits().max_bytes // 3) * 4
    groups = -(-longest // GROUP)
    assert f"{longest:,} characters and\n{groups:,} groups" in (subject.__doc__ or "")
    assert groups < 2 ** (128 - 111)
