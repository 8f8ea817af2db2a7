"""``rawmm compat``: compares two JSON Schemas."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.output import UsageError, counted
from rawmm.cli.styles import Level, Location, SarifLog, github_command
from rawmm.errors import RawMMError, printable, shown_file

if TYPE_CHECKING:
    from rawmm.evolution import Comparison, Difference


def compat(
    old: Annotated[str, Parameter(name="OLD", help="The older schema.")],
    new: Annotated[str, Parameter(name="NEW", help="The newer schema.")],
    /,
    *,
    style: Annotated[
        Literal["text", "json", "github", "sarif"],
        Parameter(name="--format", help="Format of the report."),
    ] = "text",
    show_all: Annotated[
        bool, Parameter(name="--all", negative=(), help="List compatible differences, too.")
    ] = False,
) -> int:
    """Say whether a new JSON Schema accepts every document that an old one accepts.

    OLD and NEW are files, released versions of the contract ("1.0"), "current", git:REV for the
    contract at a revision of rawmm's repository, or git:REV:PATH for a file there. The exit code is
    1 unless compatibility is proved. Each difference that breaks it has a rule, a JSON pointer and,
    if one is found, a document that only the old schema accepts. Needs the extra ``schema``.
    """
    from rawmm import evolution  # slow to import

    began = time.perf_counter()
    schemas = []
    try:
        for name in (old, new):
            try:
                schemas.append(evolution.load(name))
            except RawMMError as error:
                failure = f"{shown_file(printable(name))}: {error}"
                raise UsageError(failure) from None
        result = evolution.compare(*schemas)
    except RawMMError as error:
        raise UsageError(str(error)) from None
    except ImportError:
        raise UsageError("compat needs the extra schema: pip install 'rawmm[schema]'") from None
    listed = result.differences if show_all or style == "json" else result.breaking
    write = {"text": _text, "json": _json, "github": _github, "sarif": _sarif}[style]
    write(listed, result, printable(new))
    sys.stdout.flush()
    seconds = time.perf_counter() - began
    output.info(
        f"backward: {result.backward}, forward: {result.forward}, "
        f"{counted(len(result.differences), 'difference')}, "
        f"{len(result.breaking) or 'no'} breaking, {seconds:.1f} s; {_ADVICE[result.bump]}"
    )
    return 0 if result.backward == "yes" else 1


_ADVICE: Final = {
    "none": "no version number changes",
    "minor": "raise the minor version",
    "major": "needs a new major version",
}


def _message(one: Difference) -> str:
    from rawmm import evolution

    values = [
        f"{label} {evolution.shown_document(value, 120)}"
        for label, value in (("was", one.was), ("now", one.now))
        if value is not None
    ]
    verdict = {"yes": "compatible", "no": "breaks readers", "unknown": "not proved compatible"}
    parts = [verdict[one.backward], *values]
    if one.has_counterexample:
        parts.append(f"refused now: {evolution.shown_document(one.counterexample)}")
    return "; ".join(parts)


def _text(listed: tuple[Difference, ...], _: Comparison, file: str) -> None:
    for one in listed:
        sys.stdout.write(f"{file}::{one.pointer}: {_message(one)} [{one.rule}]\n")


def _json(listed: tuple[Difference, ...], result: Comparison, _: str) -> None:
    fields = {
        "backward": result.backward,
        "forward": result.forward,
        "bump": result.bump,
        "differences": [_fields(one) for one in listed],
        "parts": {name: part._asdict() for name, part in result.parts.items()},
    }
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _fields(one: Difference) -> dict[str, Any]:
    fields = one._asdict()
    if not fields.pop("has_counterexample"):
        del fields["counterexample"]
    return fields


def _github(listed: tuple[Difference, ...], _: Comparison, file: str) -> None:
    for one in listed:
        level: Level = "error" if one.breaks else "notice"
        text = f"{one.pointer}: {_message(one)}"
        sys.stdout.write(github_command(level, file, f"rawmm {one.rule}", text) + "\n")


def _sarif(listed: tuple[Difference, ...], _: Comparison, file: str) -> None:
    """A SARIF log, one result for each difference."""
    log = SarifLog(lambda rule: {"shortDescription": {"text": rule.replace("_", " ")}})
    for one in listed:
        level: Level = "error" if one.breaks else "notice"
        log.add(Location(file, None), one.rule, level, one.pointer, _message(one))
    log.close()
