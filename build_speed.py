"""Compiles `rawmm._speed`: ``python build_speed.py [FILE]``, by default into the source tree.

The environment variables CC and CFLAGS set the compiler and further flags.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(__file__).parent / "src/rawmm"
NAME = f"_speed{sysconfig.get_config_var('EXT_SUFFIX')}"
_FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


def why_pure() -> str | None:
    """Why this Python cannot have the C part; None if it can."""
    if platform.python_implementation() != "CPython":
        return "it needs CPython"
    if sys.maxsize < 2**63 - 1:
        return "it needs a 64-bit build of Python"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it needs a build of Python with the GIL"
    return None if sys.byteorder == "little" else "it needs a little-endian machine"


def compile_to(target: Path) -> None:
    """Compile the C part to the file `target`.

    Raises:
        OSError, subprocess.CalledProcessError: there is no compiler, or it failed.
    """
    command = [
        *shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"),
        *_FLAGS,
        *(["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []),
        *shlex.split(os.environ.get("CFLAGS", "")),
        f"-I{sysconfig.get_paths()['include']}",
        f"-I{PACKAGE / '_generated/v1'}",
        *map(str, sorted((PACKAGE / "_speed").glob("*.c"))),
        "-o",
        str(target),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603


def main(argv: list[str]) -> int:
    """Compile, or print why that failed. Returns the exit code."""
    target = Path(argv[0]) if argv else PACKAGE / NAME
    problem = why_pure()
    if problem is None:
        try:
            compile_to(target)
        except OSError as error:
            problem = str(error)
        except subprocess.CalledProcessError as error:
            problem = error.stderr
    if problem is not None:
        print(problem, file=sys.stderr)
    return int(problem is not None)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
