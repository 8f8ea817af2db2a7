"""The generator: its lint refuses unsupported schemas, and outdated files are reported."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codegen import __main__ as command
from codegen import bundle, profile

ROOT = Path(__file__).parent.parent.parent


def files(**definitions: Any) -> dict[str, Any]:
    first = next(iter(definitions))  # any root will do
    return {"x.schema.json": {"$ref": f"#/$defs/{first}", "$defs": definitions}}


def rooted(root: dict[str, Any]) -> dict[str, Any]:
    return {"x.schema.json": {**root, "$defs": {"A": thing()}}}


def thing(**properties: Any) -> dict[str, Any]:
    described = {key: {"description": "d", **value} for key, value in properties.items()}
    return {
        "type": "object",
        "description": "d",
        "properties": described,
        "required": [],
        "additionalProperties": False,
    }


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("keyword 'uniqueItems'", files(A=thing(a={"type": "array", "items": {"type": "null"}, "uniqueItems": True}))),
    ("needs dtype, shape and data", files(A={**thing(), "x-rawmm-items": {"type": "number"}})),
    ("only a property can be deprecated", files(A={**thing(), "deprecated": True, profile.SINCE: "1.3"})),
    ("only a property can be deprecated", files(A=thing(a={"type": "array", "items": {"type": "null", "deprecated": True, profile.SINCE: "1.3"}}))),
    ("deprecated must be true", files(A=thing(a={"type": "null", "deprecated": True}))),
    ("deprecated must be true", files(A=thing(a={"type": "null", profile.SINCE: "1.3"}))),
    ("deprecated must be true", files(A=thing(a={"type": "null", "deprecated": False, profile.SINCE: "1.3"}))),
    ("deprecated must be true", files(A=thing(a={"type": "null", "deprecated": True, profile.SINCE: "1"}))),
    ("keyword 'format' is not", files(A={**thing(dtype={"type": "null"}, shape={"type": "null"}, data={"type": "null"}), "x-rawmm-items": {"type": "string", "format": "x"}})),
    ("keyword 'format'", files(A=thing(a={"type": "string", "format": "uri"}))),
    ("keyword 'minProperties'", files(A={**thing(), "minProperties": 1})),
    ("keyword 'if'", files(A={**thing(), "if": {}})),
    ("keyword 'patternProperties'", files(A={**thing(), "patternProperties": {}})),
    ("keyword 'not'", files(A=thing(a={"type": "string", "not": {}}))),
    ("keyword 'exclusiveMinimum'", files(A=thing(a={"type": "number", "exclusiveMinimum": 0}))),
    ("keyword 'minLength'", files(A=thing(a={"type": "string", "minLength": 1}))),
    ("type must be one of", files(A=thing(a={"type": ["string", "null"]}))),
    ("const needs a type", files(A=thing(a={"const": 1, "anyOf": [{"type": "null"}]}))),
    ("needs a type, a $ref", files(A=thing(a={}))),
    ("needs minimum and maximum", files(A=thing(a={"type": "integer", "minimum": 0}))),
    ("needs minimum and maximum", files(A=thing(a={"type": "integer", "minimum": 0, "maximum": 2**53}))),
    ("starts with '^'", files(A=thing(a={"type": "string", "pattern": "[a-z]+$"}))),
    ("starts with '^'", files(A=thing(a={"type": "string", "pattern": "^a$|b$"}))),
    ("explicit ASCII", files(A=thing(a={"type": "string", "pattern": r"^\w+$"}))),
    ("explicit ASCII", files(A=thing(a={"type": "string", "pattern": r"^\d$"}))),
    ("explicit ASCII", files(A=thing(a={"type": "string", "pattern": "^.*$"}))),
    ("explicit ASCII", files(A=thing(a={"type": "string", "pattern": "^(?=a)$"}))),
    ("explicit ASCII", files(A=thing(a={"type": "string", "pattern": "^é$"}))),
    ("not a pattern", files(A=thing(a={"type": "string", "pattern": "^(a$"}))),
    ("additionalProperties must be false", files(A={**thing(), "additionalProperties": {"type": "null"}})),
    ("required must be written", files(A={k: v for k, v in thing().items() if k != "required"})),
    ("required names an unknown", files(A={**thing(), "required": ["x"]})),
    ("a map needs a schema", files(A={"type": "object", "description": "d"})),
    ("an array needs items", files(A={"type": "array", "description": "d"})),
    ("no description", files(A={"type": "null"})),
    ("no description", files(A={**thing(), "properties": {"a": {"type": "null"}}})),
    ("oneOf needs x-rawmm-tag", files(A={"description": "d", "oneOf": [{"type": "null"}]})),
    ("names no definition", files(A={"description": "d", "$ref": "#/$defs/B"})),
    ("names no definition", files(A={"description": "d", "$ref": "other.json"})),
    (
        "maxItems must be the number",
        files(A={"type": "array", "description": "d", "minItems": 1, "prefixItems": [{"title": "a", "description": "d", "type": "null"}]}),
    ),
    (
        "minItems must be the number of required",
        files(A={"type": "array", "description": "d", "maxItems": 1, "prefixItems": [{"title": "a", "description": "d", "type": "null"}]}),
    ),
    (
        "needs a title of its own",
        files(A={"type": "array", "description": "d", "minItems": 1, "maxItems": 1, "prefixItems": [{"description": "d", "type": "null"}]}),
    ),
    (
        "minItems is for array-like types",
        files(A={"type": "array", "description": "d", "items": {"type": "null"}, "minItems": 1}),
    ),
    ("may backtrack", files(A=thing(a={"type": "string", "pattern": "^(a+)+$"}))),
    ("may backtrack", files(A=thing(a={"type": "string", "pattern": "^a*a*$"}))),
    ("may backtrack", files(A=thing(a={"type": "string", "pattern": "^a|b$"}))),
    ("may backtrack", files(A={"type": "object", "description": "d", "additionalProperties": {"type": "null"}, "propertyNames": {"type": "string", "pattern": "^(a|aa)*$"}})),
    ("maxLength must be a positive", files(A=thing(a={"type": "string", "maxLength": 0}))),
    ("maxLength must be a positive", files(A=thing(a={"type": "string", "maxLength": "9"}))),
    ("maxItems must be a positive", files(A=thing(a={"type": "array", "items": {"type": "null"}, "maxItems": 2.5}))),
    ("keyword 'maxLength' is not", files(A=thing(a={"type": "boolean", "maxLength": 1}))),
    ("the root needs", rooted({})),
    ("the root needs", rooted({"$ref": "#/$defs/A", "anyOf": [{"$ref": "#/$defs/A"}]})),
    ("a member of the root", rooted({"anyOf": [{}]})),
    ("a member of the root", rooted({"anyOf": [{"type": "object"}]})),
    ("a member of the root", rooted({"anyOf": [{"type": "array", "items": {}}]})),
    ("a member of the root", rooted({"anyOf": [{"$ref": "#/$defs/A", "not": {}}]})),
    ("names no definition", rooted({"$ref": "#/$defs/B"})),
    ("unknown top-level keys $id", rooted({"$ref": "#/$defs/A", "$id": "x"})),
    ("unknown top-level keys", {"x.schema.json": {"$defs": {}, "definitions": {}}}),
    ("already defined", {"x.json": {"$defs": {"A": thing()}}, "y.json": {"$defs": {"A": thing()}}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "broken"), BROKEN, ids=lambda value: str(value)[:40])
def test_schema_outside_the_profile_is_refused(text: str, broken: dict[str, Any]) -> None:
    with pytest.raises(profile.ProfileError, match=text.replace("$", r"\$").replace("^", r"\^")):
        profile.check(broken)


def opened(**properties: Any) -> dict[str, Any]:
    return thing(**properties) | {"additionalProperties": {"$ref": "#/$defs/JsonValue"}}


def test_open_object_outside_the_profile_is_refused() -> None:
    free = {"JsonValue": {"description": "d", "anyOf": [{"type": "null"}]}}
    maybe = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}
    listed = {"type": "array", "items": {"$ref": "#/$defs/A"}}
    profile.check(files(A=opened(a={"type": "null"}), B=thing(a=maybe, b=listed), **free))
    either = {"anyOf": [{"$ref": "#/$defs/B"}, {"$ref": "#/$defs/C"}]}
    cases: list[tuple[str, Any]] = [
        ("A: additionalProperties must be false, or refer to JsonValue", files(A={**thing(), "additionalProperties": {"$ref": "#/$defs/B"}}, B={"type": "null", "description": "d"})),
        ("A: 'extra' is reserved", files(A=opened(extra={"type": "null"}), **free)),
        ("A: required must be written", files(A={k: v for k, v in opened().items() if k != "required"}, **free)),
        ("x.schema.json: B in a union", files(B=opened(), C=thing(), D=thing(a=either), **free)),
        ("x.schema.json: C in a union", files(A=opened(), B=thing(), C=thing(a=listed), D=thing(a=either), **free)),
        ("x.schema.json: B in a union", files(A=opened(), B=thing(a=thing(a=maybe)), C=thing(), D={"description": "d", "x-rawmm-tag": "t", "oneOf": either["anyOf"]}, **free)),
    ]  # fmt: skip
    for text, broken in cases:
        assert [found for found in profile.violations(broken) if text in found], text


def tagged(*members: str) -> dict[str, Any]:
    return {
        "description": "d",
        "x-rawmm-tag": "kind",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in members],
    }


def member(value: str) -> dict[str, Any]:
    return {**thing(kind={"type": "string", "const": value}), "required": ["kind"]}


def test_tagged_union_needs_a_tag_in_each_member() -> None:
    good = files(U=tagged("A", "B"), A=member("a"), B=member("b"))
    profile.check(good)
    cases: list[tuple[str, Any]] = [
        ("two members or more", files(U=tagged("A"), A=member("a"))),
        ("a const of its own", files(U=tagged("A", "B"), A=member("a"), B=member("a"))),
        ("must be required", files(U=tagged("A", "B"), A=member("a"), B={**member("b"), "required": []})),
        ("refers to A outside", files(**good["x.schema.json"]["$defs"], C=thing(a={"$ref": "#/$defs/A"}))),
    ]  # fmt: skip
    for text, broken in cases:
        with pytest.raises(profile.ProfileError, match=text):
            profile.check(broken)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', "[]"])
def test_invalid_schema_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.schema.json"
    path.write_text(text)
    with pytest.raises(profile.ProfileError):
        profile.load(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the files that the generator reads and writes."""
    for name in ("schemas", "src/rawmm"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_committed_files_are_current() -> None:
    assert command.stale(ROOT) == []
    assert command.main(["--check"]) == 0


@pytest.mark.parametrize(
    "name", ["structs.py", "bundle.json", "annotations.json", "conformance.json", "__init__.py"]
)
def test_edited_generated_file_is_reported(tree: Path, name: str) -> None:
    path = tree / "src/rawmm/_generated/v1" / name
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert command.stale(tree) == [f"src/rawmm/_generated/v1/{name}"]
    path.unlink()
    assert command.stale(tree) == [f"src/rawmm/_generated/v1/{name}"]


def test_new_public_name_is_reported_and_written(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "src/rawmm/__init__.py"
    listed = "    from rawmm.graph import (\n"
    path.write_text(path.read_text().replace(listed, f"{listed}        branches as branches,\n"))
    assert command.stale(tree) == ["src/rawmm/_generated/exports.py"]
    monkeypatch.setattr(command, "ROOT", tree)
    assert command.main([]) == 0
    assert '"branches": "rawmm.graph",' in (tree / "src/rawmm/_generated/exports.py").read_text()


def test_unexpected_file_is_reported(tree: Path) -> None:
    (tree / "src/rawmm/_generated/v1/extra.py").write_text("")
    assert command.stale(tree) == ["src/rawmm/_generated/v1/extra.py"]


def test_changed_schema_is_reported(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tree / "schemas/v1/sidecar.schema.json"
    path.write_text(path.read_text().replace('"minimum": 1,', '"minimum": 2,', 1))
    changed = command.stale(tree)
    names = ("bundle.json", "structs.py", "tables.h")
    generated = [f"src/rawmm/_generated/v1/{name}" for name in names]
    assert changed == ["src/rawmm/_digest.py", *generated]
    monkeypatch.setattr(command, "ROOT", tree)
    assert command.main(["--check"]) == 1
    assert "run: python -m codegen" in capsys.readouterr().out
    assert command.main([]) == 0
    assert command.stale(tree) == []


def test_bounds_are_written_to_the_struct(tree: Path) -> None:
    path = tree / "schemas/v1/common.schema.json"
    text = path.read_text()
    path.write_text(
        text.replace('"maxLength": 255', '"maxLength": 7').replace(
            '"maxItems": 64', '"maxItems": 5'
        )
    )
    source = command.outputs(tree)[tree / "src/rawmm/_generated/v1/structs.py"]
    assert (
        'Name: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+\\Z", max_length=7)]'
        in source
    )
    assert "Meta(max_length=5)]" in source


@pytest.mark.parametrize(
    ("pointer", "text"),
    [("/$defs/None", "points to nothing"), ("/$defs/Name/type", "points to nothing")],
)
def test_annotation_with_a_dangling_pointer_is_refused(tree: Path, pointer: str, text: str) -> None:
    path = tree / "schemas/v1/annotations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), pointer: {"x-rawmm-code": "x"}}))
    with pytest.raises(profile.ProfileError, match=text):
        command.outputs(tree)


def test_unknown_annotation_is_refused(tree: Path) -> None:
    path = tree / "schemas/v1/annotations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "/$defs/Name": {"x-rawmm-odd": 1}}))
    with pytest.raises(profile.ProfileError, match="keyword 'x-rawmm-odd' is not in the profile"):
        command.outputs(tree)


def test_annotation_in_a_schema_file_is_refused(tree: Path) -> None:
    path = tree / "schemas/v1/common.schema.json"
    document = json.loads(path.read_text())
    document["$defs"]["Name"]["x-rawmm-code"] = "bad_locator"
    path.write_text(json.dumps(document))
    with pytest.raises(
        profile.ProfileError, match=r"common.schema.json: x-rawmm- keywords belong in"
    ):
        command.outputs(tree)


def test_vectors_and_manifest_must_agree(tree: Path) -> None:
    folder = tree / "schemas/conformance/v1"
    manifest = json.loads((folder / "manifest.json").read_text())
    first = next(iter(manifest))
    without = copy.deepcopy(manifest)
    del without[first]
    for changed, text in ((without, "no entry"), (manifest | {"A/invalid/b": {}}, "no file")):
        (folder / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(profile.ProfileError, match=text):
            bundle.vectors(folder)
