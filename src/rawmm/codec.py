"""Bytes to structs and back, strict both ways.

What decodes obeys the schema and every rule; what encodes would decode. The fast path is
msgspec alone plus the rules, which run as each struct comes to be. Only a refusal costs more:
the document is then read again as plain data, to name the place by its real path.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import msgspec

from rawmm._contract import EXTRA, wire_fields
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.structs import Contract, MessageNode, Trace
from rawmm.validate.collect import children, errors_at, has_bad_text
from rawmm.validate.convert import dec_hook, gather, to_struct
from rawmm.validate.doors import first_error
from rawmm.validate.graph import graph_errors
from rawmm.validate.payload import Mode, is_clean, payload_errors, plain_copy
from rawmm.validate.plain import as_mapping, as_sequence
from rawmm.validate.types import decoded_as, has_type, is_open, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _enc_hook(value: Any) -> Any:
    """Containers that passed the rules, as the plain ones that msgspec writes."""
    if (
        as_mapping(value) is value
        or as_sequence(value) is not None
        or isinstance(value, (str, int, float))
    ):
        return plain_copy(value)
    msg = f"no JSON for {type(value).__name__}"
    raise TypeError(msg)


_JSON: Final = msgspec.json.Encoder(enc_hook=_enc_hook)
_MSGPACK: Final = msgspec.msgpack.Encoder(enc_hook=_enc_hook)


@cache
def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    schema_of(kind)  # a type outside the contract has no error paths, and is refused
    return msgspec.json.Decoder(decoded_as(kind), dec_hook=dec_hook)


@cache
def _msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    schema_of(kind)
    return msgspec.msgpack.Decoder(decoded_as(kind), dec_hook=dec_hook)


_RAW_JSON: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_MSGPACK: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


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
    return _decode(data, type, _json_decoder(type), _RAW_JSON, msgspec.json.decode)


@overload
def decode_msgpack(data: Buffer) -> MessageNode: ...
@overload
def decode_msgpack(data: Buffer, type: type[T]) -> T: ...
@overload
def decode_msgpack(data: Buffer, type: Any) -> Any: ...
def decode_msgpack(data: Buffer, type: Any = MessageNode) -> Any:  # noqa: A002
    """Decode one MessagePack document as `type`. Raises as `decode_json` does."""
    return _decode(data, type, _msgpack_decoder(type), _RAW_MSGPACK, msgspec.msgpack.decode)


def _decode(data: Any, kind: Any, decoder: Any, raw: Any, plain: Any) -> Any:
    try:
        value = decoder.decode(data)
        if kind is Trace and value.extra is not None:
            # Only a document that uses the internal name gets here; read it as written.
            value = _decode_open(data, raw, plain)
    except _FAILURES as error:
        value = _decode_again(data, kind, raw, plain, error)
    if not has_type(value, kind) or _graph_broken(value, kind):
        raise first_error(plain(data), kind)
    return value


def _graph_broken(value: Any, kind: Any) -> bool:
    return kind == list[MessageNode] and any(True for _ in graph_errors(value, ()))


def _decode_again(data: Any, kind: Any, raw: Any, plain: Any, error: Exception) -> Any:
    """What the fast path refuses: an open record with unknown fields, or an error."""
    if is_open(kind) and isinstance(error, msgspec.ValidationError):
        try:
            if kind is Trace:
                return _decode_open(data, raw, plain)
            return to_struct(plain(data), kind)
        except _FAILURES:
            pass
    try:
        document = plain(data)
    except RecursionError:
        raise contract_error(
            "too_deep", (), expected="a document of sane nesting", got="too many levels"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise _malformed(data, plain, broken) from None
    raise first_error(document, kind) from None


def _decode_open(data: Any, raw: Any, plain: Any) -> Trace:
    """A trace with unknown fields: its nodes typed, the rest as it is."""
    parts = gather(raw.decode(data))
    typed = {key: part if key == EXTRA else plain(part) for key, part in parts.items()}
    if "nodes" in parts:
        nodes = _json_decoder if plain is msgspec.json.decode else _msgpack_decoder
        typed["nodes"] = nodes(list[MessageNode]).decode(parts["nodes"])
    if EXTRA in parts:
        typed[EXTRA] = {key: plain(part) for key, part in parts[EXTRA].items()}
    trace: Trace = msgspec.convert(typed, Trace, dec_hook=dec_hook)
    return trace


def _malformed(data: Any, plain: Any, error: Exception) -> RawMMError:
    name = "JSON" if plain is msgspec.json.decode else "MessagePack"
    if isinstance(error, UnicodeDecodeError):
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


def encode_json(obj: Any) -> bytes:
    """A struct, or a list or dict of structs, as JSON in UTF-8. Checked before it is written.

    Raises:
        ContractError, ProcessedPayloadError: `obj` was changed into something that breaks the
            contract, or holds what JSON cannot say.
    """
    return _encode(obj, _JSON, Mode.JSON)


def encode_msgpack(obj: Any) -> bytes:
    """A struct, or a list or dict of structs, as MessagePack. See `encode_json`."""
    return _encode(obj, _MSGPACK, Mode.WIRE)


def _encode(obj: Any, encoder: Any, mode: Mode) -> bytes:
    _check_writable(obj, mode)
    try:
        encoded: bytes = encoder.encode(_spread(obj))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        for reason in _reasons(obj, ()):
            raise reason from None
        # The checks above see all that the contract knows; what is left is a number that
        # MessagePack has no room for, in a field that keeps values as they are.
        raise contract_error(
            "not_json",
            (),
            expected="values that the format can say",
            got="an integer beyond 64 bits" if isinstance(error, OverflowError) else shown(obj),
        ) from None
    return encoded


def _check_writable(obj: Any, mode: Mode) -> None:
    try:
        for error in _unwritable(obj, mode):
            raise error
        _recheck(obj)
    except (msgspec.ValidationError, RecursionError):
        for reason in _reasons(obj, ()):
            raise reason from None
        raise


def _reasons(obj: Any, path: tuple[str | int, ...]) -> Iterator[RawMMError]:
    """Why the structs in `obj` cannot be written, by their paths from its root."""
    if isinstance(obj, Contract):
        yield from errors_at(obj, type(obj), path)
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from _reasons(value, (*path, key))
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield from _reasons(value, (*path, index))


def _unwritable(obj: Any, mode: Mode) -> Iterator[RawMMError]:
    """What an open record may hold and this format cannot say."""
    if isinstance(obj, Trace):
        free = {name: getattr(obj, name) for name in obj.__json_fields__} | (obj.extra or {})
        if clash := [key for key in obj.extra or () if key in _KNOWN]:
            yield contract_error(
                "duplicate_key",
                (clash[0],),
                expected="extra fields with names of their own",
                got=shown(clash[0]),
            )
        for name, value in free.items():
            if value is not None and not is_clean(value, mode):
                yield from payload_errors(value, (name,), mode)
    elif isinstance(obj, (list, tuple)):
        if obj and isinstance(obj[0], Trace):
            for index, item in enumerate(obj):
                for error in _unwritable(item, mode):
                    raise type(error)(
                        error.code,
                        f"$[{index}]{error.path[1:]}",
                        expected=error.expected,
                        got=error.got,
                        hint=error.hint,
                    )
        elif obj and isinstance(obj[0], MessageNode):
            yield from graph_errors(obj, ())
    if not isinstance(obj, Contract) and not _holds_structs(obj):
        yield from payload_errors(obj, (), mode)


_KNOWN: Final = frozenset(Trace.__wire_names__.values()) - {EXTRA}


def _holds_structs(obj: Any) -> bool:
    values = (
        obj.values() if isinstance(obj, dict) else obj if isinstance(obj, (list, tuple)) else ()
    )
    return any(isinstance(value, Contract) or _holds_structs(value) for value in values)


def _recheck(value: Any) -> None:
    """Check every struct again, as a struct may have been changed since it was built."""
    if isinstance(value, Contract):
        kind = type(value)
        fields = dict(wire_fields(value))
        data = list(fields.values()) if kind.__struct_config__.array_like else fields
        msgspec.convert(data, kind, dec_hook=dec_hook)
    for _, child in children(value):
        if type(child) not in _LEAVES:
            _recheck(child)


_LEAVES: Final = frozenset({str, int, float, bool, bytes, type(None)})


def _spread(obj: Any) -> Any:
    """Open records with their unknown fields back in their places."""
    if isinstance(obj, Trace) and obj.extra is not None:
        fields = dict(wire_fields(obj))
        extra = fields.pop(EXTRA)
        return {**fields, **extra}
    if isinstance(obj, (list, tuple)) and any(isinstance(item, Trace) for item in obj):
        return [_spread(item) for item in obj]
    if isinstance(obj, dict):
        return {key: _spread(item) for key, item in obj.items()}
    return obj


@overload
def convert(obj: Any) -> MessageNode: ...
@overload
def convert(obj: Any, type: type[T]) -> T: ...
@overload
def convert(obj: Any, type: Any) -> Any: ...
def convert(obj: Any, type: Any = MessageNode) -> Any:  # noqa: A002
    """Structs from dicts and lists, pydantic models, dataclasses, or other structs.

    Raises:
        ContractError, ProcessedPayloadError: as decoding does.
    """
    schema_of(type)
    try:
        if isinstance(obj, Contract):
            _recheck(obj)
            if has_type(obj, type):
                return obj
        value = to_struct(obj, type)
    except (msgspec.ValidationError, RecursionError):
        raise first_error(obj, type) from None
    if not has_type(value, type) or _graph_broken(value, type) or has_bad_text(value):
        raise first_error(obj, type)
    return value


def to_builtins(obj: Any) -> Any:
    """A struct, or a list or dict of structs, as dicts and lists. Bytes stay bytes.

    Raises:
        ContractError, ProcessedPayloadError: as encoding does.
    """
    _check_writable(obj, Mode.WIRE)
    return msgspec.to_builtins(_spread(obj), builtin_types=(bytes,), enc_hook=_enc_hook)


__all__ = [
    "convert",
    "decode_json",
    "decode_msgpack",
    "encode_json",
    "encode_msgpack",
    "to_builtins",
]
