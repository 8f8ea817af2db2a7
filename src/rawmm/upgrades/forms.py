"""The list of historical forms. To add a form, write its module and add it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.upgrades import (
    descriptor_and_uris,
    descriptor_only,
    inline,
    inline_urls,
    mmraw,
    pruned_item,
    unversioned_fingerprint,
    uri,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.layouts import Layout
    from rawmm.upgrades.form import HistoricalForm

HISTORICAL_FORMS: tuple[HistoricalForm, ...] = (
    descriptor_only.FORM,
    descriptor_and_uris.FORM,
    mmraw.V2,
    mmraw.V3,
    uri.FORM,
    inline.FORM,
    mmraw.BASE64,
    mmraw.JSON,
    pruned_item.FORM,
    pruned_item.FOR_TRAINER,
    unversioned_fingerprint.FOR_ITEM,
    unversioned_fingerprint.FOR_TRAINER,
    unversioned_fingerprint.FOR_REF,
    inline_urls.FORM,
)
"""Every form that can be upgraded, the oldest first."""

CANONICAL: Final = "canonical"
RELEASED: Final = "released"
CURRENT_FORMS: Final[dict[str, str]] = {
    "RawMMItem": "envelope_v1",
    "MMRefs": "image_refs",
    "RawMMRef": "mmraw",
}
"""The name of the contract's own form, for the types that had others."""

FORMS: Final[dict[str, str]] = {form.name: form.description for form in HISTORICAL_FORMS} | {
    "envelope_v1": "nothing to change: the sidecar items of the contract",
    "image_refs": "nothing to change: the trainer references of the contract",
    "mmraw": "nothing to change: the references of the contract",
    RELEASED: "nothing to change: no sidecar; with a layout, the messages get theirs",
    CANONICAL: "nothing to change: no media, or a type that had no other form",
}
"""Every value of `Upgraded.form` and its meaning. Historical forms come first, the oldest first."""


def has_forms(name: str) -> bool:
    """Whether the type `name` has historical forms."""
    return any(form.of == name for form in HISTORICAL_FORMS)


def forms_of(name: str) -> Iterator[HistoricalForm]:
    """The historical forms of type `name`, the oldest first."""
    return (form for form in HISTORICAL_FORMS if form.of == name)


def has_form(value: Any, form: HistoricalForm, layout: Layout | None) -> bool:
    """Whether `value` has a form, as far as the model's layout, if given, shows."""
    if form.matches_with is not None:
        return layout is not None and form.matches_with(value, layout)
    return form.matches(value)


def find_form(name: str, value: Any) -> HistoricalForm | None:
    """The oldest historical form of type `name` that `value` shows without a layout, or None."""
    return next((form for form in forms_of(name) if has_form(value, form, None)), None)


def refused_form(name: str, value: Any) -> HistoricalForm | None:
    """The form of `value` that readers refuse. `rawmm.validation` names it in its errors."""
    return next((form for form in forms_of(name) if form.rebuild and form.matches(value)), None)
