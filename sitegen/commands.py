"""Pages of the commands, made of the real commands."""

from __future__ import annotations

import re
from typing import Final

from rawmm.cli.app import COMMANDS, make_app
from sitegen.pages import cell

FOLDER: Final = "commands"
_FIRST: Final = re.compile(r"\A# .*?\n```console\n.*?```\n", re.DOTALL)
_PARAMETER: Final = re.compile(r"^\* `([^`]+)`: ?(.*)$", re.MULTILINE)


def pages() -> dict[str, str]:
    """The page of each command by its path, and one with a table of them."""
    app = make_app()
    out = {}
    rows = []
    for name, usage in COMMANDS.items():
        text = app[name].generate_docs(usage_name=f"rawmm {name}")
        body, found = _FIRST.subn("", text, count=1)
        if not found:
            msg = f"the documentation of rawmm {name} has another form"
            raise ValueError(msg)
        head = f"# rawmm {name}\n\n```sh\nrawmm {name} {usage}\n```\n"
        out[f"{FOLDER}/{name}.md"] = head + _PARAMETER.sub(_definition, body)
        summary = body.strip().partition("\n\n")[0]
        rows.append(f"| [`rawmm {name}`]({name}.md) | {cell(summary)} |")
    epilogue = str(app.help_epilogue)
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    completion = app["--install-completion"].generate_docs()
    options = completion.partition("**Parameters**:")[2]
    out[f"{FOLDER}/index.md"] = (
        f"# Commands\n\n{table}\n\n{epilogue}\n\n## Completion\n\n"
        "`rawmm --install-completion` writes completions for a shell, and loads them when it "
        f"starts.\n{_PARAMETER.sub(_definition, options)}"
    )
    return out


def _definition(parameter: re.Match[str]) -> str:
    return f"`{parameter[1]}`\n:   {parameter[2]}\n"
