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
from typing import Any, Final, TypeVar, overload

import msgspec

from rawmm.errors import RawMMError, contract_error, raise_alone, shown
from rawmm.structs import MessageNode
from rawmm.validate.collect import graph_broken
from rawmm.validate.convert import decoded_to_struct, wire_hook
from rawmm.validate.doors import first_error
from rawmm.validate.payload import Mode
from rawmm.validate.types import decoded_as, has_type, schema_of
from rawmm.writing import check_writable, enc_hook, in_form, reasons, spread

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
def decode_json(data: Buffer | str) -> MessageNode: ...
@overload
def decode_json(data: Buffer | str, type: type[T]) -> T: ...
@overload
def decode_json(data: Buffer | str, type: Any) -> Any: ...
def decode_json(data: Buffer | str, type: Any = MessageNode) -> Any:  # noqa: A002
    """Decode one JSON document as `type`: a struct class, ``list[...]`` or ``dict[str, ...]``.

    Raises:
        ContractError: the text is not JSON in UTF-8, or breaks the schema or a rule.
        ProcessedPayloadError: a payload holds what is not raw, JSON-safe data.
    """
    return _decode(data, type, _json_decoder(type), msgspec.json.decode)


@overload
def decode_msgpack(data: Buffer) -> MessageNode: ...
@overload
def decode_msgpack(data: Buffer, type: type[T]) -> T: ...
@overload
def decode_msgpack(data: Buffer, type: Any) -> Any: ...
def decode_msgpack(data: Buffer, type: Any = MessageNode) -> Any:  # noqa: A002
    """Decode one MessagePack document as `type`. Raises as `decode_json` does."""
    return _decode(data, type, _msgpack_decoder(type), msgspec.msgpack.decode)


def _decode(data: Any, kind: Any, decoder: Any, plain: Any) -> Any:
    # What msgspec raised may hold the text, so it becomes the context of no other error.
    try:
        value = decoder.decode(data)
    except _FAILURES:
        value = _FAILED
    except (TypeError, BufferError):
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
        value = _decode_again(data, kind, plain)
    if not has_type(value, kind) or graph_broken(value, kind):
        raise first_error(plain(data), kind)
    return value


def _decode_again(data: Any, kind: Any, plain: Any) -> Any:
    """What the fast path refuses: a value with unknown fields that are kept, or an error."""
    try:
        document = plain(data)
    except RecursionError:
        fault = too_deep()
    except (msgspec.DecodeError, UnicodeError) as broken:
        name = "JSON" if plain is msgspec.json.decode else "MessagePack"
        fault = malformed(data, name, broken)
    else:
        return from_decoded(document, kind)
    raise fault


def from_decoded(document: Any, kind: Any) -> Any:
    """A document that msgspec has decoded as plain data as structs. Raises as `decode_json` does.

    `rawmm.convert` takes more than that, and looks for it first.
    """
    try:
        value = decoded_to_struct(document, kind)
    except (msgspec.ValidationError, RecursionError):
        value = _FAILED
    if value is _FAILED or not has_type(value, kind) or graph_broken(value, kind):
        raise first_error(document, kind)
    return value


def too_deep() -> RawMMError:
    """The error of a document that nests deeper than the decoders go."""
    return contract_error(
        "too_deep", (), expected="a document of sane nesting", got="too many levels"
    )


def malformed(data: Any, name: str, error: Exception) -> RawMMError:
    """What msgspec said of bytes that are no document of the format `name`, in rawmm's words."""
    if isinstance(error, UnicodeError):
        got = "text that is not UTF-8"
    elif len(data) == 0:
        got = "nothing"
    elif place := _AT_BYTE.search(str(error)):
        # msgspec counts a byte too many where one document is over.
        at = int(place[1]) - ("trailing characters" in str(error))
        got = f"something else at byte {at} of {len(data)}"
    elif "out of range" in str(error):
        got = "a number that a double cannot hold"
    elif name == "JSON" and _has_lone_surrogate(data):
        got = "a string with a lone surrogate"
    else:
        got = f"a document cut short after {len(data)} bytes"
    return contract_error("malformed", (), expected=f"one complete {name} document", got=got)


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
    try:
        encoded: bytes = encoder.encode(spread(in_form(obj, packed=packed)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        for reason in reasons(obj, ()):
            raise_alone(reason)
        # The checks above see all that the contract knows; what is left is a number that
        # MessagePack has no room for, in a field that keeps values as they are.
        raise_alone(
            contract_error(
                "not_json",
                (),
                expected="values that the format can say",
                got="an integer beyond 64 bits" if isinstance(error, OverflowError) else shown(obj),
            )
        )
    return encoded
