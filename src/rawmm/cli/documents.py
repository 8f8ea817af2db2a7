"""One record's bytes as plain data, strictly: complete, UTF-8, no key twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import decode_json, decode_msgpack
from rawmm.plain_json import DuplicateKeyError, duplicate_keys, outline
from rawmm.structs import Trace

if TYPE_CHECKING:
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
    if form != "msgpack":
        try:
            outline(data)
        except DuplicateKeyError:
            for error in duplicate_keys(data):
                raise error from None
    return value
