"""Converts the bytes of encoded arrays between MessagePack (bytes) and JSON (base64).

Nothing else in the contract differs. Other values that JSON cannot express are refused.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from math import isfinite
from typing import Any

from rawmm.errors import RawMMError, contract_error, raise_alone, shown

_PLAIN = frozenset({str, int, bool, type(None)})


def from_json(value: Any) -> Any:
    """Decode the base64 of encoded arrays in data read from JSON, in place; return the data.

    Raises:
        ContractError: ``bad_format`` for invalid base64.
    """
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while stack:
        current, path = stack.pop()
        if isinstance(current, dict):
            data = current.get("data")
            if current.get("__nd__") is True and isinstance(data, str):
                try:
                    current["data"] = b64decode(data, validate=True)
                except (binascii.Error, ValueError):
                    raise_alone(
                        contract_error(
                            "bad_format",
                            (*path, "data"),
                            expected="strict base64",
                            got=f"{len(data)} characters",
                        )
                    )
            stack.extend((item, (*path, key)) for key, item in current.items())
        elif isinstance(current, list) and not _PLAIN.issuperset(map(type, current)):
            stack.extend((item, (*path, index)) for index, item in enumerate(current))
    return value


def to_json(value: Any) -> Any:
    """Encode the bytes of encoded arrays in data read from MessagePack, in place; return the data.

    Raises:
        ContractError, ProcessedPayloadError: ``not_json`` for a value that JSON cannot express.
    """
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while stack:
        current, path = stack.pop()
        if isinstance(current, dict):
            for key in current:
                if not isinstance(key, str):
                    raise _not_json(path, f"a key that is {shown(key)}", "strings as keys")
            data = current.get("data")
            if current.get("__nd__") is True and isinstance(data, bytes):
                current["data"] = b64encode(data).decode()
            stack.extend((item, (*path, key)) for key, item in current.items())
        elif isinstance(current, list):
            if not _PLAIN.issuperset(map(type, current)):
                stack.extend((item, (*path, index)) for index, item in enumerate(current))
        elif isinstance(current, float):
            if not isfinite(current):
                raise _not_json(path, shown(current), "a finite number")
        elif type(current) not in _PLAIN:
            raise _not_json(path, shown(current), "a JSON value")
    return value


def _not_json(path: tuple[str | int, ...], got: str, expected: str) -> RawMMError:
    return contract_error(
        "not_json", path, expected=expected, got=got, hint="write MessagePack instead"
    )
