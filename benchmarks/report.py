"""Reports measurements and their environment on terminals, in Markdown and in JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness import Row

_PACKAGES: Final = (
    "rawmm", "msgspec", "pybase64", "pillow", "pydantic", "numpy", "jsonschema", "jsonschema-rs",
    "msgpack",
    "check-jsonschema", "obstore", "ray", "moto",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Python, cores and packages, but nothing that identifies the machine."""
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "packages": packages,
    }


def shown(value: float, unit: str) -> str:
    """A value and its unit."""
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return {"x": f"{digits}x", "exponent": f"n^{value:.2f}"}.get(unit, f"{digits} {unit}")


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low == row.high else f"{shown(row.low, '')}to {shown(row.high, '')}".strip()
    target = str(row.target) if row.target else ""
    met = "" if row.target is None else "yes" if row.target.met(row.value) else "no"
    return row.subject, row.what, shown(row.value, row.unit), spread, target, met, row.detail


_HEADS: Final = ("", "what", "median", "quartiles", "target", "met", "numbers")


def print_table(rows: Sequence[Row]) -> None:
    """Print a table on the terminal."""
    table = Table(*_HEADS)
    for row in rows:
        *cells, detail = _cells(row)
        style = {"yes": "green", "no": "red"}.get(cells[5])
        table.add_row(*cells, detail, style=style)
    Console().print(table)


def markdown(rows: Sequence[Row], old: str = "") -> str:
    """The same table in Markdown, with the environment.

    Args:
        rows: what was measured.
        old: an earlier table. Its rows of other subjects stay, in their places.
    """
    heads = [f"| {' | '.join(_HEADS)} |", f"|{'---|' * len(_HEADS)}"]
    by_subject: dict[str, list[str]] = {}
    for line in old.splitlines():
        if line.startswith("| ") and line not in heads:
            by_subject.setdefault(line.split(" | ", 1)[0].removeprefix("| "), []).append(line)
    for subject in dict.fromkeys(row.subject for row in rows):
        by_subject[subject] = [
            f"| {' | '.join(_cells(row))} |" for row in rows if row.subject == subject
        ]
    lines = [*heads, *chain.from_iterable(by_subject.values())]
    own = environment()
    packages = ", ".join(f"{name} {number}" for name, number in own["packages"].items())
    lines += ["", f"{own['python']} on {own['system']}, {own['cores']} cores; {packages}."]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row]) -> str:
    """All numbers as JSON."""
    found = []
    for row in rows:
        fields = dataclasses.asdict(row)
        fields["target"] = str(row.target) if row.target else None
        fields["met"] = row.target.met(row.value) if row.target else None
        found.append(fields)
    return json.dumps({"environment": environment(), "rows": found}, indent=2) + "\n"
