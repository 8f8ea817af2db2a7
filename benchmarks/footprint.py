"""Import time and installed size of rawmm, next to msgspec's."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.harness import Row, quartiles, single

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Settings

_PROGRAMS: Final = {"python": "pass", "msgspec": "import msgspec", "rawmm": "import rawmm"}


def run(settings: Settings) -> Iterator[Row]:
    """Time fresh processes in turns and subtract the start of Python."""
    seconds: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for number in range(settings.pick(21, 2)):
        for name, program in _PROGRAMS.items():
            taken = _timed(program)
            if number:  # the first run writes the bytecode
                seconds[name].append(taken)
    starts = seconds["python"]
    own = {
        name: [taken - start for taken, start in zip(seconds[name], starts, strict=True)]
        for name in ("msgspec", "rawmm")
    }
    for name, values in own.items():
        low, value, high = quartiles([each * 1e3 for each in values])
        detail = f"an empty Python takes {statistics.median(starts) * 1e3:.0f} ms"
        yield Row("footprint", f"import {name}", value, low, high, "ms", None, detail)
    for name in ("msgspec", "rawmm"):
        yield single("footprint", f"installed size of {name}", _installed(name) / 1e6, "MB")


def _timed(program: str) -> float:
    # Installed packages have bytecode, even if this process must not write any.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    return time.perf_counter() - begin


def _installed(name: str) -> int:
    """Bytes of a package's files, without bytecode."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    files = Path(spec.origin).parent.rglob("*")
    return sum(
        path.stat().st_size for path in files if path.is_file() and "__pycache__" not in path.parts
    )
