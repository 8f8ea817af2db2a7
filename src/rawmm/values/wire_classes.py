"""Classes that decoders fill in place of the contract's, to read streams and check texts in C.

msgspec checks a pattern by a call of `re`, a bound for each token, and makes an object of each
token. A class here has the fields of one of the contract, in the same slots, with types that cost
less. As soon as an instance is filled, its streams are read, C checks what the types leave out, and
the instance becomes one of the contract's class. Rules and callers never see it before.

If C does not accept an instance, `native.Unsure` ends the decoding, and the caller repeats it with
the classes of the contract. So these classes accept what the contract's accept, and refuse nothing.
"""

from __future__ import annotations

import types
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from rawmm.model.base import ContractMeta
from rawmm.model.kinds import decoded_as
from rawmm.model.types import TYPES, Contract, PackedStream
from rawmm.native import Unsure, add_wire, checkable, decoded
from rawmm.values.plain import only_small_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN: Final = frozenset(TYPES.values())
_UNIONS: Final = (Union, types.UnionType)


class Streams(Enum):
    """What a decoder makes of the per-token streams that come as lists."""

    TYPED = "lists, by msgspec"
    LISTS = "lists, by C, where there is a C part"
    PACKED = "packed streams"


def packed_type(kind: Any) -> type[PackedStream[Any]] | None:
    """The packed form of a per-token stream's type; None for other types."""
    if isinstance(kind, type) and issubclass(kind, PackedStream):
        return kind
    return next(filter(None, map(packed_type, get_args(kind))), None)


@cache
def wire_type(kind: Any, streams: Streams) -> Any:
    """The type to decode for `kind`. Streams of subclasses are read by msgspec."""
    if streams is Streams.LISTS and add_wire is None:
        streams = Streams.TYPED
    return _wire(decoded_as(kind), streams)


def packs_all(kind: Any) -> bool:
    """Whether `wire_type` packs every stream in a type: it has no subclass of a contract's."""
    if isinstance(kind, type) and issubclass(kind, Contract):
        return kind in _OWN
    return all(map(packs_all, get_args(kind)))


def _wire(kind: Any, streams: Streams) -> Any:
    """`kind` with other classes in place of the contract's."""
    if kind in _OWN:
        return _wire_class(kind, streams)
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:  # a list with a bound
        return kind
    if origin in _UNIONS:
        return Union[tuple(_wire(arg, streams) for arg in args)]  # noqa: UP007
    if origin in (list, dict):
        return origin[tuple(_wire(arg, streams) for arg in args)]
    return kind


def _raw(kind: Any) -> Any:
    """`kind` with the bytes of each stream in place of the stream."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        streams = any(isinstance(arg, type) and issubclass(arg, PackedStream) for arg in args)
        return msgspec.Raw if streams else Union[tuple(map(_raw, args))]  # noqa: UP007
    return dict[args[0], _raw(args[1])] if origin is dict else kind  # type: ignore[valid-type,misc]


def _loose(kind: Any) -> Any:
    """`kind` without the bounds of strings, and of the elements of streams."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str if args[0] is str else kind
    if origin in _UNIONS:
        return Union[tuple(map(_loose, args))]  # noqa: UP007
    if origin is list and get_origin(args[0]) is Annotated:
        return list[get_args(args[0])[0]]  # type: ignore[misc]
    return origin[tuple(map(_loose, args))] if origin in (list, dict) else kind


@cache
def _wire_class(kind: Any, streams: Streams) -> Any:
    """The class to fill in place of `kind`; `kind` itself if none is better."""
    fields = msgspec.structs.fields(kind)
    if kind.__struct_config__.array_like or issubclass(kind, PackedStream):
        return kind
    chosen = {field.name: field.type for field in fields}
    bare = streams is not Streams.TYPED
    raw = {name: of for name, of in chosen.items() if bare and packed_type(of)}
    chosen |= {name: _raw(of) for name, of in raw.items()}
    checked = checkable(kind)  # none without the C part
    loose = {name for name in checked - raw.keys() if _loose(chosen[name]) != chosen[name]}
    chosen |= {name: _loose(chosen[name]) for name in loose}
    chosen = {name: _wire(of, streams) for name, of in chosen.items()}
    if all(chosen[field.name] == field.type for field in fields):
        return kind
    as_lists = streams is Streams.LISTS
    readers = {name: _reader(of, as_lists=as_lists) for name, of in raw.items()}
    made = _made(kind, chosen, readers, in_c=bool(checked))
    if checked and add_wire is not None:
        slots = tuple(_slot(made, name) for name in chosen)
        if not add_wire(made, kind, slots, tuple(loose), tuple(raw), as_lists):
            msg = f"the C part refuses the wire class of {kind.__name__}"
            raise TypeError(msg)
    return made


def _slot(kind: Any, name: str) -> Any:
    field = kind.__dict__[name]
    return getattr(field, "slot", field)


def _made(
    kind: Any, chosen: dict[str, Any], readers: dict[str, Callable[[Any], Any]], *, in_c: bool
) -> Any:
    """A class with the fields of `kind`, of the types `chosen`."""

    def read_rest(self: Any) -> None:
        for slot, reader in slots:
            slot.__set__(self, reader(slot.__get__(self)))

    def post_init(self: Any) -> None:
        read_rest(self)
        self.__class__ = kind
        if kind.__rules__:
            self.__post_init__()

    namespace: dict[str, Any] = {
        "__module__": __name__,
        "__annotations__": chosen,
        "__read_rest__": read_rest,
        "__post_init__": decoded if in_c else post_init,
    }
    for field in msgspec.structs.fields(kind):
        given = {"default": field.default, "default_factory": field.default_factory}
        namespace[field.name] = msgspec.field(name=field.encode_name, **given)
    tracked = kind.__struct_config__.gc
    made: Any = ContractMeta(kind.__name__, kind.__bases__, namespace, kw_only=True, gc=tracked)
    slots = [(_slot(made, name), reader) for name, reader in readers.items()]
    return made


def _reader(kind: Any, *, as_lists: bool) -> Callable[[Any], Any]:
    """A function that reads a value of a field: the bytes of a stream, or a dict of them."""
    packed = packed_type(kind)
    if get_origin(kind) is dict or any(get_origin(arg) is dict for arg in get_args(kind)):
        (mapping,) = [one for one in (kind, *get_args(kind)) if get_origin(one) is dict]
        inner = _reader(get_args(mapping)[1], as_lists=as_lists)
        return lambda value: _of_values(value, inner)
    floats = packed is not None and "float64" in packed.__dtypes__
    from_json = msgspec.json.Decoder(kind)
    from_msgpack = msgspec.msgpack.Decoder(kind)

    def read(value: Any) -> Any:
        if type(value) is msgspec.Raw:
            # No value of a stream begins with the same byte in both formats.
            first = memoryview(value)[0]
            value = (from_json if first < 0x80 else from_msgpack).decode(value)
        if as_lists or type(value) is not list or packed is None:
            return value
        if floats and not only_small_numbers(value):
            raise Unsure  # an integer may have been rounded
        return packed.pack(value)

    return read


def _of_values(value: Any, read: Callable[[Any], Any]) -> Any:
    return {key: read(one) for key, one in value.items()} if type(value) is dict else value
