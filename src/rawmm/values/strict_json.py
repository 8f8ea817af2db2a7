"""The strict JSON reader: complete documents, UTF-8, no duplicate keys.

`rawmm.values.json_fault` finds line, column and cause of a fault.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.errors import RawMMError, contract_error, counted
from rawmm.values.errors import duplicate_key

if TYPE_CHECKING:
    import json
    from collections.abc import Callable, Iterator

    from rawmm.errors import Path


_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")


def read_json(data: bytes) -> Any:
    """A JSON text as dicts and lists.

    A number that no double can hold, which JSON allows, becomes infinity or zero, as in `json`.
    Use the result to locate values, not to write numbers back.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``.
    """
    value = decode_text(data, _VALUES.decode)
    if not has_all_keys(data, value):
        for duplicate in duplicate_keys(data):
            raise duplicate
    return value


def decode_text(data: bytes, decode: Callable[[bytes], Any] = msgspec.json.decode) -> Any:
    """Decode a JSON text to dicts and lists. The last of duplicate keys wins.

    Raises:
        ContractError: ``malformed`` or ``too_deep``.
    """
    try:
        return decode(data)
    except RecursionError:
        fault = too_deep()
    except (msgspec.DecodeError, UnicodeError) as error:
        # Raised below: a UnicodeError holds the text and must not become the context.
        fault = malformed(data, "JSON", error)
    raise fault


def has_all_keys(data: bytes, value: Any) -> bool:
    """Fast check that `value` has every key of the JSON text that it was decoded from.

    msgspec silently keeps the last of two equal keys. Each lost key also loses a colon when the
    value is encoded again. If the check fails, call `duplicate_keys`.
    """
    encoded = msgspec.json.encode(value)
    if encoded == data:
        return True
    if b"\\u003" in data:  # may be an escaped colon
        return False
    return encoded.count(b":") == data.count(b":")


def duplicate_keys(data: bytes) -> Iterator[RawMMError]:
    """An error for each repetition of a key in an object, at the path of the key.

    Args:
        data: a valid JSON text.

    Raises:
        ContractError: ``too_deep``.
    """
    fault = pairs = None
    try:
        pairs = _plain_decoder(object_pairs_hook=_Pairs).decode(data.decode())
    except RecursionError:
        fault = too_deep()
    if fault is not None:
        raise fault
    stack: list[tuple[Any, Path]] = [(pairs, ())]
    while stack:
        value, path = stack.pop()
        below: list[tuple[Any, Path]]
        if isinstance(value, _Pairs):
            seen = set()
            for key, _ in value:
                if key in seen:
                    yield duplicate_key(key, (*path, key))
                seen.add(key)
            below = [(item, (*path, key)) for key, item in value]
        elif isinstance(value, list):
            below = [(item, (*path, index)) for index, item in enumerate(value)]
        else:
            continue
        stack.extend(reversed([one for one in below if isinstance(one[0], list)]))


def too_deep() -> RawMMError:
    """The error of a document that nests more deeply than the decoder can read."""
    return contract_error(
        "too_deep", (), expected="nesting within the decoder's limit", got="more levels"
    )


def malformed(data: Any, name: str, error: Exception) -> RawMMError:
    """The error of bytes that are not a document of format `name`; `error` is msgspec's."""
    fault = _not_finite(data) if name == "JSON" else None
    if fault is not None:
        return fault
    size = _size(data)
    if isinstance(error, UnicodeError):
        got = "text that is not UTF-8"
    elif size == 0:
        got = "nothing"
    elif place := _AT_BYTE.search(str(error)):
        # For trailing characters, msgspec names the byte after the first of them.
        at = int(place[1]) - ("trailing characters" in str(error))
        got = f"something else at byte {at} of {size}"
    elif "out of range" in str(error):
        got = "a number that a double cannot hold"
    elif name == "JSON" and _has_lone_surrogate(data):
        got = "a string with a lone surrogate"
    else:
        got = f"a document cut short after {counted(size, 'byte')}"
    return contract_error("malformed", (), expected=f"one complete {name} document", got=got)


def _size(data: Any) -> int:
    """The size of a document in bytes."""
    if isinstance(data, str):
        return len(data.encode(errors="replace"))
    try:
        return memoryview(data).nbytes
    except ValueError:  # an array of dates, which msgspec reads, too
        return int(data.nbytes)


def _has_lone_surrogate(data: Any) -> bool:
    import json

    try:
        json.loads(bytes(data) if isinstance(data, memoryview) else data)
    except (ValueError, RecursionError):
        return False
    return True


class _Constant(str):
    """A number that JSON does not have: NaN or an infinity."""

    __slots__ = ()


def _plain_decoder(**hooks: Any) -> json.JSONDecoder:
    """Python's decoder. Numbers stay text, which is faster and has no limit."""
    import json  # slow to import

    return json.JSONDecoder(parse_int=str, parse_float=str, **hooks)


def _not_finite(data: Any) -> RawMMError | None:
    """The error of a text that is JSON but for NaN or an infinity, as ``json.dumps`` writes them.

    None for any other text.
    """
    text, value = "", None
    with suppress(ValueError, RecursionError):
        text = data if isinstance(data, str) else bytes(data).decode()
        if "NaN" in text or "Infinity" in text:
            value = _plain_decoder(parse_constant=_Constant).decode(text)
    stack: list[tuple[Any, Path]] = [(value, ())]
    while stack:
        current, path = stack.pop()
        if isinstance(current, _Constant):
            return contract_error(
                "malformed",
                path,
                expected="one complete JSON document",
                got=f"{current}, which JSON does not have",
                hint="write null or leave the field out",
            )
        if isinstance(current, dict):
            stack.extend((child, (*path, key)) for key, child in reversed(current.items()))
        elif isinstance(current, list):
            numbered = reversed(list(enumerate(current)))
            stack.extend(
                (child, (*path, index))
                for index, child in numbered
                if isinstance(child, (_Constant, dict, list))
            )
    return None


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of its keys and values, duplicates included."""

    __slots__ = ()


_VALUES: Final = msgspec.json.Decoder(float_hook=float)
