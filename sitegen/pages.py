"""The pages that people write, and the links between them, in the repository and on the site."""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
REPOSITORY: Final = "https://github.com/rawmm/rawmm"

ELSEWHERE: Final = {
    "schemas/README.md": "schemas/index.md",
    "examples/README.md": "project/examples.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "tests/faults/README.md": "project/fault-tests.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "docs/decisions/README.md": "decisions/index.md",
    "README.md": "index.md",
}
"""Pages outside of ``docs/``, and pages with another name on the site."""

_FENCE: Final = re.compile(r"^( *)(```+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"(\]\()([^)\s]+)(\))")
_CODE: Final = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_MARKUP: Final = re.compile(r"[\\*_\[\]]")


def written() -> dict[str, str]:
    """Every written page: its path in the repository, and its path on the site."""
    docs = (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))
    pages = {path: ELSEWHERE.get(path, path.removeprefix("docs/")) for path in docs}
    return pages | {path: ELSEWHERE[path] for path in ELSEWHERE if path != "README.md"}


def pictures() -> Iterator[Path]:
    """Every picture of the written pages."""
    yield from sorted((ROOT / "docs" / "pictures").iterdir())


def on_site(path: str) -> str:
    """The text of a written page, with links to the pages of the site.

    A link to a file that is no page leads to the repository.
    """
    pages = written()
    folder, here = posixpath.dirname(path), posixpath.dirname(pages[path])

    def moved(target: str) -> str:
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        name, mark, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(folder, name))
        page = pages.get(file) or ELSEWHERE.get(file)
        if page is None and file.startswith("docs/pictures/"):
            page = file.removeprefix("docs/")
        if page is not None:
            return posixpath.relpath(page, here or ".") + mark + anchor
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{file}{mark}{anchor}"

    return with_links((ROOT / path).read_text("utf-8"), moved)


def with_links(text: str, moved: Callable[[str], str]) -> str:
    """A page whose links, those in code left out, lead where `moved` says."""
    out, end = [], 0
    for fence in _FENCE.finditer(text):
        out += [_with_links(text[end : fence.start()], moved), fence[0]]
        end = fence.end()
    return "".join([*out, _with_links(text[end:], moved)])


def _with_links(text: str, moved: Callable[[str], str]) -> str:
    return _LINK.sub(lambda link: link[1] + moved(link[2]) + link[3], text)


def prose(text: str) -> str:
    """Plain text with inline code, as Markdown that shows each of its characters."""
    out, end = [], 0
    for code in _CODE.finditer(text):
        out += [_escaped(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*out, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", html.escape(text, quote=False))


def cell(text: str) -> str:
    """Markdown as a cell of a table."""
    return text.replace("|", r"\|").replace("\n", " ")
