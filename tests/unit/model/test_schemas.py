"""The shipped schemas: valid, self-contained, and accepted by other tools."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from referencing import Registry, Resource

import rawmm
from rawmm import RawMMError, schemas
from rawmm.model.kinds import schema_of
from rawmm.model.types import MAX_DEPTH, MAX_FREE_VALUES, MAX_TEXT, MAX_VALUES, TYPES
from rawmm.rules.registry import RULES
from rawmm.validation import detect
from tests.cases import each

ROOT = Path(__file__).parent.parent.parent.parent
FILES = {path.name: path for path in sorted((ROOT / "schemas/v1").glob("*.schema.json"))}
EXAMPLES = [ROOT / "examples/trace.json", ROOT / "examples/nodes.json"]
GARBAGE: list[Any] = [
    None, True, 7, "x", {}, [], {"a": 1}, [{}], [[]], {"nodes": 1}, {"nodes": [{}]}, [1, 2],
    {"type": "text"}, {"role": "user"}, {"name": "x", "more": 1}, {"$schema": "x", "$defs": {}},
]  # fmt: skip


def test_bundle_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.bundle())
    assert schemas.bundle()["title"] == f"rawmm data contract {rawmm.SCHEMA_VERSION}"
    assert rawmm.SCHEMA_VERSION == "1.2"


def keywords(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set(node).union(*map(keywords, node.values()))
    return set().union(*map(keywords, node)) if isinstance(node, list) else set()


def test_shipped_schemas_have_no_keyword_of_rawmm() -> None:
    """ajv refuses unknown keywords by default."""
    documents = [schemas.bundle(), *(json.loads(path.read_bytes()) for path in FILES.values())]
    assert [word for one in documents for word in keywords(one) if "x-rawmm" in word] == []


@each("name", sorted(schemas.bundle()["$defs"]))
def test_schema_of_a_type_is_self_contained(name: str) -> None:
    part = schemas.schema(name)
    assert part["$ref"] == f"#/$defs/{name}"
    jsonschema_rs.validator_for(part)
    jsonschema.Draft202012Validator(part).is_valid({})


def test_annotations_are_inserted_at_their_pointers() -> None:
    whole = schemas.annotated()
    assert whole["x-rawmm-version"] == rawmm.SCHEMA_VERSION
    version = whole["$defs"]["RawMMItem"]["properties"]["version"]
    assert version["x-rawmm-code"] == "unsupported_version"
    pointers = json.loads((ROOT / "schemas/v1/annotations.json").read_bytes())
    for pointer, notes in pointers.items():
        node = whole
        for part in pointer.split("/")[1:]:
            node = node[part]
        assert notes.items() <= node.items(), pointer


def test_annotating_does_not_change_the_bundle() -> None:
    before = copy.deepcopy(schemas.bundle())
    assert schemas.annotated() != before
    assert schemas.bundle() == before


def test_constants_come_from_the_schema() -> None:
    payload = schemas.annotated()["$defs"]["DescriptorObject"]
    assert payload["propertyNames"] == {"not": {"$ref": "#/$defs/ProcessedKey"}}
    keys = schemas.annotated()["$defs"]["ProcessedKey"]["enum"]
    assert keys == sorted(rawmm.PROCESSED_KEYS)
    assert keys == [key.casefold() for key in keys]
    assert payload["x-rawmm-max-depth"] == MAX_DEPTH == 64
    assert payload["x-rawmm-max-values"] == MAX_VALUES == 16_384
    assert payload["x-rawmm-max-text"] == MAX_TEXT == 262_144
    free = schemas.annotated()["$defs"]["JsonValue"]
    assert free["x-rawmm-max-values"] == MAX_FREE_VALUES == 10_000_000


def test_every_listed_rule_exists_and_is_checked() -> None:
    listed = {
        (name, rule)
        for name, schema in schemas.annotated()["$defs"].items()
        for rule in schema.get("x-rawmm-rules", ())
    }
    asked = {(name, rule) for name, kind in TYPES.items() for rule in kind.__rules__}
    assert listed <= asked
    assert {rule for _, rule in asked} == set(RULES)


def file_validator(name: str) -> Any:
    """A validator of one schema file that resolves the others by name."""
    documents = {name: json.loads(path.read_bytes()) for name, path in FILES.items()}
    resources = ((key, Resource.from_contents(value)) for key, value in documents.items())
    return jsonschema.Draft202012Validator(
        {"$ref": name}, registry=Registry().with_resources(resources)
    )


@pytest.mark.parametrize("name", FILES)
def test_schema_file_refuses_garbage(name: str) -> None:
    validator = file_validator(name)
    accepted = [one for one in GARBAGE if validator.is_valid(one)]
    # Some garbage is valid for array-like types, such as an empty list.
    assert accepted == ([[[]]] if name == "trainer.schema.json" else [])


def test_bundle_refuses_garbage() -> None:
    validator = jsonschema_rs.validator_for(schemas.bundle())
    assert [one for one in GARBAGE if validator.is_valid(one)] == [[[]]]  # MMRefs without images


def test_trace_schema_accepts_the_examples() -> None:
    validator = file_validator("trace.schema.json")
    assert all(validator.is_valid(json.loads(path.read_bytes())) for path in EXAMPLES)


def detected(document: Any) -> Any:
    try:
        return detect(document)
    except RawMMError:
        return None


@pytest.mark.parametrize("listed", [False, True], ids=["alone", "in a list"])
def test_bundle_accepts_documents_whose_type_is_identified(listed: bool) -> None:  # noqa: FBT001
    """Its root accepts the documents whose type `rawmm check` identifies."""
    root = jsonschema_rs.validator_for(schemas.bundle())
    definitions = schemas.bundle()["$defs"]
    seen = set()
    for vector in schemas.conformance_vectors():
        try:
            document = json.loads(vector["document"])
        except ValueError:
            continue
        document = [document] if listed else document
        kind = detected(document)
        accepted = root.is_valid(document)
        if kind is None:
            assert not accepted, vector["case"]
            continue
        by_kind = jsonschema_rs.validator_for({**schema_of(kind), "$defs": definitions})
        if listed and vector["type"] == "MMRefs" and accepted:
            continue  # [[[...]]] is identified as MMRefs, and may be a list of MMRefs
        assert accepted == by_kind.is_valid(document), vector["case"]
        seen.add((str(kind), accepted))
    assert len(seen) > 30


def check_jsonschema(schema: Path, *documents: Path) -> list[str]:
    """The names of the documents that the command refuses."""
    done = subprocess.run(
        [
            sys.executable, "-m", "check_jsonschema", "--output-format", "json", "-v",
            "--schemafile", str(schema), *map(str, documents),
        ],
        capture_output=True, text=True, check=False, cwd=ROOT.parent,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == (report["status"] == "ok")
    assert not report.get("parse_errors")
    return sorted({Path(error["filename"]).name for error in report.get("errors", ())})


@pytest.mark.parametrize("source", ["file", "bundle"])
def test_check_jsonschema_refuses_garbage_only(tmp_path: Path, source: str) -> None:
    schema = FILES["trace.schema.json"]
    if source == "bundle":  # `rawmm schema > all.json`
        schema = tmp_path / "all.json"
        schema.write_text(json.dumps(schemas.schema()))
    written = []
    for number, one in enumerate(one for one in GARBAGE if one != [[]]):
        written.append(tmp_path / f"garbage{number}.json")
        written[-1].write_text(json.dumps(one))
    refused = check_jsonschema(schema, *EXAMPLES, *written)
    assert refused == sorted(path.name for path in written)


def test_structs_have_the_descriptions() -> None:
    for name, struct in TYPES.items():
        described = schemas.bundle()["$defs"][name]["description"]
        assert " ".join((struct.__doc__ or "").split()) == described


def test_every_public_type_is_exported() -> None:
    assert {name for name in TYPES if not hasattr(rawmm, name)} == set()
    assert sorted(rawmm.__all__, key=str) == sorted(set(rawmm.__all__), key=str)
    assert all(hasattr(rawmm, name) for name in rawmm.__all__)
