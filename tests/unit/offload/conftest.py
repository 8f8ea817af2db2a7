"""The image directory of tests that call `offload_images_inplace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that does not exist yet, as stores name it."""
    return tmp_path.resolve() / "images"
