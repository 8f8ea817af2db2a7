"""The form ``unversioned_fingerprint``: an absent fingerprint, or one of a text without ``v1``.

A fingerprint does not show the text that it was computed from, and descriptors and references may
lack it, so the form is recognized only if the model's layout is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.upgrades.form import HistoricalForm, Step
from rawmm.values.views import as_mapping, base_value

if TYPE_CHECKING:
    from rawmm.layouts import Layout
    from rawmm.upgrades.form import Context

_FEWEST_DIGITS: Final = 16


def _form(of: str, field: str) -> HistoricalForm:
    """The form of a type with the fingerprint in `field`."""

    def matches(value: Any, layout: Layout) -> bool:
        fields = as_mapping(value) or {}
        if base_value(fields.get("family")) != layout.family:
            return False
        if field not in fields:
            return True
        return _is_unversioned(base_value(fields[field]), layout)

    def upgrade(value: dict[str, Any], context: Context) -> Step:
        assert context.layout is not None  # the form is recognized by it
        change = "replaced" if field in value else "added"
        fingerprint = context.layout.fingerprint(context.decoding)
        return Step({**value, field: fingerprint}, f"{field} of the layout {change}")

    return HistoricalForm(
        name="unversioned_fingerprint",
        since="August 2026",
        of=of,
        description="a layout fingerprint that is absent, or of a text without v1",
        matches=lambda _: False,
        matches_with=matches,
        upgrade=upgrade,
    )


def _is_unversioned(fingerprint: object, layout: Layout) -> bool:
    from rawmm.layouts import unversioned_fingerprint  # only with a layout, which loaded it

    if not isinstance(fingerprint, str) or len(fingerprint) < _FEWEST_DIGITS:
        return False
    digits = unversioned_fingerprint(family=layout.family, **layout.parameters)
    return digits.startswith(fingerprint)


FOR_ITEM: Final = _form("RawMMItem", "layout_fingerprint")
FOR_TRAINER: Final = _form("MMImageItem", "layout_fingerprint")
FOR_REF: Final = _form("RawMMRef", "fingerprint")
