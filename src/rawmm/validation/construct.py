"""Construction hooks: how Python code builds a struct, and the error if it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.model.base import EXTRA, Hooks
from rawmm.rules import normalize, own_errors, rules_hold
from rawmm.validation.convert import made_plain, to_struct
from rawmm.validation.errors import errors_at, has_bad_text, rules_paused
from rawmm.validation.revalidate import revalidate
from rawmm.values.errors import missing_field, unknown_field
from rawmm.values.extras import place_errors
from rawmm.values.plain import to_plain

if TYPE_CHECKING:
    from rawmm.model.types import Contract


def check(struct: Any) -> None:
    """Raise the first broken rule of a new struct."""
    try:
        broken = not rules_hold(struct) and not rules_paused()
        error = next(own_errors(struct, ()), None) if broken else None
    except RawMMError:
        raise
    except Exception:  # noqa: BLE001  (rules need the right shape; an assignment may break it)
        # The struct contains one that was changed. `build` retries from plain data.
        error = first_error(struct, type(struct))
        broken = True
    if error is not None:
        raise error
    if broken:
        normalize(struct)


def first_error(value: Any, kind: Any) -> RawMMError:
    """The first error of a value that is not a valid `kind`."""
    for error in errors_at(value, kind, ()):
        return error
    return unexplained(value)


def unexplained(value: Any) -> RawMMError:
    """The error of a value that a fast check refuses and no rule explains: a bug of rawmm."""
    return contract_error(
        "wrong_type",
        (),
        expected="a value of the contract",
        got=f"{shown(value)}, which no rule explains",
        hint="please report this with the data's type",
    )


def build(cls: type[Contract], values: dict[str, Any]) -> Any:
    """The constructor of every struct. It checks wire-named values as decoding does."""
    data: Any = values
    if cls.__struct_config__.array_like:
        data = _by_position(cls, values)
    elif cls.__open__ and EXTRA in values:
        extra = values.pop(EXTRA)
        for error in place_errors(extra, cls.__known__ | values.keys(), ()):
            raise error
        data = values | extra
    try:
        built = to_struct(_valid_and_plain(data, cls), cls)
    except (msgspec.ValidationError, RecursionError, RawMMError):
        built = None  # raised below, so that msgspec's text is not in the chain
    if type(built) is not cls or has_bad_text(built):  # a tag selects the class
        raise first_error(data, cls)
    return built


def _valid_and_plain(data: Any, cls: type[Contract]) -> Any:
    """`data` as plain values, with dicts in place of all structs if one of them is invalid."""
    plain, has_struct = made_plain(data, cls)
    if has_struct:
        try:
            revalidate(plain)
        except msgspec.ValidationError:
            return to_plain(plain, cls, open_structs=True)
    return plain


def _by_position(cls: type[Contract], values: dict[str, Any]) -> list[Any]:
    """The values of an array-like type by position."""
    names = list(cls.__wire_names__.values())
    for name in values:
        if name not in names:
            raise unknown_field(name, names, ())
    for name in names:
        if name not in values:
            raise missing_field(name, ())
    return [values[name] for name in names]


Hooks.build = build
Hooks.check = check
