"""The fingerprint of a layout: equal if two programs lay out every image in the same way."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from rawmm.errors import contract_error, shown
from rawmm.model.types import PATTERNS
from rawmm.real_class import is_a
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.plain import plain_copy

_FAMILY: Final = re.compile(PATTERNS["Name"])


def image_layout_fingerprint(*, family: str, **values: Any) -> str:
    """The fingerprint of a family's layout with these values: 32 hex digits.

    It is the beginning of the SHA-256 of ``image-layout:v1:<family>:<key>=<JSON>:...``, with
    sorted keys and compact JSON. ``2`` and ``2.0`` differ, and so do null and an absent key.

    Raises:
        ContractError: ``bad_format`` for an invalid family name.
        ProcessedPayloadError: for a value that a payload must not hold, such as an array.
    """
    _check_family(family)
    return _digits(f"image-layout:v1:{family}:{_parameters(values)}")[:32]


def unversioned_fingerprint(*, family: str, **values: Any) -> str:
    """The fingerprint that writers of August 2026 gave to a layout, in all of its 64 digits.

    Its text lacks the ``v1:``.

    Raises:
        ContractError, ProcessedPayloadError: as `image_layout_fingerprint`.
    """
    _check_family(family)
    return _digits(f"image-layout:{family}:{_parameters(values)}")


def _check_family(family: object) -> None:
    if not is_a(family, str) or not _FAMILY.match(family):
        raise contract_error(
            "bad_format", ("family",), expected="a name of [A-Za-z0-9_.-]+", got=shown(family)
        )


def _parameters(values: dict[str, Any]) -> str:
    parts = []
    for key in sorted(values):
        for error in payload_errors(values[key], (key,), Mode.DESCRIPTOR):
            raise error
        text = json.dumps(plain_copy(values[key]), sort_keys=True, separators=(",", ":"))
        parts.append(f"{key}={text}")
    return ":".join(parts)


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
