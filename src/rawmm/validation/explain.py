"""All shape errors of a Python value by the schema bundle, each with its path.

Decoding does not use this module, as msgspec checks shapes itself. It runs after a failure: msgspec
stops at the first error, omits dict keys from its path and does not show the value. The module
supports exactly the keywords that `codegen.profile` allows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.locators import id_problem
from rawmm.model.base import EXTRA, Hooks, own_fields
from rawmm.model.kinds import ADDED
from rawmm.model.schemas import definition, judged_version, resolved
from rawmm.model.types import SCHEMA_VERSION, TYPES, Contract
from rawmm.real_class import is_a
from rawmm.rules import (
    NAMES,
    SCALARS,
    packed_errors,
    payload_error_came_later,
    typed,
    wrong_type,
)
from rawmm.values.errors import bad_key, lone_surrogate, missing_field, processed_key, unknown_field
from rawmm.values.extras import place_errors
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.plain import unconvertible
from rawmm.values.processed import ND, holds_numbers, is_processed_key
from rawmm.values.views import array_values, as_mapping, as_sequence, base_value, is_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rawmm.errors import Path

    Schema = Mapping[str, Any]

_FREE = {
    "JsonValue": Mode.WIRE,  # open objects, which MessagePack may also carry
    "JsonObject": Mode.JSON,
    "DescriptorValue": Mode.DESCRIPTOR,
    "DescriptorObject": Mode.DESCRIPTOR,
}
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
_BYTES = (bytes, bytearray, memoryview)
_SCALAR_KINDS = frozenset({"null", "boolean", "integer", "number", "string"})


def shape_errors(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """An error for each place where `value` breaks `schema`, in document order.

    `value` may contain structs, models, dataclasses and other mappings and sequences. Each counts
    as the object or array that it would be encoded as. Where the schema has a per-token stream, a
    one-dimensional array counts as the list of its elements.
    """
    if type(value) not in _PLAIN and not _is_free(schema):
        if _takes(schema, "x-rawmm-items") and (values := array_values(value)) is not None:
            value = values
        elif not (is_a(value, _BYTES) and _takes_bytes(value, schema)) and (
            error := unconvertible(value, path, stream=_takes(schema, "x-rawmm-items"))
        ):
            yield error
            return
        value = base_value(value)
    if "$ref" in schema:
        yield from _definition(value, schema["$ref"].rpartition("/")[2], path, schema)
    elif "oneOf" in schema:
        yield from _tagged(value, schema, path)
    elif "anyOf" in schema:
        yield from _union(value, schema["anyOf"], path, schema)
    else:
        yield from _CHECKS[schema["type"]](value, schema, path)


def _is_free(schema: Schema) -> bool:
    """Whether the schema is that of free JSON, which `payload_errors` checks."""
    return bool(schema.get("$ref", "").rpartition("/")[2] in _FREE)


def _takes(schema: Schema, keyword: str) -> bool:
    """Whether a schema, or a member of its union, has a keyword."""
    schema = resolved(schema)
    return keyword in schema or any(_takes(one, keyword) for one in schema.get("anyOf", ()))


def _takes_bytes(value: Any, schema: Schema) -> bool:
    """Whether the schema decides about bytes: as base64 data, or as a wrong scalar."""
    kinds = set(_kinds(schema))
    return _takes(schema, "contentEncoding") or (type(value) is bytes and kinds <= _SCALAR_KINDS)


def _definition(value: Any, name: str, path: Path, user: Schema) -> Iterator[RawMMError]:
    schema = definition(name)
    if name in _FREE:
        if schema.get("type") == "object" and as_mapping(value) is None:
            yield wrong_type(value, "object", path)
        else:
            yield from _payload_errors(value, path, _FREE[name])
        return
    if name == "RawImageId" and is_a(value, str) and (problem := id_problem(value)):
        # A more helpful error than that of the pattern.
        yield contract_error(problem.code, path, expected=problem.expected, got=problem.got)
        return
    if "__descriptor_fields__" in vars(TYPES.get(name, object)):
        pairs = as_mapping(value)
        if pairs is not None:
            # Checked first, as an unknown field may hold pixels.
            found = False
            for error in _payload_errors(dict(pairs), path, Mode.DESCRIPTOR, depth=0):
                found = True
                yield error
            if found:
                return
    if "x-rawmm-items" in schema:
        yield from _packed(value, schema, path)
        return
    errors = shape_errors(value, {**schema, **_overrides(user)}, path)
    first = next(errors, None)
    if first is None:
        return
    # Forms are in a higher layer, so they are found by name, and only once there is an error.
    form = import_module(Hooks.forms).refused_form(name, value) if name in TYPES else None
    if form is not None:
        yield contract_error(
            "historical_form",
            path,
            expected=f"{name} of contract {SCHEMA_VERSION}",
            got=f"the wire form {form}",
            hint=f"upgrade the data, or {form.rebuild}",
        )
        return
    yield first
    yield from errors


def _payload_errors(value: Any, path: Path, mode: Mode, *, depth: int = 1) -> Iterator[RawMMError]:
    """The errors of a free value, by the rules of the version that judges."""
    free = mode is not Mode.DESCRIPTOR
    for error in payload_errors(value, path, mode, depth=depth):
        if not _came_later(error, free=free):
            yield error


def _came_later(error: RawMMError, *, free: bool) -> bool:
    version = judged_version()
    return version is not None and payload_error_came_later(version, error, free=free)


def _packed(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """The errors of the fields, then of the elements, which count as shape like those of a list."""
    found = False
    for error in shape_errors(value, schema, path):
        found = True
        yield error
    if not found:
        yield from packed_errors(value, schema, path)


def _overrides(user: Schema) -> Schema:
    return {key: user[key] for key in ("x-rawmm-code", ADDED) if key in user}


def _union(value: Any, members: list[Schema], path: Path, user: Schema) -> Iterator[RawMMError]:
    """The errors by the member that has the JSON type of the value."""
    matching = [member for member in members if _kind_fits(value, member)]
    if not matching:
        kinds = list(dict.fromkeys(NAMES[kind] for member in members for kind in _kinds(member)))
        yield contract_error("wrong_type", path, expected=" or ".join(kinds), got=typed(value))
        return
    if len(matching) > 1:
        # Objects without a tag: use the one with the most fields present.
        keys = set(as_mapping(value) or ())
        matching.sort(key=lambda member: -len(keys & set(resolved(member)["properties"])))
    yield from shape_errors(value, {**matching[0], **_overrides(user)}, path)


def _kinds(schema: Schema) -> Iterator[str]:
    schema = resolved(schema)
    if "anyOf" in schema:
        for member in schema["anyOf"]:
            yield from _kinds(member)
    elif "x-rawmm-items" in schema:
        yield "packed"
    else:
        yield "object" if "oneOf" in schema else str(schema["type"])


def _kind_fits(value: Any, schema: Schema) -> bool:
    schema = resolved(schema)
    if "anyOf" in schema:
        return any(_kind_fits(value, member) for member in schema["anyOf"])
    (kind,) = _kinds(schema)
    if kind == "null":
        return value is None
    if kind == "boolean":
        return is_a(value, bool)
    if kind in ("integer", "number"):
        return is_a(value, (int, float)) and not is_a(value, bool)
    if kind == "string":
        return is_a(value, str)
    if kind == "array":
        return as_sequence(value) is not None and as_mapping(value) is None
    pairs = as_mapping(value)
    return pairs is not None and (kind != "packed" or ND in pairs)


def _tagged(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    tag = schema["x-rawmm-tag"]
    members = {
        resolved(member)["properties"][tag]["const"]: member["$ref"].rpartition("/")[2]
        for member in schema["oneOf"]
    }
    pairs = as_mapping(value)
    if pairs is None:
        yield wrong_type(value, "object", path)
        return
    got = pairs.get(tag)
    if not is_a(got, str) or got not in members:
        expected = f"{tag} to be one of {', '.join(map(repr, members))}"
        where = (*path, tag) if tag in pairs else path
        what = typed(got) if tag in pairs else f"no {tag}"
        yield contract_error("unknown_tag", where, expected=expected, got=what)
        return
    yield from _object(value, definition(members[got]), path)


def _array(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if "prefixItems" in schema:
        yield from _array_like(value, schema, path)
        return
    items = as_sequence(value)
    if items is None or as_mapping(value) is not None:
        yield wrong_type(value, "array", path)
        return
    if len(items) > (most := schema.get("maxItems", len(items))):
        yield contract_error(
            "bad_length",
            path,
            expected=f"an array of at most {most} elements",
            got=counted(len(items), "element"),
        )
        return
    for index, item in enumerate(items):
        yield from shape_errors(item, schema["items"], (*path, index))


def _array_like(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    fields = schema["prefixItems"]
    items = as_sequence(value)
    if items is None:
        yield wrong_type(value, "array", path)
        return
    if not schema["minItems"] <= len(items) <= schema["maxItems"]:
        names = ", ".join(field["title"] for field in fields)
        yield contract_error(
            "bad_length",
            path,
            expected=f"an array of {schema['maxItems']}: [{names}]",
            got=shown(items if is_a(items, list) else list(items)),
        )
    for index, (item, field) in enumerate(zip(items, fields, strict=False)):
        yield from shape_errors(item, field, (*path, index))


def _object(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    pairs = as_mapping(value)
    if pairs is None:
        yield wrong_type(value, "object", path)
        return
    properties = schema.get("properties", {})
    extra = schema["additionalProperties"]
    if is_a(value, Contract) and EXTRA in (own := own_fields(value)):
        yield from place_errors(own[EXTRA], properties, path)
    for name in schema.get("required", ()):
        if name not in pairs:
            yield missing_field(name, path)
    for key, child in pairs.items():
        if not is_a(key, str):
            yield bad_key(key, path)
        elif not is_text(key):
            yield lone_surrogate(path)
        elif key in properties:
            yield from shape_errors(child, properties[key], (*path, key))
        elif key in schema.get(ADDED, ()):
            continue  # the subclass's own, of a type that no schema says
        elif is_processed_key(key) and (
            extra is False or (_is_free(extra) and holds_numbers(child))
        ):
            error = processed_key(key, child, path)
            if extra is False or not _came_later(error, free=True):
                yield error
        elif extra is False:
            yield unknown_field(key, properties, path)
        else:
            if "propertyNames" in schema:
                yield from shape_errors(key, schema["propertyNames"], path)
            yield from shape_errors(child, extra, (*path, key))


_CHECKS = {**SCALARS, "array": _array, "object": _object}
