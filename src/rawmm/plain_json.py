"""A JSON text as plain data, strictly: complete, UTF-8, no key twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import malformed, too_deep
from rawmm.errors import ContractError, json_path, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_json(data: bytes) -> Any:
    """A JSON text as dicts and lists.

    A number that no double holds, which JSON allows, is read as `json` reads it: infinite, or
    zero. So the value tells where things stand; it is not for writing numbers back.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``.
    """
    try:
        value = _VALUES.decode(data)
    except RecursionError:
        fault = too_deep()
    except (msgspec.DecodeError, UnicodeError) as error:
        # A UnicodeError holds the text, so it does not become the context of what is raised.
        fault = malformed(data, "JSON", error)
    else:
        if not has_all_keys(data, value):
            for duplicate in duplicate_keys(data):
                raise duplicate
        return value
    raise fault


def has_all_keys(data: bytes, value: Any) -> bool:
    """Whether `value` has every key of the JSON text that it was decoded from.

    msgspec takes the last of two equal keys in silence. A document that is written again has the
    colons that it had, but for those of keys that were lost. False may also mean: look closer.
    """
    if b"\\u003" in data:  # a colon may be escaped
        return False
    return msgspec.json.encode(value).count(b":") == data.count(b":")


def duplicate_keys(data: bytes) -> Iterator[ContractError]:
    """An error for each key that an object has again, at the key's path.

    Raises:
        ContractError: ``too_deep``; `data` is a JSON text otherwise.
    """
    fault = pairs = None
    try:
        pairs = _PAIRS.decode(data.decode())
    except RecursionError:
        fault = too_deep()
    if fault is not None:
        raise fault
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
_VALUES: Final = msgspec.json.Decoder(float_hook=float)
