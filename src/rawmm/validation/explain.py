"""The schema bundle, read as rules for Python values: every shape error, with its path.

Decoding does not use this: msgspec checks shapes itself, and fast. It runs when something is
wrong, because msgspec stops at the first error, loses dict keys in its path and quotes the
pattern instead of saying what was there. It understands exactly the authoring profile.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError, contract_error, counted, shown, shown_text
from rawmm.locators import id_problem
from rawmm.model.base import EXTRA, Hooks, own_fields
from rawmm.model.kinds import ADDED
from rawmm.model.schemas import definition, resolved
from rawmm.model.types import PROCESSED_KEYS, SCHEMA_VERSION, TYPES, Contract
from rawmm.real_class import is_a
from rawmm.rules import NAMES, SCALARS, packed_errors, typed, wrong_type
from rawmm.values.extras import place_errors
from rawmm.values.fields import missing
from rawmm.values.payload import ND, Mode, is_text, payload_errors, processed
from rawmm.values.plain import (
    array_values,
    as_mapping,
    as_sequence,
    base_value,
    foreign_error,
    key_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Path = tuple[str | int, ...]
    Schema = Mapping[str, Any]

_FREE = {
    "JsonValue": Mode.WIRE,  # of open objects; what JSON alone cannot say is no error on each wire
    "JsonObject": Mode.JSON,
    "DescriptorValue": Mode.DESCRIPTOR,
    "DescriptorObject": Mode.DESCRIPTOR,
}
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
_BYTES = (bytes, bytearray, memoryview)
_SCALAR_KINDS = frozenset({"null", "boolean", "integer", "number", "string"})


def shape_errors(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """Every place where `value` leaves `schema`, in document order.

    `value` may hold structs, models, dataclasses and other mappings and sequences; each is
    read as the object or array that it would be written as. Where the schema has a per-token
    stream, a one-dimensional array is read as the list of its elements.
    """
    if type(value) not in _PLAIN and not _is_free(schema):
        if _takes(schema, "x-rawmm-items") and (values := array_values(value)) is not None:
            value = values
        elif not (is_a(value, _BYTES) and _takes_bytes(value, schema)) and (
            error := foreign_error(value, path, stream=_takes(schema, "x-rawmm-items"))
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
    """Whether the schema is of free JSON, which is walked by itself."""
    return bool(schema.get("$ref", "").rpartition("/")[2] in _FREE)


def _takes(schema: Schema, keyword: str) -> bool:
    """Whether a schema, or a member of its union, has a keyword."""
    schema = resolved(schema)
    return keyword in schema or any(_takes(one, keyword) for one in schema.get("anyOf", ()))


def _takes_bytes(value: Any, schema: Schema) -> bool:
    """Whether bytes are judged by their place: base64 on the other wire, or a wrong scalar."""
    kinds = set(_kinds(schema))
    return _takes(schema, "contentEncoding") or (type(value) is bytes and kinds <= _SCALAR_KINDS)


def _definition(value: Any, name: str, path: Path, user: Schema) -> Iterator[RawMMError]:
    schema = definition(name)
    if name in _FREE:
        if schema.get("type") == "object" and as_mapping(value) is None:
            yield wrong_type(value, "object", path)
        else:
            yield from payload_errors(value, path, _FREE[name])
        return
    if name == "RawImageId" and is_a(value, str) and (problem := id_problem(value)):
        # It would leave its directory, which says more than that it breaks a pattern.
        yield contract_error(problem.code, path, expected=problem.expected, got=problem.got)
        return
    if "__descriptor_fields__" in vars(TYPES.get(name, object)):
        pairs = as_mapping(value)
        if pairs is not None:
            # What an item must never hold comes first: an unknown field may be pixels.
            found = False
            for error in payload_errors(dict(pairs), path, Mode.DESCRIPTOR, depth=0):
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


def _packed(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """Elements are in bytes, but they are shape like those of a list: rules come after them."""
    found = False
    for error in shape_errors(value, schema, path):
        found = True
        yield error
    if not found:
        yield from packed_errors(value, schema, path)


def _overrides(user: Schema) -> Schema:
    return {key: user[key] for key in ("x-rawmm-code", ADDED) if key in user}


def _union(value: Any, members: list[Schema], path: Path, user: Schema) -> Iterator[RawMMError]:
    """The errors of the member that the value's type picks; members differ by type."""
    matching = [member for member in members if _kind_fits(value, member)]
    if not matching:
        kinds = list(dict.fromkeys(NAMES[kind] for member in members for kind in _kinds(member)))
        yield contract_error("wrong_type", path, expected=" or ".join(kinds), got=typed(value))
        return
    if len(matching) > 1:
        # Objects without a tag: the one with the most of its fields present is meant.
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


def unknown(name: str, known: Iterable[str], path: Path) -> RawMMError:
    """A field that a closed type does not have; the path is that of the field."""
    return contract_error(
        "unknown_field",
        (*path, name),
        expected=f"only the fields {', '.join(known)}",
        got=shown_text(name),
    )


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
            yield missing(name, path)
    for key, child in pairs.items():
        if not is_a(key, str):
            yield key_error(key, path)
        elif not is_text(key):
            yield contract_error(
                "not_json", path, expected="text that UTF-8 can say", got="a lone surrogate"
            )
        elif key in properties:
            yield from shape_errors(child, properties[key], (*path, key))
        elif key in schema.get(ADDED, ()):
            continue  # the subclass's own, of a type that no schema says
        elif extra is False and key in PROCESSED_KEYS:
            yield processed(key, child, path)
        elif extra is False:
            yield unknown(key, properties, path)
        else:
            if "propertyNames" in schema:
                yield from shape_errors(key, schema["propertyNames"], path)
            yield from shape_errors(child, extra, (*path, key))


_CHECKS = {**SCALARS, "array": _array, "object": _object}
