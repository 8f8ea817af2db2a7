"""Decodes records strictly: one complete UTF-8 document, no duplicate keys, nothing rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.cli.msgpack_scan import Scan, is_exact
from rawmm.errors import contract_error
from rawmm.values.strict_json import decode_text, duplicate_keys, has_all_keys, malformed, too_deep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.records import Format
    from rawmm.errors import RawMMError

_FAILURES: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode_plain(data: bytes, form: Format) -> Any:
    """Decode a document to dicts and lists. The last of duplicate keys wins; see `key_errors`.

    Raises:
        ContractError: ``malformed`` or ``too_deep``; ``out_of_range`` for a time outside the range
            of datetime.
    """
    if form != "msgpack":
        return decode_text(data)
    try:
        return msgspec.msgpack.decode(data)
    except _FAILURES as error:
        fault = _fault(data, error)
    raise fault


def key_errors(data: bytes, form: Format, value: Any) -> Iterator[RawMMError]:
    """An error for each key of a document that `value`, decoded from it, lost.

    Raises:
        ContractError: ``too_deep``.
    """
    if form == "msgpack":
        if not is_exact(data, value):
            yield from Scan(data).faults()
    elif not has_all_keys(data, value):
        yield from duplicate_keys(data)


def decode_strict(data: bytes, form: Format) -> Any:
    """Decode a document to dicts and lists from which it can be written again without loss.

    A MessagePack time that is not a datetime of whole microseconds becomes a `msgspec.msgpack.Ext`
    of type -1 with the original bytes.

    Raises:
        ContractError: as `decode_plain`; ``duplicate_key``.
        ProcessedPayloadError: ``not_json`` for a time with nanoseconds as a key.
    """
    if form == "msgpack":
        return _decode_msgpack(data)
    value = decode_plain(data, form)
    for error in key_errors(data, form, value):
        raise error
    return value


def _decode_msgpack(data: bytes) -> Any:
    value = decode_plain(data, "msgpack")
    if is_exact(data, value):
        return value
    scan = Scan(data)
    for error in scan.faults():
        raise error
    return scan.decoded_in_full() if scan.times else value


def _fault(data: bytes, error: Exception) -> RawMMError:
    if isinstance(error, RecursionError):
        return too_deep()
    if isinstance(error, msgspec.ValidationError):
        scan = Scan(data)
        for _ in scan.faults():
            pass
        if scan.odd_time is not None:
            return contract_error(
                "out_of_range",
                scan.odd_time,
                expected="a time in the years 1 to 9999, with fewer than 10^9 nanoseconds",
                got="a time out of this range",
            )
    return malformed(data, "MessagePack", error)
