"""Plain Python data to structs and back, as strict as the bytes."""

from __future__ import annotations

from typing import Any, Final, TypeVar, overload

import msgspec

from rawmm.errors import RawMMError
from rawmm.logprob_floor import checked_floor, floored_document
from rawmm.structs import Contract, MessageNode
from rawmm.validate.collect import graph_broken, has_bad_text
from rawmm.validate.convert import made_plain, to_struct
from rawmm.validate.doors import first_error
from rawmm.validate.payload import Mode
from rawmm.validate.plain import contains_struct
from rawmm.validate.recheck import recheck
from rawmm.validate.types import has_type, schema_of
from rawmm.writing import check_writable, enc_hook, in_form, spread

T = TypeVar("T")
_FAILED: Final = object()


@overload
def convert(obj: Any, *, logprob_floor: float | None = None) -> MessageNode: ...
@overload
def convert(obj: Any, type: type[T], *, logprob_floor: float | None = None) -> T: ...
@overload
def convert(obj: Any, type: Any, *, logprob_floor: float | None = None) -> Any: ...
def convert(
    obj: Any,
    type: Any = MessageNode,  # noqa: A002
    *,
    logprob_floor: float | None = None,
) -> Any:
    """Structs from dicts and lists, pydantic models, dataclasses, or other structs.

    Where the type has a per-token stream, a one-dimensional array of numbers (numpy, torch,
    `array.array`) is taken by value.

    Args:
        obj: what to convert; it is not changed.
        type: what it is.
        logprob_floor: a number to read in place of -inf, as in `decode_json`.

    Raises:
        ContractError, ProcessedPayloadError: as decoding does.
    """
    schema_of(type)
    if logprob_floor is not None:
        logprob_floor = checked_floor(logprob_floor)
    try:
        plain = made_plain(obj, type)
        if logprob_floor is not None:
            obj = plain = floored_document(plain, type, logprob_floor)
        if contains_struct(plain):
            recheck(plain)
        whole = isinstance(plain, Contract) and has_type(plain, type)
        value = plain if whole else to_struct(plain, type)
    except (msgspec.ValidationError, RecursionError, RawMMError):
        value = _FAILED  # raised below: msgspec's words become no context
    if (
        value is _FAILED
        or not has_type(value, type)
        or graph_broken(value, type)
        or has_bad_text(value)
    ):
        raise first_error(obj, type)
    return value


def to_builtins(obj: Any, *, packed: bool | None = None) -> Any:
    """A struct, or a list or dict of structs, as dicts and lists. Bytes stay bytes.

    Args:
        obj: what to convert; it is not changed.
        packed: the form of per-token streams, as in `encode_json`.

    Raises:
        ContractError, ProcessedPayloadError: as encoding does.
    """
    check_writable(obj, Mode.WIRE)
    return msgspec.to_builtins(
        spread(in_form(obj, packed=packed)), builtin_types=(bytes,), enc_hook=enc_hook
    )
