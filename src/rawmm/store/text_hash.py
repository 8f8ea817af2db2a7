"""A hash of texts, by which a store knows a data URL that it has stored before.

With the C part and a processor that multiplies without carries, it is the keyed hash below.
Otherwise it is BLAKE3, which comes with the extra ``fast``. Without either there is none, because
SHA-256 of a text takes longer than decoding the text and hashing the image.

The keyed hash
==============

All is in the field GF(2^128), modulo x^128 + x^7 + x^2 + x + 1. 16 bytes are an element; the least
significant bit of the first byte is the coefficient of 1. The key is 64 elements k[0] to k[63] and
a point r: 1,040 random bytes.

A text of n bytes is padded with zeros to g groups of 64 elements m[0] to m[63]. The value of a
group is the sum of the products ``(m[i] + k[i]) * (m[i + 4] + k[i + 4])``, over all i whose
remainder by 8 is less than 4: each element is in one product. The digest is ``h`` at the end of ::

    h = 0
    for group in groups:
        h = h * r + value(group)
    h = h * r + n

Collisions
==========

Two different texts have equal digests with a probability of at most (g + 1) / 2^128 over the random
key, where g is the number of groups of the longer text:

- Texts of equal length differ in an element of some group, say in m[i]. The difference of the two
  values of this group is ``(m[i] - m'[i]) * k[j]`` plus terms without k[j], where k[j] is the key
  element of the other factor: the products of two elements of the key cancel out. Whatever the
  rest of the key is, one k[j] in 2^128 makes it zero. Otherwise the difference of the digests is a
  polynomial in r of degree g at most, which is not zero and does not depend on r. It has at most g
  roots.
- Texts of different lengths give polynomials in r whose difference has a constant term that is not
  zero, the difference of the lengths. It has at most g roots.

The longest text that the default `Limits.max_bytes` of 64 MiB allows has 89,478,488 characters and
87,382 groups. A text is compared with one entry of an index, so a wrong answer has a probability of
less than 2^-111 for each lookup.

The bound holds for texts that are chosen without knowledge of the key. The key is random in each
process and stays in the C part. Digests stay in the index, which is copied and pickled without its
entries. The child of a fork inherits both: it compares its texts with those of its parent, and
whoever chose them knows no more of the key than before.

Sources: S. Winograd, "A new algorithm for inner product" (1968), for the products; NH in Black,
Halevi, Krawczyk, Krovetz and Rogaway, "UMAC" (1999), section 4, for texts added to a key; GHASH in
NIST SP 800-38D for the polynomial, whose bits are in another order there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rawmm import native
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable

    TextHash: TypeAlias = Callable[[str | memoryview, int], bytes | None]


KEY_SIZE: Final = 1040
"""Bytes of the key."""


@cache
def text_hash() -> TextHash | None:
    """Return the hash of this process, or None if there is none.

    It returns the digest of a text from an index on; None for a string that is not ASCII.
    """
    keyed, given = native.text_digest, native.keyed_digest
    if keyed and given and is_right(given, native.TEXT_HASH_WIDTH):
        return keyed
    try:
        from blake3 import blake3
    except ImportError:
        return None
    return _Blake3(blake3)


def is_fast() -> bool:
    """Whether a text is hashed before another thread could wake up to do it."""
    digest = text_hash()
    return digest is not None and digest is native.text_digest


def digest_to_quote() -> Callable[[bytes, int], tuple[int, bytes] | None] | None:
    """Return a function that finds the end of a text and hashes it, or None without a hash.

    It returns the index of the first ``"`` from an index on, and the digest of what is before it;
    None if there is no quote. The text is read from memory once.
    """
    digest = text_hash()
    if digest is None:
        return None
    return digest.to_quote if is_a(digest, _Blake3) else native.digest_to_quote


class _Blake3:
    """BLAKE3 of a text."""

    def __init__(self, blake3: Callable[[memoryview], Any]) -> None:
        self._blake3 = blake3

    def __call__(self, text: str | memoryview, start: int) -> bytes | None:
        if is_a(text, str):
            if not text.isascii():
                return None
            text = memoryview(text.encode())
        digest: bytes = self._blake3(text[start:]).digest()
        return digest

    def to_quote(self, text: bytes, start: int) -> tuple[int, bytes] | None:
        end = text.find(b'"', start)
        if end < 0:
            return None
        return end, self._blake3(memoryview(text)[start:end]).digest()


TEST_KEY: Final = bytes(index * index % 251 for index in range(KEY_SIZE))
TEST_TEXT: Final = bytes(128 + index * 7 % 128 for index in range(3000))
TEST_DIGESTS: Final = {
    1: "04d8e3bcfe2f6ff57eb91a9b04803789",
    1024: "bda0b9fa57035fee67918384e8ff9e27",
    3000: "f8f72eca49ee61937b99cf226f0c25e7",
}
"""Digests of the first bytes of the text, by their number, from the definition in the tests."""
WIDTHS: Final = (16, 32, 64)
"""Bytes that are multiplied at a time."""


def is_right(keyed_digest: Callable[[bytes, int, Any, int, int], Any], width: int) -> bool:
    """Whether a keyed hash gives the right digests with every width up to this one."""
    return width > 0 and all(
        keyed_digest(TEST_KEY, each, TEST_TEXT[:size], 0, 0) == bytes.fromhex(digest)
        and keyed_digest(TEST_KEY, each, TEST_TEXT[:size] + b'"a"', 0, 1)
        == (size, bytes.fromhex(digest))
        for each in WIDTHS
        if each <= width
        for size, digest in TEST_DIGESTS.items()
    )
