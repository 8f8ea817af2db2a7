"""A real Chromium, headless: that of the variable RAWMM_CHROMIUM, or the one on the path."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.sync_api import sync_playwright

from rawmm.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("RAWMM_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    assert path is not None, "install Chromium, or name it in RAWMM_CHROMIUM"
    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium has no sandbox.
        found = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
        )
        yield found
        found.close()


class Shown(NamedTuple):
    """A page in the browser, with what it wrote to the console and what it asked for."""

    page: Page
    messages: list[str]
    requests: list[str]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Make a page with `rawmm view` and open it. No request may leave the page."""
    open_pages: list[Shown] = []

    def shown(*words: object, width: int = 1200, height: int = 900, scheme: str = "light") -> Shown:
        path = tmp_path / f"page{len(open_pages)}.html"
        assert main(["view", *map(str, words), "-o", str(path)]) == 0
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        one = Shown(page, [], [])
        open_pages.append(one)
        page.on("console", lambda message: one.messages.append(message.text))
        page.on("pageerror", lambda error: one.messages.append(str(error)))
        page.on("request", lambda request: one.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        return one

    yield shown
    for one in open_pages:
        one.page.close()
        assert one.messages == []
        assert [url for url in one.requests if not url.startswith("blob:")] == [one.requests[0]]
