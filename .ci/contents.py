"""Checks the contents of the wheel and the sdist."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

IN_WHEEL = (
    "rawmm/py.typed",
    "rawmm/_generated/v1/structs.py",
    "rawmm/_generated/v1/bundle.json",
    "rawmm/_generated/v1/annotations.json",
    "rawmm/_generated/v1/conformance.json",
    "rawmm/_generated/released/1.0.json",
    "rawmm/testing/strategies.py",
    "rawmm/cli/__init__.py",
    "rawmm/view/assets/page.css",
    "rawmm/view/assets/app.js",
)
COMPILED = "rawmm/_speed."
"""The C part in a wheel that has a platform."""
ADDED_TO_SDIST = {"PKG-INFO"}


def main(wheel: str, sdist: str) -> int:
    """0 when both hold what they must: the sdist, every file that git tracks and no other."""
    archive_of_wheel = zipfile.ZipFile(wheel)
    names = set(archive_of_wheel.namelist())
    wrong = [f"wheel lacks {name}" for name in IN_WHEEL if name not in names]
    wrong += [f"wheel holds {name}" for name in names if not name.startswith(("rawmm/", "rawmm-"))]
    wrong += [f"wheel holds {name}" for name in names if name.endswith((".c", ".h"))]
    compiled = {name for name in names if name.startswith(COMPILED) and not name.endswith(".pyi")}
    if bool(compiled) == wheel.endswith("-none-any.whl"):
        wrong.append(f"the wheel's name and its compiled modules differ: {sorted(compiled)}")
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    relative = re.findall(r"\]\((?!https://)[^)]*\)", archive_of_wheel.read(metadata).decode())
    wrong += [f"the description has a relative link: {link}" for link in relative]
    with tarfile.open(sdist) as archive:
        inside = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=Path(__file__).parent.parent, capture_output=True, check=True,
    )  # fmt: skip
    tracked = {name for name in listed.stdout.decode().split("\0") if name}
    wrong += [f"sdist lacks {name}" for name in sorted(tracked - inside)]
    wrong += [f"sdist holds {name}" for name in sorted(inside - tracked - ADDED_TO_SDIST)]
    print(*wrong or [f"wheel: {len(names)} files, sdist: {len(inside)} files"], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
