"""What a wheel and an sdist must hold, and what they must not."""

from __future__ import annotations

import sys
import tarfile
import zipfile

IN_WHEEL = (
    "rawmm/py.typed",
    "rawmm/_generated/v1/structs.py",
    "rawmm/_generated/v1/bundle.json",
    "rawmm/_generated/v1/annotations.json",
    "rawmm/_generated/v1/conformance.json",
    "rawmm/testing/strategies.py",
    "rawmm/cli/__init__.py",
)
IN_SDIST = (
    "schemas/v1/sidecar.schema.json",
    "schemas/v1/annotations.json",
    "schemas/conformance/v1/manifest.json",
    "codegen/emit.py",
    "tests/conftest.py",
    "examples/rollout.jsonl",
    "benchmarks/__main__.py",
    "README.md",
    "LICENSE",
)


def main(wheel: str, sdist: str) -> int:
    """0 when both hold what they must."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wrong = [f"wheel lacks {name}" for name in IN_WHEEL if name not in names]
    wrong += [f"wheel holds {name}" for name in names if not name.startswith(("rawmm/", "rawmm-"))]
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wrong += [f"sdist lacks {name}" for name in IN_SDIST if name not in inside]
    print(*wrong or [f"wheel: {len(names)} files, sdist: {len(inside)} files"], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
