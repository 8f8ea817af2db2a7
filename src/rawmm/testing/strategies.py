"""Hypothesis strategies for every type of the contract.

`documents` draws plain JSON data, `instances` structs. Both read the schema bundle, so a new
field or type is covered the day it is written; a keyword they do not know is an error. What
the schema cannot say (equal counts, stream lengths, ranges inside their tokens) is drawn
right from the start, not filtered.

`shaped` obeys the schema but not the rules. `mutated` and `lexemes` draw what is wrong or
merely odd: changed structure, and JSON text with other spellings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rawmm.codec import convert
from rawmm.model.types import TYPES, Contract
from rawmm.testing._mutations import lexemes, mutated
from rawmm.testing._profile import RULED, Json, Strategy, drawn_as, from_schema
from rawmm.testing._ruled import BY_NAME
from rawmm.validation import iter_errors

if TYPE_CHECKING:
    from hypothesis import strategies as st

S = TypeVar("S", bound=Contract)
RULED.update(BY_NAME)


def documents(name: str) -> Strategy:
    """Valid JSON data of type `name`: dicts, lists, strings and finite numbers.

    Raises:
        KeyError: no definition has that name.
    """
    return drawn_as(name, rules=True)


def shaped(name: str) -> Strategy:
    """JSON data of type `name` that obeys the schema; rules between fields may be broken."""
    return drawn_as(name, rules=False)


def instances(kind: type[S]) -> st.SearchStrategy[S]:
    """Valid structs of class `kind`."""
    names = {struct: name for name, struct in TYPES.items()}
    return documents(names[kind]).map(lambda document: convert(document, kind))


def is_valid(document: Json, name: str) -> bool:
    """Whether plain data is a valid `name`, rules included."""
    return not any(iter_errors(document, TYPES[name]))


__all__ = [
    "documents",
    "from_schema",
    "instances",
    "is_valid",
    "lexemes",
    "mutated",
    "shaped",
]
