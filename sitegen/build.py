"""Writes the pages into a folder, and lets zensical make a site of them that loads nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rawmm.cli.app import COMMANDS
from sitegen import api, codes, commands, links, pages, schemas

ASSETS: Final = Path(__file__).resolve().parent / "assets"
WORKER: Final = "assets/worker.js"
TEMPLATE: Final = Path(__file__).resolve().parent / "site.toml"
_CONFIG_FILE: Final = "zensical.toml"
_SHIM: Final = re.compile(r'<script src="https://unpkg\.com/iframe-worker/shim"[^>]*></script>')
_LOGO: Final = re.compile(r'<a href="[^"]*"( [^>]*md-logo")')


class SiteError(Exception):
    """The site cannot be built, or is not whole."""


def build(folder: Path) -> Path:
    """Build the site below `folder`, and return the folder with the pages.

    Raises:
        SiteError: the folder has other files, or zensical or `links.problems` reports a problem.
    """
    _clear(folder)
    source, site = folder / "pages", folder / "site"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / _CONFIG_FILE  # first, as `_clear` knows an earlier build by it
    config.write_text(_config(), "utf-8")
    for path, text in all_pages().items():
        file = source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    for picture in pages.pictures():
        target = source / "pictures" / picture.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(picture, target)
    shutil.copytree(ASSETS, source / "assets")
    _run_zensical(config)
    for page in site.rglob("*.html"):
        _mend(page, site)
    if found := links.problems(site):
        raise SiteError("\n".join(found))
    return site


def _clear(folder: Path) -> None:
    """Remove an earlier build, and nothing else.

    Raises:
        SiteError: the folder has other files.
    """
    if not os.path.lexists(folder):
        return
    config = folder / _CONFIG_FILE
    first_line = TEMPLATE.read_text("utf-8").partition("\n")[0]
    is_ours = config.is_file() and config.read_text("utf-8").startswith(first_line)
    if not folder.is_dir() or (not is_ours and any(folder.iterdir())):
        msg = f"{folder} is no earlier build of the site; name another folder"
        raise SiteError(msg)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def all_pages() -> dict[str, str]:
    """The Markdown of every page, written and made, by its path on the site."""
    written = {page: pages.on_site(path) for path, page in pages.written().items()}
    return {
        **written,
        **commands.pages(),
        **api.pages(),
        **schemas.pages(),
        "error-codes.md": codes.page(),
    }


def navigation() -> list[Any]:
    """The navigation: titles with a page or with more of these."""
    types = [page for page in schemas.pages() if page != "schemas/types.md"]
    decisions = sorted(page for page in pages.written().values() if re.match(r"decisions/\d", page))
    return [
        {"Start": ["index.md", "start.md", "concepts.md"]},
        {
            "Guides": [
                *[f"guides/{name}.md" for name in GUIDES],
                *[f"{name}.md" for name in TOPICS],
            ]
        },
        {
            "Command line": [
                "commands/index.md",
                "command-line.md",
                *[f"commands/{name}.md" for name in COMMANDS],
            ]
        },
        {"Python": ["api/index.md", "usage.md", *[one.page for one in api.modules()]]},
        {
            "Schemas": [
                "schemas/index.md",
                {"Types": ["schemas/types.md", *types]},
                "error-codes.md",
                "versions.md",
                "evolution.md",
            ]
        },
        {
            "Project": [
                "project/changelog.md",
                "project/architecture.md",
                {"Decisions": ["decisions/index.md", *decisions]},
                "project/contributing.md",
                "project/security.md",
                "compiled-part.md",
                "project/benchmarks.md",
                "project/examples.md",
                "project/fault-tests.md",
            ]
        },
    ]


GUIDES: Final = (
    "verifiers", "renderers", "prime-rl", "trl", "verl", "skyrl", "your-layout", "your-store",
)  # fmt: skip
"""One for each way to use rawmm, in ``docs/guides``."""

TOPICS: Final = (
    "ci", "view", "stores", "fetching", "image-forms", "layouts", "ray-data",
    "hugging-face-datasets", "planning",
)  # fmt: skip
"""The other pages of ``docs`` that are guides."""


def _config() -> str:
    """The template with what is known here only. A JSON text is a TOML value, objects excepted."""
    start = {
        "docs_dir": '"pages"',
        "site_dir": '"site"',
        "nav": _toml(navigation()),
    }
    head = "[project]\n" + "".join(f"{key} = {value}\n" for key, value in start.items())
    paths = json.dumps([str(api.SOURCES)])
    handler = "[project.plugins.mkdocstrings.handlers.python]\npaths = " + paths + "\n"
    return TEMPLATE.read_text("utf-8").replace("[project]\n", head, 1) + "\n" + handler


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def _run_zensical(config: Path) -> None:
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", config.name]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteError(done.stdout + done.stderr)


def _mend(page: Path, site: Path) -> None:
    """Load the shim of the search from the site, and link the logo to a file, not to a folder."""
    text = page.read_text("utf-8")
    worker, home = (os.path.relpath(site / name, page.parent) for name in (WORKER, "index.html"))
    text = _SHIM.sub(f'<script src="{worker}"></script>', text)
    page.write_text(_LOGO.sub(rf'<a href="{home}"\1', text), "utf-8")
