"""The page of the error codes, made of what ``rawmm explain`` prints."""

from __future__ import annotations

import io
import textwrap
from contextlib import redirect_stdout

from rawmm.cli.commands.explain import explain
from rawmm.cli.remedies import SITUATIONS
from rawmm.errors import CODES
from sitegen.pages import prose


def page() -> str:
    """All codes: the meaning, what to do, and an example."""
    intro = (
        "# Error codes\n\nEvery error has a code, the JSON path of the value, what was expected "
        "and what was found. Codes are stable: they keep their meaning in all versions. Messages "
        "are not. `rawmm explain CODE` prints what is here.\n"
    )
    return "\n".join([intro, *(_entry(code) for code in CODES)])


def _entry(code: str) -> str:
    with redirect_stdout(io.StringIO()) as out:
        explain(code)
    meaning, _, rest = out.getvalue().partition("\n\nWhat to do\n")
    remedy, _, example = rest.partition("\nExample\n")
    meaning = meaning.removeprefix(f"{code}: ")
    example = textwrap.dedent(example).strip()
    shown = _paragraph(example) if code in SITUATIONS else f"```text\n{example}\n```"
    meaning = prose(meaning[0].upper() + meaning[1:])
    return f"## {code}\n\n{meaning}.\n\n{_paragraph(remedy)}\n\n{shown}\n"


def _paragraph(text: str) -> str:
    """Wrapped lines of the terminal as a paragraph."""
    return prose(" ".join(text.split()))
