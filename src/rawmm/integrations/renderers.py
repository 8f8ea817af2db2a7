"""The sidecars of the ``renderers`` package as structs, and back."""

from __future__ import annotations

from typing import Any, overload

from renderers.base import MultiModalData as RendererSidecar
from renderers.base import PlaceholderRange as RendererRange

from rawmm.conversion import convert, to_builtins
from rawmm.errors import contract_error, shown
from rawmm.real_class import is_a
from rawmm.structs import MultiModalData, PlaceholderRange


@overload
def to_renderers(value: MultiModalData) -> RendererSidecar: ...
@overload
def to_renderers(value: PlaceholderRange) -> RendererRange: ...
def to_renderers(value: Any) -> Any:
    """The dataclass of ``renderers.base`` with what `value` holds; items become plain dicts.

    Nothing is shared with `value`.

    Raises:
        ContractError: `value` is neither struct, or was changed into something illegal.
        ProcessedPayloadError: a payload holds what is not raw, JSON-safe data.
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
    """What a dataclass of ``renderers.base`` holds as the struct of the same name.

    Nothing is shared with `value`.

    Raises:
        ContractError: `value` is neither dataclass, or breaks a rule.
        ProcessedPayloadError: an item is the output of an image processor, as a renderer
            leaves it, and not a descriptor.
    """
    if is_a(value, RendererRange):
        return convert(value, PlaceholderRange)
    if not is_a(value, RendererSidecar):
        raise _not_one_of("dataclasses of renderers.base", value)
    # A dataclass may hold structs, which `convert` keeps as the objects they are.
    return convert(to_builtins(convert(value, MultiModalData)), MultiModalData)


def _not_one_of(kinds: str, value: Any) -> Exception:
    return contract_error(
        "wrong_type",
        (),
        expected=f"MultiModalData or PlaceholderRange, the {kinds}",
        got=shown(value),
    )
