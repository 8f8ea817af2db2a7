"""The schema bundle, read as rules for Python values: every shape error, with its path.

Decoding does not use this: msgspec checks shapes itself, and fast. It runs when something is
wrong, because msgspec stops at the first error, loses dict keys in its path and quotes the
pattern instead of saying what was there. It understands exactly the authoring profile.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from rawmm import schemas
from rawmm._contract import EXTRA, own_fields
from rawmm.errors import RawMMError, contract_error, shown, shown_text
from rawmm.locators import id_problem
from rawmm.structs import SCHEMA_VERSION, TYPES, Contract
from rawmm.validate.forms import historical_form
from rawmm.validate.open_objects import place_errors
from rawmm.validate.payload import ND, Mode, is_text, not_finite, payload_errors
from rawmm.validate.plain import as_mapping, as_sequence

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
_NAMES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
    "packed": "a packed one, marked __nd__",
}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def shape_errors(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    """Every place where `value` leaves `schema`, in document order.

    `value` may hold structs, models, dataclasses and other mappings and sequences; each is
    read as the object or array that it would be written as.
    """
    if "$ref" in schema:
        yield from _definition(value, schema["$ref"].rpartition("/")[2], path, schema)
    elif "oneOf" in schema:
        yield from _tagged(value, schema, path)
    elif "anyOf" in schema:
        yield from _union(value, schema["anyOf"], path, schema)
    else:
        yield from _CHECKS[schema["type"]](value, schema, path)


def definition(name: str) -> Schema:
    """One definition of the bundle."""
    found: Schema = schemas.bundle()["$defs"][name]
    return found


def _definition(value: Any, name: str, path: Path, user: Schema) -> Iterator[RawMMError]:
    schema = definition(name)
    if name in _FREE:
        if schema.get("type") == "object" and as_mapping(value) is None:
            yield _wrong_type(value, "object", path)
        else:
            yield from payload_errors(value, path, _FREE[name])
        return
    if name == "RawImageId" and isinstance(value, str) and (problem := id_problem(value)):
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
    if form := historical_form(name, value):
        yield contract_error(
            "historical_form",
            path,
            expected=f"{name} of contract {SCHEMA_VERSION}",
            got=f"the wire form {form}",
            hint=f"upgrade the data, or {form.instead}",
        )
        return
    yield from shape_errors(value, {**schema, **_overrides(user)}, path)


def _overrides(user: Schema) -> Schema:
    return {key: user[key] for key in ("x-rawmm-code",) if key in user}


def _wrong_type(value: Any, kind: str, path: Path, hint: str | None = None) -> RawMMError:
    return contract_error("wrong_type", path, expected=_NAMES[kind], got=_typed(value), hint=hint)


def _typed(value: Any) -> str:
    if as_mapping(value) is not None and type(value) is not dict:
        return shown(dict(as_mapping(value) or {}))
    return f"the string {shown(value)}" if isinstance(value, str) else shown(value)


def _union(value: Any, members: list[Schema], path: Path, user: Schema) -> Iterator[RawMMError]:
    """The errors of the member that the value's type picks; members differ by type."""
    matching = [member for member in members if _kind_fits(value, member)]
    if not matching:
        kinds = list(dict.fromkeys(_NAMES[kind] for member in members for kind in _kinds(member)))
        yield contract_error("wrong_type", path, expected=" or ".join(kinds), got=_typed(value))
        return
    if len(matching) > 1:
        # Objects without a tag: the one with the most of its fields present is meant.
        keys = set(as_mapping(value) or ())
        matching.sort(key=lambda member: -len(keys & set(_resolved(member)["properties"])))
    yield from shape_errors(value, {**matching[0], **_overrides(user)}, path)


