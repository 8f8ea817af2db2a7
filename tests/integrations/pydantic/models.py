"""Models with one field, for every type of the contract and its unions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel, create_model

import rawmm
from rawmm.model.types import TYPES
from rawmm.testing import strategies

if TYPE_CHECKING:
    from hypothesis import strategies as st

UNIONS: Final[dict[str, Any]] = {"Message": rawmm.Message, "MessagePart": rawmm.MessagePart}
KINDS: Final[dict[str, Any]] = {**TYPES, **UNIONS}
NAMES: Final = sorted(KINDS)


@cache
def box(name: str) -> type[BaseModel]:
    """``class Box(BaseModel): value: <the type>``."""
    return create_model(f"{name}Box", value=(KINDS[name], ...))


def value_of(model: BaseModel) -> Any:
    """The value of a `box`."""
    return model.value  # type: ignore[attr-defined]


def values(name: str) -> st.SearchStrategy[Any]:
    """Valid structs of a type, or of the members of a union."""
    if name not in UNIONS:
        return strategies.instances(TYPES[name])
    return strategies.documents(name).map(lambda document: rawmm.convert(document, UNIONS[name]))


def members(name: str) -> tuple[Any, ...]:
    """The struct classes that a field of this type holds."""
    return get_args(UNIONS[name]) if name in UNIONS else (TYPES[name],)
