"""The command ``python -m sitegen [FOLDER]``: builds the site, and says where it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sitegen.build import SiteError, build
from sitegen.pages import ROOT


def main(argv: list[str] | None = None) -> int:
    """Build the site below a folder, by default ``build/docs``. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sitegen", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "docs")
    options = parser.parse_args(argv)
    try:
        site = build(options.folder)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(site / "index.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
