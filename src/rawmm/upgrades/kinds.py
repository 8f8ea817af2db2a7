"""Detects the type of a document, historical forms included."""

from __future__ import annotations

from typing import Any, Final

from rawmm.errors import ContractError
from rawmm.model.types import MMRefs, RawMMRef
from rawmm.validation import detect

TRAINING_SAMPLE: Final = "TrainingSample"
"""Marks a training sample as prime-rl's transport writes it: an array, not a type of the contract.
The release that wrote it defines its fields and their order; see `rawmm.trainer`."""

_REFERENCE: Final = ("mmraw:", "mmfile:")


def kind_of(value: Any) -> Any:
    """The type of plain data, or `TRAINING_SAMPLE`.

    Raises:
        ContractError: ``unknown_type``.
    """
    if _is_sample(value):
        return TRAINING_SAMPLE
    return reference_kind(value) or detect(value)


def detected_type(value: Any) -> Any:
    """The type of any object, whose streams may be arrays; None if it is unknown."""
    try:
        return detect(value)
    except ContractError:
        return None


def reference_kind(value: Any) -> Any:
    """`RawMMRef` for a reference string, a list or dict type for several, None for other values."""
    if isinstance(value, list) and value and all(map(_is_reference, value)):
        return list[RawMMRef]
    if isinstance(value, dict) and value and all(map(_is_reference, value.values())):
        return dict[str, RawMMRef]
    return RawMMRef if _is_reference(value) else None


def refs_field(sample: list[Any]) -> int | None:
    """The index of the image references in a training sample, or None."""
    return next((index for index, field in enumerate(sample) if _is_refs(field)), None)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_REFERENCE)


def _is_sample(value: Any) -> bool:
    """Whether `value` is an array that begins with token ids and their mask."""
    return (
        isinstance(value, list)
        and len(value) > 2
        and all(isinstance(stream, list) and stream for stream in value[:2])
        and type(value[0][0]) is int
        and type(value[1][0]) is bool
    )


def _is_refs(field: Any) -> bool:
    try:
        return isinstance(field, list) and detect(field) is MMRefs
    except ContractError:
        return False
