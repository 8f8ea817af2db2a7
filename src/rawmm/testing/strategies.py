"""Hypothesis strategies for every type of the contract.

`documents` draws plain JSON data, `instances` draws structs. Both read the schema bundle, so they
cover new fields and types; an unknown schema keyword is an error. They satisfy the rules beyond the
schema (equal counts, stream lengths, ranges inside their tokens) by construction, without filters.

`shaped` satisfies the schema but may break the rules. `mutated` changes the structure of a
document, and `lexemes` the spelling of its JSON text.
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
    """JSON data of type `name` that satisfies the schema but may break rules between fields."""
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
