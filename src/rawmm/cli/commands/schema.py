"""``rawmm schema``: prints the JSON Schemas of the contract."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from rawmm.cli.output import UsageError, console
from rawmm.cli.record_types import unknown_name
from rawmm.model import schemas


def schema(
    name: Annotated[str | None, Parameter(help="A type of the contract, e.g. RawMMItem.")] = None,
    /,
    *,
    list_names: Annotated[
        bool,
        Parameter(name="--list", negative=(), help="List the types, one per line."),
    ] = False,
) -> int:
    """Print the JSON Schema of one type, or of all types in one document."""
    definitions = schemas.bundle()["$defs"]
    if list_names:
        if name is not None:
            raise UsageError("give a name or --list, not both")
        _print_names({key: _first_sentence(value) for key, value in definitions.items()})
        return 0
    if name is not None and name not in definitions:
        raise UsageError(unknown_name(name, definitions))
    json.dump(schemas.schema(name), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


def _print_names(names: dict[str, str]) -> None:
    if not sys.stdout.isatty():
        width = max(map(len, names))
        for name, meaning in names.items():
            sys.stdout.write(f"{name:<{width}}  {meaning}\n")
        return
    table = Table.grid(padding=(0, 2))
    for name, meaning in names.items():
        table.add_row(name, meaning, style=None)
    table.columns[0].style = "bold"
    table.columns[0].no_wrap = True
    console(stderr=False).print(table, soft_wrap=False)


def _first_sentence(definition: dict[str, str]) -> str:
    text = " ".join(definition.get("description", "").split())
    head, dot, _ = text.partition(". ")
    return head + "." if dot else text
