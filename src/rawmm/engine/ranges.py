"""Read the placeholder ranges that an engine returns, in the forms of engine and clients."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.graph import read
from rawmm.model.types import PlaceholderRange
from rawmm.values.views import as_mapping, as_sequence, field_of

if TYPE_CHECKING:
    from rawmm.errors import Path


class EngineRange(NamedTuple):
    """The tokens of one medium in the engine's prompt.

    Attributes:
        modality: the engine's name of the modality; None if the client has dropped it.
        offset: index of the first token.
        length: number of tokens, separators between rows included.
        path: where the range stands in the response.
    """

    modality: str | None
    offset: int
    length: int
    path: Path


def engine_ranges(value: Any, path: Path) -> list[EngineRange] | None:
    """The ranges of ``mm_placeholders`` in prompt order; None if `value` is None.

    Args:
        value: ``{modality: [{offset, length}]}``, as vLLM answers, or a list of ranges or pairs
            ``(offset, length)`` of all modalities, as verifiers' TurnTokens has it.
        path: the path of `value`.

    Raises:
        ContractError: ``placeholder_order`` if ranges of one modality are not sorted, or if two
            overlap; ``wrong_type``, ``out_of_range`` and the like for another shape.
    """
    if value is None:
        return None
    by_modality = as_mapping(value)
    if by_modality is None:
        return _in_order(_each(value, None, path))
    ranges: list[EngineRange] = []
    for modality, found in by_modality.items():
        name = modality if type(modality) is str else shown(modality)
        ranges += _in_order(_each(found, name, (*path, name)))
    return _in_order(sorted(ranges, key=attrgetter("offset")))


def _in_order(ranges: list[EngineRange]) -> list[EngineRange]:
    end = 0
    for one in ranges:
        if one.offset < end:
            raise contract_error(
                "placeholder_order",
                one.path,
                expected=f"an offset of at least {end}, where the previous range ends",
                got=str(one.offset),
                hint="ranges must be sorted by offset and must not overlap",
            )
        end = one.offset + one.length
    return ranges


def _each(value: Any, modality: str | None, path: Path) -> list[EngineRange]:
    found = as_sequence(value)
    if found is None:
        raise contract_error("wrong_type", path, expected="an array of ranges", got=shown(value))
    return [_range(one, modality, (*path, index)) for index, one in enumerate(found)]


def _range(value: Any, modality: str | None, path: Path) -> EngineRange:
    pair = as_sequence(value)
    if pair is not None and len(pair) == 2:
        fields = {"offset": pair[0], "length": pair[1]}
    else:
        # Other fields are the engine's own, such as a mask.
        fields = {name: _field(value, name, path) for name in ("offset", "length")}
    one = read(fields, PlaceholderRange, *path)
    return EngineRange(modality, one.offset, one.length, path)


def _field(value: Any, name: str, path: Path) -> Any:
    try:
        return field_of(value, name)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal
