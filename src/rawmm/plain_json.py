"""A JSON text as plain data, strictly: complete, UTF-8, no key twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import malformed, too_deep
from rawmm.errors import ContractError, json_path, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator


class DuplicateKeyError(Exception):
    """Some object of a JSON text has a key twice."""


def read_json(data: bytes) -> Any:
    """A JSON text as dicts and lists.

    A number that no double holds, which JSON allows, is read as `json` reads it: infinite, or
    zero. So the value tells where things stand; it is not for writing numbers back.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``.
    """
    try:
        value = _VALUES.decode(data)
        try:
            outline(data)
        except DuplicateKeyError:
            for error in duplicate_keys(data):
                raise error from None
    except RecursionError:
        raise too_deep() from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise malformed(data, "JSON", error) from None
    return value


def outline(data: bytes) -> Any:
    """A JSON document with its numbers as text: enough to tell its type, and keys are unique.

    msgspec takes the last of two equal keys in silence, so every document is read by `json`
    as well.

    Raises:
        DuplicateKeyError: an object has a key twice.
        ValueError, RecursionError: it is no JSON, or nests too deep.
    """
    return _OUTLINE.decode(data.decode())


def duplicate_keys(data: bytes) -> Iterator[ContractError]:
    """An error for each object with a key that it has twice, at the key's path."""
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(_PAIRS.decode(data.decode()), ())]
    while stack:
        value, path = stack.pop()
        below: list[tuple[Any, tuple[str | int, ...]]]
        if isinstance(value, _Pairs):
            seen = set()
            for key, _ in value:
                if key in seen:
                    yield ContractError(
                        "duplicate_key",
                        json_path((*path, key)),
                        expected="each key once",
                        got=f"{shown_text(key)} again",
                    )
                seen.add(key)
            below = [(item, (*path, key)) for key, item in value]
        elif isinstance(value, list):
            below = [(item, (*path, index)) for index, item in enumerate(value)]
        else:
            continue
        stack.extend(reversed([one for one in below if isinstance(one[0], list)]))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its keys and values, in order, none lost."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKeyError
    return found


# Numbers stay text: that is faster, and none is too large.
_OUTLINE: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str)
_PAIRS: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
_VALUES: Final = msgspec.json.Decoder(float_hook=float)
