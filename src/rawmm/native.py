"""Loads the C part, `rawmm._speed`: fast checks of structs, and a hash of texts.

The checks accept valid values and never reject one. What they do not accept is checked by the
Python code, which reports the errors. Without the C part, or with ``RAWMM_PURE=1`` in the
environment, the Python code checks everything. `rawmm.store.text_hash` describes the hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm._digest import TABLES_DIGEST

try:
    from rawmm import _speed
except ImportError:
    _module = None
else:
    # Without the compiled file, `_speed` is the folder of its sources. A file compiled from other
    # schemas or sources may lack what is used here, or judge by other rules.
    _module = _speed if getattr(_speed, "TABLES_DIGEST", None) == TABLES_DIGEST else None

if TYPE_CHECKING:
    from collections.abc import Callable

COMPILED: Final = _module is not None
"""Whether the C part is used."""


def _unknown(_: Any) -> int:
    return 0


post_init: Final[Callable[[Any], None] | None] = _module.post_init if _module else None
"""Checks the rules of a new struct. Calls its `__check_rules__` if C does not accept it."""
valid: Final[Callable[[Any], int]] = _module.valid if _module else _unknown
"""Whether C accepts a struct: 0 if Python has to check it.

Otherwise 1, combined with those of the next three flags that apply.
"""
HAS_EXTRA: Final[int] = _module.HAS_EXTRA if _module else 0
"""An open object has unknown properties."""
HAS_LISTS: Final[int] = _module.HAS_LISTS if _module else 0
"""A per-token stream is a list."""
HAS_PACKED: Final[int] = _module.HAS_PACKED if _module else 0
"""A per-token stream is packed."""


class _UnsureError(Exception):
    """Without the C part."""


Unsure: Final[type[Exception]] = _module.Unsure if _module else _UnsureError
"""Ends a decoding that C cannot check. It is repeated with the classes of the contract."""
decoded: Final[Callable[[Any], None] | None] = _module.decoded if _module else None
"""`__post_init__` of a class that `add_wire` was given."""
add_wire: Final = _module.add_wire if _module else None
"""Lets C check and pack the instances of a class. See ``_speed.pyi``."""


def _no_fields(_: Any) -> set[str]:
    return set()


def _not_packed(_: Any, __: Any) -> None:
    return None


checkable: Final[Callable[[Any], set[str]]] = _module.checkable if _module else _no_fields
"""Names of the fields of a class whose types C checks in full."""
packed: Final[Callable[[Any, list[Any]], Any]] = _module.packed if _module else _not_packed
"""A list as a packed stream of a class; None if Python has to pack it."""
unique_keys: Final[Callable[[bytes], bool] | None] = _module.unique_keys if _module else None
"""Whether no object of a valid JSON text repeats a key. False if Python has to check."""
text_digest: Final[Callable[[str | memoryview, int], bytes | None] | None] = (
    _module.text_digest if _module else None
)
"""The keyed digest of a text. See ``_speed.pyi`` and `rawmm.store.text_hash`."""
digest_to_quote: Final[Callable[[bytes, int], tuple[int, bytes] | None] | None] = (
    _module.digest_to_quote if _module else None
)
"""The end of a JSON string without escapes, and the keyed digest of its text."""
keyed_digest: Final[Callable[[bytes, int, Any, int, int], Any] | None] = (
    _module.keyed_digest if _module else None
)
"""What `text_digest` or `digest_to_quote` returns, with a given key."""
TEXT_HASH_WIDTH: Final[int] = _module.TEXT_HASH_WIDTH if _module else 0
"""Bytes in one carry-less multiplication of this processor; 0 if it has none."""


def _no_switch(_: bool, /) -> None:  # noqa: FBT001
    pass


enable: Final[Callable[[bool], None]] = _module.enable if _module else _no_switch
"""Turns the C part on or off, if there is one. Tests turn it off to compare with Python."""
observe: Final = _module.observe if _module else None
"""Sets a function to call with each checked struct, the name of the check and its result."""
set_up: Final = _module.set_up if _module else None
"""Passes the classes and tables to the C part. See ``_speed.pyi``."""
