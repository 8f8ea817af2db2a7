"""A model's response in whatever form it comes, read as ours.

Only what the nodes do not check by themselves is checked here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from rawmm.conversion import convert
from rawmm.errors import RawMMError, contract_error, raise_alone, shown
from rawmm.response import TurnTokens
from rawmm.structs import Trace
from rawmm.validate.plain import as_sequence
from rawmm.validate.shape import missing

T = TypeVar("T")
_IDS: Final = ("prompt_ids", "completion_ids", "renderer_prompt_ids")
_PAIRS: Final[dict[str, Any]] = {
    "message_spans": list[tuple[int, int] | None],
    "mm_placeholders": list[tuple[int, int]],
}


def field_of(value: Any, name: str) -> Any:
    """A field of an object or a mapping; None where it has none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def read(value: Any, kind: type[T], *path: str) -> T:
    """A part of the response as a struct; `path` is where in the response it stands.

    Raises:
        ContractError, ProcessedPayloadError: it breaks the contract.
    """
    try:
        return convert(value, kind)
    except RawMMError as error:
        raise error.under(path) from None


def tokens_of(tokens: Any) -> TurnTokens:
    """The turn's tokens, from any object that has some of their fields.

    Raises:
        ContractError: it has no prompt, or what only this module reads has another shape.
    """
    if tokens is None:
        return TurnTokens()
    present = {
        field.name: value
        for field in dataclasses.fields(TurnTokens)
        if (value := field_of(tokens, field.name)) is not None
    }
    if "prompt_ids" not in present:
        raise missing("prompt_ids", ("tokens",))
    for name in (*_IDS, "is_content"):
        value = present.get(name, [])
        # Slices of it are compared with lists, which a tuple never equals.
        if type(value) is not list:
            items = as_sequence(value)
            if items is None:
                raise _wrong_type(name, value, "an array")
            present[name] = list(items)
    for name, kind in _PAIRS.items():
        if name in present:
            try:
                present[name] = msgspec.convert(present[name], kind)
            except msgspec.ValidationError:
                raise_alone(_wrong_type(name, present[name], "an array of pairs of integers"))
    return TurnTokens(**present)


def _wrong_type(name: str, value: Any, expected: str) -> RawMMError:
    return contract_error("wrong_type", ("tokens", name), expected=expected, got=shown(value))


def token_types(found: Any) -> Mapping[str, int] | None:
    """A response's map of token types as a trace holds it, checked."""
    if isinstance(found, Mapping):
        found = {str(token): kind for token, kind in found.items()}
    try:
        return Trace(nodes=[], mm_token_type_id_map=found).mm_token_type_id_map
    except RawMMError as error:
        raise error.under(("tokens",)) from None
