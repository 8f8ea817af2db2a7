"""``rawmm explain``: what an error code means, an example, and what to do."""

from __future__ import annotations

import difflib
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from rawmm.cli.documents import decode_plain
from rawmm.cli.output import UsageError
from rawmm.cli.record_types import named_type
from rawmm.cli.remedies import REMEDIES, SITUATIONS
from rawmm.errors import CODES, RawMMError, printable, shown_name
from rawmm.model import schemas
from rawmm.validation import iter_errors

if TYPE_CHECKING:
    from rawmm.model.schemas import Vector

_WIDTH: Final = 88
_LINES: Final = 60
"""The most lines of an example, if a shorter one exists."""
_USUAL: Final = ("RawMMItem", "MultiModalData", "MessageNode", "Trace")
"""Types that users meet; an example of one of them is preferred, in this order."""


def explain(
    code: Annotated[
        str | None, Parameter(help="A code as it stands in brackets after an error.")
    ] = None,
    /,
) -> int:
    """Explain an error code: what it means, what to do, and an example. Without a code, list all.

    Codes are stable: they keep their meaning in all versions. Messages are not.
    """
    if code is None:
        width = max(map(len, CODES))
        for name, meaning in CODES.items():
            sys.stdout.write(f"{name:<{width}}  {meaning}\n")
        return 0
    name = code.strip("[]")
    if name not in CODES:
        raise UsageError(_unknown(name))
    sys.stdout.write(f"{name}: {CODES[name]}\n\n")
    sys.stdout.write(f"What to do\n{_indented(REMEDIES[name])}\n")
    sys.stdout.write("\nExample\n")
    if name in SITUATIONS:
        sys.stdout.write(f"{_indented(SITUATIONS[name])}\n")
    else:
        kind, document, error = _example(name)
        sys.stdout.write(f"{textwrap.indent(document, '  ')}\n\n  {kind} at {error}\n")
    return 0


def _indented(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, CODES, 1)
    hint = f"did you mean {close[0]}?" if close else "`rawmm explain` lists them"
    return f"no such code: {printable(shown_name(name))}; {hint}"


def _example(code: str) -> tuple[str, str, RawMMError]:
    """Type, document and error of a test vector with this code; one of a usual type, and short."""
    for vector in sorted(
        (each for each in schemas.conformance_vectors() if each.get("code") == code), key=_rank
    ):
        document = vector["document"].strip()
        errors = _errors(document.encode(), vector["type"])
        if errors and errors[0].code == code:
            return vector["type"], document, errors[0]
    raise LookupError(code)  # the tests try all codes


def _rank(vector: Vector) -> tuple[bool, int, int, str]:
    too_long = vector["document"].count("\n") > _LINES
    usual = _USUAL.index(vector["type"]) if vector["type"] in _USUAL else len(_USUAL)
    return too_long, usual, len(vector["document"]), vector["case"]


def _errors(document: bytes, kind: str) -> list[RawMMError]:
    try:
        return list(iter_errors(decode_plain(document, "json"), named_type(kind)))
    except RawMMError as error:
        return [error]
