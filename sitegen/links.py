"""Checks the built site: every link leads somewhere, and pages load nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOADS: Final = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Elements that make a browser load something."""
_IMPORT: Final = re.compile(r"url\(\s*['\"]?(https?:|//)|@import")
_HOST: Final = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}")


class _Page(HTMLParser):
    """What a page loads, links to, and can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        source = found.get(_LOADS.get(tag, ""))
        if source and found.get("rel") not in {"prev", "next", "canonical"}:
            self.loads.append(source)
        elif tag in {"a", "link"} and found.get("href"):
            self.links.append(found["href"])


def problems(site: Path) -> list[str]:
    """One line for each link or source that leads nowhere or away."""
    site = site.resolve()  # as the targets of links are
    parsed = {page: _Page(page.read_text("utf-8")) for page in sorted(site.rglob("*.html"))}
    parsed.pop(site / "404.html", None)  # whose links are those of a server's root
    sheets = sorted(site.rglob("*.css"))
    return [
        *(
            f"{page.relative_to(site)} {problem}"
            for page, content in parsed.items()
            for problem in _of_page(page, content, parsed, site)
        ),
        *(
            f"{sheet.relative_to(site)} loads from elsewhere"
            for sheet in sheets
            if _IMPORT.search(sheet.read_text("utf-8"))
        ),
    ]


def _of_page(page: Path, content: _Page, parsed: dict[Path, _Page], site: Path) -> Iterator[str]:
    for source in content.loads:
        if urlsplit(source).scheme not in {"", "data"} or source.startswith("//"):
            yield f"loads {source}"
        elif why := _why_broken(source, page, parsed, site):
            yield f"loads {source}: {why}"
    for link in dict.fromkeys(content.links):
        if why := _why_broken(link, page, parsed, site):
            yield f"links to {link}: {why}"


def _why_broken(link: str, page: Path, parsed: dict[Path, _Page], site: Path) -> str:
    """Why a link leads nowhere, or nothing. Of other sites only the form is looked at."""
    parts = urlsplit(link)
    if parts.scheme in {"data", "mailto"}:
        return ""
    if parts.scheme:
        good = parts.scheme == "https" and _HOST.fullmatch(parts.hostname or "")
        return "" if good else "no https URL of a host"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_relative_to(site):
        return "out of the site"
    if not target.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in parsed and anchor not in parsed[target].anchors:
        return "no such anchor"
    return ""
