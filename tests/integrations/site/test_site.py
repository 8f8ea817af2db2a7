"""The documentation as a site: one command builds it, and a real browser shows it offline."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

import rawmm
from rawmm._generated.exports import MODULES
from rawmm.cli.app import COMMANDS
from rawmm.errors import CODES
from sitegen import links

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that the command builds."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sitegen", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "site" / "index.html")
    return folder / "site"


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    assert links.problems(site) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('<a href="none.html">x</a>', "links to none.html: no such file"),
        ('<a href="#none">x</a>', "links to #none: no such anchor"),
        ('<a href="http://example.org/">x</a>', "links to http://example.org/: no https URL of a host"),
        ('<script src="https://cdn.example.org/a.js"></script>', "loads https://cdn.example.org/a.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "loads //fonts.example.org/a.css"),
        ('<img src="none.png">', "loads none.png: no such file"),
    ],
)  # fmt: skip
def test_page_with_a_bad_link_is_found(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(content)
    assert links.problems(tmp_path) == [f"page.html {problem}"]


def test_style_sheet_that_loads_a_font_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    assert links.problems(tmp_path) == ["a.css loads from elsewhere"]


def test_site_has_every_public_name_command_type_and_code(site: Path) -> None:
    api = "".join(page.read_text("utf-8") for page in (site / "api").glob("*.html"))
    modules = set(MODULES)  # which have pages of their own
    for name in {*rawmm.__all__} - modules - {"__version__"}:
        assert f'id="rawmm.{name}"' in api, name
    assert {page.stem for page in (site / "commands").glob("*.html")} == {*COMMANDS, "index"}
    types = {page.stem for page in (site / "schemas").glob("*.html")}
    assert types == {*rawmm.schemas.bundle()["$defs"], "index", "types"}
    codes = (site / "error-codes.html").read_text("utf-8")
    assert set(re.findall(r'<h2 id="(\w+)"', codes)) == set(CODES)


def test_site_shows_the_pages_of_rawmm_view(site: Path) -> None:
    shown = set(re.findall(r'src="(pictures/[^"]+)"', (site / "view.html").read_text("utf-8")))
    assert {f"pictures/view-{name}.png" for name in ("trace", "flow", "broken")} <= shown


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


PAGES = ("index", "concepts", "guides/verifiers", "image-forms", "layouts", "commands/check",
         "api/store", "schemas/MessageNode", "error-codes", "decisions/index")  # fmt: skip


def test_pages_fit_and_load_nothing_from_elsewhere(site: Path, chromium: Any) -> None:
    view = chromium.new_context(offline=True)
    page = view.new_page()
    wrong: list[str] = []
    page.on("request", lambda one: wrong.append(one.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        for width in (400, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            excess = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert excess <= 0, f"{name} is {excess} pixels too wide for {width}"
    assert [one for one in wrong if not one.startswith(("file:", "data:", "blob:"))] == []
    view.close()


@pytest.mark.parametrize(("wish", "scheme"), [("light", "default"), ("dark", "slate")])
def test_site_is_light_or_dark_as_the_reader_wishes(
    site: Path, chromium: Any, wish: str, scheme: str
) -> None:
    view = chromium.new_context(color_scheme=wish)
    page = view.new_page()
    page.goto((site / "concepts.html").as_uri())
    assert page.evaluate("document.body.dataset.mdColorScheme") == scheme
    assert page.evaluate("document.querySelector('article img').naturalWidth") > 0
    view.close()


def test_search_works_without_a_server(site: Path, chromium: Any) -> None:
    page = chromium.new_page(viewport={"width": 1600, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.get_by_role("button", name="Search").click()
    search = page.get_by_placeholder("Search")
    search.wait_for()
    page.keyboard.type("placeholder_order", delay=30)
    page.locator("a[href$='#placeholder_order']").first.wait_for()
    assert search.input_value() == "placeholder_order"
    page.close()
