"""Read a model's response from any object or mapping with its fields.

Checks here only what the construction of nodes does not check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.graph.response import TurnTokens
from rawmm.graph.streams import floored, stream_of
from rawmm.model.types import Trace
from rawmm.real_class import is_a
from rawmm.values.errors import missing_field
from rawmm.values.views import as_mapping, as_sequence, field_of

_STREAMS: Final = {
    "prompt_ids": "TokenIds",
    "completion_ids": "TokenIds",
    "renderer_prompt_ids": "TokenIds",
    "is_content": "TokenFlags",
    "completion_logprobs": "TokenStream",
}
"""Per-token streams, with the schema definition of each."""
_PAIRS: Final[dict[str, Any]] = {
    "message_spans": list[tuple[int, int] | None],
    "mm_placeholders": list[tuple[int, int]],
}
_HINTS: Final = {
    "message_spans": "pass the renderer's spans",
    "mm_placeholders": "pass the ranges of all media, sorted, as pairs of offset and length",
}


def read(value: Any, kind: Any, *path: str | int) -> Any:
    """`convert`, for a part of a larger value at `path`.

    Raises:
        ContractError, ProcessedPayloadError: it violates the contract.
    """
    try:
        return convert(value, kind)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal


def tokens_of(tokens: Any, logprob_floor: float | None = None) -> TurnTokens:
    """The turn's tokens, from any object with ``prompt_ids``.

    Args:
        tokens: the object; None for a turn without tokens.
        logprob_floor: see `PendingTurn.commit`.

    Raises:
        ContractError, ProcessedPayloadError: it has no prompt, or a field violates the contract.
    """
    if tokens is None:
        return TurnTokens()
    present: dict[str, Any] = {}
    for field in dataclasses.fields(TurnTokens):
        try:
            value = field_of(tokens, field.name)
        except RawMMError as error:
            refusal: RawMMError | None = error.at(("tokens",))
        else:
            refusal = None
        if refusal is not None:
            raise refusal
        if value is not None:
            present[field.name] = value
    if "prompt_ids" not in present:
        raise missing_field("prompt_ids", ("tokens",))
    present["completion_logprobs"] = floored(
        present.get("completion_logprobs", []), logprob_floor, ("tokens", "completion_logprobs")
    )
    for name, definition_name in _STREAMS.items():
        if name in present:
            present[name] = stream_of(present[name], definition_name, ("tokens", name))
    for name, kind in _PAIRS.items():
        if name in present:
            present[name] = _pairs(present[name], kind, name)
    if type(present.get("bridged", False)) is not bool:
        raise _wrong_type("bridged", present["bridged"], "true or false")
    return TurnTokens(**present)


def _pairs(value: Any, kind: Any, name: str) -> Any:
    if as_sequence(value) is not None:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            pass  # raised below, so that msgspec's error is not in the chain
    raise _wrong_type(name, value, "an array of pairs of integers", _HINTS[name])


def _wrong_type(name: str, value: Any, expected: str, hint: str | None = None) -> RawMMError:
    return contract_error(
        "wrong_type", ("tokens", name), expected=expected, got=shown(value), hint=hint
    )


def token_types(found: Any, path: tuple[str, ...]) -> Mapping[str, int] | None:
    """A checked map of token types, as in a trace; `path` is that of its owner."""
    if found is None:
        return None
    if is_a(found, Mapping) and (pairs := as_mapping(found)) is not None:
        found = {str(token) if type(token) is int else token: kind for token, kind in pairs.items()}
    try:
        return Trace(nodes=[], mm_token_type_id_map=found).mm_token_type_id_map
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal
