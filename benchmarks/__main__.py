"""The command ``python -m benchmarks``: runs the subjects and reports what they measure."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.harness import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness import Row

SUBJECTS: Final = (
    "codec",
    "packed",
    "offload",
    "resend",
    "memory",
    "rules",
    "check",
    "formats",
    "footprint",
)
ON_SERVERS: Final = ("scale",)
"""Subjects that need the extra ``servers`` and have a table of their own. Not run by default."""
_README: Final = Path(__file__).with_name("README.md")
_BEGIN: Final = "<!-- results -->\n"
_END: Final = "<!-- end -->\n"
_SERVERS_BEGIN: Final = "<!-- results, servers -->\n"
_SERVERS_END: Final = "<!-- end, servers -->\n"
"""Around the table of `ON_SERVERS`."""
_PURE_BEGIN: Final = "<!-- results, pure -->\n"
_PURE_END: Final = "<!-- end, pure -->\n"
"""Around the table of the Python code alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run benchmarks. The exit code is 0, also for missed targets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = (*SUBJECTS, *ON_SERVERS)
    parser.add_argument("--only", action="append", choices=choices, help="run this; repeatable")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the table, or the rows of --only, into the README",
    )
    options = parser.parse_args(argv)
    names = options.only or SUBJECTS
    on_servers = set(names) <= set(ON_SERVERS)
    if options.write and not (on_servers or set(names) <= set(SUBJECTS)):
        parser.error(f"--write takes {' and '.join(ON_SERVERS)} alone, which have another table")
    rows: list[Row] = []
    for name in names:
        begin = time.monotonic()
        rows += import_module(f"benchmarks.{name}").run(Settings(quick=options.quick))
        sys.stderr.write(f"{name}: {time.monotonic() - begin:.0f} s\n")
    # Imported late: benchmarks of memory and imports have to start from a small process.
    from benchmarks import report

    report.print_table(rows)
    if options.json:
        options.json.write_text(report.as_json(rows), "utf-8")
    if options.write:
        from rawmm import native

        begins, ends = (_BEGIN, _END) if native.COMPILED else (_PURE_BEGIN, _PURE_END)
        if on_servers:
            begins, ends = _SERVERS_BEGIN, _SERVERS_END
        before, _, rest = _README.read_text("utf-8").partition(begins)
        old, _, after = rest.partition(ends)
        table = report.markdown(rows, old if options.only else "")
        _README.write_text(f"{before}{begins}{table}{ends}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
