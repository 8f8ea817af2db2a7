"""Schemas by name: a released version, a file, or a revision in git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

from rawmm.errors import ContractError, raise_alone, shown_file
from rawmm.model import schemas
from rawmm.values.strict_json import read_json

CURRENT: Final = "current"
GIT: Final = "git:"
_GENERATED: Final = f"src/rawmm/_generated/{schemas.VERSION}/"


def load(name: str) -> Any:
    """The schema that an operand of ``rawmm compat`` names.

    Args:
        name: a released version of the contract ("1.0"), "current" for that of this package,
            ``git:REV`` for that of a revision of rawmm's repository, ``git:REV:PATH`` for a file of
            a revision, or else the path of a file.

    Raises:
        ContractError: ``bad_schema`` if git has no such revision or file, ``malformed`` if a file
            is not JSON.
        OSError: a file cannot be read.
    """
    if name in schemas.released_versions():
        return schemas.released(name)
    if name == CURRENT:
        return schemas.annotated()
    if not name.startswith(GIT):
        return read_json(Path(name).read_bytes())
    revision, _, path = name.removeprefix(GIT).partition(":")
    if path:
        return read_json(_shown_by_git(f"{revision}:{path}"))
    bundle = read_json(_shown_by_git(f"{revision}:{_GENERATED}bundle.json"))
    if "x-rawmm-version" in bundle:
        return bundle  # before 1.1 it held its annotations
    notes = read_json(_shown_by_git(f"{revision}:{_GENERATED}annotations.json"))
    return schemas.with_annotations(bundle, notes)


def _shown_by_git(place: str) -> bytes:
    try:
        command = ["git", "show", "--end-of-options", place]
        return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError, ValueError):
        raise_alone(
            ContractError(
                "bad_schema",
                expected="a revision and file that git has here",
                got=shown_file(place),
            )
        )
