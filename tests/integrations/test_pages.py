"""The guides for verifiers, renderers and prime-rl run as they are shown."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests import snippets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.snippets import Page


@pytest.mark.parametrize("page", snippets.pages_of("interop"), ids=lambda page: page.name)
def test_snippets_of_the_page_run(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    logging.getLogger("rawmm").setLevel(logging.ERROR)
    snippets.run(page, tmp_path)
