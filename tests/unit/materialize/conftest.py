"""A store and an image processor for the tests of `materialize`."""

from __future__ import annotations

import pytest

from tests.unit.materialize.processor import PatchProcessor


@pytest.fixture
def processor() -> PatchProcessor:
    return PatchProcessor()
