"""Pages of the schemas, one for each type, with examples from the conformance vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rawmm import schemas as contract
from sitegen.pages import cell, prose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rawmm.model.schemas import Vector

FOLDER: Final = "schemas"
_REF: Final = "#/$defs/"
_LINES: Final = 120
_EXACT: Final = 2**53 - 1
"""The largest integer that every JSON parser reads exactly."""
_BOUNDS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} properties",
    "x-rawmm-max-depth": "at most {} levels",
    "x-rawmm-max-values": "at most {} values",
    "x-rawmm-max-text": "at most {} bytes of text",
}
"""Keywords with a number, and how a page says them."""


def pages() -> dict[str, str]:
    """The page of each type by its path, and one that lists them."""
    bundle = contract.annotated()
    types: dict[str, Any] = bundle["$defs"]
    rows = [
        f"| [`{name}`]({name}.md) | {cell(prose(definition.get('description', '')))} |"
        for name, definition in types.items()
    ]
    out = {f"{FOLDER}/{name}.md": "".join(_page(name, types[name])) for name in types}
    table = "\n".join(["| type | what it is |", "|---|---|", *rows])
    out[f"{FOLDER}/types.md"] = (
        f"# Types\n\nThe types of contract {bundle['x-rawmm-version']}. "
        f"`rawmm schema NAME` prints the JSON Schema of one.\n\n{table}\n"
    )
    return out


def _page(name: str, definition: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {name}\n\n{prose(definition.get('description', ''))}\n\n"
    properties: dict[str, Any] = definition.get("properties", {})
    if properties:
        yield from _fields(definition)
    elif "prefixItems" in definition:
        yield from _elements(definition)
    else:
        yield f"{_type(definition)}.\n\n"
    if rules := definition.get("x-rawmm-rules"):
        listed = ", ".join(f"`{rule}`" for rule in rules)
        yield (
            f"Rules that no JSON Schema can express: {listed}. "
            "See [error codes](../error-codes.md) for what they refuse.\n\n"
        )
    vectors = [one for one in contract.conformance_vectors() if one["type"] == name]
    yield from _examples([one for one in vectors if "code" not in one])
    yield from _refused([one for one in vectors if "code" in one])
    yield f"## JSON Schema\n\n```json\n{json.dumps(definition, indent=2)}\n```\n"


def _fields(definition: Mapping[str, Any]) -> Iterator[str]:
    required = set(definition.get("required", ()))
    yield "| field | type | meaning |\n|---|---|---|\n"
    for field, schema in definition["properties"].items():
        name = f"`{field}`<br>required" if field in required else f"`{field}`"
        kind = _type(schema)
        if "default" in schema:
            kind += f", default `{json.dumps(schema['default'])}`"
        yield f"| {name} | {cell(kind)} | {cell(prose(schema.get('description', '')))} |\n"
    more = definition.get("additionalProperties", True)
    if more is False:
        yield "\nThe object is closed: other fields are refused.\n\n"
    else:
        yield "\nThe object is open: other fields are kept and written back.\n\n"


def _elements(definition: Mapping[str, Any]) -> Iterator[str]:
    yield "An array with these elements, in this order:\n\n| | type | meaning |\n|---|---|---|\n"
    for number, schema in enumerate(definition["prefixItems"]):
        name = f"{number}, `{schema['title']}`" if "title" in schema else f"{number}"
        meaning = cell(prose(schema.get("description", "")))
        yield f"| {name} | {cell(_type(schema))} | {meaning} |\n"
    yield "\n"


def _type(schema: Any) -> str:
    """A schema in words, with links to the types that it names."""
    if not isinstance(schema, dict):
        return "any value" if schema else "no value"
    if (ref := schema.get("$ref")) is not None:
        name = ref.removeprefix(_REF)
        return f"[{name}]({name}.md)"
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[keyword]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kind = schema.get("type", "any value")
    kinds = [kind] if isinstance(kind, str) else kind
    words = " or ".join(kinds)
    if "items" in schema and isinstance(schema["items"], dict):
        words = f"{words} of {_type(schema['items'])}"
    values = schema.get("additionalProperties")
    if "object" in kinds and isinstance(values, dict) and "properties" not in schema:
        words = f"{words} of {_type(values)}"
    limits = [text.format(_number(schema[key])) for key, text in _BOUNDS.items() if key in schema]
    if "pattern" in schema:
        limits.insert(0, f"pattern `{schema['pattern']}`")
    return f"{words}, {', '.join(limits)}" if limits else words


def _number(value: float) -> str:
    return "2⁵³ - 1" if value == _EXACT else f"{value:,}"


def _examples(vectors: list[Vector]) -> Iterator[str]:
    """The fullest and the shortest document that fit on a page."""
    fitting = [one for one in vectors if one["document"].count("\n") <= _LINES]
    if not fitting:
        return
    by_size = sorted(fitting, key=lambda one: len(one["document"]))
    full = [one for one in fitting if one["case"].endswith("/full")]
    yield "## Examples\n\n"
    shown = {one["case"]: one for one in ([*full, by_size[-1]][0], by_size[0])}
    for case, vector in shown.items():
        yield f"`{case}`:\n\n```json\n{_pretty(vector['document'])}\n```\n\n"


def _refused(vectors: list[Vector]) -> Iterator[str]:
    """One document for each error code, by its path and case."""
    first: dict[str, Vector] = {}
    for vector in vectors:
        first.setdefault(vector["code"], vector)
    if not first:
        return
    yield "## What is refused\n\n| error | at | test vector |\n|---|---|---|\n"
    for code, vector in sorted(first.items()):
        case = vector["case"].partition("/")[2]
        link = f"[`{code}`](../error-codes.md#{code})"
        yield f"| {link} | `{vector['path']}` | `{case}` |\n"
    more = len(vectors) - len(first)
    yield f"\n{more} more are in `schemas/conformance`.\n\n" if more else "\n"


def _pretty(document: str) -> str:
    """A document with short arrays and objects on one line."""
    return _lines(json.loads(document), 0)


def _lines(value: Any, depth: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + 2 * depth <= 80 or not isinstance(value, dict | list):
        return flat
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        parts = [
            f"{inner}{json.dumps(key)}: {_lines(one, depth + 1)}" for key, one in value.items()
        ]
        return "{\n" + ",\n".join(parts) + f"\n{outer}}}"
    parts = [f"{inner}{_lines(one, depth + 1)}" for one in value]
    return "[\n" + ",\n".join(parts) + f"\n{outer}]"
