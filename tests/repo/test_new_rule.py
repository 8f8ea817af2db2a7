"""Adding a rule touches the schemas, one rule file and a vector: shown on a copy of the repository.

A real branch may also extend a strategy and, for a new error code, the table in schemas/README.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
ANNOTATIONS: Final = "schemas/v1/annotations.json"
RULES: Final = "src/rawmm/rules/media.py"
VECTOR: Final = "MultiModalData/invalid/hash_twice"
MANIFEST: Final = "schemas/conformance/v1/manifest.json"
RULE: Final = """

def _unique_hashes(sidecar: MultiModalData, path: Path) -> Iterator[RawMMError]:
    for modality, hashes in sidecar.mm_hashes.items():
        if len(set(hashes)) != len(hashes):
            yield contract_error(
                "bad_value", (*path, "mm_hashes", modality), expected="each once", got="one twice"
            )


RULES = (*RULES, Rule("unique_hashes", _unique_hashes))
"""
READ: Final = f"""
import json, rawmm
vector = next(v for v in rawmm.schemas.conformance_vectors() if v["case"] == "{VECTOR}")
document = vector["document"]
for read in (
    lambda: rawmm.decode_json(document),
    lambda: rawmm.convert(json.loads(document)),
    lambda: rawmm.MultiModalData(**json.loads(document)),
):
    try:
        read()
    except rawmm.RawMMError as error:
        print(error.code, error.path)
"""


def copied(folder: Path) -> Path:
    """A copy of the repository's sources."""
    skip = shutil.ignore_patterns("__pycache__")
    for part in ("schemas", "codegen", "src"):
        shutil.copytree(ROOT / part, folder / part, ignore=skip)
    return folder


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    return copied(tmp_path)


def run(branch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(branch / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=branch, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def list_in_schema(branch: Path) -> None:
    path = branch / ANNOTATIONS
    annotations = json.loads(path.read_text("utf-8"))
    annotations["/$defs/MultiModalData"]["x-rawmm-rules"].append("unique_hashes")
    path.write_text(json.dumps(annotations), "utf-8")
    assert run(branch, "-m", "codegen").returncode == 0


def define(branch: Path) -> None:
    path = branch / RULES
    path.write_text(path.read_text("utf-8") + RULE, "utf-8")


def add_vector(branch: Path) -> None:
    item = {
        "kind": "prime_raw_mm_item",
        "version": 1,
        "modality": "image",
        "family": "f",
        "payload": {},
    }
    sidecar = {
        "mm_hashes": {"image": ["a1" * 16] * 2},
        "mm_placeholders": {"image": [{"offset": 0, "length": 1}, {"offset": 1, "length": 1}]},
        "mm_items": {"image": [item] * 2},
    }  # fmt: skip
    path = branch / "schemas/conformance/v1" / f"{VECTOR}.json"
    path.write_text(json.dumps(sidecar), "utf-8")
    manifest = json.loads((branch / MANIFEST).read_text("utf-8"))
    manifest[VECTOR] = {
        "code": "bad_value", "path": "$.mm_hashes.image", "beyond_schema": "unique_hashes",
    }  # fmt: skip
    (branch / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def test_new_rule_applies_on_every_way_in(branch: Path) -> None:
    add_vector(branch)
    define(branch)
    list_in_schema(branch)
    result = run(branch, "-c", READ)
    assert result.stdout == "bad_value $.mm_hashes.image\n" * 3, result.stderr


def test_import_fails_if_only_the_schema_names_a_rule(branch: Path) -> None:
    list_in_schema(branch)
    failed = run(branch, "-c", "import rawmm")
    assert "MultiModalData lists the rules unique_hashes, which are not defined" in failed.stderr


def test_import_fails_if_only_the_code_defines_a_rule(branch: Path) -> None:
    define(branch)
    failed = run(branch, "-c", "import rawmm")
    assert "no type lists the rules unique_hashes" in failed.stderr
