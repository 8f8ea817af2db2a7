"""The C part: fast checks of structs, and a hash of texts. `rawmm.native` loads it."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

def post_init(struct: Any, /) -> None:
    """Check the rules of a new struct. Call its `__check_rules__` if C does not accept it."""

TABLES_DIGEST: str
"""`rawmm._digest.TABLES_DIGEST` when this was compiled."""
HAS_EXTRA: int
HAS_LISTS: int
HAS_PACKED: int

def valid(struct: Any, /) -> int:
    """Whether a struct obeys the schema and every rule: 0 if Python has to check it.

    Otherwise 1, combined with `HAS_EXTRA`, `HAS_LISTS` and `HAS_PACKED` for what is in it.
    """

class Unsure(Exception):  # noqa: N818
    """C does not accept an instance of a class that `add_wire` was given."""

def decoded(struct: Any, /) -> None:
    """Check a new struct of such a class, read its streams, then make it of the contract's class.

    The cyclic collector does not track the lists of its streams, which hold scalars. Where C
    cannot read a stream, it calls `__read_rest__`.

    Raises:
        Unsure: Python has to check a field.
    """

def add_wire(
    wire: type,
    kind: type,
    slots: tuple[Any, ...],
    loose: tuple[str, ...],
    bare: tuple[str, ...],
    as_lists: bool,
    /,
) -> bool:
    """Have `decoded` serve a class. False if it cannot.

    Args:
        wire: the class. Its fields are those of `kind`, in the same slots, of other types.
        kind: the class of the contract.
        slots: the slot of each field in order.
        loose: the fields to check.
        bare: the fields with the bytes of streams to read, or dicts of them.
        as_lists: whether these become lists; if not, they are packed.
    """

def checkable(kind: type, /) -> set[str]:
    """Names of the fields whose types C checks in full."""

def packed(kind: type, elements: list[Any], /) -> Any:
    """A stream of the class `kind`, or None if Python has to pack the list."""

def unique_keys(text: bytes, /) -> bool:
    """Whether no object of a valid JSON text repeats a key. False if Python has to check."""

TEXT_HASH_WIDTH: int
"""Bytes in one carry-less multiplication of this processor; 0 if it has none."""

def text_digest(text: str | bytes | memoryview, start: int, /) -> bytes | None:
    """The digest of a text from `start` on, with the secret key of this process: 16 bytes.

    `rawmm.store.text_hash` defines it. None for a string that is not ASCII, and without the
    instruction.
    """

def digest_to_quote(text: bytes, start: int, /) -> tuple[int, bytes] | None:
    """The index of the first ``"`` from `start` on, and the digest of the text before it.

    None if there is no quote, and without the instruction.
    """

def keyed_digest(
    key: bytes, width: int, text: str | bytes | memoryview, start: int, to_quote: int, /
) -> Any:
    """What `text_digest` or `digest_to_quote` returns, with a key of 1,040 bytes.

    The width is 16, 32 or 64, and the processor must have it.

    Raises:
        ValueError: another size of the key, or another width.
    """

def set_up(
    *,
    kinds: Mapping[str, tuple[type, tuple[tuple[str, Any], ...]]],
    unset: Any,
    extra: type,
    raw: type,
    checks: ContextVar[Any],
    by_itself: Any,
    in_messages: dict[str, Any],
    token_types: dict[int, str],
    image: Any,
) -> bool:
    """Pass the classes and tables to the C code. False if it cannot use them.

    Args:
        kinds: for each struct of the tables, its class, and the slot of each field in order.
        unset: the value of an absent field.
        extra: the class of unknown properties.
        raw: `msgspec.Raw`.
        checks: the variable of `MediaChecks`.
        by_itself: its default.
        in_messages: the modalities of content parts.
        token_types: the modalities by type of token.
        image: the entry of images in `in_messages`.
    """

def observe(observer: Callable[[Any, str, int], object] | None, /) -> None:
    """Set a function to call with each checked struct, the name of the check and its result."""

def enable(flag: bool, /) -> None:
    """Turn the checks in C on or off. Tests and measurements turn them off to compare."""
