"""References: one image of an engine request as a string, and back.

Written is ``mmraw:<compact sorted JSON>``. Read are all forms that were ever written:

========================================  =====================================================
``mmraw:<JSON>``                          canonical; ``raw_image_data`` for ``raw_image_uri``, too
``mmraw:<base64url JSON>``                the same, August 2026
``mmraw:v3:<base64url JSON>``             ``raw_uri`` for ``raw_image_uri``, July 2026
``mmraw:v2:run:family:fingerprint:``      nine fields in all, June 2026
``modality:hash:id:<base64url payload>``
========================================  =====================================================

``mmfile:`` references are to what an image processor wrote, and refused.
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
    """The reference string of one image: ``mmraw:`` and compact JSON, keys sorted, ASCII only.

    Equal images give equal strings, so engines may use one as the key of a cache. A payload of
    None is written as ``{}``, as every reader of the format asks for one.

    Args:
        family: the image layout that owns the payload.
        fingerprint: fingerprint of the layout's parameters.
        modality: the engine's name for it; engines compare it with the key it stands under.
        mm_hash: hash of the raw bytes.
        payload: the family's own data.
        raw_image_id: a file name in the run's image directory; or
        raw_image_uri: a complete URL. Give one of the two.

    Raises:
        ContractError: a field breaks the contract; ``no_locator`` if neither locator is given.
        ProcessedPayloadError: the payload holds pixels, arrays or what JSON cannot say.
    """
    ref = RawMMRef(
        family=family,
        fingerprint=fingerprint,
        modality=modality,
        mm_hash=mm_hash,
        payload={} if payload is None else payload,  # type: ignore[arg-type]  # any mapping
        raw_image_id=raw_image_id,
        raw_image_uri=raw_image_uri,
    )
    if raw_image_id is None and raw_image_uri is None:
        raise no_locator()
    fields = {name: getattr(ref, name) for name in ref.__struct_fields__}
    present = {name: value for name, value in fields.items() if value is not None}
    return PREFIX + json.dumps(present, sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_raw_mm_ref(ref: object) -> bool:
    """Whether `ref` is a string that begins as references to raw images do, in any form."""
    text: Any = ref
    return issubclass(type(ref), str) and str.startswith(text, PREFIX)


def split_raw_mm_ref(ref: str) -> RawMMRef:
    """What a reference says, in whichever of its forms it was written.

    The run id of old forms is dropped: ids are file names in the image directory of the run at
    hand. A reference without a locator is refused, as nothing can be made of it.

    Raises:
        ContractError: ``unsupported_version`` for another version, by name; ``bad_format`` for no
            reference at all; ``bad_base64``, ``malformed``, ``duplicate_key`` or ``too_deep`` for
            what stands in it; ``no_locator``; and what `RawMMRef` raises, with ``path`` in the
            JSON.
        ProcessedPayloadError: an ``mmfile:`` reference, or a payload that is not raw.
    """
    if not issubclass(type(ref), str):  # an object may claim another class
        raise contract_error("wrong_type", (), expected="a reference string", got=shown(ref))
    return read_ref(ref)
