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

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rawmm.conversion import convert
from rawmm.errors import RawMMError, contract_error, raise_alone, shown, shown_name, shown_text
from rawmm.structs import PATTERNS, RawMMRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PREFIX: Final = "mmraw:"
_PROCESSED: Final = "mmfile:"
_VERSION: Final = re.compile(r"(v[0-9]{1,32}):")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:")
_RUN_ID: Final = re.compile(PATTERNS["Name"])

_V2_FIELDS: Final = (
    "run_id",
    "family",
    "fingerprint",
    "modality",
    "mm_hash",
    "raw_image_id",
    "payload",
)


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
        raise _no_locator()
    fields = {name: getattr(ref, name) for name in ref.__struct_fields__}
    present = {name: value for name, value in fields.items() if value is not None}
    return _PREFIX + json.dumps(present, sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_raw_mm_ref(ref: object) -> bool:
    """Whether `ref` is a string that begins as references to raw images do, in any form."""
    return isinstance(ref, str) and ref.startswith(_PREFIX)


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
    if not isinstance(ref, str):
        raise contract_error("wrong_type", (), expected="a reference string", got=shown(ref))
    if ref.startswith(_PROCESSED):
        raise contract_error(
            "processed_payload",
            (),
            expected=f"a reference to a raw image, {_PREFIX}…",
            got=f"an {_PROCESSED} reference, to what an image processor wrote",
            hint="run again from the source image",
        )
    if not ref.startswith(_PREFIX):
        scheme = _SCHEME.match(ref)
        raise contract_error(
            "bad_format",
            (),
            expected=f"a reference that begins with {_PREFIX}",
            got=f"one that begins with {shown_name(scheme[0])}" if scheme else shown_text(ref),
        )
    return _read(ref)


def _read(ref: str) -> RawMMRef:
    version = _VERSION.match(ref, len(_PREFIX))
    if version:
        reader = _VERSIONS.get(version[1])
        if reader is None:
            known = ", ".join(f"{_PREFIX}{one}:" for one in _VERSIONS)
            raise contract_error(
                "unsupported_version",
                (),
                expected=f"{_PREFIX}, {known}, the forms this package knows",
                got=_PREFIX + version[0],
                hint="a newer writer needs a newer rawmm",
            )
        return reader(ref)
    text = ref[len(_PREFIX) :]
    fields = _object(text if text.startswith("{") else _decoded(text, ()), ())
    data = fields.get("raw_image_data")
    if isinstance(data, str) and not data.startswith("data:"):
        raise contract_error(
            "bad_locator",
            ("raw_image_data",),
            expected="a data:image/...;base64, URL",
            got=shown_text(data),
        )
    return _built(fields, "raw_image_data")


def _v2(ref: str) -> RawMMRef:
    parts = ref.split(":", len(_V2_FIELDS) + 1)[2:]
    if len(parts) != len(_V2_FIELDS):
        raise contract_error(
            "bad_format",
            (),
            expected=f"{_PREFIX}v2: and the fields {', '.join(_V2_FIELDS)}, with colons between",
            got=f"{len(parts)} fields",
        )
    fields: dict[str, Any] = dict(zip(_V2_FIELDS, parts, strict=True))
    fields["payload"] = _object(_decoded(fields["payload"], ("payload",)), ("payload",))
    return _built(_without_run(fields))


def _v3(ref: str) -> RawMMRef:
    return _built(_without_run(_object(_decoded(ref.split(":", 2)[2], ()), ())), "raw_uri")


_VERSIONS: Final[dict[str, Callable[[str], RawMMRef]]] = {"v2": _v2, "v3": _v3}


def _without_run(fields: dict[str, Any]) -> dict[str, Any]:
    run_id = fields.pop("run_id", None)
    if run_id is not None and not (isinstance(run_id, str) and _RUN_ID.match(run_id)):
        raise contract_error(
            "bad_format",
            ("run_id",),
            expected="a run id of [A-Za-z0-9_.-]+",
            got=shown(run_id),
        )
    return fields


def _built(fields: dict[str, Any], old_uri: str = "raw_image_uri") -> RawMMRef:
    """The fields of any form as a struct; `old_uri` is what the form calls ``raw_image_uri``."""
    if old_uri in fields:
        uri = fields.pop(old_uri)
        if "raw_image_uri" in fields:
            raise contract_error(
                "locator_conflict", (), expected="one URI", got=f"raw_image_uri and {old_uri}"
            )
        fields["raw_image_uri"] = uri
    else:
        old_uri = "raw_image_uri"
    try:
        ref = convert(fields, RawMMRef)
    except RawMMError as error:
        if error.path != "$.raw_image_uri":
            raise
        raise type(error)(
            error.code, f"$.{old_uri}", expected=error.expected, got=error.got, hint=error.hint
        ) from None
    if ref.raw_image_id is None and ref.raw_image_uri is None:
        raise _no_locator()
    return ref


def _no_locator() -> RawMMError:
    return contract_error(
        "no_locator",
        (),
        expected="raw_image_id or raw_image_uri",
        got="neither",
        hint="what the engine has cached is a null in its slot, not a reference",
    )


def _decoded(encoded: str, path: tuple[str, ...]) -> str:
    """Text in strict base64url: no padding, nothing that a lenient decoder would skip."""
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:  # a length that no bytes have, or other than ASCII
        raw = b""
    # Written again it is the same, or something was skipped on the way.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != encoded or not encoded:
        raise contract_error(
            "bad_base64",
            path,
            expected="base64url without padding",
            got=f"{len(encoded)} characters that are not",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise_alone(_malformed(path, "text that is not UTF-8"))


def _object(text: str, path: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object, strictly: one value, every key once, finite numbers."""
    try:
        value = _JSON.decode(text)
    except RecursionError:
        raise_alone(
            contract_error("too_deep", path, expected="JSON of sane nesting", got="too many levels")
        )
    except _DuplicateKeyError as error:
        got = f"{shown_text(error.key)} again"
        raise_alone(contract_error("duplicate_key", path, expected="each key once", got=got))
    except ValueError:
        raise_alone(_malformed(path, f"{len(text)} characters that are not"))
    if not isinstance(value, dict):
        raise contract_error("wrong_type", path, expected="an object", got=shown(value))
    return value


def _malformed(path: tuple[str, ...], got: str) -> RawMMError:
    return contract_error("malformed", path, expected="one complete JSON document", got=got)


class _DuplicateKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and the infinities are no JSON


_JSON: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
