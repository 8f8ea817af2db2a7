"""The guides for TRL, verl and SkyRL run as they are shown, with their released packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import snippets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.snippets import Page


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("page", snippets.pages_of("rl"), ids=lambda page: page.name)
def test_snippets_of_the_page_run(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    snippets.run(page, tmp_path)
