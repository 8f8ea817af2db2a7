"""What must hold before a struct is written, whoever wrote to it since it was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm._contract import EXTRA, wire_fields
from rawmm.errors import contract_error, shown
from rawmm.structs import Contract, MessageNode, Trace
from rawmm.validate.collect import children, errors_at
from rawmm.validate.convert import dec_hook
from rawmm.validate.graph import graph_errors
from rawmm.validate.payload import Mode, is_clean, payload_errors, plain_copy
from rawmm.validate.plain import as_mapping, as_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError


def enc_hook(value: Any) -> Any:
    """Containers that passed the rules, as the plain ones that msgspec writes."""
    if (
        as_mapping(value) is value
        or as_sequence(value) is not None
        or isinstance(value, (str, int, float))
    ):
        return plain_copy(value)
    msg = f"no JSON for {type(value).__name__}"
    raise TypeError(msg)


def check_writable(obj: Any, mode: Mode) -> None:
    """Raise the first reason why `obj` cannot be written."""
    try:
        for error in _unwritable(obj, mode):
            raise error
        recheck(obj)
    except (msgspec.ValidationError, RecursionError):
        for reason in reasons(obj, ()):
            raise reason from None
        raise


def reasons(obj: Any, path: tuple[str | int, ...]) -> Iterator[RawMMError]:
    """Why the structs in `obj` cannot be written, by their paths from its root."""
    if isinstance(obj, Contract):
        yield from errors_at(obj, type(obj), path)
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from reasons(value, (*path, key))
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield from reasons(value, (*path, index))


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


def recheck(value: Any) -> None:
    """Check every struct again, as a struct may have been changed since it was built."""
    if isinstance(value, Contract):
        kind = type(value)
        fields = dict(wire_fields(value))
        data = list(fields.values()) if kind.__struct_config__.array_like else fields
        msgspec.convert(data, kind, dec_hook=dec_hook)
    for _, child in children(value):
        if type(child) not in _LEAVES:
            recheck(child)


_LEAVES: Final = frozenset({str, int, float, bool, bytes, type(None)})


def spread(obj: Any) -> Any:
    """Open records with their unknown fields back in their places."""
    if isinstance(obj, Trace) and obj.extra is not None:
        fields = dict(wire_fields(obj))
        extra = fields.pop(EXTRA)
        return {**fields, **extra}
    if isinstance(obj, (list, tuple)) and any(isinstance(item, Trace) for item in obj):
        return [spread(item) for item in obj]
    if isinstance(obj, dict):
        return {key: spread(item) for key, item in obj.items()}
    return obj
