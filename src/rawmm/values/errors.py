"""The errors of single values that several checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown, shown_name, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.errors import Path, RawMMError

NEWER_WRITER: Final = "a newer writer needs a newer rawmm"
"""Hint for a version that this package does not know."""


def not_json(value: Any, path: Path) -> RawMMError:
    """A value that JSON has no form for."""
    return contract_error("not_json", path, expected="a JSON value", got=shown(value))


def not_finite(value: float, path: Path) -> RawMMError:
    """NaN or an infinity, which JSON does not have and msgspec would write as null."""
    logprob = value < 0 and any(isinstance(key, str) and key.endswith("logprobs") for key in path)
    return contract_error(
        "not_json",
        path,
        expected="a finite number",
        got=repr(float(value)),
        hint="engines write -inf for tokens that cannot be sampled; read them with "
        "logprob_floor=-9999.0, or another number"
        if logprob
        else None,
    )


def inexact_number(number: int, path: Path) -> RawMMError:
    """An integer in a number field that a double would round."""
    return contract_error(
        "out_of_range",
        path,
        expected="a number that a double can hold",
        got=shown(number),
        hint="it would be rounded",
    )


def lone_surrogate(path: Path, got: str = "a lone surrogate") -> RawMMError:
    """Text that UTF-8 cannot encode."""
    return contract_error("not_json", path, expected="text that UTF-8 can encode", got=got)


def bad_key(key: Any, path: Path) -> RawMMError:
    """A key that is not a string; `path` is that of its object."""
    return contract_error(
        "not_json",
        path,
        expected="an object with strings as keys",
        got=f"a key of type {shown_name(type(key).__name__)}",
    )


def duplicate_key(key: str, path: Path) -> RawMMError:
    """A key that an object has twice; `path` is that of the key."""
    return contract_error(
        "duplicate_key", path, expected="each key once", got=f"{shown_text(key)} again"
    )


def missing_field(name: str, path: Path) -> RawMMError:
    """An absent required field; `path` is that of its object."""
    return contract_error(
        "missing_field", path, expected=f"the field {name!r}", got="an object without it"
    )


def unknown_field(name: str, known: Iterable[str], path: Path) -> RawMMError:
    """A field that a closed type does not have; `path` is that of its object."""
    return contract_error(
        "unknown_field",
        (*path, name),
        expected=f"only the fields {', '.join(known)}",
        got=shown_text(name),
    )


def processed_key(key: str, value: Any, path: Path) -> RawMMError:
    """A key that only an image processor writes; `path` is that of its object."""
    return contract_error(
        "processed_payload",
        (*path, key),
        expected="raw media only",
        got=f"the key {shown_text(key)} with {shown(value)}",
        hint="keep the raw image and its locator; the processor runs in the engine and trainer",
    )


def too_many_levels(most: int, path: Path, got: str = "more") -> RawMMError:
    """A value that nests too deeply."""
    return contract_error("too_deep", path, expected=f"at most {most} levels of nesting", got=got)
