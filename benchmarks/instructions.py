"""Instructions of decoding, encoding and importing, compared with the recorded numbers.

``python -m benchmarks.instructions`` counts with valgrind's callgrind, and fails if a number grew
by more than 5 %. Times on a shared machine vary by more. The numbers depend on the build of Python
and on msgspec, so `instructions.json` has them by environment, and other environments are not
compared. ``--write`` records what was counted. It lists each number that grew by more than 5 %,
and the check then wants a line about it in the changelog.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.counted import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = Path(__file__).with_name("instructions.json")
CHANGELOG: Final = Path(__file__).parents[1] / "CHANGELOG.md"
ALLOWED: Final = 1.05
"""How much a number may grow without a line in the changelog."""
TURNS: Final = 20
_TIMES: Final = 10
_IMPORTS: Final = ("rawmm", "msgspec")
_TOTAL: Final = re.compile(r"Collected : (\d+)")


def environment() -> dict[str, str]:
    """What the numbers depend on, besides the code."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "machine": platform.machine(),
        "msgspec": version("msgspec"),
    }


def count(names: Sequence[str] = NAMES) -> dict[str, int]:
    """Instructions of each call on a rollout of 20 turns, and of imports.

    Raises:
        FileNotFoundError: valgrind is not installed.
        subprocess.CalledProcessError: a counted process failed.
    """
    from msgspec import msgpack

    from benchmarks import data  # loads numpy, which counted processes must not

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        file = Path(folder) / "rollout.msgpack"
        file.write_bytes(msgpack.encode(data.trace(TURNS)))
        called = [("-m", "benchmarks.counted", name, str(file), str(_TIMES)) for name in names]
        imported = [("-c", f"import {name}") for name in _IMPORTS]
        not_called = ("-m", "benchmarks.counted", names[0], str(file), "0")
        totals = pool.map(_total, [not_called, *called, ("-c", "pass"), *imported])
        base = next(totals)
        found = {name: (next(totals) - base) // _TIMES for name in names}
        base = next(totals)
        return found | {f"import {name}": next(totals) - base for name in _IMPORTS}


def _total(arguments: Sequence[str]) -> int:
    """Instructions of a process of Python."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    env = {**kept, "PYTHONHASHSEED": "0"}
    command = [sys.executable, *arguments]
    subprocess.run(command, env=env, check=True)  # writes the bytecode
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    ran = subprocess.run([*tool, *command], env=env, check=True, stderr=subprocess.PIPE, text=True)
    match = _TOTAL.search(ran.stderr)
    if match is None:
        raise subprocess.CalledProcessError(0, tool, stderr=ran.stderr)
    return int(match[1])


def problems(counts: Mapping[str, int], recorded: Mapping[str, Any], changelog: str) -> list[str]:
    """Why numbers do not fit those of `instructions.json`, or its growths not the changelog.

    Args:
        counts: the numbers by name.
        recorded: the entry of this environment.
        changelog: the text of the changelog.
    """
    found = []
    for name, number in counts.items():
        before = recorded["counts"].get(name)
        if before is None:
            found.append(f"{name}: {number:,} instructions are not recorded")
        elif number > before * ALLOWED:
            found.append(
                f"{name}: {number:,} instructions, {number / before - 1:+.1%} over {before:,}"
            )
    for growth in recorded["growths"]:
        words = (f"`{growth['name']}`", _shown(growth["to"]))
        if not any(all(word in line for word in words) for line in changelog.splitlines()):
            found.append(f"the changelog has no line with {' and '.join(words)}")
    return found


def _shown(number: int) -> str:
    return f"{number / 1e6:.2f} million instructions"


def updated(counts: Mapping[str, int], recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entry of this environment with new numbers.

    A number that grew by 5 % or less stays, so that it does not creep up. Larger ones are listed.
    """
    before = recorded["counts"] if recorded else {}
    growths = [*recorded["growths"]] if recorded else []
    kept = {}
    for name, number in counts.items():
        was = before.get(name, number)
        kept[name] = was if was < number <= was * ALLOWED else number
        if number > was * ALLOWED:
            growths.append({"name": name, "from": was, "to": number})
    return {"environment": environment(), "counts": kept, "growths": growths}


def main(argv: Sequence[str] | None = None) -> int:
    """Count, and compare or write. 1 if a number grew and no line in the changelog says why."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the numbers")
    options = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instruction counts were not compared")
        return 0
    entries = json.loads(FILE.read_text("utf-8"))
    own = environment()
    recorded = next((one for one in entries if one["environment"] == own), None)
    if recorded is None and not options.write:
        print(f"no instruction counts are recorded for {own}: nothing was compared")
        return 0
    counts = count()
    for name, number in counts.items():
        print(f"{name:34} {number:>13,}")
    if options.write:
        recorded = updated(counts, recorded)
        entries = [one for one in entries if one["environment"] != own] + [recorded]
        FILE.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    assert recorded is not None
    found = problems(counts, recorded, CHANGELOG.read_text("utf-8"))
    for problem in found:
        print(problem)
    print(f"{len(found)} problems" if found else "no number grew by more than 5 %")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
