"""Passes the structs and the tables of modalities to the C part, which then checks rules."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Raw

from rawmm.media import IMAGE, IN_MESSAGES, TOKEN_TYPES
from rawmm.model.base import Extra
from rawmm.model.types import TYPES, Contract
from rawmm.native import set_up
from rawmm.rules.media_checks import BY_ITSELF, CHECKS


def _slots(kind: type[Contract]) -> tuple[tuple[str, Any], ...]:
    """The fields of a struct class, each with the slot that holds it."""
    found = ((name, kind.__dict__[name]) for name in kind.__struct_fields__)
    return tuple((name, getattr(field, "slot", field)) for name, field in found)


USES_C: Final = set_up is not None and set_up(
    kinds={name: (kind, _slots(kind)) for name, kind in TYPES.items()},
    unset=UNSET,
    extra=Extra,
    raw=Raw,
    checks=CHECKS,
    by_itself=BY_ITSELF,
    in_messages=IN_MESSAGES,
    token_types=TOKEN_TYPES,
    image=IMAGE,
)
"""Whether C checks rules."""
