"""Writes a bundle as TypeScript: one type per definition, with its description.

json-schema-to-typescript 15 was measured on the bundle: it numbers 21 copies of shared definitions
(``EncodedArray5``) and loses the arrays in field order (``MMRefs`` is ``[unknown]``).
"""

from __future__ import annotations

import json
import textwrap
from typing import Any, Final

from codegen.profile import SINCE

_HEADER: Final = """\
// The types of the {title} as JSON, generated from the schemas: DO NOT EDIT.
// Patterns, bounds and rules between fields are in the JSON Schemas and their annotations.
"""
_SCALARS: Final = {
    "null": "null",
    "boolean": "boolean",
    "integer": "number",
    "number": "number",
    "string": "string",
}


def source(bundle: dict[str, Any]) -> str:
    """The declaration file of one version."""
    blocks = [_HEADER.format(title=bundle["title"])]
    blocks += [_definition(name, schema) for name, schema in bundle["$defs"].items()]
    return "\n".join(blocks)


def _definition(name: str, schema: dict[str, Any]) -> str:
    doc = _doc(schema, 0)
    if "properties" in schema and name != "DescriptorObject":
        return f"{doc}export interface {name} {_object(schema, 0)}\n"
    return f"{doc}export type {name} = {_type(schema, 0)};\n"


def _type(schema: dict[str, Any], depth: int) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(_type(member, depth) for member in schema[union])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if schema["type"] == "array":
        return _array(schema, depth)
    if schema["type"] == "object":
        return _object(schema, depth)
    return _SCALARS[schema["type"]]


def _array(schema: dict[str, Any], depth: int) -> str:
    if "prefixItems" in schema:
        required = schema["minItems"]
        fields = [
            f"{field['title']}{'' if index < required else '?'}: {_type(field, depth)}"
            for index, field in enumerate(schema["prefixItems"])
        ]
        return f"[{', '.join(fields)}]"
    item = _type(schema["items"], depth)
    return f"({item})[]" if " | " in item else f"{item}[]"


def _object(schema: dict[str, Any], depth: int) -> str:
    pad = "  " * (depth + 1)
    required = schema.get("required", ())
    lines = [
        f"{_doc(field, depth + 1)}{pad}{name}{'' if name in required else '?'}: "
        f"{_type(field, depth + 1)};\n"
        for name, field in schema.get("properties", {}).items()
        if "type" in field or "$ref" in field or "anyOf" in field or "oneOf" in field
    ]
    extra = schema["additionalProperties"]
    if isinstance(extra, dict):
        # An index signature covers the known fields, too. Those of open objects have any type.
        known = "properties" in schema and bool(lines)
        lines.append(f"{pad}[key: string]: {'unknown' if known else _type(extra, depth + 1)};\n")
    return "{\n" + "".join(lines) + "  " * depth + "}"


def _doc(schema: dict[str, Any], depth: int) -> str:
    pad = "  " * depth
    text = textwrap.wrap(
        schema.get("description", "").replace("*/", "*\\/"), 96 - len(pad), break_on_hyphens=False
    )
    if SINCE in schema:
        text.append(f"@deprecated since contract {schema[SINCE]}")
    if not text:
        return ""
    if len(text) == 1:
        return f"{pad}/** {text[0]} */\n"
    return f"{pad}/**\n" + "".join(f"{pad} * {line}\n" for line in text) + f"{pad} */\n"
