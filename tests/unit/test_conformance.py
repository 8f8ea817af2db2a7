"""The runner protocol: the package's own runner passes, and each difference is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rawmm.model.schemas import conformance_vectors
from rawmm.testing import conformance

if TYPE_CHECKING:
    from pathlib import Path

OWN = [sys.executable, "-m", "rawmm.testing.runner"]
VECTORS = conformance_vectors()


def test_own_runner_passes_and_tells_every_code() -> None:
    told: set[str] = set()
    assert list(conformance.failures(OWN, told=told)) == []
    assert told == {vector["case"] for vector in VECTORS if "code" in vector}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"ok": true}', "Trace/invalid/parent_is_later: accepted"),
        ('{"ok": false}', "Trace/valid/empty: refused"),
        (
            '{"ok": false, "code": "x"}',
            "Trace/invalid/wrong_type: code 'x' instead of 'wrong_type'",
        ),
        ('{"ok": false, "path": "$.x"}', "Trace/invalid/wrong_type: path '$.x' instead of '$'"),
        ('{"ok": 1}', "Trace/valid/empty: the answer is not an object with a boolean ok"),
        ("[]", "Trace/valid/empty: the answer is not an object with a boolean ok"),
        ("no JSON", "Trace/valid/empty: the answer is not an object with a boolean ok"),
    ],
)
def test_difference_is_told(answer: str, text: str) -> None:
    program = f"import sys\nfor line in sys.stdin: print({answer!r})"
    assert text in list(conformance.failures([sys.executable, "-c", program]))


@pytest.mark.parametrize("program", ["pass", "print(1)", "raise SystemExit(3)"])
def test_missing_answers_are_told(program: str) -> None:
    (text,) = conformance.failures([sys.executable, "-c", program])
    assert f"answers to {len(VECTORS)} paths" in text


def test_schema_only_leaves_out_what_no_schema_refuses(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program = f"import sys\nopen({str(asked)!r}, 'w').writelines(sys.stdin)"  # and no answer
    assert list(conformance.failures([sys.executable, "-c", program], schema_only=True))
    lines = asked.read_text("utf-8").splitlines()
    assert len(lines) == sum("beyond_schema" not in vector for vector in VECTORS) < len(VECTORS)


def test_command_returns_whether_the_runner_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main(["--", *OWN]) == 0
    assert conformance.main(["--schema-only", "--", sys.executable, "-c", "pass"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("0 differences; ")
    assert "0 answers to " in captured.err
