"""The schemas that ship: valid, complete in parts, understood by other tools."""

from __future__ import annotations

import jsonschema
import jsonschema_rs
import pytest

import rawmm
from rawmm import schemas
from rawmm.structs import MAX_DEPTH, TYPES
from rawmm.validate.rules import RULES


def test_the_bundle_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.bundle())
    assert schemas.bundle()["x-rawmm-version"] == rawmm.SCHEMA_VERSION == "1.1"


@pytest.mark.parametrize("name", sorted(TYPES))
def test_each_type_stands_alone(name: str) -> None:
    part = schemas.schema(name)
    assert part["$ref"] == f"#/$defs/{name}"
    jsonschema_rs.validator_for(part)
    jsonschema.Draft202012Validator(part).is_valid({})


def test_constants_come_from_the_schema() -> None:
    payload = schemas.bundle()["$defs"]["DescriptorObject"]
    assert set(payload["propertyNames"]["not"]["enum"]) == rawmm.PROCESSED_KEYS
    assert payload["x-rawmm-max-depth"] == MAX_DEPTH == 64


def test_every_listed_rule_exists_and_is_asked() -> None:
    listed = {
        (name, rule)
        for name, schema in schemas.bundle()["$defs"].items()
        for rule in schema.get("x-rawmm-rules", ())
    }
    asked = {(name, rule) for name, kind in TYPES.items() for rule in kind.__rules__}
    assert listed <= asked
    assert {rule for _, rule in asked} == set(RULES)


def test_structs_carry_the_descriptions() -> None:
    for name, struct in TYPES.items():
        described = schemas.bundle()["$defs"][name]["description"]
        assert " ".join((struct.__doc__ or "").split()) == described


def test_every_public_type_is_exported() -> None:
    assert {name for name in TYPES if not hasattr(rawmm, name)} == set()
    assert sorted(rawmm.__all__, key=str) == sorted(set(rawmm.__all__), key=str)
    assert all(hasattr(rawmm, name) for name in rawmm.__all__)
