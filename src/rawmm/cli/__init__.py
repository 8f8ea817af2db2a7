"""The command line: ``rawmm check``, ``offload``, ``upgrade``, ``fsck``, ``gc`` and ``schema``.

One file per command; below them `records` reads files, `writing` writes them, `passes` does both,
`output` talks to the terminal. Exit codes: 0 fine, 1 the data breaks the contract, 2 wrong usage
or unreadable input, 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED: Final = frozenset({"cyclopts", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `argv` is ``sys.argv[1:]`` by default."""
    try:
        from rawmm.cli.app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.stderr.write(
            f"rawmm: the command line needs the package {missing}: pip install 'rawmm[cli]'\n"
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:] if argv is None else argv)
