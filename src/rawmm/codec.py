"""Bytes to structs and back, strict both ways.

What decodes obeys the schema and every rule; what encodes would decode. The fast path is
msgspec alone plus the rules, which run as each struct comes to be. Only a refusal costs more:
the document is then read again as plain data, to set apart the unknown fields that are kept, or
to name the place by its real path.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

import msgspec

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.logprob_floor import checked_floor, floored_document
from rawmm.structs import MessageNode
from rawmm.validate.collect import errors_at, graph_broken
from rawmm.validate.convert import decoded_to_struct, wire_hook
from rawmm.validate.detect import detect
from rawmm.validate.doors import first_error
from rawmm.validate.finite import LARGE_NUMBERS
from rawmm.validate.payload import Mode
from rawmm.validate.plain import has_large_integer
from rawmm.validate.types import decoded_as, has_type, schema_of
from rawmm.writing import check_writable, enc_hook, in_form, reasons, spread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_FAILURES: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_FAILED: Final = object()
_NO_BYTES: Final = object()


_JSON: Final = msgspec.json.Encoder(enc_hook=enc_hook)
_MSGPACK: Final = msgspec.msgpack.Encoder(enc_hook=enc_hook)


@cache
def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    schema_of(kind)  # a type outside the contract has no error paths, and is refused
    return msgspec.json.Decoder(decoded_as(kind), dec_hook=wire_hook)


@cache
def _msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    schema_of(kind)
    return msgspec.msgpack.Decoder(decoded_as(kind), dec_hook=wire_hook)


@overload
def decode_json(data: Buffer | str, *, logprob_floor: float | None = None) -> MessageNode: ...
@overload
def decode_json(data: Buffer | str, type: type[T], *, logprob_floor: float | None = None) -> T: ...
@overload
def decode_json(data: Buffer | str, type: Any, *, logprob_floor: float | None = None) -> Any: ...
def decode_json(
    data: Buffer | str,
    type: Any = MessageNode,  # noqa: A002
    *,
    logprob_floor: float | None = None,
) -> Any:
    """Decode one JSON document as `type`: a struct class, ``list[...]`` or ``dict[str, ...]``.

    Args:
        data: the document.
        type: what it is.
        logprob_floor: a finite negative number to read in place of -inf in log-probabilities,
            which is ``-Infinity`` in what Python's `json` writes. Each stream that had one is
            named in a `NonFiniteLogprobWarning`. None refuses such a record.

    Raises:
        ContractError: the text is not JSON in UTF-8, or breaks the schema or a rule.
        ProcessedPayloadError: a payload holds what is not raw, JSON-safe data.
    """
    return _decode(data, type, _json_decoder(type), _JSON_READER, logprob_floor)


@overload
def decode_msgpack(data: Buffer, *, logprob_floor: float | None = None) -> MessageNode: ...
@overload
def decode_msgpack(data: Buffer, type: type[T], *, logprob_floor: float | None = None) -> T: ...
@overload
def decode_msgpack(data: Buffer, type: Any, *, logprob_floor: float | None = None) -> Any: ...
def decode_msgpack(
    data: Buffer,
    type: Any = MessageNode,  # noqa: A002
    *,
    logprob_floor: float | None = None,
) -> Any:
    """Decode one MessagePack document as `type`. See `decode_json`."""
    return _decode(data, type, _msgpack_decoder(type), _MSGPACK_READER, logprob_floor)


def _floored_json(data: Any, kind: Any, floor: float) -> Any:
    """A JSON text in which Python's `json` wrote -Infinity for log-probabilities.

    Raises:
        ValueError: it is no JSON with -inf replaced.
    """
    try:
        document = msgspec.json.decode(data)
    except msgspec.DecodeError:
        document = json.loads(bytes(data) if isinstance(data, memoryview) else data)
    document = floored_document(document, kind, floor)
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    return document


def _floored_msgpack(data: Any, kind: Any, floor: float) -> Any:
    return floored_document(msgspec.msgpack.decode(data), kind, floor)


class _Reader(NamedTuple):
    """How a format is read as plain data."""

    name: str
    plain: Callable[[Any], Any]
    floored: Callable[[Any, Any, float], Any]


_JSON_READER: Final = _Reader("JSON", msgspec.json.decode, _floored_json)
_MSGPACK_READER: Final = _Reader("MessagePack", msgspec.msgpack.decode, _floored_msgpack)


def _decode(data: Any, kind: Any, decoder: Any, reader: _Reader, floor: float | None) -> Any:
    large = LARGE_NUMBERS.count
    # What msgspec raised may hold the text, so it becomes the context of no other error.
    try:
        value = decoder.decode(data)
    except _FAILURES:
        value = _FAILED
    except (TypeError, ValueError, BufferError):  # no buffer, or one that fails
        value = _NO_BYTES
    if value is _NO_BYTES:
        raise contract_error(
            "wrong_type",
            (),
            expected="the bytes of one document",
            got=shown(data),
            hint="for dicts and lists there is convert()",
        )
    if value is _FAILED:
        return _decode_again(data, kind, reader, floor)
    if not has_type(value, kind) or graph_broken(value, kind):
        raise first_error(reader.plain(data), kind)
    if LARGE_NUMBERS.count != large:
        _check_integers(reader.plain(data), kind)
    return value


def _check_integers(document: Any, kind: Any) -> None:
    """Raise the error of an integer that a number field would round, if the document has one."""
    if has_large_integer(document) and (error := next(errors_at(document, kind, ()), None)):
        raise error


def _decode_again(data: Any, kind: Any, reader: _Reader, floor: float | None) -> Any:
    """What the fast path refuses: a value with unknown fields that are kept, or an error."""
    if floor is not None:
        floor = checked_floor(floor)
    try:
        document = reader.plain(data) if floor is None else reader.floored(data, kind, floor)
    except RecursionError:
        fault = too_deep()
    except (ValueError, msgspec.DecodeError):
        fault = _malformed(data, reader)
    else:
        return from_decoded(document, kind)
    raise fault


def _malformed(data: Any, reader: _Reader) -> RawMMError:
    """Why bytes are no document, as msgspec says it."""
    try:
        reader.plain(data)
    except RecursionError:
        return too_deep()
    except (msgspec.DecodeError, UnicodeError) as error:
        return malformed(data, reader.name, error)
    # It is one but for numbers that no JSON says.
    return contract_error(
        "malformed", (), expected=f"one complete {reader.name} document", got="something else"
    )


def from_decoded(document: Any, kind: Any) -> Any:
    """A document that msgspec has decoded as plain data as structs. Raises as `decode_json` does.

    `rawmm.convert` takes more than that, and looks for it first.
    """
    large = LARGE_NUMBERS.count
    try:
        value = decoded_to_struct(document, kind)
    except (msgspec.ValidationError, RecursionError):
        value = _FAILED
    if value is _FAILED or not has_type(value, kind) or graph_broken(value, kind):
        raise _with_type_hint(first_error(document, kind), document, kind)
    if LARGE_NUMBERS.count != large:
        _check_integers(document, kind)
    return value


def _with_type_hint(error: RawMMError, document: Any, kind: Any) -> RawMMError:
    """`error`, and which type the document has if it is another than `kind`."""
    if error.code != "missing_field" or error.path != "$" or error.hint is not None:
        return error
    try:
        told = detect(document)
    except RawMMError:
        return error
    if told is kind or not isinstance(told, type):
        return error
    return contract_error(
        error.code,
        (),
        expected=error.expected,
        got=error.got,
        hint=f"it looks like a {told.__name__}; give that as the type",
    )


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


def encode_json(obj: Any, *, packed: bool | None = None) -> bytes:
    """A struct, or a list or dict of structs, as JSON in UTF-8. Checked before it is written.

    Args:
        obj: what to encode; it is not changed.
        packed: true to write the per-token streams of nodes packed, which readers of contract
            1.0 refuse; false to write them as lists, which every reader takes; None to write
            each in the form that it has. Values are the same in both forms.

    Raises:
        ContractError, ProcessedPayloadError: `obj` was changed into something that breaks the
            contract, or holds what JSON cannot say.
    """
    return _encode(obj, _JSON, Mode.JSON, packed)


def encode_msgpack(obj: Any, *, packed: bool | None = None) -> bytes:
    """A struct, or a list or dict of structs, as MessagePack. See `encode_json`."""
    return _encode(obj, _MSGPACK, Mode.WIRE, packed)


def _encode(obj: Any, encoder: Any, mode: Mode, packed: bool | None) -> bytes:  # noqa: FBT001
    check_writable(obj, mode)
    too_big = False
    try:
        encoded: bytes = encoder.encode(spread(in_form(obj, packed=packed)))
    except OverflowError:
        too_big = True
    except (TypeError, ValueError, RecursionError):
        pass  # raised below: what msgspec says becomes no context
    else:
        return encoded
    for reason in reasons(obj, ()):
        raise reason
    # The checks above see all that the contract knows; what is left is a number that MessagePack
    # has no room for, in a field that keeps values as they are.
    raise contract_error(
        "not_json",
        (),
        expected="values that the format can say",
        got="an integer beyond 64 bits" if too_big else shown(obj),
    )
