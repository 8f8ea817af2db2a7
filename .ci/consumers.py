"""Names the consumers that .ci/run tests, from the table in pyproject.toml.

``consumers.py tested`` prints one pair of requirements on each line, ``consumers.py newest`` those
of the newest pre-releases. ``consumers.py is-tested`` exits with 0 if the versions that are
installed beside this Python are one of the tested pairs.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main(what: str) -> int:
    """Print the requirements, or compare the installed versions with them."""
    table = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["rawmm-ci"]["consumers"]
    tested: list[list[str]] = table["tested"]
    if what == "is-tested":
        installed = [f"{name}=={version(name)}" for name in ("verifiers", "renderers")]
        print("installed:", *installed)
        return installed not in tested
    for pair in tested if what == "tested" else [table["newest"]]:
        print(*pair)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
