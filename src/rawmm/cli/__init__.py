"""The command line ``rawmm``: `commands` has one file per command, `app` lists them.

Around them, `records` reads files, `writer` writes them, `rewrite` does both, `report` prints
errors and `output` prints everything else. Exit codes: 0 no errors, 1 the data breaks the contract,
2 wrong usage or unreadable input, 130 interrupted, 141 standard output was closed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REQUIRED: Final = frozenset({"cyclopts", "msgpack", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `argv` defaults to ``sys.argv[1:]``."""
    try:
        from rawmm.cli.app import run

        return run(sys.argv[1:] if argv is None else argv)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _REQUIRED:
            raise
        sys.stderr.write(
            f"rawmm: the command line needs the package {missing}: pip install 'rawmm[cli]'\n"
        )
        return 2
    except KeyboardInterrupt:
        return 130


def is_record_file(name: str) -> bool:
    """Whether the extension of a file is that of a format of records."""
    from rawmm.cli.records import format_of

    return format_of(name) is not None


def record_files(pattern: str) -> list[str]:
    """The files of records that a pattern such as ``data/**/*.jsonl`` names, sorted; maybe none.

    Raises:
        ModuleNotFoundError: the extra ``cli`` is not installed.
        ValueError: a folder cannot be read.
    """
    from rawmm.cli.inputs import matching
    from rawmm.cli.output import UsageError

    try:
        return [name for name in matching(pattern) if is_record_file(name)]
    except UsageError as error:
        failure = str(error)
    raise ValueError(failure)


def file_errors(
    path: str, image_dir: str | None = None, folder: str | None = None
) -> Iterator[str]:
    """The errors of a file, as ``rawmm check`` prints them; images are looked for in `image_dir`.

    The configuration of `folder` counts, if one is given.

    Raises:
        ModuleNotFoundError: the extra ``cli`` is not installed.
    """
    from rawmm.cli.commands.check import lines_of_file

    return lines_of_file(path, image_dir, folder)