def _resolved(schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = definition(schema["$ref"].rpartition("/")[2])
    return schema


def _kinds(schema: Schema) -> Iterator[str]:
    schema = _resolved(schema)
    if "anyOf" in schema:
        for member in schema["anyOf"]:
            yield from _kinds(member)
    elif "x-rawmm-items" in schema:
        yield "packed"
    else:
        yield "object" if "oneOf" in schema else str(schema["type"])


def _kind_fits(value: Any, schema: Schema) -> bool:
    schema = _resolved(schema)
    if "anyOf" in schema:
        return any(_kind_fits(value, member) for member in schema["anyOf"])
    (kind,) = _kinds(schema)
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "array":
        return as_sequence(value) is not None and as_mapping(value) is None
    pairs = as_mapping(value)
    return pairs is not None and (kind != "packed" or ND in pairs)


def _tagged(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    tag = schema["x-rawmm-tag"]
    members = {
        _resolved(member)["properties"][tag]["const"]: member["$ref"].rpartition("/")[2]
        for member in schema["oneOf"]
    }
    pairs = as_mapping(value)
    if pairs is None:
        yield _wrong_type(value, "object", path)
        return
    got = pairs.get(tag)
    if not isinstance(got, str) or got not in members:
        expected = f"{tag} to be one of {', '.join(map(repr, members))}"
        where = (*path, tag) if tag in pairs else path
        what = _typed(got) if tag in pairs else f"no {tag}"
        yield contract_error("unknown_tag", where, expected=expected, got=what)
        return
    yield from _object(value, definition(members[got]), path)


def _null(value: Any, _: Schema, path: Path) -> Iterator[RawMMError]:
    if value is not None:
        yield _wrong_type(value, "null", path)


def _const(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    allowed = schema.get("enum", [schema.get("const")])
    if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
        return
    code = schema.get("x-rawmm-code", "bad_value")
    expected = " or ".join(shown(one) for one in allowed)
    hint = None
    if code == "unsupported_version":
        expected = f"version {expected}, the only one this package knows"
        hint = "a newer writer needs a newer rawmm"
    yield contract_error(code, path, expected=expected, got=shown(value), hint=hint)


def _boolean(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if not isinstance(value, bool):
        yield _wrong_type(value, "boolean", path)
    elif "const" in schema:
        yield from _const(value, schema, path)


def _integer(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if isinstance(value, float):
        hint = "write it without a fraction or exponent" if value == value // 1 else None
        yield _wrong_type(value, "integer", path, hint)
    elif isinstance(value, bool) or not isinstance(value, int):
        yield _wrong_type(value, "integer", path)
    elif "const" in schema:
        yield from _const(value, schema, path)
    elif not schema["minimum"] <= value <= schema["maximum"]:
        yield contract_error(
            "out_of_range",
            path,
            expected=f"an integer from {schema['minimum']} to {schema['maximum']}",
            got=shown(value),
        )


def _number(value: Any, _: Schema, path: Path) -> Iterator[RawMMError]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield _wrong_type(value, "number", path)
    elif isinstance(value, float):
        if not isfinite(value):
            yield not_finite(value, path)
    elif abs(value) > sys.float_info.max:
        yield contract_error(
            "out_of_range", path, expected="a number that a double can hold", got=shown(value)
        )


def _string(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    binary = schema.get("contentEncoding") == "base64"
    if binary and isinstance(value, (bytes, bytearray, memoryview)):
        return
    if not isinstance(value, str):
        yield _wrong_type(value, "string", path)
    elif not is_text(value):
        yield contract_error(
            "not_json", path, expected="text that UTF-8 can say", got="a lone surrogate"
        )
    elif "const" in schema or "enum" in schema:
        yield from _const(value, schema, path)
    elif "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        yield contract_error(
            schema.get("x-rawmm-code", "bad_format"),
            path,
            expected="strict base64" if binary else f"a string that matches {schema['pattern']}",
            got=f"{len(value)} characters" if binary else shown_text(value),
        )


def _array(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if "prefixItems" in schema:
        yield from _array_like(value, schema, path)
        return
    items = as_sequence(value)
    if items is None or as_mapping(value) is not None:
        yield _wrong_type(value, "array", path)
        return
    for index, item in enumerate(items):
        yield from shape_errors(item, schema["items"], (*path, index))


def _array_like(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    fields = schema["prefixItems"]
    items = as_sequence(value)
    if items is None:
        yield _wrong_type(value, "array", path)
        return
    if not schema["minItems"] <= len(items) <= schema["maxItems"]:
        names = ", ".join(field["title"] for field in fields)
        yield contract_error(
            "bad_length",
            path,
            expected=f"an array of {schema['maxItems']}: [{names}]",
            got=shown(items if isinstance(items, list) else list(items)),
        )
    for index, (item, field) in enumerate(zip(items, fields, strict=False)):
        yield from shape_errors(item, field, (*path, index))


def missing(name: str, path: Path) -> RawMMError:
    """A required field that is absent; the path is that of its object."""
    return contract_error(
        "missing_field", path, expected=f"the field {name!r}", got="an object without it"
    )


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
        yield _wrong_type(value, "object", path)
        return
    properties = schema.get("properties", {})
    extra = schema["additionalProperties"]
    if isinstance(value, Contract) and EXTRA in (own := own_fields(value)):
        yield from place_errors(own[EXTRA], properties, path)
    for name in schema.get("required", ()):
        if name not in pairs:
            yield missing(name, path)
    for key, child in pairs.items():
        if not isinstance(key, str):
            yield contract_error(
                "not_json",
                path,
                expected="an object with strings as keys",
                got=f"a key of type {type(key).__name__}",
            )
        elif not is_text(key):
            yield contract_error(
                "not_json", path, expected="text that UTF-8 can say", got="a lone surrogate"
            )
        elif key in properties:
            yield from shape_errors(child, properties[key], (*path, key))
        elif extra is False:
            yield unknown(key, properties, path)
        else:
            if "propertyNames" in schema:
                yield from shape_errors(key, schema["propertyNames"], path)
            yield from shape_errors(child, extra, (*path, key))


_CHECKS = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "object": _object,
}
