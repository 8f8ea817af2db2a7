"""``python -m tests.faults.fuzz [TARGET ...] --seconds N``: fuzz each target for N seconds."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.faults.fuzz.campaign import fuzz
from tests.faults.fuzz.targets import TARGETS


def main() -> int:
    """Print a line of the table for each target; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, help="a folder to keep what was learned in")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    found = False
    print("| target | executions | seconds | findings |\n|---|---:|---:|---:|", flush=True)  # noqa: T201
    for name in options.targets or TARGETS:
        start = time.monotonic()
        corpus = options.corpus and options.corpus / name
        executions, finding = fuzz(name, options.seconds, corpus=corpus)
        took = time.monotonic() - start
        print(f"| {name} | {executions:,} | {took:.0f} | {int(bool(finding))} |", flush=True)  # noqa: T201
        if finding:
            found = True
            print(finding, file=sys.stderr)  # noqa: T201
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
