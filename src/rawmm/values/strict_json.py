"""A JSON text as plain data, strictly: complete, UTF-8, no key twice."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.errors import ContractError, RawMMError, contract_error, json_path, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator


_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")


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


def too_deep() -> RawMMError:
    """The error of a document that nests deeper than the decoders go."""
    return contract_error(
        "too_deep", (), expected="a document of sane nesting", got="too many levels"
    )


def malformed(data: Any, name: str, error: Exception) -> RawMMError:
    """What msgspec said of bytes that are no document of the format `name`, in rawmm's words."""
    size = _size(data)
    if isinstance(error, UnicodeError):
        got = "text that is not UTF-8"
    elif size == 0:
        got = "nothing"
    elif place := _AT_BYTE.search(str(error)):
        # msgspec counts a byte too many where one document is over.
        at = int(place[1]) - ("trailing characters" in str(error))
        got = f"something else at byte {at} of {size}"
    elif "out of range" in str(error):
        got = "a number that a double cannot hold"
    elif name == "JSON" and _has_lone_surrogate(data):
        got = "a string with a lone surrogate"
    else:
        got = f"a document cut short after {size} bytes"
    return contract_error("malformed", (), expected=f"one complete {name} document", got=got)


def _size(data: Any) -> int:
    """The bytes of a document."""
    if isinstance(data, str):
        return len(data.encode(errors="replace"))
    try:
        return memoryview(data).nbytes
    except ValueError:  # an array of dates, which msgspec reads all the same
        return int(data.nbytes)


def _has_lone_surrogate(data: Any) -> bool:
    try:
        json.loads(bytes(data) if isinstance(data, memoryview) else data)
    except (ValueError, RecursionError):
        return False
    return True


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its keys and values, in order, none lost."""

    __slots__ = ()


# Numbers stay text: that is faster, and none is too large.
_PAIRS: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
_VALUES: Final = msgspec.json.Decoder(float_hook=float)
