"""Building descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import contract_error
from rawmm.structs import RawMMItem

if TYPE_CHECKING:
    from collections.abc import Mapping


def raw_mm_item(
    *,
    modality: str,
    family: str,
    layout_fingerprint: str,
    payload: Mapping[str, Any],
    raw_image_id: str | None = None,
    raw_image_uri: str | None = None,
    vllm_modality: str | None = None,
) -> RawMMItem:
    """A descriptor of one raw media item, checked.

    Give at most one locator; with none the item is descriptor-only.

    Raises:
        ContractError: a name, the fingerprint or a locator breaks the contract.
        ProcessedPayloadError: the payload holds pixels, arrays or what JSON cannot say.
    """
    if layout_fingerprint is None:
        raise contract_error(
            "missing_field",
            (),
            expected="a layout_fingerprint",
            got="None",
            hint="without it a reader cannot tell whether it lays images out alike",
        )
    return RawMMItem(
        kind="prime_raw_mm_item",
        version=1,
        modality=modality,
        family=family,
        layout_fingerprint=layout_fingerprint,
        payload=payload,  # type: ignore[arg-type]  # any mapping; the constructor makes it a dict
        vllm_modality=vllm_modality,
        raw_image_id=raw_image_id,
        raw_image_uri=raw_image_uri,
    )
