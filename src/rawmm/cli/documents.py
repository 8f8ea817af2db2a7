"""One record's bytes as plain data, strictly: complete, UTF-8, no key twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import decode_json, decode_msgpack
from rawmm.errors import ContractError, json_path, shown_text
from rawmm.structs import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.records import Format

_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_plain(data: bytes, form: Format) -> Any:
    """A document as dicts and lists. Of a key that stands twice, the last value is taken.

    Raises:
        ContractError: ``malformed`` or ``too_deep``.
    """
    binary = form == "msgpack"
    try:
        return msgspec.msgpack.decode(data) if binary else msgspec.json.decode(data)
    except _FAILURES:
        # The same failure again, in rawmm's words.
        (decode_msgpack if binary else decode_json)(data, Trace)
        raise


def decode_strict(data: bytes, form: Format) -> Any:
    """A document as dicts and lists.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``.
    """
    value = decode_plain(data, form)
    if form != "msgpack" and not has_all_keys(data, value):
        for error in duplicate_keys(data):
            raise error
    return value


def has_all_keys(data: bytes, value: Any) -> bool:
    """Whether `value` has every key of the JSON text that it was decoded from.

    msgspec takes the last of two equal keys in silence. A document that is written again has the
    colons that it had, but for those of keys that were lost. False may also mean: look closer.
    """
    if b"\\u003" in data:  # a colon may be escaped
        return False
    return msgspec.json.encode(value).count(b":") == data.count(b":")


def duplicate_keys(data: bytes) -> Iterator[ContractError]:
    """An error for each object with a key that it has twice, at the key's path."""
    try:
        pairs = _PAIRS.decode(data.decode())
    except RecursionError:
        return  # nests deeper than any type allows, which is what will be said
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(pairs, ())]
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


# Numbers stay text: that is faster, and none is too large.
_PAIRS: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
