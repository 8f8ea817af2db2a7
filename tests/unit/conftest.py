"""The store that most tests write into."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawmm import ImageStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store that does not sync what it writes."""
    return ImageStore(tmp_path / "images", durable=False)
