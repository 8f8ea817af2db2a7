"""Converts bytes and plain data to structs and back, and validates in both directions.

A decoded struct obeys the schema and every rule, and an encoded one can be decoded. The fast path
is msgspec, which calls the rules as it builds each struct. If it refuses a document, the document
is read again as plain data, either to split off unknown fields that are kept or to find the exact
path of the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

import msgspec

from rawmm.collector import LARGE, without_collector
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.model.kinds import decoded_as, has_type, schema_of
from rawmm.model.types import MAX_DEPTH, Contract, MessageNode
from rawmm.native import HAS_EXTRA, HAS_LISTS, HAS_PACKED, Unsure, valid
from rawmm.real_class import is_a
from rawmm.rules import LARGE_NUMBERS
from rawmm.validation import (
    bare_graph_errors,
    decoded_to_struct,
    detect,
    errors_at,
    first_error,
    graph_broken,
    has_bad_text,
    made_plain,
    revalidate,
    to_struct,
    unexplained,
    wire_hook,
)
from rawmm.values.extras import merge_extras, open_objects
from rawmm.values.logprob_floor import checked_floor, floored_document
from rawmm.values.open_arrays import encoded_array
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.plain import contains_struct, has_large_integer, plain_copy
from rawmm.values.strict_json import malformed, too_deep
from rawmm.values.views import as_mapping, as_sequence
from rawmm.values.wire_classes import Streams, packs_all, wire_type
from rawmm.versions import for_version, warn_of_deprecated, with_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.errors import Path


T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_FAILURES: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_FAILED: Final = object()
_NOT_BYTES: Final = object()
_UNSURE: Final = object()
_SIZED: Final = frozenset({bytes, bytearray, str})


def enc_hook(value: Any) -> Any:
    """Convert containers that passed the rules to plain ones, which msgspec can write."""
    if is_a(value, (Mapping, str, int, float)) or as_sequence(value) is not None:
        return plain_copy(value)
    if (array := encoded_array(value)) is not None:  # in a field of an open object
        return array
    msg = f"no JSON for {type(value).__name__}"
    raise TypeError(msg)


_JSON: Final = msgspec.json.Encoder(enc_hook=enc_hook)
_MSGPACK: Final = msgspec.msgpack.Encoder(enc_hook=enc_hook)


@cache
def _json_decoder(kind: Any, streams: Streams | None) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_decoded_type(kind, streams), dec_hook=wire_hook)


@cache
def _msgpack_decoder(kind: Any, streams: Streams | None) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(_decoded_type(kind, streams), dec_hook=wire_hook)


def _decoded_type(kind: Any, streams: Streams | None) -> Any:
    """The type to decode for `kind`, by `wire_type`; with None, that of the contract."""
    schema_of(kind)  # raises for a type that is not of the contract
    return decoded_as(kind) if streams is None else wire_type(kind, streams)


@overload
def decode_json(
    data: Buffer | str,
    type: None = None,
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> Any: ...
@overload
def decode_json(
    data: Buffer | str,
    type: type[T],
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> T: ...
@overload
def decode_json(
    data: Buffer | str, type: Any, *, packed: bool | None = None, logprob_floor: float | None = None
) -> Any: ...
def decode_json(
    data: Buffer | str,
    type: Any = None,  # noqa: A002
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> Any:
    """Decode one JSON document as `type`: a struct class, ``list[...]`` or ``dict[str, ...]``.

    Args:
        data: the document.
        type: its type; None to identify it by its keys, as `validate` does.
        packed: True packs per-token streams that come as lists, without an object for each token:
            a tenth of the memory, and arrays of numpy without a copy. False makes lists of packed
            streams. None keeps the form of each. All forms have the same values and errors.
        logprob_floor: a finite negative number that replaces -inf in log-probabilities
            (``-Infinity`` in the output of Python's `json`). A `NonFiniteLogprobWarning` names
            each changed stream. None refuses such a document.

    Raises:
        ContractError: the text is not JSON in UTF-8, or breaks the schema or a rule.
        ProcessedPayloadError: a payload holds something other than raw, JSON-safe data.
    """
    return _decode(data, type, packed, _JSON_READER, logprob_floor)


@overload
def decode_msgpack(
    data: Buffer,
    type: None = None,
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> Any: ...
@overload
def decode_msgpack(
    data: Buffer,
    type: type[T],
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> T: ...
@overload
def decode_msgpack(
    data: Buffer, type: Any, *, packed: bool | None = None, logprob_floor: float | None = None
) -> Any: ...
def decode_msgpack(
    data: Buffer,
    type: Any = None,  # noqa: A002
    *,
    packed: bool | None = None,
    logprob_floor: float | None = None,
) -> Any:
    """Decode one MessagePack document as `type`. See `decode_json`."""
    return _decode(data, type, packed, _MSGPACK_READER, logprob_floor)


def _floored_json(data: Any, kind: Any, floor: float) -> Any:
    """Read JSON as plain data and replace -Infinity, which Python's `json` writes.

    Raises:
        ValueError: the text is not JSON, even with -inf replaced.
    """
    import json  # slow to import

    try:
        document = msgspec.json.decode(data)
    except msgspec.DecodeError:
        document = json.loads(bytes(data) if isinstance(data, memoryview) else data)
    document = floored_document(document, kind or detect(document), floor)
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    return document


def _floored_msgpack(data: Any, kind: Any, floor: float) -> Any:
    document = msgspec.msgpack.decode(data)
    return floored_document(document, kind or detect(document), floor)


class _Reader(NamedTuple):
    """The functions that read a format."""

    name: str
    decoder: Callable[[Any, Streams | None], Any]
    plain: Callable[[Any], Any]
    floored: Callable[[Any, Any, float], Any]
    streams: Streams
    """How streams are read that keep their form."""


# In JSON, finding the end of a list takes what reading it in C saves.
_JSON_READER: Final = _Reader(
    "JSON", _json_decoder, msgspec.json.decode, _floored_json, Streams.TYPED
)
_MSGPACK_READER: Final = _Reader(
    "MessagePack", _msgpack_decoder, msgspec.msgpack.decode, _floored_msgpack, Streams.LISTS
)


def _decode(
    data: Any,
    kind: Any,
    packed: bool | None,  # noqa: FBT001
    reader: _Reader,
    floor: float | None,
) -> Any:
    large = LARGE_NUMBERS.count
    wanted = kind or MessageNode
    streams = Streams.PACKED if packed is True else reader.streams
    value = _decoded(data, reader.decoder(wanted, streams))
    formed = packed is True and packs_all(wanted)
    if value is _UNSURE:
        value = _decoded(data, reader.decoder(wanted, None))
        formed = False
    if value is _NOT_BYTES:
        raise contract_error(
            "wrong_type",
            (),
            expected="the bytes of one document",
            got=shown(data),
            hint="use convert() for dicts and lists",
        )
    if value is _FAILED:
        return with_streams(_decode_again(data, kind, reader, floor), packed=packed)
    # A document that decodes as a node has only a node's keys, so it would be identified as one.
    if not has_type(value, wanted) or graph_broken(value, wanted):
        raise first_error(reader.plain(data), wanted)
    if LARGE_NUMBERS.count != large:
        _check_integers(reader.plain(data), wanted)
    return value if formed else with_streams(value, packed=packed)


def _decoded(data: Any, decoder: Any) -> Any:
    """A document as structs, or why it is none: `_FAILED`, `_NOT_BYTES` or `_UNSURE`.

    Errors are raised outside of `except`: msgspec's may contain text of the document.
    """
    try:
        if type(data) in _SIZED and len(data) >= LARGE:
            return without_collector(decoder.decode, data)
        return decoder.decode(data)
    except Unsure:
        return _UNSURE
    except _FAILURES:
        return _FAILED
    except (TypeError, ValueError, BufferError):  # not a buffer, or an unreadable one
        return _NOT_BYTES


def decode_plainly_valid(data: bytes, kind: Any) -> Any:
    """A JSON document as structs with packed streams, if the typed decoder accepts it.

    None for any other document: it may have unknown fields, or an error, which `decode_json` finds.
    """
    large = LARGE_NUMBERS.count
    value = _decoded(data, _json_decoder(kind, Streams.PACKED))
    if value is _FAILED or value is _UNSURE or LARGE_NUMBERS.count != large:
        return None
    return value if has_type(value, kind) and not graph_broken(value, kind) else None


def _check_integers(document: Any, kind: Any) -> None:
    """Raise the error of an integer that a number field would round, if the document has one."""
    if has_large_integer(document) and (error := next(errors_at(document, kind, ()), None)):
        raise error


def _decode_again(data: Any, kind: Any, reader: _Reader, floor: float | None) -> Any:
    """Decode a document that the fast path refuses because of unknown fields or an error."""
    if floor is not None:
        floor = checked_floor(floor)
    try:
        document = reader.plain(data) if floor is None else reader.floored(data, kind, floor)
    except RecursionError:
        fault = too_deep()
    except (ValueError, msgspec.DecodeError):
        fault = _malformed(data, reader)
    else:
        return from_decoded(document, kind or detect(document))
    raise fault


def _malformed(data: Any, reader: _Reader) -> RawMMError:
    """The error of bytes that cannot be read as one document."""
    try:
        reader.plain(data)
    except RecursionError:
        return too_deep()
    except (msgspec.DecodeError, UnicodeError) as error:
        return malformed(data, reader.name, error)
    # Only numbers such as Infinity are wrong.
    return contract_error(
        "malformed", (), expected=f"one complete {reader.name} document", got="something else"
    )


def from_decoded(document: Any, kind: Any) -> Any:
    """Convert the plain data that msgspec decoded. Raises as `decode_json` does.

    `rawmm.convert` also accepts other objects, for which it has to search first.
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
    """`error` with a hint if the document looks like another type than `kind`."""
    if error.code != "missing_field" or error.path != "$" or error.hint is not None:
        return error
    try:
        identified = detect(document)
    except RawMMError:
        return error
    if identified is kind or not isinstance(identified, type):
        return error
    return error.at(hint=f"it looks like a {identified.__name__}; pass that as the type")


@overload
def convert(obj: Any, type: None = None, *, logprob_floor: float | None = None) -> Any: ...
@overload
def convert(obj: Any, type: type[T], *, logprob_floor: float | None = None) -> T: ...
@overload
def convert(obj: Any, type: Any, *, logprob_floor: float | None = None) -> Any: ...
def convert(
    obj: Any,
    type: Any = None,  # noqa: A002
    *,
    logprob_floor: float | None = None,
) -> Any:
    """Convert dicts and lists, pydantic models, dataclasses or other structs to structs.

    A per-token stream may be a one-dimensional array of numbers (numpy, torch, `array.array`). Its
    values are copied.

    Args:
        obj: the value to convert; it is not changed.
        type: its type; None to identify it by its keys, as `validate` does.
        logprob_floor: a number that replaces -inf, as in `decode_json`.

    Raises:
        ContractError, ProcessedPayloadError: as for `decode_json`.
    """
    if logprob_floor is not None:
        logprob_floor = checked_floor(logprob_floor)
    if type is None and is_a(obj, Contract):
        type = obj.__class__  # noqa: A001
    # As in `_decode`, a value that converts to a node is identified as one.
    kind = type or MessageNode
    schema_of(kind)
    try:
        plain, has_struct = made_plain(obj, kind)
        if logprob_floor is not None:
            obj = plain = floored_document(plain, kind, logprob_floor)
        if has_struct:
            revalidate(plain)
        whole = isinstance(plain, Contract) and has_type(plain, kind)
        value = plain if whole else to_struct(plain, kind)
    except (msgspec.ValidationError, RecursionError, RawMMError):
        value = _FAILED  # raised below, so that msgspec's text is not in the chain
    if type is None and is_a(value, MessageNode) and value.extra:
        # A node keeps the keys that identify another type.
        type = detect(obj)  # noqa: A001
        if type is not MessageNode:
            return convert(obj, type, logprob_floor=logprob_floor)
    if (
        value is not _FAILED
        and has_type(value, kind)
        and not graph_broken(value, kind)
        and not has_bad_text(value)
    ):
        return value
    if type is None and (identified := detect(obj)) is not MessageNode:
        return convert(obj, identified, logprob_floor=logprob_floor)
    raise first_error(obj, kind)


def encode_json(obj: Any, *, packed: bool | None = None, version: str | None = None) -> bytes:
    """Encode a struct, or a list or dict of structs, as JSON in UTF-8. Validates it first.

    Args:
        obj: the value to encode; it is not changed.
        packed: whether to write the per-token streams of nodes packed, which readers of contract
            1.0 refuse, or as lists, which every reader accepts. None writes each stream in the
            form that it has, or as a list if `version` has no other. Both forms have the same
            values.
        version: the version of the contract that the reader has, one of `SUPPORTED_VERSIONS`. It
            accepts the result. None writes the version of this package.

    Raises:
        ContractError, ProcessedPayloadError: `obj` was changed and breaks the contract, or holds
            a value that JSON cannot represent; ``not_in_version`` if a reader of `version` would
            refuse a value, such as a field of a closed object that came later. Nothing is dropped.

    Warns:
        DeprecatedFieldWarning: a field is deprecated; once for each calling place.
    """
    return _encode(obj, _JSON, Mode.JSON, packed, version)


def encode_msgpack(obj: Any, *, packed: bool | None = None, version: str | None = None) -> bytes:
    """Encode a struct, or a list or dict of structs, as MessagePack. See `encode_json`."""
    return _encode(obj, _MSGPACK, Mode.WIRE, packed, version)


def _encode(
    obj: Any,
    encoder: Any,
    mode: Mode,
    packed: bool | None,  # noqa: FBT001
    version: str | None,
) -> bytes:
    seen = _seen_valid(obj)
    if not seen:
        check_writable(obj, mode)
    too_big = False
    other = 0 if packed is None else HAS_LISTS if packed else HAS_PACKED
    formed = seen and version is None and not seen & other
    form = obj if formed else for_version(obj, version, packed=packed)
    warn_of_deprecated(obj)
    try:
        encoded: bytes = encoder.encode(form if seen else merge_extras(form))
    except OverflowError:
        too_big = True
    except (TypeError, ValueError, RecursionError):
        pass  # raised below, so that msgspec's text is not in the chain
    else:
        return encoded
    for error in struct_errors(obj, ()):
        raise error
    # The value obeys the contract, but a field that keeps any value may hold a number that is too
    # large for MessagePack.
    raise contract_error(
        "not_json",
        (),
        expected="values that the format can represent",
        got="an integer beyond 64 bits" if too_big else shown(obj),
    )


def _seen_valid(obj: Any) -> int:
    """What is in `obj`, by `valid`, if it can be written in every format and has no extra fields.

    0 for any other value, which may be valid, too.
    """
    # The rule of the graph judges a trace. It does not see nodes outside of one.
    seen = valid(obj) if type(obj) is not MessageNode else 0
    return 0 if seen & HAS_EXTRA else seen


def to_builtins(obj: Any, *, packed: bool | None = None, version: str | None = None) -> Any:
    """Convert a struct, or a list or dict of structs, to dicts and lists. Bytes stay bytes.

    Args:
        obj: the value to convert; it is not changed.
        packed: the form of per-token streams, as in `encode_json`.
        version: the version of the contract that the reader has, as in `encode_json`.

    Raises:
        ContractError, ProcessedPayloadError: as for `encode_json`.
    """
    check_writable(obj, Mode.WIRE)
    if has_bad_text(obj):  # encoders find it themselves
        for error in struct_errors(obj, ()):
            raise error
    warn_of_deprecated(obj)
    return msgspec.to_builtins(
        merge_extras(for_version(obj, version, packed=packed)),
        builtin_types=(bytes,),
        enc_hook=enc_hook,
    )


def check_writable(obj: Any, mode: Mode) -> None:
    """Raise the first reason why `obj` cannot be written."""
    for error in _container_errors(obj, mode, ()):
        raise error
    try:
        revalidate(obj)
    except (msgspec.ValidationError, RecursionError):
        pass  # raised below, so that msgspec's text is not in the chain
    else:
        for error in bare_graph_errors(obj, ()):
            raise error
        if mode is Mode.JSON:
            for error in _not_json_errors(obj):
                raise error
        return
    for error in struct_errors(obj, ()):
        raise error
    raise unexplained(obj)


def struct_errors(obj: Any, path: Path) -> Iterator[RawMMError]:
    """The errors of each struct in `obj`, by paths from its root."""
    if issubclass(type(obj), Contract):
        yield from errors_at(obj, type(obj), path)
    elif issubclass(type(obj), dict):
        for key, value in obj.items():
            yield from struct_errors(value, (*path, key))
    elif issubclass(type(obj), (list, tuple)):
        for index, value in enumerate(obj):
            yield from struct_errors(value, (*path, index))


def _container_errors(obj: Any, mode: Mode, path: Path) -> Iterator[RawMMError]:
    """Values outside of structs that the format cannot represent."""
    if issubclass(type(obj), Contract):
        return
    if not path and not contains_struct(obj):
        yield from payload_errors(obj, path, mode)
    elif len(path) > MAX_DEPTH:
        yield contract_error(
            "too_deep", path, expected=f"at most {MAX_DEPTH} levels of nesting", got="more"
        )
    elif issubclass(type(obj), dict) and (pairs := as_mapping(obj)) is not None:
        if any(type(key) is not str for key in pairs):
            yield from payload_errors(dict.fromkeys(pairs), path, mode)
        for key, value in pairs.items():
            yield from _container_errors(value, mode, (*path, key))
    elif issubclass(type(obj), (list, tuple)) and (items := as_sequence(obj)) is not None:
        for index, value in enumerate(items):
            yield from _container_errors(value, mode, (*path, index))
    else:
        yield from payload_errors(obj, path, mode)


def _not_json_errors(obj: Any) -> Iterator[RawMMError]:
    """Free values of open objects that MessagePack can represent, but not JSON."""
    for path, struct in open_objects(obj):
        free = {name: getattr(struct, name) for name in struct.__wire_fields__}
        for name, value in ((struct.extra or {}) | free).items():
            if value is not None:
                yield from payload_errors(value, (*path, name), Mode.TEXT)
