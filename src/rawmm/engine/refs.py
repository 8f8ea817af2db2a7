"""Write and read references: one image of an engine request as a string.

The written form is ``mmraw:<compact sorted JSON>``. All forms that were ever written are read:

========================================  =====================================================
``mmraw:<JSON>``                          canonical; ``raw_image_data`` for ``raw_image_uri``, too
``mmraw:<base64url JSON>``                the same, August 2026
``mmraw:v3:<base64url JSON>``             ``raw_uri`` for ``raw_image_uri``, July 2026
``mmraw:v2:run:family:fingerprint:``      nine fields in all, June 2026
``modality:hash:id:<base64url payload>``
========================================  =====================================================

``mmfile:`` references name the output of an image processor and are refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rawmm.errors import contract_error, shown
from rawmm.model.types import RawMMRef
from rawmm.rules import PREFIX, no_locator, read_ref

if TYPE_CHECKING:
    from collections.abc import Mapping


def raw_mm_ref(
    *,
    family: str,
    fingerprint: str,
    modality: str,
    mm_hash: str,
    payload: Mapping[str, Any] | None = None,
    raw_image_id: str | None = None,
    raw_image_uri: str | None = None,
) -> str:
    """The reference string of one image: ``mmraw:`` and compact ASCII JSON with sorted keys.

    Equal images have equal strings, so engines may use the string as a cache key. A payload of
    None is written as ``{}``, because all readers of the format require a payload.

    Args:
        family: the image layout that defines the payload.
        fingerprint: the fingerprint of the layout.
        modality: the engine's name of the modality. Engines compare it with the key of the list
            that holds the reference.
        mm_hash: the hash of the raw bytes.
        payload: the family's own data.
        raw_image_id: a file name in the run's image directory; or
        raw_image_uri: a complete URL. Exactly one of the two is required.

    Raises:
        ContractError: a field violates the contract; ``no_locator`` if both locators are missing.
        ProcessedPayloadError: the payload holds pixels, arrays or values that are not JSON.
    """
    if fingerprint is None:
        raise contract_error(
            "missing_field",
            (),
            expected="a fingerprint",
            got="None",
            hint="readers need it to check that they lay images out in the same way",
        )
    fields = {
        "family": family,
        "fingerprint": fingerprint,
        "modality": modality,
        "mm_hash": mm_hash,
        "payload": payload,
        "raw_image_id": raw_image_id,
        "raw_image_uri": raw_image_uri,
    }
    return written_ref(fields)


def written_ref(fields: Mapping[str, Any]) -> str:
    """The reference string of the fields of a `RawMMRef`. The fingerprint may be absent.

    Raises:
        ContractError, ProcessedPayloadError: as `raw_mm_ref`.
    """
    payload = fields.get("payload")
    ref = RawMMRef(**{**fields, "payload": {} if payload is None else payload})
    if ref.raw_image_id is None and ref.raw_image_uri is None:
        raise no_locator()
    by_name = {name: getattr(ref, name) for name in ref.__struct_fields__}
    present = {name: value for name, value in by_name.items() if value is not None}
    return PREFIX + json.dumps(present, sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_raw_mm_ref(ref: object) -> bool:
    """Whether `ref` is a string that begins like a reference to a raw image, in any form."""
    text: Any = ref
    return issubclass(type(ref), str) and str.startswith(text, PREFIX)


def split_raw_mm_ref(ref: str) -> RawMMRef:
    """The fields of a reference, in any of its forms.

    The run id of old forms is dropped: ids are file names in the image directory of the current
    run. A reference without a locator is refused, because its image cannot be found.

    Raises:
        ContractError: ``bad_format`` for text that is not a reference; ``unsupported_version``
            for another version; ``bad_base64``, ``malformed``, ``duplicate_key`` or ``too_deep``
            for its content; ``no_locator``; and the errors of `RawMMRef`, with ``path`` in the
            JSON.
        ProcessedPayloadError: an ``mmfile:`` reference, or a payload that is not raw.
    """
    if not issubclass(type(ref), str):  # an object may claim another class
        raise contract_error("wrong_type", (), expected="a reference string", got=shown(ref))
    return read_ref(ref)
