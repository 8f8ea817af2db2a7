"""A store and an image processor for the tests of `materialize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawmm import ImageStore
from tests.unit.materialize.processor import PatchProcessor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", durable=False)


@pytest.fixture
def processor() -> PatchProcessor:
    return PatchProcessor()
