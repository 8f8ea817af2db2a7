"""The text of references, read strictly. `rawmm.refs` describes its forms."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from rawmm.errors import RawMMError, contract_error, shown, shown_name, shown_text
from rawmm.model.base import Hooks
from rawmm.model.types import PATTERNS, RawMMRef

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "mmraw:"
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
    """What a reference says, before it is held to the contract."""

    fields: dict[str, Any]
    """By the names of `RawMMRef`."""
    uri_name: str
    """What the form calls ``raw_image_uri``."""


def read_ref(ref: str) -> RawMMRef:
    """What a reference says, in whichever of its forms it was written.

    Raises:
        ContractError, ProcessedPayloadError: as `rawmm.split_raw_mm_ref`.
    """
    return _built(ref_fields(ref))


def ref_fields(ref: str) -> RefFields:
    """The fields of a reference, whatever they hold.

    Raises:
        ContractError, ProcessedPayloadError: the text is no reference, or cannot be read.
    """
    if ref.startswith(_PROCESSED):
        raise contract_error(
            "processed_payload",
            (),
            expected=f"a reference to a raw image, {PREFIX}…",
            got=f"an {_PROCESSED} reference, to what an image processor wrote",
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
            expected=f"{PREFIX}, {known}, the forms this package knows",
            got=PREFIX + shown_name(version[0]),
            hint="a newer writer needs a newer rawmm",
        )
    return _VERSIONS[version[1]](ref)


def no_locator() -> RawMMError:
    """The error of a reference that does not say where its image is."""
    return contract_error(
        "no_locator",
        (),
        expected="raw_image_id or raw_image_uri",
        got="neither",
        hint="what the engine has cached is a null in its slot, not a reference",
    )


def _canonical(ref: str) -> RefFields:
    text = ref[len(PREFIX) :]
    fields = _object(text if text.startswith("{") else _decoded(text, ()), ())
    data = fields.get("raw_image_data")
    if isinstance(data, str) and not data.startswith("data:"):
        raise contract_error(
            "bad_locator",
            ("raw_image_data",),
            expected="a data:image/...;base64, URL",
            got=shown_text(data),
        )
    return _named(fields, "raw_image_data")


def _v2(ref: str) -> RefFields:
    parts = ref.split(":", len(_V2_FIELDS) + 1)[2:]
    if len(parts) != len(_V2_FIELDS):
        raise contract_error(
            "bad_format",
            (),
            expected=f"{PREFIX}v2: and the fields {', '.join(_V2_FIELDS)}, with colons between",
            got=f"{len(parts)} fields",
        )
    fields: dict[str, Any] = dict(zip(_V2_FIELDS, parts, strict=True))
    fields["payload"] = _object(_decoded(fields["payload"], ("payload",)), ("payload",))
    return _named(_without_run(fields))


def _v3(ref: str) -> RefFields:
    return _named(_without_run(_object(_decoded(ref.split(":", 2)[2], ()), ())), "raw_uri")


_VERSIONS: Final[dict[str, Callable[[str], RefFields]]] = {"v2": _v2, "v3": _v3}


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


def _named(fields: dict[str, Any], old_uri: str = "raw_image_uri") -> RefFields:
    """The fields of a form that calls ``raw_image_uri`` `old_uri`."""
    if old_uri not in fields:
        return RefFields(fields, "raw_image_uri")
    uri = fields.pop(old_uri)
    if "raw_image_uri" in fields:
        raise contract_error(
            "locator_conflict", (), expected="one URI", got=f"raw_image_uri and {old_uri}"
        )
    return RefFields({**fields, "raw_image_uri": uri}, old_uri)


def _built(said: RefFields) -> RawMMRef:
    found: RawMMRef | RawMMError | None
    try:
        found = Hooks.build(RawMMRef, said.fields)
    except RawMMError as error:
        found = error
    except RecursionError:
        found = _too_deep(())
    if isinstance(found, RawMMError):
        path = f"$.{said.uri_name}" if found.path == "$.raw_image_uri" else found.path
        raise found.at(path=path)
    if found.raw_image_id is None and found.raw_image_uri is None:
        raise no_locator()
    return found


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
        pass  # raised below: the codec's words become no context
    raise _malformed(path, "text that is not UTF-8")


def _object(text: str, path: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object, strictly: one value, every key once, finite numbers."""
    try:
        value = _JSON.decode(text)
    except RecursionError:
        problem = _too_deep(path)
    except _DuplicateKeyError as error:
        problem = contract_error(
            "duplicate_key", path, expected="each key once", got=f"{shown_text(error.key)} again"
        )
    except ValueError:
        problem = _malformed(path, f"{len(text)} characters that are not")
    else:
        if isinstance(value, dict):
            return value
        problem = contract_error("wrong_type", path, expected="an object", got=shown(value))
    raise problem


def _too_deep(path: tuple[str, ...]) -> RawMMError:
    return contract_error("too_deep", path, expected="JSON of sane nesting", got="too many levels")


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
