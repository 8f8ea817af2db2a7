"""The strict parser for the text of references. `rawmm.engine.refs` describes the forms."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import RawMMError, contract_error, shown, shown_name, shown_text
from rawmm.model.base import Hooks
from rawmm.model.types import PATTERNS, RawMMRef
from rawmm.values.errors import NEWER_WRITER
from rawmm.values.strict_json import read_json, too_deep

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.errors import Path

PREFIX: Final = "mmraw:"
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")
_TO_URL_SAFE: Final = str.maketrans("+/", "-_")
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


class RefFields(NamedTuple):
    """The fields of a reference, not yet validated."""

    fields: dict[str, Any]
    """Values by the field names of `RawMMRef`."""
    uri_name: str
    """The name of ``raw_image_uri`` in this form."""


def read_ref(ref: str) -> RawMMRef:
    """Parse a reference of any form.

    Raises:
        ContractError, ProcessedPayloadError: as `rawmm.split_raw_mm_ref`.
    """
    return _validated(ref_fields(ref))


def ref_fields(ref: str) -> RefFields:
    """The fields of a reference, without validation of their values.

    Raises:
        ContractError, ProcessedPayloadError: the text is not a reference, or cannot be parsed.
    """
    if ref.startswith(_PROCESSED):
        raise contract_error(
            "processed_payload",
            (),
            expected=f"a reference to a raw image, {PREFIX}…",
            got=f"an {_PROCESSED} reference, to the output of an image processor",
            hint="run again from the source image",
        )
    if not ref.startswith(PREFIX):
        scheme = _SCHEME.match(ref)
        raise contract_error(
            "bad_format",
            (),
            expected=f"a reference that begins with {PREFIX}",
            got=f"one that begins with {shown_name(scheme[0])}" if scheme else shown_text(ref),
        )
    version = _VERSION.match(ref, len(PREFIX))
    if version is None:
        return _canonical(ref)
    if version[1] not in _VERSIONS:
        known = ", ".join(f"{PREFIX}{one}:" for one in _VERSIONS)
        raise contract_error(
            "unsupported_version",
            (),
            expected=f"{PREFIX}, {known}, the forms that this package reads",
            got=PREFIX + shown_name(version[0]),
            hint=NEWER_WRITER,
        )
    return _VERSIONS[version[1]](ref)


def no_locator() -> RawMMError:
    """The error of a reference that does not locate its image."""
    return contract_error(
        "no_locator",
        (),
        expected="raw_image_id or raw_image_uri",
        got="neither",
        hint="an image that the engine has cached is a null in its slot, not a reference",
    )


def _canonical(ref: str) -> RefFields:
    text = ref[len(PREFIX) :]
    # A text with lone surrogates is refused as malformed.
    plain = text.encode("utf-8", "surrogatepass") if text.startswith("{") else None
    fields = _object(_decoded(text, ()) if plain is None else plain, ())
    data = fields.get("raw_image_data")
    if isinstance(data, str) and not data.startswith("data:"):
        raise contract_error(
            "bad_locator",
            ("raw_image_data",),
            expected="a data:image/...;base64, URL",
            got=shown_text(data),
        )
    return _with_uri(fields, "raw_image_data")


def _v2(ref: str) -> RefFields:
    parts = ref.split(":", len(_V2_FIELDS) + 1)[2:]
    if len(parts) != len(_V2_FIELDS):
        raise contract_error(
            "bad_format",
            (),
            expected=f"{PREFIX}v2: and the fields {', '.join(_V2_FIELDS)}, separated by colons",
            got=f"{len(parts)} fields",
        )
    fields: dict[str, Any] = dict(zip(_V2_FIELDS, parts, strict=True))
    fields["payload"] = _object(_decoded(fields["payload"], ("payload",)), ("payload",))
    return _with_uri(_without_run_id(fields))


def _v3(ref: str) -> RefFields:
    return _with_uri(_without_run_id(_object(_decoded(ref.split(":", 2)[2], ()), ())), "raw_uri")


_VERSIONS: Final[dict[str, Callable[[str], RefFields]]] = {"v2": _v2, "v3": _v3}


def _without_run_id(fields: dict[str, Any]) -> dict[str, Any]:
    run_id = fields.pop("run_id", None)
    if run_id is not None and not (isinstance(run_id, str) and _RUN_ID.match(run_id)):
        raise contract_error(
            "bad_format",
            ("run_id",),
            expected="a run id of [A-Za-z0-9_.-]+",
            got=shown(run_id),
        )
    return fields


def _with_uri(fields: dict[str, Any], name: str = "raw_image_uri") -> RefFields:
    """The fields of a form that calls ``raw_image_uri`` `name`."""
    if name not in fields:
        return RefFields(fields, "raw_image_uri")
    uri = fields.pop(name)
    if "raw_image_uri" in fields:
        raise contract_error(
            "locator_conflict", (), expected="one URI", got=f"raw_image_uri and {name}"
        )
    return RefFields({**fields, "raw_image_uri": uri}, name)


def _validated(parsed: RefFields) -> RawMMRef:
    """The reference of parsed fields, validated.

    Raises:
        ContractError, ProcessedPayloadError: a field breaks the contract, at its name in the text.
    """
    found: RawMMRef | RawMMError | None
    try:
        found = Hooks.build(RawMMRef, parsed.fields)
    except RawMMError as error:
        found = error
    except RecursionError:
        found = too_deep()
    if isinstance(found, RawMMError):
        path = f"$.{parsed.uri_name}" if found.path == "$.raw_image_uri" else found.path
        raise found.at(path=path)
    if found.raw_image_id is None and found.raw_image_uri is None:
        raise no_locator()
    return found


def _decoded(encoded: str, path: Path) -> bytes:
    """The bytes of strict base64url: no padding, no character that a lenient decoder skips."""
    try:
        standard = encoded.translate(_FROM_URL_SAFE)
        raw = a2b_base64(standard + "=" * (-len(encoded) % 4))
    except ValueError:  # an impossible length, or not ASCII
        raw = b""
    # The decoder skips characters silently, so the text must equal its encoding.
    written = b2a_base64(raw, newline=False).decode().rstrip("=")
    if written.translate(_TO_URL_SAFE) != encoded or not encoded:
        raise contract_error(
            "bad_base64",
            path,
            expected="base64url without padding",
            got=f"{len(encoded)} characters of other text",
        )
    return raw


def _object(data: bytes, path: Path) -> dict[str, Any]:
    """A JSON object, read strictly. An error has the path of the text, not one inside of it."""
    try:
        value = read_json(data)
    except RawMMError as error:
        fault = error.at(path, path="$")
    else:
        if isinstance(value, dict):
            return value
        fault = contract_error("wrong_type", path, expected="an object", got=shown(value))
    raise fault
