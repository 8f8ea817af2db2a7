"""Converts sidecars of the ``renderers`` package to structs and back."""

from __future__ import annotations

from typing import Any, overload

from renderers.base import MultiModalData as RendererSidecar
from renderers.base import PlaceholderRange as RendererRange

from rawmm.codec import convert, to_builtins
from rawmm.errors import contract_error, shown
from rawmm.model.types import MultiModalData, PlaceholderRange
from rawmm.real_class import is_a


@overload
def to_renderers(value: MultiModalData) -> RendererSidecar: ...
@overload
def to_renderers(value: PlaceholderRange) -> RendererRange: ...
def to_renderers(value: Any) -> Any:
    """The dataclass of ``renderers.base`` for a struct. Items become plain dicts.

    Nothing is shared with `value`.

    Raises:
        ContractError: `value` is not such a struct, or was changed into an invalid one.
        ProcessedPayloadError: a payload holds data that is not raw JSON.
    """
    if not is_a(value, (MultiModalData, PlaceholderRange)):
        raise _not_one_of("structs of rawmm", value)
    plain = to_builtins(value)
    if is_a(value, PlaceholderRange):
        return RendererRange(**plain)
    ranges = plain["mm_placeholders"]
    plain["mm_placeholders"] = {
        modality: [RendererRange(**one) for one in ranges[modality]] for modality in ranges
    }
    return RendererSidecar(**plain)


def from_renderers(value: Any) -> Any:
    """The struct for a dataclass of ``renderers.base``.

    Nothing is shared with `value`.

    Raises:
        ContractError: `value` is not such a dataclass, or breaks the contract.
        ProcessedPayloadError: an item is the output of an image processor, not a descriptor.
    """
    if is_a(value, RendererRange):
        return convert(value, PlaceholderRange)
    if not is_a(value, RendererSidecar):
        raise _not_one_of("dataclasses of renderers.base", value)
    # A dataclass may hold structs, which `convert` would share.
    return convert(to_builtins(convert(value, MultiModalData)), MultiModalData)


def _not_one_of(kinds: str, value: Any) -> Exception:
    return contract_error(
        "wrong_type",
        (),
        expected=f"MultiModalData or PlaceholderRange, the {kinds}",
        got=shown(value),
    )
