"""Checks schema files against the profile: the part of JSON Schema that they may use.

Schema and struct accept the same documents only for these keywords. A keyword that msgspec cannot
enforce, or that validators read differently, is an error here; the generator must not drop it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from codegen.patterns import AmbiguousError, check_linear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_INT: Final = 2**53 - 1
"""Readers whose numbers are doubles round larger integers."""

ANY_JSON: Final = "JsonValue"
"""The definition of the unknown properties of an open object."""

EXTRA: Final = "extra"
"""The field of an open object's struct that holds its unknown properties."""

FREE_JSON: Final = frozenset({"JsonValue", "JsonObject", "DescriptorValue", "DescriptorObject"})
"""Definitions of free JSON. Hand-written code checks it."""

SINCE: Final = "x-rawmm-deprecated-since"
"""The version of the contract that deprecated a field."""

_ANNOTATIONS: Final = frozenset(
    {
        "title",
        "description",
        "default",
        "deprecated",
        SINCE,
        "$ref",
        "x-rawmm-code",
        "x-rawmm-items",
        "x-rawmm-tag",
        "x-rawmm-rules",
        "x-rawmm-max-depth",
        "x-rawmm-max-values",
        "x-rawmm-max-text",
    }
)
_BY_TYPE: Final = {
    "null": frozenset[str](),
    "boolean": frozenset({"const"}),
    "integer": frozenset({"const", "minimum", "maximum"}),
    "number": frozenset[str](),
    "string": frozenset({"const", "enum", "pattern", "maxLength", "contentEncoding"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties", "propertyNames"}),
}
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)
_ENGINE_DEPENDENT: Final = re.compile(r"\\[wWdDsSbBpP]|\(\?")
_FILE_KEYS: Final = frozenset({"$schema", "title", "description", "$defs", "$ref", "anyOf"})
_ROOT_KEYS: Final = frozenset({"$ref", "type", "items", "minItems", "minProperties", "required"})


class ProfileError(Exception):
    """A schema file breaks the profile. The message lists every place."""


def load(path: Path) -> dict[str, Any]:
    """Parse a schema file strictly: without duplicate names and NaN."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            msg = f"{path.name}: duplicate names {', '.join(twice)}"
            raise ProfileError(msg)
        return dict(items)

    def constant(name: str) -> None:
        msg = f"{path.name}: {name} is not JSON"
        raise ProfileError(msg)

    data = json.loads(path.read_text("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    if not isinstance(data, dict):
        msg = f"{path.name}: a schema file must be an object"
        raise ProfileError(msg)
    return data


def violations(files: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Every place where the files break the profile, as ``file#/pointer: reason``."""
    homes: dict[str, str] = {}
    for name, document in files.items():
        if extra := sorted(set(document) - _FILE_KEYS):
            yield f"{name}: unknown top-level keys {', '.join(extra)}"
        yield from _root(document, name)
        for title, schema in document.get("$defs", {}).items():
            if title in homes:
                yield f"{name}#/$defs/{title}: already defined in {homes[title]}"
            homes[title] = name
            if not schema.get("description"):
                yield f"{name}#/$defs/{title}: no description"
            yield from _walk(schema, f"{name}#/$defs/{title}", title)
            yield from _deprecated(schema, f"{name}#/$defs/{title}")
    yield from _references(files, homes)
    yield from _tagged(files)
    yield from _open_in_unions(files)


def root(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a file's root."""
    alone = [{"$ref": document["$ref"]}] if "$ref" in document else []
    return [*alone, *document.get("anyOf", ())]


def listed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list of at least one value of `schema`."""
    return {"type": "array", "items": schema, "minItems": 1}


def is_open(schema: dict[str, Any]) -> bool:
    """Whether an object keeps unknown properties."""
    return "properties" in schema and isinstance(schema.get("additionalProperties"), dict)


def check(files: dict[str, dict[str, Any]]) -> None:
    """Raise a `ProfileError` that lists the violations, if there are any."""
    if found := list(violations(files)):
        raise ProfileError("\n".join(found))


def _root(document: dict[str, Any], name: str) -> Iterator[str]:
    """Check the root. Without one, validators would accept every document."""
    members = root(document)
    if not members or ("$ref" in document and "anyOf" in document):
        yield f"{name}: the root needs a $ref to its main type, or anyOf of several"
    for member in members:
        item = member.get("items", {}) if member.get("type") == "array" else member
        if set(member) - _ROOT_KEYS or "$ref" not in item:
            yield f"{name}: a member of the root must be a $ref, or a list of one"


def _walk(schema: dict[str, Any], at: str, title: str) -> Iterator[str]:
    kind = schema.get("type")
    if kind is not None and (not isinstance(kind, str) or kind not in _BY_TYPE):
        yield f"{at}: type must be one of {', '.join(_BY_TYPE)}"
        return
    unions = [k for k in ("anyOf", "oneOf") if k in schema]
    allowed = _ANNOTATIONS | (_BY_TYPE[kind] | {"type"} if kind else frozenset(unions))
    if title in FREE_JSON:
        allowed |= {"anyOf", "enum"}
    for key in sorted(set(schema) - allowed):
        yield f"{at}: keyword {key!r} is not in the profile{f' of {kind}' if kind else ''}"
    if not kind and not unions and "$ref" not in schema and title not in FREE_JSON:
        yield f"{at}: needs a type, a $ref, anyOf or oneOf"
    if "oneOf" in schema and "x-rawmm-tag" not in schema:
        yield f"{at}: oneOf needs x-rawmm-tag; exclusivity cannot be enforced without a tag"
    if "const" in schema and kind is None:
        yield f"{at}: const needs a type beside it (an int const accepts 1.0 otherwise)"
    if kind == "integer" and "const" not in schema:
        yield from _bounds(schema, at)
    if "pattern" in schema:
        yield from _pattern(schema["pattern"], at)
    yield from _most(schema, "maxLength", at)
    if kind == "array":
        yield from _array(schema, at, title)
    if kind == "object":
        yield from _object(schema, at, title)
    for union in unions:
        for index, member in enumerate(schema[union]):
            yield from _walk(member, f"{at}/{union}/{index}", title)


def _bounds(schema: dict[str, Any], at: str) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or not -MAX_INT <= low <= high <= MAX_INT:
        yield f"{at}: an integer needs minimum and maximum within +-(2^53-1)"


def _deprecated(schema: Any, at: str, *, is_field: bool = False) -> Iterator[str]:
    """Only a field can be deprecated, as its name is what a warning shows."""
    if not isinstance(schema, dict):
        return
    mark, since = schema.get("deprecated"), schema.get(SINCE)
    if "deprecated" in schema or SINCE in schema:
        if not is_field:
            yield f"{at}: only a property can be deprecated"
        if mark is not True or not isinstance(since, str) or not _VERSION.fullmatch(since):
            yield f"{at}: deprecated must be true, with the version in {SINCE}"
    for key, value in schema.items():
        fields = key == "properties" and isinstance(value, dict)
        below = (
            value.items() if fields else enumerate(value if isinstance(value, list) else [value])
        )
        for name, child in below:
            yield from _deprecated(
                child, f"{at}/{name if fields else key}", is_field=fields or key == "prefixItems"
            )


def _most(schema: dict[str, Any], key: str, at: str) -> Iterator[str]:
    most = schema.get(key, 1)
    if type(most) is not int or not 0 < most <= MAX_INT:
        yield f"{at}: {key} must be a positive integer"


def _pattern(pattern: str, at: str) -> Iterator[str]:
    outside = re.sub(r"\\.|\[(?:\\.|[^\]])*\]", "", pattern)
    if not pattern.startswith("^") or "$" in outside[:-1] or "\n" in pattern:
        yield f"{at}: a pattern starts with '^' and has '$' only at its end"
    if _ENGINE_DEPENDENT.search(pattern) or "." in outside or not pattern.isascii():
        yield f"{at}: only explicit ASCII character classes mean the same to every engine"
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{at}: not a pattern: {error}"
        return
    try:
        check_linear(pattern)
    except AmbiguousError as error:
        yield f"{at}: engines may backtrack over the pattern: {error}"


def _array(schema: dict[str, Any], at: str, title: str) -> Iterator[str]:
    if "prefixItems" not in schema:
        if "items" not in schema:
            yield f"{at}: an array needs items"
            return
        if "minItems" in schema:
            yield f"{at}: minItems is for array-like types only"
        yield from _most(schema, "maxItems", at)
        yield from _walk(schema["items"], f"{at}/items", title)
        return
    fields = schema["prefixItems"]
    names = [field.get("title") for field in fields]
    if len(set(names)) != len(names) or None in names:
        yield f"{at}: each of prefixItems needs a title of its own, the field's name"
    if schema.get("maxItems") != len(fields) or "items" in schema:
        yield f"{at}: maxItems must be the number of prefixItems, and items absent"
    if not 0 < schema.get("minItems", 0) <= len(fields):
        yield f"{at}: minItems must be the number of required fields, which come first"
    for field in fields:
        if not field.get("description"):
            yield f"{at}/{field.get('title')}: no description"
        yield from _walk(field, f"{at}/{field.get('title')}", title)


def _object(schema: dict[str, Any], at: str, title: str) -> Iterator[str]:
    properties = schema.get("properties")
    extra = schema.get("additionalProperties")
    if properties is not None and title not in FREE_JSON:
        if extra is not False and _title(extra) != ANY_JSON:
            yield f"{at}: additionalProperties must be false, or refer to {ANY_JSON}"
        if is_open(schema) and EXTRA in properties:
            yield f"{at}: {EXTRA!r} is reserved for the unknown properties of an open object"
        if "required" not in schema:
            yield f"{at}: required must be written, even when empty"
    if properties is None and not isinstance(extra, dict):
        yield f"{at}: a map needs a schema as additionalProperties"
    for name in schema.get("required", ()):
        if name not in (properties or {}):
            yield f"{at}: required names an unknown property {name!r}"
    if "propertyNames" in schema and title not in FREE_JSON:
        yield from _walk(schema["propertyNames"], f"{at}/propertyNames", title)
    if isinstance(extra, dict):
        yield from _walk(extra, f"{at}/additionalProperties", title)
    if "x-rawmm-items" in schema:
        if not {"dtype", "shape", "data"} <= set(properties or ()):
            yield f"{at}: x-rawmm-items needs dtype, shape and data, the elements' bytes"
        yield from _walk(schema["x-rawmm-items"], f"{at}/x-rawmm-items", title)
    for name, value in (properties or {}).items():
        if not value.get("description"):
            yield f"{at}/{name}: no description"
        yield from _walk(value, f"{at}/{name}", title)


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _title(schema: Any) -> str:
    """The definition that a schema refers to; empty if it is not a reference."""
    return str(schema.get("$ref", "")).rpartition("#/$defs/")[2] if isinstance(schema, dict) else ""


def _references(files: dict[str, dict[str, Any]], homes: dict[str, str]) -> Iterator[str]:
    for name, document in files.items():
        for ref in _refs(document):
            file, marker, title = ref.partition("#/$defs/")
            if not marker or homes.get(title) != (file or name):
                yield f"{name}: {ref!r} names no definition"


def _tagged(files: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Members of a tagged union must not be used alone: msgspec would not check their tag."""
    definitions = {t: (n, s) for n, d in files.items() for t, s in d["$defs"].items()}
    members: dict[str, str] = {}
    for title, (name, schema) in definitions.items():
        if "x-rawmm-tag" not in schema:
            continue
        at = f"{name}#/$defs/{title}"
        tag = schema["x-rawmm-tag"]
        titles = [ref.partition("#/$defs/")[2] for ref in _refs(schema["oneOf"])]
        if len(titles) < 2:
            yield f"{at}: a tagged union needs two members or more"
        tags = []
        for member in titles:
            members[member] = title
            body = definitions[member][1]
            tags.append(body["properties"].get(tag, {}).get("const"))
            if tag not in body["required"]:
                yield f"{at}: the tag {tag!r} must be required in {member}"
        if None in tags or len(set(tags)) != len(tags):
            yield f"{at}: each member needs a const of its own for {tag!r}"
    for title, (name, schema) in definitions.items():
        for ref in _refs(schema):
            member = ref.partition("#/$defs/")[2]
            if member in members and title != members[member]:
                yield f"{name}#/$defs/{title}: refers to {member} outside {members[member]}"


def _open_in_unions(files: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Unions must not contain open objects: an unknown property could belong to any member."""
    definitions = {t: s for document in files.values() for t, s in document["$defs"].items()}
    users = {t: {ref.rpartition("/")[2] for ref in _refs(s)} for t, s in definitions.items()}
    opened = {title for title, schema in definitions.items() if is_open(schema)}
    while more := {t for t, used in users.items() if used & opened} - opened:
        opened |= more
    for name, document in files.items():
        for members in _unions(document["$defs"]):
            titles = [_title(member) for member in members if "$ref" in member]
            if len(titles) > 1 and (found := opened & set(titles)):
                yield f"{name}: {', '.join(sorted(found))} in a union, but holds an open object"


def _unions(node: Any) -> Iterator[list[dict[str, Any]]]:
    if isinstance(node, dict):
        yield from (node[key] for key in ("anyOf", "oneOf") if key in node)
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _unions(value)
