"""Reports as SARIF and as JUnit XML: complete, valid documents, whatever was found."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from rawmm.cli.remedies import REMEDIES
from rawmm.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Outcome

    Run = Callable[..., Outcome]


def closed(required: str = "", /, **properties: Any) -> dict[str, Any]:
    """A schema of an object without other properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "uniqueItems": True}


TEXT = closed("text", text={"type": "string"})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PLACE = closed(
    "physicalLocation",
    physicalLocation=closed(
        "artifactLocation",
        artifactLocation=closed("uri", uri={"type": "string", "pattern": r"^[^\s\\<>\"{}|^`]+$"}),
        region=closed(
            "startLine",
            startLine={"type": "integer", "minimum": 1},
            startColumn={"type": "integer", "minimum": 1},
        ),
    ),
    logicalLocations=many(
        closed("", fullyQualifiedName={"type": "string"}, kind={"type": "string"})
    ),
)
# The parts of SARIF 2.1.0 that rawmm writes: sections 3.13 log, 3.14 run, 3.20 invocation,
# 3.27 result, 3.49 reporting descriptor, 3.58 notification.
SARIF = closed(
    "version runs",
    **{"$schema": {"type": "string"}},
    version={"const": "2.1.0"},
    runs=many(
        closed(
            "tool",
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=many(
                closed(
                    "message",
                    ruleId={"type": "string"},
                    ruleIndex={"type": "integer", "minimum": 0},
                    level=LEVEL,
                    message=TEXT,
                    locations=many(PLACE),
                    partialFingerprints={
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                    },
                )
            ),
            invocations=many(
                closed(
                    "executionSuccessful",
                    executionSuccessful={"type": "boolean"},
                    toolExecutionNotifications=many(
                        closed("message", level=LEVEL, message=TEXT, locations=many(PLACE))
                    ),
                )
            ),
            tool=closed(
                "driver",
                driver=closed(
                    "name",
                    name={"type": "string"},
                    semanticVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
                    rules=many(
                        closed("id", id={"type": "string"}, shortDescription=TEXT, help=TEXT)
                    ),
                ),
            ),
        )
    ),
)


@pytest.fixture
def folder(tmp_path: Path, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with and without errors, and names that must be escaped."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_bytes((examples / "trace.json").read_bytes())
    node = json.loads((examples / "trace.json").read_bytes())["nodes"][0]
    bad = {**node, "mask": []}
    (tmp_path / 'a & "b" é.jsonl').write_text(f"{json.dumps(node)}\n{json.dumps(bad)}\n")
    (tmp_path / "cut.json").write_text('{"nodes": [\n')
    return tmp_path


def sarif(out: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(out)
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert all(rule["shortDescription"]["text"] == CODES[rule["id"]] for rule in rules)
    assert all(rule["help"]["text"] == REMEDIES[rule["id"]] for rule in rules)
    return dict(run)


def junit(out: str) -> ET.Element:
    suites = ET.fromstring(out)
    assert suites.tag == "testsuites"
    (suite,) = suites
    assert {case.tag for case in suite} <= {"testcase", "system-out"}
    return suite


NAMES = ("good.json", 'a & "b" é.jsonl', "cut.json")


def test_sarif_log_places_each_error(rawmm: Run, folder: Path) -> None:
    code, out, _ = rawmm("check", *NAMES, "--format", "sarif")
    assert code == 1
    run = sarif(out)
    first, second = run["results"]
    place = first["locations"][0]
    assert (first["ruleId"], first["level"]) == ("stream_length", "error")
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20%26%20%22b%22%20%C3%A9.jsonl"},
        "region": {"startLine": 2},
    }
    assert place["logicalLocations"] == [{"fullyQualifiedName": "$.mask", "kind": "member"}]
    assert second["ruleId"] == "malformed"
    assert second["locations"][0]["physicalLocation"]["region"]["startLine"] == 1
    assert run["invocations"][0]["executionSuccessful"]
    absolute = sarif(rawmm("check", folder / "cut.json", "--format", "sarif").out)
    location = absolute["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == (folder / "cut.json").as_uri()


def test_junit_document_has_a_case_per_error_and_per_clean_file(rawmm: Run, folder: Path) -> None:
    suite = junit(rawmm("check", *NAMES, "--format", "junit").out)
    cases = [(case.get("classname"), case.get("name")) for case in suite.iter("testcase")]
    assert cases == [
        ("good.json", "no errors"),
        ('a & "b" é.jsonl', "line 2: $.mask"),
        ("cut.json", "line 1: $"),
    ]
    failures = [case.get("type") for case in suite.iter("failure")]
    assert failures == ["stream_length", "malformed"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("style", ["sarif", "junit"])
def test_file_that_cannot_be_read_is_in_the_report(rawmm: Run, style: str) -> None:
    code, out, err = rawmm("check", "good.json", "none.json", "--format", style)
    assert code == 2
    assert "none.json: cannot be read" in err
    if style == "sarif":
        run = sarif(out)
        assert not run["invocations"][0]["executionSuccessful"]
        (failure, *_) = run["invocations"][0]["toolExecutionNotifications"]
        assert failure["message"]["text"].startswith("none.json: cannot be read")
    else:
        (error,) = junit(out).iter("error")
        assert str(error.get("message")).startswith("none.json: cannot be read")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("style", ["sarif", "junit"])
def test_unlisted_errors_leave_a_valid_document(rawmm: Run, style: str) -> None:
    _, out, err = rawmm("check", *NAMES, "--format", style, "--max-errors", "1")
    assert err.startswith("… 1 more")
    assert len(sarif(out)["results"] if style == "sarif" else list(junit(out).iter("failure"))) == 1


def test_findings_of_fsck_are_results_and_notes(rawmm: Run, folder: Path) -> None:
    images = folder / "images"
    images.mkdir()
    (images / "notes\x07.txt").write_text("x")
    (images / f"{'0' * 64}.png").write_bytes(b"x")
    results = sarif(rawmm("fsck", images, "--format", "sarif").out)["results"]
    assert sorted(each["level"] for each in results) == ["error", "note"]
    suite = junit(rawmm("fsck", images, "--format", "junit").out)
    assert len(list(suite.iter("failure"))) == len(list(suite.iter("system-out"))) == 1


def test_control_characters_are_escaped_in_xml(rawmm: Run, folder: Path) -> None:
    (folder / "x.json").write_text(
        json.dumps({"nodes": [], "k\u0001\ufffe": {"pixel_values": [0.5]}})
    )
    (failure,) = junit(rawmm("check", "x.json", "--format", "junit").out).iter("failure")
    assert "pixel_values" in str(failure.get("message"))
