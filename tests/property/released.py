"""What JSON Schema says about documents of released versions, and documents that fit them.

``python -m tests.property.released`` saves the valid vectors of today in ``tests/data/versions``.
Run it before `x-rawmm-version` is raised.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from rawmm.model import schemas
from rawmm.model.types import SCHEMA_VERSION, TYPES, Contract
from rawmm.values.views import as_mapping

VERSIONS: Final = schemas.released_versions()
CASES: Final = [
    (version, name)
    for version in VERSIONS
    if version != SCHEMA_VERSION
    for name in sorted(TYPES)
    if {"properties", "prefixItems"} & schemas.released(version)["$defs"].get(name, {}).keys()
]
"""Each earlier version with each type of today that it has. Until 1.2, ContentPart was a union."""


@cache
def validator(version: str, name: str) -> Any:
    """An independent validator of a type, by the schema of a released version."""
    definitions = schemas.released(version)["$defs"]
    return jsonschema_rs.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})


def accepts(version: str, name: str, data: bytes) -> bool:
    """Whether the schema of a version accepts a JSON text."""
    return bool(validator(version, name).is_valid(json.loads(data)))


def kind_of(name: str) -> type[Contract]:
    return TYPES[name]


def fitted(value: Any, version: str, name: str) -> Any:
    """A document without what a version has no place for, and with lists for packed streams."""
    return _fitted(value, {"$ref": f"#/$defs/{name}"}, schemas.released(version)["$defs"])


def _fitted(value: Any, schema: Any, defs: Any) -> Any:
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    members = schema.get("anyOf") or schema.get("oneOf")
    if members:
        for member in members:
            value = _fitted(value, member, defs)
        return value
    if schema.get("type") == "array" and isinstance(value, list):
        if "items" not in schema:
            return [_fitted(*pair, defs) for pair in zip(value, schema["prefixItems"], strict=True)]
        return [_fitted(item, schema["items"], defs) for item in value]
    if schema.get("type") == "object" and (pairs := as_mapping(value)) is not None:
        known, extra = schema.get("properties", {}), schema.get("additionalProperties")
        if extra is False:
            shared = pairs.keys() & known.keys()
            if len(shared) < len(known.keys() & schema["required"]):
                return value  # another member of a union
            pairs = {key: pairs[key] for key in pairs if key in shared}
        return {
            key: _fitted(child, known.get(key, extra or {}), defs) for key, child in pairs.items()
        }
    return value


def _save() -> None:
    valid = {
        vector["case"].replace("/valid/", "/"): vector["document"]
        for vector in schemas.conformance_vectors()
        if "code" not in vector
    }
    path = Path(__file__).parents[1] / "data" / "versions" / f"{SCHEMA_VERSION}.json"
    path.write_text(json.dumps(valid, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    _save()
