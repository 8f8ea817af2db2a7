"""The README's main job runs unchanged with its images in an object store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.main_job import do_main_job

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_main_job_with_images_in_memory_completes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    do_main_job("memory://main-job/run/images", tmp_path, capsys)
