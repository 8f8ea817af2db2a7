"""What must hold before a struct is written, whoever wrote to it since it was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm._contract import EXTRA, wire_fields
from rawmm.errors import contract_error, shown
from rawmm.structs import MAX_DEPTH, Contract, MessageNode, Trace
from rawmm.validate.collect import errors_at, recheck
from rawmm.validate.graph import graph_errors
from rawmm.validate.payload import Mode, payload_errors, plain_copy
from rawmm.validate.plain import as_mapping, as_sequence, contains

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
        for error in _unwritable(obj, mode, ()):
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


def _unwritable(obj: Any, mode: Mode, path: tuple[str | int, ...]) -> Iterator[RawMMError]:
    """What lies around the structs of `obj`, or is free in them, and the format cannot say."""
    if isinstance(obj, Trace):
        yield from _unwritable_trace(obj, mode, path)
    elif isinstance(obj, Contract):
        return
    elif not path and not contains(obj, (Contract,)):
        yield from payload_errors(obj, path, mode)
    elif len(path) > MAX_DEPTH:
        yield contract_error(
            "too_deep", path, expected=f"at most {MAX_DEPTH} levels of nesting", got="more"
        )
    elif isinstance(obj, dict):
        if any(type(key) is not str for key in obj):
            yield from payload_errors(dict.fromkeys(obj), path, mode)
        for key, value in obj.items():
            yield from _unwritable(value, mode, (*path, key))
    elif isinstance(obj, (list, tuple)):
        if obj and all(isinstance(item, MessageNode) for item in obj):
            yield from graph_errors(obj, path)
            return
        for index, value in enumerate(obj):
            yield from _unwritable(value, mode, (*path, index))
    else:
        yield from payload_errors(obj, path, mode)


def _unwritable_trace(
    trace: Trace, mode: Mode, path: tuple[str | int, ...]
) -> Iterator[RawMMError]:
    extra = trace.extra or {}
    for key in extra:
        if key in _KNOWN:
            yield contract_error(
                "duplicate_key",
                (*path, key),
                expected="extra fields with names of their own",
                got=shown(key),
            )
    free = {name: getattr(trace, name) for name in trace.__json_fields__} | extra
    for name, value in free.items():
        if value is not None:
            yield from payload_errors(value, (*path, name), mode)


_KNOWN: Final = frozenset(Trace.__wire_names__.values()) - {EXTRA}


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
