"""The conformance vectors: this implementation agrees, and they cover the schema."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from rawmm import RawMMError, decode_json, encode_json, iter_errors, schemas
from rawmm.errors import CODES
from rawmm.model.types import TYPES
from tests.cases import each
from tests.property import oracle

VECTORS = schemas.conformance_vectors()
VALID = [vector for vector in VECTORS if "code" not in vector]
INVALID = [vector for vector in VECTORS if "code" in vector]
RUNTIME_CODES = {
    "ambiguous_image",
    "bad_schema",
    "describe_failed",
    "duplicate_key",
    "foreign_file",
    "geometry_mismatch",
    "image_limit",
    "image_type_mismatch",
    "media_mismatch",
    "missing_image",
    "mixed_layouts",
    "no_image_dir",
    "no_locator",
    "no_references",
    "not_an_image",
    "not_in_version",
    "other_media",
    "processor_failed",
    "stale_file",
    "store_failed",
    "store_denied",
    "store_missing",
    "store_throttled",
    "store_changed",
    "torn_read",
    "fetch_refused",
    "fetch_failed",
    "token_mismatch",
    "unknown_image_form",
    "unknown_type",
    "unreferenced_image",
    "unsupported_modality",
}
"""Codes that no document alone leads to: they need a file, a limit or a command."""


def case(vector: Any) -> str:
    return str(vector["case"])


@each("vector", VALID, ids=case)
def test_valid_vector_is_accepted(vector: schemas.Vector) -> None:
    kind = TYPES[vector["type"]]
    value = decode_json(vector["document"], kind)
    document = json.loads(vector["document"])
    assert list(iter_errors(document, kind)) == []
    assert oracle.python_accepts(document, vector["type"])
    assert oracle.without_defaults(json.loads(encode_json(value)), document) == document


@each("vector", INVALID, ids=case)
def test_invalid_vector_is_refused_with_its_code_and_path(vector: schemas.Vector) -> None:
    with pytest.raises(RawMMError) as caught:
        decode_json(vector["document"], TYPES[vector["type"]])
    assert (caught.value.code, caught.value.path) == (vector["code"], vector["path"])
    assert len(str(caught.value)) < 600, "a message is a sentence, whatever the document holds"


@each("vector", INVALID, ids=case)
def test_invalid_vector_has_exactly_one_error(vector: schemas.Vector) -> None:
    try:
        document = oracle.strict_parse(vector["document"].encode())
    except oracle.NotStrictJsonError:
        assert vector["code"] == "malformed"
        return
    errors = list(iter_errors(document, TYPES[vector["type"]]))
    assert [error.code for error in errors] == [vector["code"]]


@cache
def _by_schema_alone(name: str) -> tuple[Any, Any]:
    """Other validators of one type in their default mode."""
    schema = schemas.schema(name)
    return (
        jsonschema.Draft202012Validator(oracle._with_ecma_patterns(schema)),
        jsonschema_rs.validator_for(schema),
    )


@pytest.mark.slow
@each("vector", VECTORS, ids=case)
def test_schema_verdict_matches_the_manifest(vector: schemas.Vector) -> None:
    """An invalid vector is accepted if, and only if, it is marked as beyond the schema."""
    try:
        document = json.loads(vector["document"], parse_constant=_refuse)
    except ValueError:
        assert vector["code"] == "malformed"
        assert "beyond_schema" not in vector
        return
    expected = "code" not in vector or "beyond_schema" in vector
    for validator in _by_schema_alone(vector["type"]):
        assert validator.is_valid(document) == expected, type(validator)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@each("vector", [one for one in VECTORS if "beyond_schema" in one], ids=case)
def test_beyond_schema_mark_names_a_rule(vector: schemas.Vector) -> None:
    """A rule of the type, or of one below it, or one of two promises about the text."""
    below = schemas.schema(vector["type"])["$defs"]
    kinds = [TYPES[name] for name in below if name in TYPES]
    rules = {rule for kind in kinds for rule in kind.__rules__}
    rules |= {"wire_values" for kind in kinds if kind.__open__}  # their unknown properties
    assert vector["beyond_schema"] in rules | {"integer lexeme", "strict parse"}


def test_every_type_has_three_valid_vectors() -> None:
    counts = Counter(vector["type"] for vector in VALID)
    assert {name: counts[name] for name in TYPES if counts[name] < 3} == {}


def test_every_code_has_a_vector() -> None:
    seen = {vector["code"] for vector in INVALID}
    assert seen | RUNTIME_CODES == set(CODES)
    assert not seen & RUNTIME_CODES


def test_every_rule_of_every_type_has_a_vector() -> None:
    """A type with rules has a vector that its schema accepts and its rules refuse."""
    for name, kind in TYPES.items():
        if not kind.__rules__ or name in ("AssistantMessage", "Tool", "Usage"):
            continue  # free JSON and finite numbers: JSON text cannot break these
        assert any(
            oracle.rust_accepts(json.loads(vector["document"]), name)
            for vector in INVALID
            if vector["type"] == name and vector["code"] != "malformed"
        ), f"no vector breaks a rule of {name}"


def _constraints(schema: dict[str, Any], path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every constraint of an object's own properties, as (property, keyword)."""
    keywords = ["const", "enum", "pattern", "maxLength", "minimum", "maximum"]
    if "prefixItems" not in schema:
        keywords.append("maxItems")
    out = [(*path, keyword) for keyword in keywords if keyword in schema]
    for member in schema.get("anyOf", ()):
        out += _constraints(member, path)
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            out += _constraints(schema[key], path)
    if "$ref" in schema:
        target = schemas.bundle()["$defs"][schema["$ref"].rpartition("/")[2]]
        if target.get("type") in ("string", "integer", "array"):
            out += _constraints(target, path)
    return out


_EXPECTED = {
    "const": {"bad_value", "unsupported_version"},
    "enum": {"bad_value"},
    "pattern": {"bad_format", "bad_locator"},
    "maxLength": {"bad_length", "bad_locator"},
    "maxItems": {"bad_length"},
    "minimum": {"out_of_range"},
    "maximum": {"out_of_range"},
    "required": {"missing_field"},
    "closed": {"unknown_field"},
}


@each("name", sorted(TYPES))
def test_every_constraint_has_a_vector(name: str) -> None:
    schema = schemas.bundle()["$defs"][name]
    vectors = [vector for vector in INVALID if vector["type"] == name]
    fields = schema.get("properties") or {
        f"[{index}]": item for index, item in enumerate(schema["prefixItems"])
    }
    for field, value in fields.items():
        here = [
            vector
            for vector in vectors
            if vector["path"].startswith((f"$.{field}", f"$[{field[1:-1]}]"))
        ]
        for _, keyword in _constraints(value, (field,)):
            codes = {vector["code"] for vector in here}
            assert codes & _EXPECTED[keyword], f"{name}.{field}: no vector for {keyword}"
    found = [vector["code"] for vector in vectors]
    if "properties" in schema:
        assert found.count("missing_field") >= len(schema["required"])
        if schema["additionalProperties"] is False:
            assert "unknown_field" in found
    else:
        assert found.count("bad_length") == 2


@each("vector", INVALID, ids=case)
def test_error_has_no_chained_exception(vector: schemas.Vector) -> None:
    """An error reporter prints the whole chain, and a UnicodeDecodeError holds all bytes."""
    with pytest.raises(RawMMError) as caught:
        decode_json(vector["document"], TYPES[vector["type"]])
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
