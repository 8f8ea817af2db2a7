"""The form ``pruned_ref``: a reference without the fingerprint of its layout.

References must have one, so the upgrade needs the model's layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown
from rawmm.model.types import SCHEMA_VERSION
from rawmm.upgrades.form import HistoricalForm, Step
from rawmm.values.views import as_mapping

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context


def _matches(ref: Any) -> bool:
    fields = as_mapping(ref) or {}
    return {"family", "mm_hash", "modality"} <= fields.keys() and "fingerprint" not in fields


def _upgrade(ref: dict[str, Any], context: Context) -> Step:
    """Add the fingerprint of the layout.

    Raises:
        ContractError: ``historical_form`` without a layout of the reference's family.
    """
    layout = context.layout
    if layout is None or layout.family != ref["family"]:
        other = "" if layout is None else f", and a layout of {layout.family}"
        raise contract_error(
            "historical_form",
            context.path,
            expected=f"RawMMRef of contract {SCHEMA_VERSION}",
            got=f"the wire form {FORM}{other}",
            hint=f"pass the model's layout, of family {shown(ref['family'])}, as layout=: the "
            "fingerprint is computed from it",
        )
    fingerprint = layout.fingerprint()
    return Step({**ref, "fingerprint": fingerprint}, "fingerprint of the layout added")


FORM: Final = HistoricalForm(
    name="pruned_ref",
    since="August 2026",
    of="RawMMRef",
    description="a reference without a fingerprint",
    matches=_matches,
    upgrade=_upgrade,
)
