"""The snippets of the documentation: where they are, what they need, and how they run.

A page runs as a whole: its snippets in order, in one namespace and one folder, which has the
``examples``. A page whose snippets need more than the extra ``test`` says so in a comment,
``<!-- needs: NAME -->``; `RUN_BY` says which tests run such pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from sitegen.pages import ELSEWHERE, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil import Document, Example

ROOT: Final = Path(__file__).resolve().parent.parent

RUN_BY: Final = {
    "": "tests/acceptance/test_pages.py",
    "pytest": "tests/integrations/plugins/test_pytest_plugin.py",
    "interop": "tests/integrations/test_pages.py",
    "servers": "tests/integrations/pipelines/test_pages.py",
    "rl": "tests/integrations/rl/test_pages.py",
}
"""The tests that run the pages of each need, in an environment that has it."""

RUN: Final = ("python", "console")
"""Languages of snippets that run. Commands to be adapted are ``sh``, and are only parsed."""
SHOWN: Final = ("sh", "diff", "json", "yaml", "toml", "text", "")

_NEEDS: Final = re.compile(r"^<!-- needs: (\S+) -->$", re.MULTILINE)
_FENCE: Final = re.compile(r"^ *```+(\S*)[^\n]*\n(.*?)^ *```+ *$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def needs(self) -> str:
        """The extra that its snippets need, or nothing."""
        found = _NEEDS.search(self.text)
        return found[1] if found else ""

    def fences(self) -> list[tuple[str, str]]:
        """The language and text of each fenced block."""
        return [(found[1], found[2]) for found in _FENCE.finditer(self.text)]

    def runs(self) -> bool:
        return any(language in RUN for language, _ in self.fences())

    def is_slow(self) -> bool:
        """Commands are processes, which take long to start."""
        return any(language == "console" for language, _ in self.fences())


def pages() -> list[Page]:
    """Every page with snippets that run."""
    return [page for page in documents() if page.runs()]


def documents() -> list[Page]:
    """Every page of the documentation, and README.md."""
    return [Page(ROOT / name) for name in sorted({*written(), *ELSEWHERE})]


def pages_of(needs: str) -> list[Page]:
    """The pages with this need."""
    return [page for page in pages() if page.needs == needs]


def document(page: Page) -> Document:
    """A page as sybil reads it."""
    parsers = [PythonCodeBlockParser(), CodeBlockParser("console", _run_console)]
    return Sybil(parsers, encoding="utf-8").parse(page.path)


def run(page: Page, folder: Path) -> dict[str, Any]:
    """The names after the snippets of a page ran in `folder`, the working directory."""
    (folder / "examples").symlink_to(ROOT / "examples")
    parsed = document(page)
    parsed.namespace["__name__"] = "page"
    for example in parsed.examples():
        example.evaluate()
    names: dict[str, Any] = parsed.namespace
    return names


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command after ``$`` in a console block, and its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while count < len(lines) and lines[count - 1].endswith("\\\n"):
            count += 1
        yield "".join(lines[:count]), "".join(lines[count:])


def _run_console(example: Example) -> None:
    """Run the commands of a block, and compare the words that they print. ``...`` is any text."""
    for command, expected in commands(example.parsed):
        scripts = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"COLUMNS": "100", "NO_COLOR": "1"}
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        wanted = ".*".join(map(re.escape, _words(expected).split("...")))
        if not re.fullmatch(wanted, _words(done.stdout)):
            told = textwrap.indent(done.stdout, "  ")
            msg = f"{example.path}:{example.line}: $ {command.strip()} prints\n{told}"
            raise AssertionError(msg)


def _words(text: str) -> str:
    return " ".join(text.split())
