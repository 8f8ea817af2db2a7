"""A model's JSON Schema contains rawmm's and gives the same verdict."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

import rawmm
from rawmm import schemas
from rawmm.testing import strategies
from tests.integrations.pydantic.models import NAMES, box, members, values
from tests.property import oracle

Mode = Literal["validation", "serialization"]
MODES: list[Mode] = ["validation", "serialization"]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


@cache
def accepts(name: str, mode: Mode) -> Any:
    schema = box(name).model_json_schema(mode=mode)
    return oracle._Validator(oracle._with_ecma_patterns(schema)).is_valid


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
class TestEveryType:
    def test_schema_is_valid_and_complete_in_itself(self, name: str, mode: Mode) -> None:
        schema = box(name).model_json_schema(mode=mode)
        jsonschema.Draft202012Validator.check_schema(schema)
        named = {f"#/$defs/{key}" for key in schema["$defs"]}
        assert references(schema) == named, "each definition is used, and each use defined"
        assert {f"#/$defs/{kind.__name__}" for kind in members(name)} <= references(
            schema["properties"]
        )

    def test_definitions_are_those_of_the_bundle(self, name: str, mode: Mode) -> None:
        bundle = schemas.bundle()["$defs"]
        found = box(name).model_json_schema(mode=mode)["$defs"]
        assert found == {key: bundle[key] for key in found}


@pytest.mark.parametrize("name", NAMES)
class TestSameVerdict:
    @given(st.data())
    def test_verdict_equals_that_of_our_schema(self, name: str, data: st.DataObject) -> None:
        document = data.draw(
            strategies.documents(name) | strategies.shaped(name) | strategies.mutated(name)
        )
        expected = oracle.python_accepts(document, name)
        for mode in MODES:
            assert accepts(name, mode)({"value": document}) == expected

    @given(st.data())
    def test_dumps_are_accepted_by_the_schema(self, name: str, data: st.DataObject) -> None:
        model = box(name)(value=data.draw(values(name)))
        for mode in MODES:
            assert accepts(name, mode)(model.model_dump(mode="json"))


class Usage(BaseModel):
    """A user's class with the name of one of ours."""

    tokens: int


class Name(BaseModel):
    """A user's class with the name of a definition that ours refer to."""

    first: str


class Rollout(BaseModel):
    sidecar: rawmm.MultiModalData | None = None
    first: rawmm.Message
    last: rawmm.Message | None = None
    trace: rawmm.Trace | None = None
    cost: Usage | None = None
    usage: rawmm.Usage | None = None
    who: Name | None = None
    empty: rawmm.MultiModalData = rawmm.MultiModalData()


@pytest.mark.parametrize("mode", MODES)
def test_types_of_one_name_have_separate_definitions(mode: Mode) -> None:
    schema = Rollout.model_json_schema(mode=mode)
    assert references(schema) == {f"#/$defs/{key}" for key in schema["$defs"]}
    # Names that a model's own classes have, too, are told apart by their modules.
    assert {"rawmm__Usage", "rawmm__Name", "MultiModalData"} <= set(schema["$defs"])
    validator = oracle._Validator(oracle._with_ecma_patterns(schema))
    good = {
        "first": {"role": "user", "content": "x"},
        "cost": {"tokens": 3},
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "who": {"first": "Ada"},
        "sidecar": {"mm_hashes": {"image": ["0" * 32]}},
    }
    assert validator.is_valid(good)
    for key, wrong in {
        "cost": good["usage"],
        "usage": good["cost"],
        "who": "Ada",
        "first": {"role": "user"},
        "sidecar": {"mm_hashes": {"i m": []}},
        "trace": {"nodes": [{}]},
    }.items():
        assert not validator.is_valid({**good, key: wrong}), key


def test_default_is_written_as_its_dump() -> None:
    empty = Rollout.model_json_schema()["properties"]["empty"]
    assert empty["default"] == rawmm.to_builtins(rawmm.MultiModalData())
    assert empty["$ref"] == "#/$defs/MultiModalData"


def test_ref_template_is_respected() -> None:
    """As web frameworks ask for them."""
    _, schema = models_json_schema(
        [(Rollout, "validation"), (Rollout, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    places = {f"#/components/schemas/{key}" for key in schema["$defs"]}
    assert (
        references(schema) - {f"#/components/schemas/Rollout-{x}" for x in ("Input", "Output")}
        <= places
    )
    assert {ref.rpartition("/")[0] for ref in references(schema)} == {"#/components/schemas"}


def test_bundle_is_not_changed() -> None:
    before = repr(schemas.bundle())
    Rollout.model_json_schema()
    TypeAdapter(rawmm.Trace).json_schema()
    assert repr(schemas.bundle()) == before
