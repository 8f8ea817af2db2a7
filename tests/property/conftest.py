"""Stored images for rollouts that are drawn."""

from __future__ import annotations

import pytest

from tests import fake_renderer


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """URLs of the images that the fake renderer knows, in a store."""
    return fake_renderer.stored_urls(tmp_path_factory.mktemp("run") / "images")
